//! Linear layers by burn's autodiff: an MLP's.
//!
//! burn runs in a thread pool of one thread here, so that a sum does not depend on a worker's number of
//! threads.

use super::dropout::{Dropout, Masks};
use super::engine::{Batch, Engine};
use super::shape::{HeadShape, Layer};
use crate::device::device;
use crate::job::Job;
use crate::{Error, Result};
use burn::tensor::{DType, Device, Tensor, TensorData, activation};
use rayon::{ThreadPool, ThreadPoolBuilder};
use rounds::{Optimizer, State};

/// Computes a head of linear layers by burn.
#[derive(Debug)]
pub(super) struct Autodiff {
    shape: HeadShape,
    smoothing: f64,
    dropout: Dropout,
    device: Device,
    /// burn's one thread.
    pool: ThreadPool,
}

/// Linear layers on a device: `[outputs, inputs]` and `[1, outputs]` of each.
type Loaded = Vec<(Tensor<2>, Tensor<2>)>;

impl Autodiff {
    pub(super) fn new(job: &Job, shape: &HeadShape) -> Result<Autodiff> {
        let pool = ThreadPoolBuilder::new().num_threads(1).build();
        let pool =
            pool.map_err(|error| Error::Burn { action: "start its thread", reason: error.to_string() })?;
        Ok(Autodiff {
            dropout: Dropout::of(job, shape),
            shape: shape.clone(),
            smoothing: job.training.label_smoothing,
            device: device(job.device)?,
            pool,
        })
    }

    /// Adds the gradient of the summed loss of a batch to `sum`; returns that loss.
    fn differentiate(&self, parameters: &[f32], batch: Batch<'_>, sum: &mut [f32]) -> Result<f64> {
        let device = self.device.clone().autodiff();
        let loaded = self.load(parameters, &device, true);
        // [rows, classes].
        let scores = self.forward(&loaded, &device, batch.features, &self.dropout.masks(&batch));
        let targets = self.targets(batch.labels, &device); // [rows, classes]
        let loss = (activation::log_softmax(scores, 1) * targets).sum().neg(); // [1]
        let mut gradients = loss.backward();
        for (layer, (weight, bias)) in self.shape.layers().into_iter().zip(&loaded) {
            let weight = weight.grad_remove(&mut gradients).map(Tensor::into_data);
            let bias = bias.grad_remove(&mut gradients).map(Tensor::into_data);
            for (range, gradient) in [(layer.weight, weight), (layer.bias, bias)] {
                let gradient = gradient.ok_or_else(|| unreadable("find a gradient", "there is none"))?;
                let gradient = gradient.as_slice::<f32>().map_err(|e| unreadable("read a gradient", e))?;
                sum[range].iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
            }
        }
        let loss = loss.into_data();
        let loss = loss.as_slice::<f32>().map_err(|e| unreadable("read the loss", e))?;
        Ok(f64::from(loss[0]))
    }

    /// The scores before softmax, `[rows, classes]`.
    fn score(&self, parameters: &[f32], features: &[f32]) -> Result<Vec<f32>> {
        let loaded = self.load(parameters, &self.device, false);
        let scores = self.forward(&loaded, &self.device, features, &Masks::default());
        scores.try_into_vec_as::<f32>().map_err(|e| unreadable("read the scores", e))
    }

    /// Puts linear layers on a device, which keeps their gradients if `track`.
    fn load(&self, parameters: &[f32], device: &Device, track: bool) -> Loaded {
        let layer = |Layer { inputs, outputs, weight, bias, .. }: Layer| {
            let weight = tensor(parameters[weight].to_vec(), [outputs, inputs], device);
            let bias = tensor(parameters[bias].to_vec(), [1, outputs], device);
            if track { (weight.require_grad(), bias.require_grad()) } else { (weight, bias) }
        };
        self.shape.layers().into_iter().map(layer).collect()
    }

    /// The scores before softmax: `[rows, inputs]` to `[rows, classes]`.
    fn forward(&self, loaded: &Loaded, device: &Device, features: &[f32], masks: &Masks) -> Tensor<2> {
        let rows = features.len() / self.shape.inputs();
        let mut x = tensor(features.to_vec(), [rows, self.shape.inputs()], device);
        for (index, (weight, bias)) in loaded.iter().enumerate() {
            if index > 0 {
                x = activation::relu(x);
            }
            if let Some(mask) = masks.of(index) {
                x = x.clone() * tensor(mask.to_vec(), x.dims(), device);
            }
            x = x.matmul(weight.clone().transpose()) + bias.clone(); // [rows, outputs]
        }
        x
    }

    /// The smoothed targets: (1 - s) for the true class and s / classes for every class, as in PyTorch.
    fn targets(&self, labels: &[u32], device: &Device) -> Tensor<2> {
        let classes = self.shape.classes();
        let mut targets = vec![(self.smoothing / classes as f64) as f32; labels.len() * classes];
        for (row, &label) in labels.iter().enumerate() {
            targets[row * classes + label as usize] =
                (1.0 - self.smoothing + self.smoothing / classes as f64) as f32;
        }
        tensor(targets, [labels.len(), classes], device)
    }
}

impl Engine for Autodiff {
    fn add_gradient(&self, parameters: &[f32], batch: Batch<'_>, sum: &mut [f32]) -> Result<f64> {
        self.pool.install(|| self.differentiate(parameters, batch, sum))
    }

    fn step(&self, optimizer: &Optimizer, rate: f64, batch: Batch<'_>, state: &mut State) -> Result<f64> {
        let mut gradient = vec![0.0; state.parameters.len()];
        let loss = self.add_gradient(&state.parameters, batch, &mut gradient)?;
        let scale = 1.0 / batch.labels.len() as f32;
        gradient.iter_mut().for_each(|g| *g *= scale);
        optimizer.step(None, rate, &mut gradient, state);
        Ok(loss)
    }

    fn scores(&self, parameters: &[f32], features: Vec<f32>) -> Result<Vec<f32>> {
        self.pool.install(|| self.score(parameters, &features))
    }
}

fn tensor(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}

fn unreadable(action: &'static str, reason: impl ToString) -> Error {
    Error::Burn { action, reason: reason.to_string() }
}
