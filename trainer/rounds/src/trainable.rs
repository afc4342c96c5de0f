//! Something that rounds can train: one vector of parameters, examples that are dealt, a gradient and a
//! score.
//!
//! All results of a worker must depend on the examples, the parameters and the numbers of the job alone:
//! never on threads, on time, or on the cuts of legs.

use super::keys::Training;
use super::layout::Layout;
use super::optimizer::{Optimizer, State};
use super::order::Examples;
use crate::Result;
use protocol::Score;

/// Something that can be trained.
pub trait Trainable: Sized + Send + Sync + 'static {
    /// Its examples, batch after batch.
    type Pass: Pass;

    /// How it is trained.
    fn training(&self) -> &Training;

    /// The arrays of its parameters.
    fn layout(&self) -> &Layout;

    /// The parameters that training begins with.
    ///
    /// # Errors
    /// Those of reading them.
    fn first(&self) -> Result<Vec<f32>>;

    /// How many examples there are.
    fn examples(&self) -> Examples;

    /// The examples in these rows, in batches of `batch`; the last may be smaller. `number` counts the passes
    /// of training over its examples.
    fn pass(&self, number: u64, rows: Vec<u32>, batch: usize) -> Self::Pass;

    /// Adds the gradient of the batch's summed loss to `sum`, and returns the summed loss.
    ///
    /// # Errors
    /// Those of computing it.
    fn add_gradient(&self, parameters: &[f32], batch: &BatchOf<Self>, sum: &mut [f32]) -> Result<f64>;

    /// One optimizer step along the gradient of the batch's mean loss; returns the summed loss. An
    /// implementation that steps while it computes the gradient is faster.
    ///
    /// # Errors
    /// Those of computing the gradient.
    fn step(
        &self,
        optimizer: &Optimizer,
        rate: f64,
        batch: &BatchOf<Self>,
        state: &mut State,
    ) -> Result<f64> {
        let mut gradient = vec![0.0; state.parameters.len()];
        let loss = self.add_gradient(&state.parameters, batch, &mut gradient)?;
        let scale = 1.0 / batch.examples() as f32;
        gradient.iter_mut().for_each(|g| *g *= scale);
        optimizer.step(None, rate, &mut gradient, state);
        Ok(loss)
    }

    /// The score of parameters on the held-out examples; none if it is not finite.
    ///
    /// # Errors
    /// Those of reading these examples.
    fn score(&self, parameters: &[f32]) -> Result<Option<Score>>;

    /// The same with other label smoothing, for the trials of a tuning.
    ///
    /// # Errors
    /// Those of making it.
    fn smoothed(&self, label_smoothing: f64) -> Result<Self>;
}

/// Examples in order.
pub trait Pass {
    /// Those of one step.
    type Batch: Batch;

    /// The batch of a step, from 0.
    ///
    /// # Errors
    /// Those of reading it.
    fn batch(&mut self, step: usize) -> Result<&Self::Batch>;
}

/// Some examples with their targets.
pub trait Batch {
    /// How many.
    fn examples(&self) -> usize;
}

/// A batch of something that can be trained.
pub type BatchOf<T> = <<T as Trainable>::Pass as Pass>::Batch;
