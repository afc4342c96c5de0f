//! A worker's round of `average`: optimizer steps of its own, over its share of the examples.
//!
//! In round r the examples are dealt by the permutation of (seed, r); a worker goes through its share
//! `epochs_per_round` times, the first time as dealt, then in orders of (seed, r, worker, pass). The last
//! batch of a pass may be smaller. With `rounds_per_epoch` that permutation covers this many rounds
//! together, and each round deals its part of it.

use super::chunked::{self, Notes};
use super::optimizer::State;
use super::order::share;
use super::outer;
use super::round::{Origin, Round};
use super::saved::{notes, number, read_state_and_notes, state_tensors};
use super::schedule::rate;
use super::trainable::{Pass, Trainable};
use crate::Result;
use protocol::FileRef;
use std::path::PathBuf;
use std::sync::Arc;
use work::Failed;
use work::{Progress, Stage, Work};

/// Approximate multiply-adds of one call of `step`: some milliseconds.
const STEP_WORK: usize = 20_000_000;

/// Optimizer steps of one call of `step`.
pub(super) fn steps_of_work(batch: usize, parameters: usize) -> usize {
    (STEP_WORK / (batch * parameters * 3)).max(1)
}

/// A worker's round.
pub(super) struct AverageWork<T: Trainable> {
    round: Round<T>,
    origin: Origin,
    stage: PathBuf,
    /// The worker's examples, as dealt.
    share: Vec<u32>,
    state: State,
    /// Steps of this round that are done.
    done: usize,
    /// Sum of the losses of this round's examples.
    loss: f64,
    /// The current pass, and its number in this round.
    pass: Option<(usize, T::Pass)>,
}

/// The examples that a round deals, in order.
///
/// # Errors
/// If a pass has more rounds than examples.
pub(super) fn dealt<T: Trainable>(round: &Round<T>) -> Result<Vec<u32>> {
    let ((epoch, part), parts) = (round.epoch(), round.training.rounds_per_epoch);
    let count = round.examples.count;
    if count < parts as usize {
        let expected = format!("at most {count}, the examples to train on");
        return Err(Failed::argument("rounds_per_epoch", expected, parts));
    }
    let order = round.examples.order(round.training.seed, epoch + 1, 0);
    Ok(order[share(count, parts, part)].to_vec())
}

impl<T: Trainable> AverageWork<T> {
    pub(super) fn open(
        at: &Stage<'_>,
        worker: u32,
        place: Option<&FileRef>,
        of: Arc<T>,
    ) -> Result<AverageWork<T>> {
        let round = Round::at(at, of);
        let (root, run, state) = (at.root.clone(), at.run.clone(), at.state.cloned());
        let origin = Origin { root, run, state, worker };
        let dealt = dealt(&round)?;
        let stage = at.root.run(at.run).create_stage(at.number)?;
        let (state, done, loss) = match place {
            None => {
                let mut state = round.state(at.root, at.run, at.state)?;
                outer::begin(&round, &origin, &mut state)?;
                (state, 0, 0.0)
            }
            Some(place) => {
                let (state, notes) = read_state_and_notes(&stage, place, round.length(), &round.optimizer)?;
                let path = stage.join(&place.name);
                if number::<u32>(&path, &notes, "worker")? != worker {
                    return Err(Failed::damaged(&path, format!("a place of worker {worker}"), "another's"));
                }
                (state, number(&path, &notes, "done")?, number(&path, &notes, "loss")?)
            }
        };
        Ok(AverageWork {
            origin,
            stage,
            share: dealt[share(dealt.len(), at.workers, worker)].to_vec(),
            state,
            done,
            loss,
            pass: None,
            round,
        })
    }

    fn batch(&self) -> usize {
        self.round.training.batch()
    }

    fn passes(&self) -> usize {
        self.round.training.epochs_per_round as usize
    }

    fn steps_in_pass(&self) -> usize {
        self.share.len().div_ceil(self.batch())
    }

    /// The worker's examples in the order of a pass of the round.
    fn order_of(&self, pass: usize) -> Vec<u32> {
        let mut share = self.share.clone();
        if pass == 0 {
            return share;
        }
        share.sort_unstable(); // so that a large share is read block by block again
        let part = 1 + self.origin.worker * self.round.training.epochs_per_round + pass as u32;
        let order =
            self.round.examples.order_of(share.len(), self.round.training.seed, self.round.number, part);
        order.into_iter().map(|place| share[place as usize]).collect()
    }

    /// The number in the run of a pass of the round.
    fn pass_of_run(&self, pass: usize) -> u64 {
        u64::from(self.round.epoch().0) * self.passes() as u64 + pass as u64
    }

    /// A pass of the round.
    fn begin_pass(&self, number: usize) -> T::Pass {
        let of_run = self.pass_of_run(number);
        let rows = self.round.examples.rows(self.round.training.seed, of_run, &self.order_of(number));
        self.round.of.pass(of_run, rows, self.batch())
    }

    fn one_step(&mut self) -> Result<()> {
        let (number, step) = (self.done / self.steps_in_pass(), self.done % self.steps_in_pass());
        let mut pass = match self.pass.take().filter(|(under_way, _)| *under_way == number) {
            Some((_, pass)) => pass,
            None => self.begin_pass(number),
        };
        let length = 1.0 / (self.steps_in_pass() * self.passes()) as f64;
        let rounds_done = f64::from(self.round.number - 1) + self.done as f64 * length;
        let rate = rate(&self.round.training, rounds_done, length);
        let Round { of, optimizer, .. } = &self.round;
        let loss = of.step(optimizer, rate, pass.batch(step)?, &mut self.state)?;
        self.pass = Some((number, pass));
        if !loss.is_finite() {
            return Err(self.round.not_finite("the loss", Some(self.origin.worker)));
        }
        self.loss += loss;
        self.done += 1;
        Ok(())
    }

    /// The text of a file, with one more entry.
    fn notes(&self, (key, number): (&str, u64)) -> Notes {
        notes([
            ("worker", self.origin.worker.to_string()),
            ("steps", self.state.steps.to_string()),
            ("loss", self.loss.to_string()),
            (key, number.to_string()),
        ])
    }

    fn stem(&self) -> String {
        format!("worker-{:03}", self.origin.worker)
    }
}

impl<T: Trainable> Work for AverageWork<T> {
    fn step(&mut self) -> Result<()> {
        for _ in 0..steps_of_work(self.batch(), self.state.parameters.len()) {
            if self.progress().finished() {
                break;
            }
            self.one_step()?;
        }
        Ok(())
    }

    fn progress(&self) -> Progress {
        let of = self.share.len() * self.passes();
        if self.share.is_empty() {
            return Progress { done: 0, of: 0 };
        }
        let (passes, steps) = (self.done / self.steps_in_pass(), self.done % self.steps_in_pass());
        let done = passes * self.share.len() + (steps * self.batch()).min(self.share.len());
        Progress { done: done as u64, of: of as u64 }
    }

    fn save(&mut self) -> Result<FileRef> {
        let tensors = state_tensors(&self.state, &self.round.optimizer);
        let notes = self.notes(("done", self.done as u64));
        Ok(storage::write_tensors(&self.stage, &self.stem(), &tensors, &notes)?)
    }

    fn publish(&mut self) -> Result<FileRef> {
        if self.state.parameters.iter().any(|value| !value.is_finite()) {
            return Err(self.round.not_finite("a weight", Some(self.origin.worker)));
        }
        let notes = self.notes(("images", self.progress().of));
        if self.round.outer.is_some() {
            return outer::publish(&self.round, &self.origin, &self.state, &self.stage, notes);
        }
        let tensors = state_tensors(&self.state, &self.round.optimizer);
        chunked::publish(&self.stage, &self.stem(), &tensors, &notes)
    }
}
