//! A rung of a tuning for workers and combine: the round, the combinations to try, and the results of the
//! rung before.

use super::super::average::steps_of_work;
use super::super::round::Round;
use super::super::saved::number;
use super::super::state::parsed;
use super::super::trainable::Trainable;
use super::table::{TABLE_KEY, Table};
use super::trainee::Trainee;
use crate::Result;
use crate::keys::Tune;
use protocol::{At, FileRef, RunId, Score};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::{Root, Tensors};
use work::{Failed, Stage, Work};

/// Key of the trials' files in a combined state's text.
pub(super) const FILES: &str = "files";
/// Key of the stage in whose folder these are.
pub(super) const TRAINED_IN: &str = "trained_in";

/// A worker's part of a rung, which legs may cut.
pub(super) trait RungWork: Work {
    /// Continues from a place that an earlier leg has saved.
    fn resume(&mut self, place: &FileRef) -> Result<()>;
}

/// A rung of a run.
pub(super) struct Rung<T> {
    pub(super) round: Round<T>,
    pub(super) tune: Tune,
    root: Root,
    run: RunId,
}

/// The outcome of a trial that has finished its rung.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Outcome {
    pub(super) trial: usize,
    /// Its state, and its score as text from which exactly the same numbers can be read; none if it diverged.
    pub(super) result: Option<(FileRef, Vec<String>)>,
}

impl<T: Trainable> Rung<T> {
    pub(super) fn open(at: &Stage<'_>, of: Arc<T>) -> Result<Rung<T>> {
        let Stage { root, run, course, number: stage, .. } = *at;
        let (Some(tune), At::Round { round, step: 0 }) = (of.training().tune.clone(), course.at(stage))
        else {
            let what = format!("stage {stage}");
            return Err(Failed::argument(what, "a rung of a tuning", course.words(stage)));
        };
        Ok(Rung { round: Round::new(round, of), tune, root: root.clone(), run: run.clone() })
    }

    /// From 1.
    pub(super) fn number(&self) -> u32 {
        self.round.number
    }

    /// Optimizer steps of one call of `step`.
    pub(super) fn steps_at_a_time(&self) -> usize {
        steps_of_work(self.round.training.batch(), self.round.length())
    }

    /// Weight decay and label smoothing of each sweep.
    pub(super) fn pairs(&self) -> Vec<(f64, f64)> {
        let or_own = |values: &[f64], own: f64| if values.is_empty() { vec![own] } else { values.to_vec() };
        let decays = or_own(&self.tune.weight_decay, self.round.training.weight_decay);
        let smoothings = or_own(&self.tune.label_smoothing, self.round.training.label_smoothing);
        decays.iter().flat_map(|&decay| smoothings.iter().map(move |&smoothing| (decay, smoothing))).collect()
    }

    /// An untrained trainee with this weight decay and label smoothing.
    pub(super) fn trainee(&self, (weight_decay, label_smoothing): (f64, f64)) -> Result<Trainee<T>> {
        Trainee::new(&self.round, weight_decay, label_smoothing)
    }

    /// The table and the trials' files after the rung before.
    pub(super) fn before(
        &self,
        state: Option<&FileRef>,
    ) -> Result<(Table, BTreeMap<usize, FileRef>, PathBuf)> {
        let folder = self.root.run(&self.run);
        let state = state.ok_or_else(|| {
            let expected = format!("the state of rung {}", self.number().saturating_sub(1));
            Failed::argument(format!("rung {}", self.number()), expected, "none")
        })?;
        let (path, notes) =
            (folder.combined().join(&state.name), storage::read_tensors(&folder.combined(), state)?.metadata);
        let stage = folder.stage(number(&path, &notes, TRAINED_IN)?);
        Ok((parsed(&path, &notes, TABLE_KEY)?, parsed(&path, &notes, FILES)?, stage))
    }

    /// The folder of combined states.
    pub(super) fn combined(&self) -> PathBuf {
        self.root.run(&self.run).combined()
    }
}

/// A worker's part of a list: every `workers`-th.
pub(super) fn dealt<T>(all: impl IntoIterator<Item = T>, workers: u32, worker: u32) -> Vec<T> {
    all.into_iter().skip(worker as usize).step_by(workers as usize).collect()
}

/// Reads a worker's file, which must be that worker's; returns its path, too.
pub(super) fn read_own(folder: &Path, file: &FileRef, worker: u32) -> Result<(Tensors, PathBuf)> {
    let (saved, path) = (storage::read_tensors(folder, file)?, folder.join(&file.name));
    let found: u32 = number(&path, &saved.metadata, "worker")?;
    if found != worker {
        return Err(Failed::damaged(&path, format!("worker {worker}'s"), format!("worker {found}'s")));
    }
    Ok((saved, path))
}

/// A score as text from which exactly the same numbers can be read, unlike JSON: its values, then the number
/// of images.
pub(super) fn score_text(score: &Score) -> Vec<String> {
    score.values.iter().map(f64::to_string).chain([score.of.to_string()]).collect()
}

pub(super) fn read_score(file: &Path, text: &[String]) -> Result<Score> {
    let damaged = || Failed::damaged(file, "the numbers of a score", text.join(" "));
    let (of, values) = text.split_last().ok_or_else(damaged)?;
    let values = values.iter().map(|value| value.parse().map_err(|_| damaged())).collect::<Result<_>>()?;
    Ok(Score { values, of: of.parse().map_err(|_| damaged())? })
}
