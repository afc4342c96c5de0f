//! What rounds can train: one vector of parameters, examples that are dealt, a gradient and a score.
//!
//! All that a worker publishes must depend on the examples, the parameters and the numbers of the job alone:
//! never on threads, on time, or on where a leg was cut.

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
    /// Those of reading what it begins with.
    fn first(&self) -> Result<Vec<f32>>;

    /// How many examples there are.
    fn examples(&self) -> Examples;

    /// The examples in these rows, in batches of `batch`, of which the last may be smaller; `number` tells
    /// which time it is that training comes by its examples.
    fn pass(&self, number: u64, rows: Vec<u32>, batch: usize) -> Self::Pass;

    /// Adds the gradient of the batch's summed loss to `sum`, and gives the summed loss.
    ///
    /// # Errors
    /// Those of computing it.
    fn add_gradient(&self, parameters: &[f32], batch: &BatchOf<Self>, sum: &mut [f32]) -> Result<f64>;

    /// One optimizer step along the gradient of the batch's mean loss; gives the summed loss. Whoever can do
    /// it while the gradient is made has a faster one.
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

    /// How good parameters are on the examples that are held out; none when that is no finite number.
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

/// Some examples with what is to be learned of them.
pub trait Batch {
    /// How many.
    fn examples(&self) -> usize;
}

/// A batch of something that can be trained.
pub type BatchOf<T> = <<T as Trainable>::Pass as Pass>::Batch;
