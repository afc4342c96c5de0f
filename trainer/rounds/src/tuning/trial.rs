//! A worker's part of a rung of trials: each continues from the rung before, and is then scored.
//!
//! A rung goes through the whole of the job's schedule in a shorter time, so that every score is taken after
//! the rate has decayed as in the job's own training.

use super::super::saved::{notes, number, state_tensors};
use super::super::schedule::rate;
use super::super::state::{json, parsed};
use super::super::trainable::Trainable;
use super::rung::{Outcome, Rung, RungWork, dealt, read_own, score_text};
use super::table::Trial;
use super::trainee::Trainee;
use crate::Result;
use crate::keys::Training;
use protocol::FileRef;
use std::path::{Path, PathBuf};
use work::{Progress, Stage, Work};

/// Key of the finished trials, in a text.
const OUTCOMES: &str = "outcomes";

/// A worker's trials.
pub(super) struct TrialWork<T: Trainable> {
    rung: Rung<T>,
    stage: PathBuf,
    worker: u32,
    trials: Vec<Mine>,
    /// Steps of each in this rung.
    steps: usize,
    /// The finished ones.
    outcomes: Vec<Outcome>,
    /// The trainee of the next one, and its steps in this rung.
    at_hand: Option<(Trainee<T>, usize)>,
}

/// A trial of this worker, and its state after the rung before, with its folder.
struct Mine {
    number: usize,
    trial: Trial,
    file: Option<(PathBuf, FileRef)>,
}

impl<T: Trainable> TrialWork<T> {
    pub(super) fn open(at: &Stage<'_>, worker: u32, rung: Rung<T>, stage: PathBuf) -> Result<TrialWork<T>> {
        let (table, mut files, before) = rung.before(at.state)?;
        let left = table.trials.into_iter().enumerate().filter(|(_, trial)| trial.dropped.is_none());
        let mine = |(number, trial): (usize, Trial)| Mine {
            file: files.remove(&number).map(|file| (before.clone(), file)),
            number,
            trial,
        };
        let trials = dealt(left, at.workers, worker).into_iter().map(mine).collect();
        let epochs = rung.tune.epochs_in(rung.number()) as usize;
        let steps = epochs * rung.round.examples.count.div_ceil(rung.round.training.batch());
        let (worker, outcomes) = (worker, Vec::new());
        Ok(TrialWork { rung, stage, worker, trials, steps, outcomes, at_hand: None })
    }

    /// The trainee of the next trial, in its state after the rung before.
    fn begin(&self) -> Result<Trainee<T>> {
        let Mine { trial, file, .. } = &self.trials[self.outcomes.len()];
        let mut trainee = self.rung.trainee(pair(trial))?;
        if let Some((folder, file)) = file {
            trainee.resume(&mut storage::read_tensors(folder, file)?, &folder.join(&file.name))?;
        }
        Ok(trainee)
    }

    /// One optimizer step of the current trial, or its score.
    fn one_step(&mut self) -> Result<()> {
        let (mut trainee, done) = match self.at_hand.take() {
            Some(at_hand) => at_hand,
            None => (self.begin()?, 0),
        };
        let Mine { number, trial, .. } = &self.trials[self.outcomes.len()];
        if done == self.steps {
            let result = self.score(*number, &trainee)?;
            self.outcomes.push(Outcome { trial: *number, result });
            return Ok(());
        }
        let learning_rate = Some(trial.learning_rate);
        let training = Training { learning_rate, ..self.rung.round.training.clone() };
        let length = f64::from(training.rounds) / self.steps as f64; // of a step, in rounds
        match trainee.step(rate(&training, done as f64 * length, length))?.is_finite() {
            true => self.at_hand = Some((trainee, done + 1)),
            false => self.outcomes.push(Outcome { trial: *number, result: None }),
        }
        Ok(())
    }

    /// Scores a finished trial and publishes its state; none if it has diverged.
    fn score(&self, number: usize, trainee: &Trainee<T>) -> Result<Option<(FileRef, Vec<String>)>> {
        let Some(score) = trainee.of.score(&trainee.state.parameters)? else { return Ok(None) };
        let tensors = state_tensors(&trainee.state, &trainee.optimizer);
        let text = notes([("steps", trainee.state.steps.to_string())]);
        let name = format!("trial-{number:03}.safetensors");
        let file = storage::write_tensors_same(&self.stage, &name, &tensors, &text)?;
        Ok(Some((file, score_text(&score))))
    }

    fn stem(&self) -> String {
        format!("worker-{:03}", self.worker)
    }
}

impl<T: Trainable> RungWork for TrialWork<T> {
    fn resume(&mut self, place: &FileRef) -> Result<()> {
        let (mut found, path) = read_own(&self.stage, place, self.worker)?;
        self.outcomes = parsed(&path, &found.metadata, OUTCOMES)?;
        if !found.tensors.is_empty() && self.outcomes.len() < self.trials.len() {
            let done = number(&path, &found.metadata, "done")?;
            let mut trainee = self.rung.trainee(pair(&self.trials[self.outcomes.len()].trial))?;
            trainee.resume(&mut found, &path)?;
            self.at_hand = Some((trainee, done));
        }
        Ok(())
    }
}

impl<T: Trainable> Work for TrialWork<T> {
    fn step(&mut self) -> Result<()> {
        for _ in 0..self.rung.steps_at_a_time() {
            let through = self.outcomes.len();
            if self.progress().finished() {
                break;
            }
            self.one_step()?;
            if self.outcomes.len() > through {
                break; // a score takes as long as many steps
            }
        }
        Ok(())
    }

    /// Scored examples count as trained ones.
    fn progress(&self) -> Progress {
        let examples = self.rung.round.examples;
        let (train, val) = (examples.count as u64, examples.held_out as u64);
        let each = train * u64::from(self.rung.tune.epochs_in(self.rung.number())) + val;
        let begun = self
            .at_hand
            .as_ref()
            .map_or(0, |(_, done)| (each - val) * *done as u64 / self.steps.max(1) as u64);
        Progress { done: self.outcomes.len() as u64 * each + begun, of: self.trials.len() as u64 * each }
    }

    fn save(&mut self) -> Result<FileRef> {
        let (tensors, steps, done) = match &self.at_hand {
            Some((trainee, done)) => {
                (state_tensors(&trainee.state, &trainee.optimizer), trainee.state.steps, *done)
            }
            None => (Vec::new(), 0, 0),
        };
        let text = notes([
            ("worker", self.worker.to_string()),
            ("steps", steps.to_string()),
            ("done", done.to_string()),
            (OUTCOMES, json(&self.outcomes)?),
        ]);
        Ok(storage::write_tensors(&self.stage, &self.stem(), &tensors, &text)?)
    }

    fn publish(&mut self) -> Result<FileRef> {
        let text = notes([("worker", self.worker.to_string()), (OUTCOMES, json(&self.outcomes)?)]);
        Ok(storage::write_tensors(&self.stage, &self.stem(), &[], &text)?)
    }
}

fn pair(trial: &Trial) -> (f64, f64) {
    (trial.weight_decay, trial.label_smoothing)
}

/// The outcomes that a worker has published.
pub(super) fn read(stage: &Path, result: &FileRef, worker: u32) -> Result<Vec<Outcome>> {
    let (found, path) = read_own(stage, result, worker)?;
    parsed(&path, &found.metadata, OUTCOMES)
}
