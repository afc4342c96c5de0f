//! The engine of a head: losses, gradients, steps and scores of a batch.

use crate::Result;
use rounds::{Optimizer, State};
use std::fmt::Debug;

/// Rows of features with their classes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Batch<'a> {
    /// `[rows, inputs]`.
    pub(crate) features: &'a [f32],
    /// `[rows]`.
    pub(crate) labels: &'a [u32],
    /// `[rows]`: the images' numbers; only dropout reads them.
    pub(crate) images: &'a [u32],
    /// The number of this pass over the images; only dropout reads it.
    pub(crate) pass: u32,
}

/// Computes a head. Results do not depend on its threads.
pub(crate) trait Engine: Debug + Send + Sync {
    /// Adds the gradient of the batch's summed loss to `sum`, and returns the summed loss.
    fn add_gradient(&self, parameters: &[f32], batch: Batch<'_>, sum: &mut [f32]) -> Result<f64>;

    /// One optimizer step along the gradient of the batch's mean loss; returns the summed loss.
    fn step(&self, optimizer: &Optimizer, rate: f64, batch: Batch<'_>, state: &mut State) -> Result<f64>;

    /// The scores before softmax, `[rows, classes]`.
    fn scores(&self, parameters: &[f32], features: Vec<f32>) -> Result<Vec<f32>>;
}
