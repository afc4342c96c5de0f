//! Dropout: in training an input of a linear layer is 0 with the job's probability, and otherwise multiplied
//! by 1 / (1 - probability). Scoring uses no dropout.
//!
//! A head of one layer drops inputs of that layer, another one inputs of each layer but the first: in VGG's
//! classifier the outputs of fc1 and fc2, after their ReLUs, as in the paper. The stream (seed, pass, image)
//! decides, layer after layer, which inputs of an image are dropped: this does not depend on the batch, the
//! worker or the leg of the image.

use super::engine::Batch;
use super::shape::HeadShape;
use crate::job::Job;
use rounds::random::{Purpose, Stream};
use std::borrow::Cow;

/// Draws the masks of a head.
#[derive(Clone, Debug)]
pub(super) struct Dropout {
    chance: f32,
    seed: u64,
    /// The inputs of each layer; 0 if none is dropped.
    inputs: Vec<usize>,
}

/// The factors of each layer's inputs, `[rows, inputs]`; empty if all stay as they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Masks(Vec<Vec<f32>>);

impl Dropout {
    /// The dropout of a job.
    pub(super) fn of(job: &Job, shape: &HeadShape) -> Dropout {
        let layers = shape.layers();
        let dropped = |index: usize| index > 0 || layers.len() == 1;
        let inputs = layers.iter().enumerate().map(|(i, layer)| if dropped(i) { layer.inputs } else { 0 });
        Dropout { chance: job.dropout as f32, seed: job.training.seed, inputs: inputs.collect() }
    }

    /// The masks of a batch.
    pub(super) fn masks(&self, batch: &Batch<'_>) -> Masks {
        if self.chance == 0.0 {
            return Masks::default();
        }
        let scale = 1.0 / (1.0 - self.chance);
        let mut masks: Vec<Vec<f32>> = self.inputs.iter().map(|_| Vec::new()).collect();
        for &image in batch.images {
            let mut stream = Stream::new(self.seed, Purpose::Dropout, batch.pass, image);
            for (mask, &inputs) in masks.iter_mut().zip(&self.inputs) {
                let value = || if stream.unit() < self.chance { 0.0 } else { scale };
                mask.extend(std::iter::repeat_with(value).take(inputs));
            }
        }
        Masks(masks)
    }
}

impl Masks {
    /// The mask of a layer's inputs, if some are dropped.
    pub(super) fn of(&self, layer: usize) -> Option<&[f32]> {
        self.0.get(layer).map(Vec::as_slice).filter(|mask| !mask.is_empty())
    }

    /// Multiplies a layer's inputs, or the derivatives by them.
    pub(super) fn apply(&self, layer: usize, rows: &mut [f32]) {
        if let Some(mask) = self.of(layer) {
            rows.iter_mut().zip(mask).for_each(|(value, factor)| *value *= factor);
        }
    }

    /// The inputs of the first layer, made from these features.
    pub(super) fn features<'a>(&self, features: &'a [f32]) -> Cow<'a, [f32]> {
        let mut features = Cow::Borrowed(features);
        if self.of(0).is_some() {
            self.apply(0, features.to_mut());
        }
        features
    }
}
