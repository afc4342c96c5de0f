//! A worker's part of a rung of trials: each is trained on from where the rung before left it, then scored.
//!
//! A rung goes through the whole of the job's schedule in small, so that every score is that of a rate that has fallen as it
//! will in the job's own training.

use super::super::common::{json, parsed};
use super::super::saved::{notes, number, state_tensors};
use super::{Outcome, Rung, RungWork, Trainee, dealt, read_own, score_text};
use crate::head::rate;
use crate::score::score;
use crate::tuning::Trial;
use crate::work::{Assignment, Progress, Work};
use crate::{Error, Result};
use protocol::{FileRef, Job};
use std::path::{Path, PathBuf};

/// Key of the trials that are through, in a text.
const OUTCOMES: &str = "outcomes";

/// A worker's trials.
pub(super) struct TrialWork {
    rung: Rung,
    stage: PathBuf,
    worker: u32,
    trials: Vec<Mine>,
    /// Steps of each in this rung.
    steps: usize,
    /// Those that are through.
    outcomes: Vec<Outcome>,
    /// The head of the next one, and the steps that it has made in this rung.
    at_hand: Option<(Trainee, usize)>,
}

/// A trial of this worker's, and its state after the rung before, with its folder.
struct Mine {
    number: usize,
    trial: Trial,
    file: Option<(PathBuf, FileRef)>,
}

impl TrialWork {
    pub(super) fn open(a: &Assignment<'_>, rung: Rung, stage: PathBuf) -> Result<TrialWork> {
        let (table, mut files, before) = rung.before(a.state)?;
        let left = table.trials.into_iter().enumerate().filter(|(_, trial)| trial.dropped.is_none());
        let mine = |(number, trial): (usize, Trial)| Mine {
            file: files.remove(&number).map(|file| (before.clone(), file)),
            number,
            trial,
        };
        let trials = dealt(left, a.workers, a.worker).into_iter().map(mine).collect();
        let epochs = rung.tune.epochs_in(rung.number()) as usize;
        let steps = epochs * rung.round.train()?.images().div_ceil(rung.round.job.batch as usize);
        let (worker, outcomes) = (a.worker, Vec::new());
        Ok(TrialWork { rung, stage, worker, trials, steps, outcomes, at_hand: None })
    }

    /// The next trial's head, as the rung before left it.
    fn begin(&self) -> Result<Trainee> {
        let Mine { trial, file, .. } = &self.trials[self.outcomes.len()];
        let mut trainee = self.rung.trainee(pair(trial))?;
        if let Some((folder, file)) = file {
            trainee.resume(&mut storage::read_tensors(folder, file)?, &folder.join(&file.name))?;
        }
        Ok(trainee)
    }

    /// One optimizer step of the trial at hand, or its score.
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
        let job = Job { learning_rate: trial.learning_rate, ..self.rung.round.job.clone() };
        let length = f64::from(job.rounds) / self.steps as f64; // of a step, in rounds of the job's schedule
        match trainee.step(rate(&job, done as f64 * length, length))?.is_finite() {
            true => self.at_hand = Some((trainee, done + 1)),
            false => self.outcomes.push(Outcome { trial: *number, result: None }),
        }
        Ok(())
    }

    /// Scores a trial that is through and publishes its state; none when it has diverged.
    fn score(&self, number: usize, trainee: &Trainee) -> Result<Option<(FileRef, [String; 4])>> {
        let store = &self.rung.round.store;
        let scored = match score(store, store.need("val")?, &trainee.trainer, &trainee.state.parameters) {
            Err(Error::Argument { .. }) => return Ok(None), // a class's score is not finite
            scored => scored?.score,
        };
        let tensors = state_tensors(&trainee.state, &trainee.optimizer);
        let text = notes([("steps", trainee.state.steps.to_string())]);
        let name = format!("trial-{number:03}.safetensors");
        let file = storage::write_tensors_same(&self.stage, &name, &tensors, &text)?;
        Ok(Some((file, score_text(&scored))))
    }

    fn stem(&self) -> String {
        format!("worker-{:03}", self.worker)
    }
}

impl RungWork for TrialWork {
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

impl Work for TrialWork {
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

    /// Scored images count as trained ones.
    fn progress(&self) -> Progress {
        let images = |split: &str| self.rung.round.store.split(split).map_or(0, |rows| rows.images() as u64);
        let (train, val) = (images("train"), images("val"));
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

/// What a worker has published of its trials.
pub(super) fn read(stage: &Path, result: &FileRef, worker: u32) -> Result<Vec<Outcome>> {
    let (found, path) = read_own(stage, result, worker)?;
    parsed(&path, &found.metadata, OUTCOMES)
}
