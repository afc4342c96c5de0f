//! A head in training under one weight decay and label smoothing: by one worker, over all training images.

use super::super::order::Bank;
use super::super::pass::Pass;
use super::super::round::Round;
use super::super::saved::{PARAMETERS, number};
use crate::Result;
use crate::features::Store;
use crate::head::{Batch, Optimizer, State, Trainer, first_parameters};
use std::path::Path;
use std::sync::Arc;
use storage::{Root, Tensors};

/// Steps are counted from the first step ever: step *n* has the batch *n* of passes in orders of (seed, pass), which are
/// the same for every head, so that heads differ by nothing but their numbers.
pub(super) struct Trainee {
    store: Arc<Store>,
    seed: u64,
    batch: usize,
    pub(super) optimizer: Optimizer,
    pub(super) trainer: Trainer,
    pub(super) state: State,
    /// The pass that is under way, and its number.
    pass: Option<(usize, Pass)>,
    /// The features of the batch at hand, `[n, columns]`; its memory is used again.
    features: Vec<f32>,
}

impl Trainee {
    /// A head with its first parameters.
    pub(super) fn new(
        round: &Round,
        root: &Root,
        weight_decay: f64,
        label_smoothing: f64,
        threads: usize,
    ) -> Result<Trainee> {
        let mut job = round.job.clone();
        (job.weight_decay, job.label_smoothing) = (weight_decay, label_smoothing);
        let optimizer = Optimizer::new(&job, &round.shape);
        Ok(Trainee {
            state: optimizer.start(first_parameters(root, &job, &round.shape)?),
            trainer: Trainer::new(&job, &round.shape, threads)?,
            store: round.store.clone(),
            seed: job.seed,
            batch: job.batch as usize,
            optimizer,
            pass: None,
            features: Vec::new(),
        })
    }

    /// Takes up where a file left a head.
    pub(super) fn resume(&mut self, saved: &mut Tensors, path: &Path) -> Result<()> {
        let length = [self.state.parameters.len()];
        self.state.parameters = saved.take_f32(PARAMETERS, &length)?;
        for (name, memory) in self.optimizer.memory_names().iter().zip(&mut self.state.memory) {
            *memory = saved.take_f32(name, &length)?;
        }
        self.state.steps = number(path, &saved.metadata, "steps")?;
        Ok(())
    }

    /// Steps of one pass over the training images.
    fn steps_in_pass(&self) -> Result<usize> {
        Ok(self.store.need("train")?.images().div_ceil(self.batch))
    }

    /// Makes the next step, at a rate; gives the mean loss of its batch before it.
    pub(super) fn step(&mut self, rate: f64) -> Result<f64> {
        let (done, steps) = (self.state.steps as usize, self.steps_in_pass()?);
        let (number, step) = (done / steps, done % steps);
        let mut pass = match self.pass.take().filter(|(under_way, _)| *under_way == number) {
            Some((_, pass)) => pass,
            None => {
                let bank = Bank::of(self.store.need("train")?);
                let images = bank.order(self.seed, number as u32 + 1, 0);
                Pass::new(self.store.clone(), bank.rows(self.seed, number as u64, &images), self.batch)
            }
        };
        let (images, labels) = pass.batch(step, &mut self.features)?; // [n], [n]
        self.pass = Some((number, pass));
        let batch = Batch { features: &self.features, labels: &labels, images: &images, pass: number as u32 };
        let loss = self.trainer.step(&self.optimizer, rate, batch, &mut self.state)?;
        Ok(loss / labels.len() as f64)
    }
}
