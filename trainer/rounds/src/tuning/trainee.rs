//! A training under one weight decay and label smoothing: by one worker, over all examples.

use super::super::optimizer::{Optimizer, State};
use super::super::order::Examples;
use super::super::round::Round;
use super::super::saved::{PARAMETERS, number};
use super::super::trainable::{Batch, Pass, Trainable};
use crate::Result;
use std::path::Path;
use storage::Tensors;

/// Steps are counted from the first step ever: step *n* has the batch *n* of passes in orders of (seed,
/// pass), which are the same for every trial, so that trials differ by nothing but their numbers.
pub(super) struct Trainee<T: Trainable> {
    pub(super) of: T,
    examples: Examples,
    seed: u64,
    batch: usize,
    pub(super) optimizer: Optimizer,
    pub(super) state: State,
    /// The current pass, and its number.
    pass: Option<(usize, T::Pass)>,
}

impl<T: Trainable> Trainee<T> {
    /// With the first parameters.
    pub(super) fn new(round: &Round<T>, weight_decay: f64, label_smoothing: f64) -> Result<Trainee<T>> {
        let mut training = round.training.clone();
        training.weight_decay = weight_decay;
        let of = round.of.smoothed(label_smoothing)?;
        let optimizer = Optimizer::new(&training, of.layout());
        Ok(Trainee {
            state: optimizer.start(of.first()?),
            examples: round.examples,
            seed: training.seed,
            batch: training.batch(),
            optimizer,
            pass: None,
            of,
        })
    }

    /// Continues from a saved file.
    pub(super) fn resume(&mut self, saved: &mut Tensors, path: &Path) -> Result<()> {
        let length = [self.state.parameters.len()];
        self.state.parameters = saved.take_f32(PARAMETERS, &length)?;
        for (name, memory) in self.optimizer.memory_names().iter().zip(&mut self.state.memory) {
            *memory = saved.take_f32(name, &length)?;
        }
        self.state.steps = number(path, &saved.metadata, "steps")?;
        Ok(())
    }

    /// Makes the next step, at a rate; returns the mean loss of its batch before it.
    pub(super) fn step(&mut self, rate: f64) -> Result<f64> {
        let (done, steps) = (self.state.steps as usize, self.examples.count.div_ceil(self.batch));
        let (number, step) = (done / steps, done % steps);
        let mut pass = match self.pass.take().filter(|(under_way, _)| *under_way == number) {
            Some((_, pass)) => pass,
            None => {
                let order = self.examples.order(self.seed, number as u32 + 1, 0);
                let rows = self.examples.rows(self.seed, number as u64, &order);
                self.of.pass(number as u64, rows, self.batch)
            }
        };
        let batch = pass.batch(step)?;
        let loss = self.of.step(&self.optimizer, rate, batch, &mut self.state)? / batch.examples() as f64;
        self.pass = Some((number, pass));
        Ok(loss)
    }
}
