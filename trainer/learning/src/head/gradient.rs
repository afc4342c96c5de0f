//! The head's loss, gradient, step and scores for a batch: by burn's autodiff for an MLP, by our own products else.
//!
//! burn runs in a thread pool of one thread here, so that how many threads a worker has never shows in a sum.

use super::dense::Dense;
use super::dropout::{Dropout, Masks};
use super::{HeadShape, Layer, Optimizer, State, clip};
use crate::device::device;
use crate::{Error, Result};
use burn::tensor::{DType, Device, Tensor, TensorData, activation};
use frozen::Trained;
use protocol::{Head, Job};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Rows of features with their classes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Batch<'a> {
    /// `[rows, inputs]`.
    pub(crate) features: &'a [f32],
    /// `[rows]`.
    pub(crate) labels: &'a [u32],
    /// `[rows]`: which images they are; read by dropout alone.
    pub(crate) images: &'a [u32],
    /// Which time it is that training comes by these images; read by dropout alone.
    pub(crate) pass: u32,
}

impl<'a> Batch<'a> {
    /// The same rows, `images` at a time; without labels none of these has any.
    fn pieces(&self, images: usize, inputs: usize) -> impl Iterator<Item = Batch<'a>> {
        let features = self.features.chunks(images * inputs);
        let [labels, ids] =
            [self.labels, self.images].map(|all| all.chunks(images).chain(std::iter::repeat(&[][..])));
        let (pieces, pass) = (features.zip(labels.zip(ids)), self.pass);
        pieces.map(move |(features, (labels, images))| Batch { features, labels, images, pass })
    }
}

/// Computes losses and gradients of a head.
#[derive(Debug)]
pub(crate) struct Trainer {
    shape: HeadShape,
    smoothing: f64,
    /// The longest gradient of a step.
    longest: Option<f64>,
    dropout: Option<Dropout>,
    device: Device,
    /// burn's one thread.
    pool: ThreadPool,
    /// The layers below the linear ones, if these are trained.
    block: Option<Mutex<Trained>>,
    /// The last step's gradient, where it is a whole array: new memory costs more than to fill it with zeros.
    gradient: Mutex<Vec<f32>>,
    /// Its own products, where there are any.
    dense: Option<Dense>,
}

/// Linear layers on a device: `[outputs, inputs]` and `[1, outputs]` of each.
type Loaded = Vec<(Tensor<2>, Tensor<2>)>;

impl Trainer {
    pub(crate) fn new(job: &Job, shape: &HeadShape, threads: usize) -> Result<Trainer> {
        let pool = ThreadPoolBuilder::new().num_threads(1).build();
        let pool =
            pool.map_err(|error| Error::Burn { action: "start its thread", reason: error.to_string() })?;
        let dense = match job.head {
            Head::Mlp { .. } => None,
            _ => Some(Dense::new(shape, job.label_smoothing, threads)?),
        };
        let block = shape.block().map(|block| block.trained(threads.max(1))).transpose()?;
        Ok(Trainer {
            dropout: Dropout::of(job, shape),
            shape: shape.clone(),
            smoothing: job.label_smoothing,
            longest: job.clip,
            device: device(job.device)?,
            pool,
            block: block.map(Mutex::new),
            gradient: Mutex::default(),
            dense,
        })
    }

    /// Adds the gradient of the batch's summed loss to `sum`, and gives the summed loss.
    pub(crate) fn add_gradient(&self, parameters: &[f32], batch: Batch<'_>, sum: &mut [f32]) -> Result<f64> {
        match (&self.dense, self.block()) {
            (None, _) => self.add_gradient_by_autodiff(parameters, batch, sum),
            (Some(dense), None) => {
                let masks = self.masks(&batch);
                let features = masks.features(batch.features);
                Ok(dense
                    .add_gradient(parameters, &Batch { features: &features, ..batch }, &masks, 1.0, sum)
                    .1)
            }
            (Some(dense), Some(mut block)) => {
                self.add_gradient_through(dense, &mut block, parameters, batch, (1.0, true), sum)
            }
        }
    }

    /// Writes `scale` times the gradient of the batch's summed loss, of the block's layers and the linear ones above, or adds it
    /// if `add`; gives the summed loss.
    fn add_gradient_through(
        &self,
        dense: &Dense,
        block: &mut Trained,
        parameters: &[f32],
        batch: Batch<'_>,
        (scale, add): (f32, bool),
        sum: &mut [f32],
    ) -> Result<f64> {
        let own = self.shape.block().map_or(0, |block| block.parameters());
        let (images, mut total) = (block.images(), 0.0);
        let mut layers = block.load(&parameters[..own], true)?;
        if !add {
            sum[own..].fill(0.0);
        }
        for (number, piece) in batch.pieces(images, self.shape.inputs()).enumerate() {
            let rows = layers.forward(piece.features, piece.labels.len(), true)?;
            let masks = self.masks(&piece);
            let features = masks.features(&rows);
            let piece = Batch { features: &features, ..piece };
            let (deltas, loss) = dense.add_gradient(parameters, &piece, &masks, scale, sum);
            let deltas = dense.through(parameters, &deltas, &masks);
            layers.backward(&deltas, &mut sum[..own], add || number > 0)?;
            total += loss;
        }
        Ok(total)
    }

    /// One optimizer step along the gradient of the batch's mean loss; gives the summed loss.
    pub(crate) fn step(
        &self,
        optimizer: &Optimizer,
        rate: f64,
        batch: Batch<'_>,
        state: &mut State,
    ) -> Result<f64> {
        if let (Some(dense), None) = (&self.dense, &self.block) {
            let masks = self.masks(&batch);
            let features = masks.features(batch.features);
            let batch = Batch { features: &features, ..batch };
            return Ok(dense.step(optimizer, (rate, self.longest), &batch, &masks, state));
        }
        let mut gradient = self.gradient.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut block, scale) = (self.block(), 1.0 / batch.labels.len() as f32);
        gradient.resize(self.shape.parameters(), 0.0);
        let loss = match (&self.dense, &mut block) {
            (Some(dense), Some(block)) => self.add_gradient_through(
                dense,
                block,
                &state.parameters,
                batch,
                (scale, false),
                &mut gradient,
            )?,
            _ => {
                gradient.fill(0.0);
                let loss = self.add_gradient_by_autodiff(&state.parameters, batch, &mut gradient)?;
                gradient.iter_mut().for_each(|g| *g *= scale);
                loss
            }
        };
        if let Some(longest) = self.longest {
            let factor = clip::factor(longest, clip::squared(&gradient));
            gradient.iter_mut().for_each(|g| *g *= factor);
        }
        optimizer.step(block.as_ref().map(|block| block.threads()), rate, &gradient, state);
        Ok(loss)
    }

    /// What is dropped of what the layers read of a batch.
    fn masks(&self, batch: &Batch<'_>) -> Masks {
        self.dropout.as_ref().map(|dropout| dropout.masks(batch)).unwrap_or_default()
    }

    /// The layers below the linear ones. What a panic left in them is forgotten with the next pass.
    fn block(&self) -> Option<MutexGuard<'_, Trained>> {
        self.block.as_ref().map(|block| block.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same by burn, of linear layers.
    pub(super) fn add_gradient_by_autodiff(
        &self,
        parameters: &[f32],
        batch: Batch<'_>,
        sum: &mut [f32],
    ) -> Result<f64> {
        self.pool.install(|| self.differentiate(parameters, batch, sum))
    }

    /// Adds the gradient of the summed loss of a batch to `sum`; gives that loss.
    fn differentiate(&self, parameters: &[f32], batch: Batch<'_>, sum: &mut [f32]) -> Result<f64> {
        let device = self.device.clone().autodiff();
        let loaded = self.load(parameters, &device, true);
        let scores = self.forward(&loaded, &device, batch.features, &self.masks(&batch)); // [rows, classes]
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
    pub(crate) fn scores(&self, parameters: &[f32], features: Vec<f32>) -> Result<Vec<f32>> {
        let Some(dense) = &self.dense else { return self.pool.install(|| self.score(parameters, &features)) };
        let Some(mut block) = self.block() else { return Ok(dense.scores(parameters, &features)) };
        let own = self.shape.block().map_or(0, |block| block.parameters());
        let (images, mut scores) = (block.images(), Vec::new());
        let mut layers = block.load(&parameters[..own], false)?;
        let all = Batch { features: &features, ..Batch::default() };
        for piece in all.pieces(images, self.shape.inputs()) {
            let rows = layers.forward(piece.features, piece.features.len() / self.shape.inputs(), false)?;
            scores.extend(dense.scores(parameters, &rows));
        }
        Ok(scores)
    }

    /// The same by burn, of linear layers.
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
}

fn tensor(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}

fn unreadable(action: &'static str, reason: impl ToString) -> Error {
    Error::Burn { action, reason: reason.to_string() }
}
