//! Dropout: in training a value that a linear layer reads is 0 with the job's chance, and 1 / (1 - chance)
//! times itself else; in scoring all are as they are.
//!
//! A head of one layer drops of what that reads, another of what each layer but the first reads: of VGG's
//! classifier what fc1 and fc2 give, after their ReLUs, as in the paper. What is dropped for an image are the
//! numbers of the stream (seed, pass, image), layer after layer: it does not depend on the batch, the worker
//! or the leg that the image is in.

use super::engine::Batch;
use super::shape::HeadShape;
use crate::job::Job;
use rounds::random::{Purpose, Stream};
use std::borrow::Cow;

/// What draws the masks of a head.
#[derive(Clone, Debug)]
pub(super) struct Dropout {
    chance: f32,
    seed: u64,
    /// What each layer reads; 0 where nothing is dropped.
    inputs: Vec<usize>,
}

/// What the values that each layer reads are multiplied by, `[rows, inputs]`; nothing where all stay.
#[derive(Clone, Debug, Default)]
pub(super) struct Masks(Vec<Vec<f32>>);

impl Dropout {
    /// That of a job.
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
    /// The mask of what a layer reads, if something of it is dropped.
    pub(super) fn of(&self, layer: usize) -> Option<&[f32]> {
        self.0.get(layer).map(Vec::as_slice).filter(|mask| !mask.is_empty())
    }

    /// Multiplies what a layer reads, or the derivatives by it.
    pub(super) fn apply(&self, layer: usize, rows: &mut [f32]) {
        if let Some(mask) = self.of(layer) {
            rows.iter_mut().zip(mask).for_each(|(value, factor)| *value *= factor);
        }
    }

    /// What the first layer reads of these features.
    pub(super) fn features<'a>(&self, features: &'a [f32]) -> Cow<'a, [f32]> {
        let mut features = Cow::Borrowed(features);
        if self.of(0).is_some() {
            self.apply(0, features.to_mut());
        }
        features
    }
}
