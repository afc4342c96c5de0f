//! A worker's round of `average`: optimizer steps of its own, over its share of the training images.
//!
//! In round r the images are dealt by the permutation of (seed, r); a worker goes through its share `epochs_per_round`
//! times, the first time as dealt, then in orders of (seed, r, worker, pass). The last batch of a pass may be smaller.
//! With `rounds_per_epoch` that permutation is of so many rounds together, and each deals its part of it.

use super::order::Bank;
use super::outer;
use super::pass::Pass;
use super::round::{Origin, Round};
use super::saved::{notes, number, read_state_and_notes, state_tensors};
use super::share;
use crate::chunked::{self, Notes};
use crate::head::{Batch, State, rate};
use crate::work::{Assignment, Progress, Work};
use crate::{Error, Result};
use protocol::FileRef;
use std::path::PathBuf;

/// Multiply-adds of one call of `step`, about: some milliseconds.
const STEP_WORK: usize = 20_000_000;

/// Optimizer steps of one call of `step`.
pub(super) fn steps_of_work(batch: usize, parameters: usize) -> usize {
    (STEP_WORK / (batch * parameters * 3)).max(1)
}

/// A worker's round.
pub(crate) struct AverageWork {
    pub(super) round: Round,
    pub(super) origin: Origin,
    pub(super) stage: PathBuf,
    /// The worker's images, as dealt.
    share: Vec<u32>,
    pub(super) state: State,
    /// Steps of this round that are done.
    done: usize,
    /// Sum of the losses of this round's images.
    loss: f64,
    /// The pass that is under way, and its number in this round.
    pass: Option<(usize, Pass)>,
    /// The features of the batch at hand, `[n, columns]`; its memory is used again.
    features: Vec<f32>,
}

/// The images that a round deals, in order.
///
/// # Errors
/// [`Error::Argument`] if a pass has more rounds than images.
pub(super) fn images_of(round: &Round) -> Result<Vec<u32>> {
    let (bank, images) = (Bank::of(round.train()?), round.train()?.images());
    let ((epoch, part), parts) = (round.epoch(), round.job.rounds_per_epoch);
    if images < parts as usize {
        let expected = format!("at most {images}, the images to train on");
        return Err(Error::argument("rounds_per_epoch", expected, parts));
    }
    let order = bank.order(round.job.seed, epoch + 1, 0);
    Ok(order[share(images, parts, part)].to_vec())
}

impl AverageWork {
    pub(crate) fn open(a: &Assignment<'_>) -> Result<AverageWork> {
        let round = Round::open(a.root, a.job, a.job.part(a.stage), a.features, a.threads)?;
        let (root, run, state) = (a.root.clone(), a.run.clone(), a.state.cloned());
        let origin = Origin { root, run, state, worker: a.worker };
        let dealt = images_of(&round)?;
        let stage = a.root.run(a.run).create_stage(a.stage)?;
        let (state, done, loss) = match a.place {
            None => {
                let mut state = round.state(a.root, a.run, a.state)?;
                outer::begin(&round, &origin, &mut state)?;
                (state, 0, 0.0)
            }
            Some(place) => {
                let (state, notes) = read_state_and_notes(&stage, place, &round.shape, &round.optimizer)?;
                let path = stage.join(&place.name);
                if number::<u32>(&path, &notes, "worker")? != a.worker {
                    return Err(Error::damaged(
                        &path,
                        format!("a place of worker {}", a.worker),
                        "another's",
                    ));
                }
                (state, number(&path, &notes, "done")?, number(&path, &notes, "loss")?)
            }
        };
        Ok(AverageWork {
            origin,
            stage,
            share: dealt[share(dealt.len(), a.workers, a.worker)].to_vec(),
            state,
            done,
            loss,
            pass: None,
            features: Vec::new(),
            round,
        })
    }

    fn batch(&self) -> usize {
        self.round.job.batch as usize
    }

    fn passes(&self) -> usize {
        self.round.job.epochs_per_round as usize
    }

    fn steps_in_pass(&self) -> usize {
        self.share.len().div_ceil(self.batch())
    }

    /// The worker's images in the order of a pass of the round.
    fn order_of(&self, pass: usize) -> Result<Vec<u32>> {
        let mut share = self.share.clone();
        if pass == 0 {
            return Ok(share);
        }
        share.sort_unstable(); // so that a large share is read block by block again
        let part = 1 + self.origin.worker * self.round.job.epochs_per_round + pass as u32;
        let bank = Bank::of(self.round.train()?);
        let order = bank.order_of(share.len(), self.round.job.seed, self.round.number, part);
        Ok(order.into_iter().map(|place| share[place as usize]).collect())
    }

    /// The number in the run of a pass of the round.
    fn pass_of_run(&self, pass: usize) -> u64 {
        u64::from(self.round.epoch().0) * self.passes() as u64 + pass as u64
    }

    /// A pass of the round.
    fn begin_pass(&self, number: usize) -> Result<Pass> {
        let (bank, images) = (Bank::of(self.round.train()?), self.order_of(number)?);
        let rows = bank.rows(self.round.job.seed, self.pass_of_run(number), &images);
        Ok(Pass::new(self.round.store.clone(), rows, self.batch()))
    }

    fn one_step(&mut self) -> Result<()> {
        let (number, step) = (self.done / self.steps_in_pass(), self.done % self.steps_in_pass());
        let mut pass = match self.pass.take().filter(|(under_way, _)| *under_way == number) {
            Some((_, pass)) => pass,
            None => self.begin_pass(number)?,
        };
        let (images, labels) = pass.batch(step, &mut self.features)?; // [n], [n]
        self.pass = Some((number, pass));
        let length = 1.0 / (self.steps_in_pass() * self.passes()) as f64;
        let rounds_done = f64::from(self.round.number - 1) + self.done as f64 * length;
        let rate = rate(&self.round.job, rounds_done, length);
        let pass = self.pass_of_run(number) as u32;
        let batch = Batch { features: &self.features, labels: &labels, images: &images, pass };
        let Round { trainer, optimizer, .. } = &self.round;
        let loss = trainer.step(optimizer, rate, batch, &mut self.state)?;
        if !loss.is_finite() {
            return Err(self.round.not_finite("the loss", Some(self.origin.worker)));
        }
        self.loss += loss;
        self.done += 1;
        Ok(())
    }

    /// The text of a file, with some more.
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

impl Work for AverageWork {
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
            return outer::publish(self, notes);
        }
        let tensors = state_tensors(&self.state, &self.round.optimizer);
        chunked::publish(&self.stage, &self.stem(), &tensors, &notes)
    }
}
