//! The network's own layers below linear ones, by our own products: piece after piece of a batch, each with
//! the images that go together.

use super::block::Block;
use super::dense::Dense;
use super::dropout::Dropout;
use super::engine::{Batch, Engine};
use super::shape::HeadShape;
use crate::Result;
use crate::job::Job;
use frozen::Trained;
use rounds::{Optimizer, State};
use std::iter::repeat;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Computes a head with layers below the linear ones.
#[derive(Debug)]
pub(super) struct Deep {
    block: Mutex<Trained>,
    dense: Dense,
    dropout: Dropout,
    /// Features of an image.
    inputs: usize,
    /// The number of the block's parameters, which come first.
    own: usize,
    /// The last step's gradient: new memory costs more than to fill it again.
    gradient: Mutex<Vec<f32>>,
}

/// Which gradient of a batch is computed, and how it is written.
#[derive(Clone, Copy, PartialEq)]
enum Given {
    /// The summed loss's, added to the values there.
    Sum,
    /// The mean loss's, which overwrites the values there.
    Mean,
}

impl Deep {
    pub(super) fn new(job: &Job, shape: &HeadShape, block: &Block, threads: usize) -> Result<Deep> {
        Ok(Deep {
            dense: Dense::new(shape, job.training.label_smoothing, threads)?,
            dropout: Dropout::of(job, shape),
            block: Mutex::new(block.trained(threads.max(1))?),
            inputs: shape.inputs(),
            own: block.parameters(),
            gradient: Mutex::default(),
        })
    }

    /// The layers below the linear ones. The next pass overwrites whatever a panic left in them.
    fn block(&self) -> MutexGuard<'_, Trained> {
        self.block.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The gradient of a batch's loss, by the block's layers and the linear ones above; returns the summed
    /// loss.
    fn gradient(
        &self,
        parameters: &[f32],
        batch: Batch<'_>,
        given: Given,
        gradient: &mut [f32],
    ) -> Result<f64> {
        let mut block = self.block();
        let (images, mut total) = (block.images(), 0.0);
        let mut layers = block.load(&parameters[..self.own], true)?;
        let scale = match given {
            Given::Sum => 1.0,
            Given::Mean => {
                gradient[self.own..].fill(0.0);
                1.0 / batch.labels.len() as f32
            }
        };
        for (number, piece) in pieces(&batch, images, self.inputs).enumerate() {
            let rows = layers.forward(piece.features, piece.labels.len(), true)?;
            let masks = self.dropout.masks(&piece);
            let features = masks.features(&rows);
            let piece = Batch { features: &features, ..piece };
            let (deltas, loss) = self.dense.add_gradient(parameters, &piece, &masks, scale, gradient);
            let deltas = self.dense.through(parameters, &deltas, &masks);
            layers.backward(&deltas, &mut gradient[..self.own], given == Given::Sum || number > 0)?;
            total += loss;
        }
        Ok(total)
    }
}

/// The same rows, `images` at a time; without labels none of these has any.
fn pieces<'a>(batch: &Batch<'a>, images: usize, inputs: usize) -> impl Iterator<Item = Batch<'a>> {
    let features = batch.features.chunks(images * inputs);
    let [labels, ids] = [batch.labels, batch.images].map(|all| all.chunks(images).chain(repeat(&[][..])));
    let (pieces, pass) = (features.zip(labels.zip(ids)), batch.pass);
    pieces.map(move |(features, (labels, images))| Batch { features, labels, images, pass })
}

impl Engine for Deep {
    fn add_gradient(&self, parameters: &[f32], batch: Batch<'_>, sum: &mut [f32]) -> Result<f64> {
        self.gradient(parameters, batch, Given::Sum, sum)
    }

    fn step(&self, optimizer: &Optimizer, rate: f64, batch: Batch<'_>, state: &mut State) -> Result<f64> {
        let mut gradient = self.gradient.lock().unwrap_or_else(PoisonError::into_inner);
        gradient.resize(state.parameters.len(), 0.0);
        let loss = self.gradient(&state.parameters, batch, Given::Mean, &mut gradient)?;
        optimizer.step(Some(self.block().threads()), rate, &mut gradient, state);
        Ok(loss)
    }

    fn scores(&self, parameters: &[f32], features: Vec<f32>) -> Result<Vec<f32>> {
        let mut block = self.block();
        let (images, mut scores) = (block.images(), Vec::new());
        let mut layers = block.load(&parameters[..self.own], false)?;
        let all = Batch { features: &features, ..Batch::default() };
        for piece in pieces(&all, images, self.inputs) {
            let rows = layers.forward(piece.features, piece.features.len() / self.inputs, false)?;
            scores.extend(self.dense.scores(parameters, &rows));
        }
        Ok(scores)
    }
}
