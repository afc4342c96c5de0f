//! The head's loss, gradient, step and scores for a batch: by burn's autodiff for an MLP, by our own products else.
//!
//! burn runs in a thread pool of one thread here, so that how many threads a worker has never shows in a sum.

use super::dense::Dense;
use super::{HeadShape, Layer, Optimizer, State};
use crate::device::device;
use crate::{Error, Result};
use burn::tensor::{DType, Device, Tensor, TensorData, activation};
use protocol::{Head, Job};
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Rows of features with their classes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch<'a> {
    /// `[rows, inputs]`.
    pub(crate) features: &'a [f32],
    /// `[rows]`.
    pub(crate) labels: &'a [u32],
}

/// Computes losses and gradients of a head.
#[derive(Debug)]
pub(crate) struct Trainer {
    shape: HeadShape,
    smoothing: f64,
    device: Device,
    pool: ThreadPool,
    /// Its own products, unless the head is an MLP.
    dense: Option<Dense>,
}

impl Trainer {
    pub(crate) fn new(job: &Job, shape: &HeadShape, threads: usize) -> Result<Trainer> {
        let pool = ThreadPoolBuilder::new().num_threads(1).build();
        let pool =
            pool.map_err(|error| Error::Burn { action: "start its thread", reason: error.to_string() })?;
        let dense = match job.head {
            Head::Mlp { .. } => None,
            Head::Softmax | Head::Classifier => Some(Dense::new(shape, job.label_smoothing, threads)?),
        };
        let (shape, device) = (shape.clone(), device(job.device)?);
        Ok(Trainer { shape, smoothing: job.label_smoothing, device, pool, dense })
    }

    /// Adds the gradient of the batch's summed loss to `sum`, and gives the summed loss.
    pub(crate) fn add_gradient(&self, parameters: &[f32], batch: Batch<'_>, sum: &mut [f32]) -> Result<f64> {
        match &self.dense {
            Some(dense) => Ok(dense.add_gradient(parameters, &batch, sum)),
            None => self.add_gradient_by_autodiff(parameters, batch, sum),
        }
    }

    /// One optimizer step along the gradient of the batch's mean loss; gives the summed loss.
    pub(crate) fn step(
        &self,
        optimizer: &Optimizer,
        rate: f64,
        batch: Batch<'_>,
        state: &mut State,
    ) -> Result<f64> {
        if let Some(dense) = &self.dense {
            return Ok(dense.step(optimizer, rate, &batch, state));
        }
        let mut gradient = vec![0.0; self.shape.parameters()];
        let loss = self.add_gradient_by_autodiff(&state.parameters, batch, &mut gradient)?;
        let scale = 1.0 / batch.labels.len() as f32;
        gradient.iter_mut().for_each(|g| *g *= scale);
        optimizer.step(rate, &gradient, state);
        Ok(loss)
    }

    /// The same by burn, whatever the head.
    pub(super) fn add_gradient_by_autodiff(
        &self,
        parameters: &[f32],
        batch: Batch<'_>,
        sum: &mut [f32],
    ) -> Result<f64> {
        self.pool.install(|| {
            let device = self.device.clone().autodiff();
            let layers = self.tensors(parameters, &device, true);
            let scores = forward(&layers, self.rows(batch.features.to_vec(), &device)); // [rows, classes]
            let targets = self.targets(batch.labels, &device); // [rows, classes]
            let loss = (activation::log_softmax(scores, 1) * targets).sum().neg(); // [1]
            let mut gradients = loss.backward();
            for (layer, (weight, bias)) in self.shape.layers().into_iter().zip(&layers) {
                let weight = weight.grad_remove(&mut gradients).map(Tensor::into_data);
                let bias = bias.grad_remove(&mut gradients).map(Tensor::into_data);
                for (range, gradient) in [(layer.weight, weight), (layer.bias, bias)] {
                    let gradient = gradient.ok_or_else(|| unreadable("find a gradient", "there is none"))?;
                    let gradient =
                        gradient.as_slice::<f32>().map_err(|e| unreadable("read a gradient", e))?;
                    sum[range].iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
                }
            }
            let loss = loss.into_data();
            let loss = loss.as_slice::<f32>().map_err(|e| unreadable("read the loss", e))?;
            Ok(f64::from(loss[0]))
        })
    }

    /// The scores before softmax, `[rows, classes]`.
    pub(crate) fn scores(&self, parameters: &[f32], features: Vec<f32>) -> Result<Vec<f32>> {
        if let Some(dense) = &self.dense {
            return Ok(dense.scores(parameters, &features));
        }
        self.pool.install(|| {
            let layers = self.tensors(parameters, &self.device, false);
            let scores = forward(&layers, self.rows(features, &self.device)); // [rows, classes]
            scores.try_into_vec_as::<f32>().map_err(|e| unreadable("read the scores", e))
        })
    }

    fn rows(&self, features: Vec<f32>, device: &Device) -> Tensor<2> {
        let rows = features.len() / self.shape.inputs();
        tensor(features, [rows, self.shape.inputs()], device)
    }

    /// The smoothed targets: (1 - s) for the true class and s / classes for every class, as PyTorch has it.
    fn targets(&self, labels: &[u32], device: &Device) -> Tensor<2> {
        let classes = self.shape.classes();
        let mut targets = vec![(self.smoothing / classes as f64) as f32; labels.len() * classes];
        for (row, &label) in labels.iter().enumerate() {
            targets[row * classes + label as usize] =
                (1.0 - self.smoothing + self.smoothing / classes as f64) as f32;
        }
        tensor(targets, [labels.len(), classes], device)
    }

    fn tensors(&self, parameters: &[f32], device: &Device, track: bool) -> Vec<(Tensor<2>, Tensor<2>)> {
        let layer = |Layer { inputs, outputs, weight, bias }: Layer| {
            let weight = tensor(parameters[weight].to_vec(), [outputs, inputs], device);
            let bias = tensor(parameters[bias].to_vec(), [1, outputs], device);
            if track { (weight.require_grad(), bias.require_grad()) } else { (weight, bias) }
        };
        self.shape.layers().into_iter().map(layer).collect()
    }
}

fn forward(layers: &[(Tensor<2>, Tensor<2>)], features: Tensor<2>) -> Tensor<2> {
    let mut x = features; // [rows, inputs]
    for (index, (weight, bias)) in layers.iter().enumerate() {
        if index > 0 {
            x = activation::relu(x);
        }
        x = x.matmul(weight.clone().transpose()) + bias.clone(); // [rows, outputs]
    }
    x
}

fn tensor(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}

fn unreadable(action: &'static str, reason: impl ToString) -> Error {
    Error::Burn { action, reason: reason.to_string() }
}
