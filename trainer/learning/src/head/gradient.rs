//! The head's loss, gradient, step and scores for a batch: by burn's autodiff for an MLP and for convolutions, by our own
//! products else.
//!
//! burn runs in thread pools of one thread here, so that how many threads a worker has never shows in a sum.

use super::dense::Dense;
use super::dropout::{Dropout, Masks};
use super::{Block, HeadShape, Layer, Optimizer, State, clip};
use crate::burn_net::BurnNet;
use crate::device::device;
use crate::{Error, Result};
use burn::tensor::{DType, Device, Tensor, TensorData, activation};
use protocol::{Head, Job};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::panic::resume_unwind;

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

/// Computes losses and gradients of a head.
#[derive(Debug)]
pub(crate) struct Trainer {
    shape: HeadShape,
    smoothing: f64,
    /// The longest gradient of a step.
    longest: Option<f64>,
    dropout: Option<Dropout>,
    device: Device,
    /// The same, keeping what gradients need.
    pub(super) tracking: Device,
    /// One of one thread; of a block, which is computed in pieces, as many as there are threads.
    pools: Vec<ThreadPool>,
    /// Its own products, where there are any.
    dense: Option<Dense>,
}

/// The parameters on a device.
struct Loaded {
    device: Device,
    block: Option<BurnNet>,
    /// `[outputs, inputs]` and `[1, outputs]` of each linear layer.
    layers: Vec<(Tensor<2>, Tensor<2>)>,
}

impl Trainer {
    pub(crate) fn new(job: &Job, shape: &HeadShape, threads: usize) -> Result<Trainer> {
        let pool = |_| ThreadPoolBuilder::new().num_threads(1).build();
        let pools = (0..shape.block().map_or(1, |_| threads.max(1))).map(pool).collect::<Result<_, _>>();
        let pools =
            pools.map_err(|error| Error::Burn { action: "start its threads", reason: error.to_string() })?;
        let dense = match job.head {
            Head::Mlp { .. } | Head::Layers { .. } => None,
            Head::Softmax | Head::Classifier => Some(Dense::new(shape, job.label_smoothing, threads)?),
        };
        let (dropout, shape, device) = (Dropout::of(job, shape), shape.clone(), device(job.device)?);
        let tracking = match shape.block() {
            Some(block) if block.recomputes() => device.clone().autodiff().gradient_checkpointing(),
            _ => device.clone().autodiff(),
        };
        Ok(Trainer {
            shape,
            smoothing: job.label_smoothing,
            longest: job.clip,
            dropout,
            device,
            tracking,
            pools,
            dense,
        })
    }

    /// Adds the gradient of the batch's summed loss to `sum`, and gives the summed loss.
    pub(crate) fn add_gradient(&self, parameters: &[f32], batch: Batch<'_>, sum: &mut [f32]) -> Result<f64> {
        match (&self.dense, self.shape.block()) {
            (Some(dense), _) => {
                let masks = self.masks(&batch);
                let features = masks.features(batch.features);
                Ok(dense.add_gradient(parameters, &Batch { features: &features, ..batch }, &masks, sum))
            }
            (None, Some(block)) => self.add_gradient_in_pieces(block, parameters, batch, sum),
            (None, None) => self.add_gradient_by_autodiff(parameters, batch, sum),
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
            let masks = self.masks(&batch);
            let features = masks.features(batch.features);
            let batch = Batch { features: &features, ..batch };
            return Ok(dense.step(optimizer, (rate, self.longest), &batch, &masks, state));
        }
        let mut gradient = vec![0.0; self.shape.parameters()];
        let loss = self.add_gradient(&state.parameters, batch, &mut gradient)?;
        let scale = 1.0 / batch.labels.len() as f32;
        gradient.iter_mut().for_each(|g| *g *= scale);
        if let Some(longest) = self.longest {
            let factor = clip::factor(longest, clip::squared(&gradient));
            gradient.iter_mut().for_each(|g| *g *= factor);
        }
        optimizer.step(rate, &gradient, state);
        Ok(loss)
    }

    /// What is dropped of what the layers read of a batch.
    fn masks(&self, batch: &Batch<'_>) -> Masks {
        self.dropout.as_ref().map(|dropout| dropout.masks(batch)).unwrap_or_default()
    }

    /// The same by burn, whatever the head.
    pub(super) fn add_gradient_by_autodiff(
        &self,
        parameters: &[f32],
        batch: Batch<'_>,
        sum: &mut [f32],
    ) -> Result<f64> {
        self.pools[0].install(|| self.differentiate(parameters, batch, sum))
    }

    /// The same piece by piece, as many at once as there are threads, and summed in their order.
    fn add_gradient_in_pieces(
        &self,
        block: &Block,
        parameters: &[f32],
        batch: Batch<'_>,
        sum: &mut [f32],
    ) -> Result<f64> {
        let mut total = 0.0;
        for wave in pieces(block, &batch).chunks(self.pools.len()) {
            let found = self.at_once(wave, |piece| {
                let mut gradient = vec![0.0; parameters.len()];
                Ok((self.differentiate(parameters, piece, &mut gradient)?, gradient))
            });
            for piece in found {
                let (loss, gradient) = piece?;
                total += loss;
                sum.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
            }
        }
        Ok(total)
    }

    /// Computes no more pieces than there are pools, each in a pool of its own.
    fn at_once<T: Send>(
        &self,
        pieces: &[Batch<'_>],
        compute: impl Fn(Batch<'_>) -> Result<T> + Sync,
    ) -> Vec<Result<T>> {
        let compute = &compute;
        std::thread::scope(|scope| {
            let running = self.pools.iter().zip(pieces);
            let running = running.map(|(pool, piece)| scope.spawn(move || pool.install(|| compute(*piece))));
            let running: Vec<_> = running.collect();
            running.into_iter().map(|one| one.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
        })
    }

    /// Adds the gradient of the summed loss of a batch, or of a piece of it, to `sum`; gives that loss.
    fn differentiate(&self, parameters: &[f32], batch: Batch<'_>, sum: &mut [f32]) -> Result<f64> {
        let device = &self.tracking;
        let loaded = self.load(parameters, device, true)?;
        let scores = self.forward(&loaded, batch.features, &self.masks(&batch))?; // [rows, classes]
        let targets = self.targets(batch.labels, device); // [rows, classes]
        let loss = (activation::log_softmax(scores, 1) * targets).sum().neg(); // [1]
        let mut gradients = loss.backward();
        if let (Some(block), Some(net)) = (self.shape.block(), &loaded.block) {
            block.add_gradients(net, &mut gradients, sum)?;
        }
        for (layer, (weight, bias)) in self.shape.layers().into_iter().zip(&loaded.layers) {
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
        if let Some(dense) = &self.dense {
            return Ok(dense.scores(parameters, &features));
        }
        let score = |piece: Batch<'_>| {
            let loaded = self.load(parameters, &self.device, false)?;
            let scores = self.forward(&loaded, piece.features, &Masks::default())?;
            scores.try_into_vec_as::<f32>().map_err(|e| unreadable("read the scores", e))
        };
        let batch = Batch { features: &features, ..Batch::default() };
        let Some(block) = self.shape.block() else { return self.pools[0].install(|| score(batch)) };
        let mut scores = Vec::new();
        for wave in pieces(block, &batch).chunks(self.pools.len()) {
            for piece in self.at_once(wave, score) {
                scores.extend(piece?);
            }
        }
        Ok(scores)
    }

    /// Puts the parameters on a device, which keeps their gradients if `track`.
    fn load(&self, parameters: &[f32], device: &Device, track: bool) -> Result<Loaded> {
        let block = self.shape.block().map(|block| block.on(parameters, device, track)).transpose()?;
        let layer = |Layer { inputs, outputs, weight, bias, .. }: Layer| {
            let weight = tensor(parameters[weight].to_vec(), [outputs, inputs], device);
            let bias = tensor(parameters[bias].to_vec(), [1, outputs], device);
            if track { (weight.require_grad(), bias.require_grad()) } else { (weight, bias) }
        };
        let layers = self.shape.layers().into_iter().map(layer).collect();
        Ok(Loaded { device: device.clone(), block, layers })
    }

    /// The scores before softmax: `[rows, inputs]` to `[rows, classes]`.
    fn forward(&self, loaded: &Loaded, features: &[f32], masks: &Masks) -> Result<Tensor<2>> {
        let Loaded { device, block: net, layers } = loaded;
        let mut x = match (self.shape.block(), net) {
            (Some(block), Some(net)) => block.forward(net, features.to_vec(), device)?,
            _ => {
                let rows = features.len() / self.shape.inputs();
                tensor(features.to_vec(), [rows, self.shape.inputs()], device)
            }
        };
        for (index, (weight, bias)) in layers.iter().enumerate() {
            if index > 0 {
                x = activation::relu(x);
            }
            if let Some(mask) = masks.of(index) {
                x = x.clone() * tensor(mask.to_vec(), x.dims(), device);
            }
            x = x.matmul(weight.clone().transpose()) + bias.clone(); // [rows, outputs]
        }
        Ok(x)
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

/// Rows of a batch in pieces; without labels none of these has any.
fn pieces<'a>(block: &Block, batch: &Batch<'a>) -> Vec<Batch<'a>> {
    let rows = block.piece();
    let features = batch.features.chunks(rows * block.inputs());
    let [labels, images] =
        [batch.labels, batch.images].map(|all| all.chunks(rows).chain(std::iter::repeat(&[][..])));
    let pieces = features.zip(labels.zip(images));
    pieces.map(|(features, (labels, images))| Batch { features, labels, images, ..*batch }).collect()
}

fn tensor(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}

fn unreadable(action: &'static str, reason: impl ToString) -> Error {
    Error::Burn { action, reason: reason.to_string() }
}
