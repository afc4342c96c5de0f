//! A worker's part of the range test: its sweeps, one after the other.

use super::super::saved::{notes, state_tensors};
use super::super::trainable::Trainable;
use super::range;
use super::rung::{Rung, RungWork, dealt, read_own};
use super::trainee::Trainee;
use crate::Result;
use protocol::FileRef;
use std::path::{Path, PathBuf};
use storage::{Tensor, TensorData};
use work::{Failed, Progress, Stage, Work};

/// The prefix of a sweep's number in the name of its losses.
const LOSSES: &str = "losses.";

/// A worker's sweeps.
pub(super) struct SweepWork<T: Trainable> {
    rung: Rung<T>,
    stage: PathBuf,
    worker: u32,
    /// Number, weight decay and label smoothing of each.
    sweeps: Vec<(usize, (f64, f64))>,
    /// The losses of the finished sweeps and of the current one.
    losses: Vec<Vec<f32>>,
    /// The trainee of the current one.
    trainee: Option<Trainee<T>>,
}

impl<T: Trainable> SweepWork<T> {
    pub(super) fn open(at: &Stage<'_>, worker: u32, rung: Rung<T>, stage: PathBuf) -> SweepWork<T> {
        let sweeps = dealt(rung.pairs().into_iter().enumerate(), at.workers, worker);
        SweepWork { rung, stage, worker, sweeps, losses: Vec::new(), trainee: None }
    }

    /// The sweep that is begun and not over.
    fn at_hand(&self) -> Option<usize> {
        self.losses.iter().position(|losses| !range::is_over(losses))
    }

    fn one_step(&mut self) -> Result<()> {
        let at = match self.at_hand() {
            Some(at) => at,
            None => {
                self.trainee = Some(self.rung.trainee(self.sweeps[self.losses.len()].1)?);
                self.losses.push(Vec::new());
                self.losses.len() - 1
            }
        };
        let Some(trainee) = &mut self.trainee else {
            return Err(Failed::argument(format!("sweep {at}"), "a training that is begun", "none"));
        };
        let loss = trainee.step(range::rate(self.rung.tune.rates, self.losses[at].len()))?;
        self.losses[at].push(loss as f32);
        if range::is_over(&self.losses[at]) {
            self.trainee = None;
        }
        Ok(())
    }

    fn tensors(&self) -> Vec<Tensor<'_>> {
        let losses = self.sweeps.iter().zip(&self.losses);
        let named = |((sweep, _), losses): (&(usize, _), &'_ Vec<f32>)| {
            Tensor::f32(format!("{LOSSES}{sweep}"), &[losses.len()], losses.clone())
        };
        losses.map(named).collect()
    }

    fn write(&self, more: Vec<Tensor<'_>>, steps: u64) -> Result<FileRef> {
        let text = notes([("worker", self.worker.to_string()), ("steps", steps.to_string())]);
        let tensors = [self.tensors(), more].concat();
        Ok(storage::write_tensors(&self.stage, &format!("worker-{:03}", self.worker), &tensors, &text)?)
    }
}

impl<T: Trainable> RungWork for SweepWork<T> {
    fn resume(&mut self, place: &FileRef) -> Result<()> {
        let (mut found, path) = read_own(&self.stage, place, self.worker)?;
        for (sweep, _) in &self.sweeps {
            let Some(losses) = found.tensors.remove(&format!("{LOSSES}{sweep}")) else { break };
            self.losses.push(numbers(&path, losses)?);
        }
        if let Some(under_way) = self.at_hand() {
            let mut trainee = self.rung.trainee(self.sweeps[under_way].1)?;
            trainee.resume(&mut found, &path)?;
            self.trainee = Some(trainee);
        }
        Ok(())
    }
}

impl<T: Trainable> Work for SweepWork<T> {
    fn step(&mut self) -> Result<()> {
        for _ in 0..self.rung.steps_at_a_time() {
            if self.progress().finished() {
                break;
            }
            self.one_step()?;
        }
        Ok(())
    }

    fn progress(&self) -> Progress {
        let steps = |losses: &Vec<f32>| if range::is_over(losses) { range::STEPS } else { losses.len() };
        let (batch, all) = (self.rung.round.training.batch() as u64, self.sweeps.len() * range::STEPS);
        let done: usize = self.losses.iter().map(steps).sum();
        Progress { done: done as u64 * batch, of: all as u64 * batch }
    }

    fn save(&mut self) -> Result<FileRef> {
        match &self.trainee {
            Some(trainee) => {
                self.write(state_tensors(&trainee.state, &trainee.optimizer), trainee.state.steps)
            }
            None => self.write(Vec::new(), 0),
        }
    }

    fn publish(&mut self) -> Result<FileRef> {
        self.write(Vec::new(), 0)
    }
}

/// The losses of each sweep that a worker has published.
pub(super) fn read(stage: &Path, result: &FileRef, worker: u32) -> Result<Vec<(usize, Vec<f32>)>> {
    let (found, path) = read_own(stage, result, worker)?;
    let sweep = |(name, tensor): (String, Tensor<'static>)| {
        let number = name.strip_prefix(LOSSES).and_then(|number| number.parse().ok());
        let number = number.ok_or_else(|| Failed::damaged(&path, "losses of sweeps", &name))?;
        Ok((number, numbers(&path, tensor)?))
    };
    found.tensors.into_iter().map(sweep).collect()
}

fn numbers(file: &Path, tensor: Tensor<'static>) -> Result<Vec<f32>> {
    match tensor.data {
        TensorData::F32(values) => Ok(values.into_owned()),
        _ => Err(Failed::damaged(file, format!("{} as f32", tensor.name), "another type")),
    }
}
