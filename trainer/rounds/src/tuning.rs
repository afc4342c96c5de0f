//! The rungs of a tuning: the range test, then trials, each trained by one worker as one machine would train
//! it.
//!
//! Rung 1: sweep *s* belongs to worker *s* mod *workers*; its combine lays out the trials. Later rungs: the
//! *t*-th of the remaining trials belongs to worker *t* mod *workers*; their combine keeps the best. A
//! trial's weights and its optimizer's memory are in a file of its own in the stage's folder, with the same
//! name and bytes whoever makes it.

mod range;
mod rung;
mod sweep;
mod table;
mod trainee;
mod trial;

pub use table::{RungScore, Sweep, TABLE, Table, Trial, publish, table_of};

use super::chunked;
use super::saved::{PARAMETERS, notes};
use super::state::json;
use super::trainable::Trainable;
use crate::Result;
use protocol::{FileRef, Measure, Score};
use rung::{FILES, Outcome, Rung, RungWork, TRAINED_IN, read_score};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use storage::Tensor;
use sweep::SweepWork;
use table::TABLE_KEY;
use trial::TrialWork;
use work::{Combined, Failed, Opened, Stage};

/// Opens a worker's rung.
pub(super) fn open<T: Trainable>(at: &Stage<'_>, worker: u32, place: Option<&FileRef>, of: Arc<T>) -> Opened {
    let rung = Rung::open(at, of)?;
    let folder = at.root.run(at.run).create_stage(at.number)?;
    Ok(match rung.tune.is_range_test(rung.number()) {
        true => resumed(SweepWork::open(at, worker, rung, folder), place)?,
        false => resumed(TrialWork::open(at, worker, rung, folder)?, place)?,
    })
}

fn resumed(mut work: impl RungWork + 'static, place: Option<&FileRef>) -> Opened {
    place.map_or(Ok(()), |place| work.resume(place))?;
    Ok(Box::new(work))
}

/// The range test's trials, or the remaining ones.
pub(super) fn combine<T: Trainable>(at: &Stage<'_>, results: &[FileRef], of: Arc<T>) -> Result<Combined> {
    let rung = Rung::open(at, of)?;
    let stage = at.root.run(at.run).stage(at.number);
    match rung.tune.is_range_test(rung.number()) {
        true => rung.publish(
            at.number,
            &rung.lay_out(&at.course.measures, results, &stage)?,
            &BTreeMap::new(),
            None,
        ),
        false => rung.compare(at, results, &stage),
    }
}

impl<T: Trainable> Rung<T> {
    /// The trials that follow from the sweeps: every rate with every pair, the lowest rate first.
    fn lay_out(&self, measures: &[Measure], results: &[FileRef], stage: &Path) -> Result<Table> {
        let mut losses = BTreeMap::new();
        for (worker, result) in (0..).zip(results) {
            losses.extend(sweep::read(stage, result, worker)?);
        }
        let pairs = self.pairs();
        let sweep = |(index, &(weight_decay, label_smoothing)): (usize, &(f64, f64))| {
            let losses: Vec<f32> = losses.remove(&index).ok_or_else(|| {
                Failed::damaged(stage, format!("sweep {index} from {} workers", results.len()), "none")
            })?;
            let losses: Vec<f32> = losses.into_iter().take_while(|loss| loss.is_finite()).collect();
            let rates: Vec<f64> = (0..losses.len()).map(|at| range::rate(self.tune.rates, at)).collect();
            let bounds = range::bounds(self.tune.rates, &losses);
            Ok(Sweep { weight_decay, label_smoothing, rates, losses, bounds })
        };
        let sweeps = pairs.iter().enumerate().map(sweep).collect::<Result<Vec<_>>>()?;
        let low = sweeps.iter().map(|sweep| sweep.bounds[0]).fold(f64::INFINITY, f64::min);
        let high = sweeps.iter().map(|sweep| sweep.bounds[1]).fold(0.0, f64::max);
        let rates = range::grid([low, high], (self.tune.trials as usize).div_ceil(pairs.len()));
        let trial = |index: usize| {
            let (weight_decay, label_smoothing) = pairs[index % pairs.len()];
            let learning_rate = rates[index / pairs.len()];
            let (scores, dropped, diverged) = (Vec::new(), None, false);
            Trial { learning_rate, weight_decay, label_smoothing, scores, dropped, diverged }
        };
        let trials = (0..self.tune.trials as usize).map(trial).collect();
        Ok(Table::new(measures.to_vec(), sweeps, [rates[0], rates[rates.len() - 1]], trials))
    }

    /// Enters the scores of a rung's trials into the table and keeps the best of them.
    fn compare(&self, at: &Stage<'_>, results: &[FileRef], stage: &Path) -> Result<Combined> {
        let (mut table, _, _) = self.before(at.state)?;
        let mut files = BTreeMap::new();
        let epochs = (2..=self.number()).map(|rung| self.tune.epochs_in(rung)).sum();
        for (worker, result) in (0..).zip(results) {
            for Outcome { trial, result } in trial::read(stage, result, worker)? {
                let entry = table.trials.get_mut(trial).ok_or_else(|| {
                    Failed::damaged(stage, "outcomes of the table's trials", format!("trial {trial}"))
                })?;
                let Some((file, score)) = result else {
                    (entry.dropped, entry.diverged) = (Some(self.number()), true);
                    continue;
                };
                let score = read_score(stage, &score)?;
                entry.scores.push(RungScore { rung: self.number(), epochs, score });
                files.insert(trial, file);
            }
        }
        self.keep(&mut table, &mut files, stage)?;
        let best = table.ranking()[0];
        let Some((file, last)) = files.get(&best).zip(table.trials[best].scores.last().cloned()) else {
            let expected = "lower rates: at those that were tried every trial diverged";
            return Err(Failed::argument("job.tune.rates", expected, format!("{:?}", table.rates)));
        };
        let parameters = storage::read_tensors(stage, file)?.take_f32(PARAMETERS, &[self.round.length()])?;
        self.publish(at.number, &table, &files, Some((parameters, last.score)))
    }

    /// Drops all trials but the best.
    fn keep(&self, table: &mut Table, files: &mut BTreeMap<usize, FileRef>, stage: &Path) -> Result<()> {
        let through = |trial: &Trial| trial.scores.last().is_some_and(|last| last.rung == self.number());
        if let Some(lost) = table.trials.iter().position(|trial| trial.dropped.is_none() && !through(trial)) {
            return Err(Failed::damaged(stage, format!("the outcome of trial {lost}"), "none"));
        }
        let ranking = table.ranking().into_iter().filter(|&trial| table.trials[trial].dropped.is_none());
        for trial in ranking.skip(self.tune.kept_after(self.number()) as usize).collect::<Vec<_>>() {
            table.trials[trial].dropped = Some(self.number());
            files.remove(&trial);
        }
        Ok(())
    }

    fn publish(
        &self,
        stage: u32,
        table: &Table,
        files: &BTreeMap<usize, FileRef>,
        best: Option<(Vec<f32>, Score)>,
    ) -> Result<Combined> {
        let text = notes([
            ("round", self.number().to_string()),
            (TABLE_KEY, json(table)?),
            (FILES, json(files)?),
            (TRAINED_IN, stage.to_string()),
        ]);
        let parameters = best.iter().map(|(p, _)| Tensor::f32(PARAMETERS, &[p.len()], &p[..]));
        let file = chunked::publish(
            &self.combined(),
            &format!("{stage:04}"),
            &parameters.collect::<Vec<_>>(),
            &text,
        )?;
        Ok(Combined { state: Some(file), features: None, score: best.map(|(_, score)| score) })
    }
}
