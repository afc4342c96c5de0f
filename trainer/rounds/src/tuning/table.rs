//! The table of a tuning: its range test, and every trial with its scores. It is `tune.json` beside the
//! model.

use super::super::state::parsed;
use crate::{Result, Training};
use protocol::{FileRef, Measure, RunId, Score};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::io::Write;
use std::path::Path;
use storage::{Root, read_whole};
use work::Failed;

/// The table's file, in a run's `model` folder.
pub const TABLE: &str = "tune.json";
/// The table's key in the text of a combined state.
pub(super) const TABLE_KEY: &str = "table";
/// The newest schema of `tune.json`.
const SCHEMA: u32 = 2;

/// The results of a tuning so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    schema: u32,
    /// The numbers of a score, the deciding one first.
    pub measures: Vec<Measure>,
    /// The range test: a sweep for each pair of weight decay and label smoothing.
    pub sweeps: Vec<Sweep>,
    /// The lowest and the highest rate of the trials, from the sweeps.
    pub rates: [f64; 2],
    /// The trials, in their order.
    pub trials: Vec<Trial>,
}

/// One sweep: steps at a rate that grows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// Its weight decay.
    pub weight_decay: f64,
    /// Its label smoothing.
    pub label_smoothing: f64,
    /// The rate of each step.
    pub rates: Vec<f64>,
    /// The mean loss of each step's batch, before the step; it ends where the loss diverged.
    pub losses: Vec<f32>,
    /// The rates from the fastest fall of the loss to its minimum.
    pub bounds: [f64; 2],
}

/// One combination that is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// Its learning rate: the job's highest.
    pub learning_rate: f64,
    /// Its weight decay.
    pub weight_decay: f64,
    /// Its label smoothing.
    pub label_smoothing: f64,
    /// Its score after each rung that it went through.
    pub scores: Vec<RungScore>,
    /// The rung after which it was dropped; none for the remaining ones.
    pub dropped: Option<u32>,
    /// Whether its loss was not finite in that rung.
    pub diverged: bool,
}

/// The score of a trial after a rung.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RungScore {
    /// The rung, from 1, the range test.
    pub rung: u32,
    /// Passes over the training images so far.
    pub epochs: u32,
    /// On the validation split.
    pub score: Score,
}

impl Table {
    pub(super) fn new(
        measures: Vec<Measure>,
        sweeps: Vec<Sweep>,
        rates: [f64; 2],
        trials: Vec<Trial>,
    ) -> Table {
        Table { schema: SCHEMA, measures, sweeps, rates, trials }
    }

    /// The trials, the best first: those that went further, then those with the better score, then the first.
    pub fn ranking(&self) -> Vec<usize> {
        let same = |a: &RungScore, b: &RungScore| a.rung == b.rung;
        let mut order: Vec<usize> = (0..self.trials.len()).collect();
        order.sort_by(|&a, &b| {
            let (a, b) = (&self.trials[a], &self.trials[b]);
            let beats = |a: &Score, b: &Score| a.beats(b, &self.measures);
            match (&a.scores[..], &b.scores[..]) {
                ([.., a], [.., b]) if same(a, b) && beats(&a.score, &b.score) => Ordering::Less,
                ([.., a], [.., b]) if same(a, b) && beats(&b.score, &a.score) => Ordering::Greater,
                (a, b) => b.len().cmp(&a.len()),
            }
        });
        order
    }

    /// The best trial, and its last score; none while none was scored.
    pub fn best(&self) -> Option<(&Trial, Score)> {
        let best = &self.trials[*self.ranking().first()?];
        Some((best, best.scores.last()?.score.clone()))
    }

    /// Reads the table in a run's `model` folder.
    ///
    /// # Errors
    /// If there is no table; if it is damaged.
    pub fn open(folder: &Path) -> Result<Table> {
        let path = folder.join(TABLE);
        let text = read_whole(&path)?.0;
        let table: Table = serde_json::from_slice(&storage::unseal(&path, &text)?)
            .map_err(|error| Failed::damaged(&path, "the table of a tuning", error.to_string()))?;
        if table.schema != SCHEMA {
            let (found, known) = (table.schema, SCHEMA);
            return Err(storage::Error::Schema { file: path, found, known }.into());
        }
        Ok(table)
    }
}

/// The table in a combined state of a tuning.
///
/// # Errors
/// Those of reading it; if the state has no table.
pub fn table_of(folder: &Path, state: &FileRef) -> Result<Table> {
    let notes = storage::read_tensors(folder, state)?.metadata;
    parsed(&folder.join(&state.name), &notes, TABLE_KEY)
}

/// Publishes the table of a tuning beside its model, from its best state.
///
/// # Errors
/// Those of reading it; if the state has no table.
pub fn publish(root: &Root, run: &RunId, training: &Training, best: &FileRef) -> Result<()> {
    if training.tune.is_none() {
        return Ok(());
    }
    let table = table_of(&root.run(run).combined(), best)?;
    let folder = root.run(run).model();
    storage::create_folder(&folder)?;
    let text = serde_json::to_string_pretty(&table)
        .map_err(|error| storage::Error::io("write", &folder.join(TABLE))(error.into()))?;
    storage::publish_same(&folder, TABLE, |file| file.write_all(storage::seal(&text).as_bytes()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(scores: &[(f64, f64)]) -> Trial {
        let score = |(rung, &(top1, loss)): (usize, &(f64, f64))| RungScore {
            rung: rung as u32 + 2,
            epochs: 1,
            score: Score { values: vec![top1, loss], of: 10 },
        };
        let scores = scores.iter().enumerate().map(score).collect();
        let (learning_rate, weight_decay, label_smoothing) = (0.1, 0.0, 0.0);
        Trial { learning_rate, weight_decay, label_smoothing, scores, dropped: None, diverged: false }
    }

    #[test]
    fn who_went_further_is_before_who_was_better_earlier() {
        let trials = vec![
            trial(&[]),
            trial(&[(0.9, 0.1)]),
            trial(&[(0.5, 0.9), (0.6, 0.8)]),
            trial(&[(0.5, 0.9), (0.6, 0.7)]),
            trial(&[(0.9, 0.1)]),
        ];
        let measure = |name: &str, higher| Measure { name: name.into(), higher, share: higher };
        let measures = vec![measure("top-1", true), measure("loss", false)];
        let table = Table::new(measures, vec![], [0.1, 1.0], trials);
        assert_eq!(table.ranking(), [3, 2, 1, 4, 0]);
        assert_eq!(table.best().unwrap().1.values[1], 0.7);
        assert!(Table::new(vec![], vec![], [0.1, 1.0], vec![trial(&[])]).best().is_none());
    }
}
