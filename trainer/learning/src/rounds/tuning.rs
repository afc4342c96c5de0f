//! The rungs of a tuning: the range test, then trials, each trained by one worker as one machine would train it.
//!
//! Rung 1: sweep *s* belongs to worker *s* mod *workers*; its combine lays out the trials. Later rungs: of the trials that
//! are left the *t*-th belongs to worker *t* mod *workers*; their combine keeps the best. A trial's weights and its
//! optimizer's memory lie in a file of its own in the stage's folder, with the same name and bytes whoever makes it.

mod range;
mod sweep;
mod trainee;
mod trial;

use super::average::steps_of_work;
use super::common::{json, parsed};
use super::round::Round;
use super::saved::{PARAMETERS, notes, number};
use crate::chunked;
use crate::score::Score;
use crate::tuning::{RungScore, Sweep, Table, Trial};
use crate::work::{Assignment, CombineOrder, Combined, Work};
use crate::{Error, Result};
use protocol::{FileRef, Job, Part, RunId, Tune};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use storage::{Root, Tensor, Tensors};
use sweep::SweepWork;
use trainee::Trainee;
use trial::TrialWork;

/// Keys of a combined state's text.
const TABLE: &str = "table";
const FILES: &str = "files";
const TRAINED_IN: &str = "trained_in";

/// Takes up a worker's rung.
pub(crate) fn open_rung(a: &Assignment<'_>) -> Result<Box<dyn Work>> {
    let rung = Rung::open(a.root, a.run, a.job, a.stage, a.features, a.threads)?;
    let folder = a.root.run(a.run).create_stage(a.stage)?;
    Ok(match rung.tune.is_range_test(rung.number()) {
        true => resumed(SweepWork::open(a, rung, folder), a.place)?,
        false => resumed(TrialWork::open(a, rung, folder)?, a.place)?,
    })
}

/// A worker's part of a rung, which legs may cut.
trait RungWork: Work {
    /// Goes on from a place that an earlier leg has saved.
    fn resume(&mut self, place: &FileRef) -> Result<()>;
}

fn resumed(mut work: impl RungWork + 'static, place: Option<&FileRef>) -> Result<Box<dyn Work>> {
    place.map_or(Ok(()), |place| work.resume(place))?;
    Ok(Box::new(work))
}

/// The range test's trials, or what is left of them.
pub(crate) fn combine_rung(order: &CombineOrder<'_>) -> Result<Combined> {
    let rung = Rung::open(order.root, order.run, order.job, order.stage, order.features, order.threads)?;
    let stage = order.root.run(order.run).stage(order.stage);
    match rung.tune.is_range_test(rung.number()) {
        true => rung.publish(order.stage, &rung.lay_out(order, &stage)?, &BTreeMap::new(), None),
        false => rung.compare(order, &stage),
    }
}

/// The table that a combined state of a tuning holds.
pub(crate) fn table_of(folder: &Path, state: &FileRef) -> Result<Table> {
    let notes = storage::read_tensors(folder, state)?.metadata;
    parsed(&folder.join(&state.name), &notes, TABLE)
}

/// A rung of a run.
struct Rung {
    round: Round,
    tune: Tune,
    root: Root,
    run: RunId,
    threads: usize,
}

/// What a worker says of a trial that is through its rung.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Outcome {
    trial: usize,
    /// Its state, and its score as text that gives exactly the same numbers again; none when it diverged.
    result: Option<(FileRef, [String; 4])>,
}

impl Rung {
    fn open(
        root: &Root,
        run: &RunId,
        job: &Job,
        stage: u32,
        features: &protocol::FeatureStore,
        threads: usize,
    ) -> Result<Rung> {
        let part = job.part(stage);
        let (Some(tune), Part::Train { .. }) = (job.tune.clone(), part) else {
            return Err(Error::argument(format!("stage {stage}"), "a rung of a tuning", part.to_string()));
        };
        let round = Round::open(root, job, part, features, threads)?;
        Ok(Rung { round, tune, root: root.clone(), run: run.clone(), threads })
    }

    /// From 1.
    fn number(&self) -> u32 {
        self.round.number
    }

    /// Optimizer steps of one call of `step`.
    fn steps_at_a_time(&self) -> usize {
        steps_of_work(self.round.job.batch as usize, self.round.shape.parameters())
    }

    /// Weight decay and label smoothing of each sweep.
    fn pairs(&self) -> Vec<(f64, f64)> {
        let or_own = |values: &[f64], own: f64| if values.is_empty() { vec![own] } else { values.to_vec() };
        let decays = or_own(&self.tune.weight_decay, self.round.job.weight_decay);
        let smoothings = or_own(&self.tune.label_smoothing, self.round.job.label_smoothing);
        decays.iter().flat_map(|&decay| smoothings.iter().map(move |&smoothing| (decay, smoothing))).collect()
    }

    /// A head that has not been trained yet.
    fn trainee(&self, (weight_decay, label_smoothing): (f64, f64)) -> Result<Trainee> {
        Trainee::new(&self.round, &self.root, weight_decay, label_smoothing, self.threads)
    }

    /// The table and the trials' files after the rung before.
    fn before(&self, state: Option<&FileRef>) -> Result<(Table, BTreeMap<usize, FileRef>, PathBuf)> {
        let folder = self.root.run(&self.run);
        let state = state.ok_or_else(|| {
            let expected = format!("the state of rung {}", self.number().saturating_sub(1));
            Error::argument(format!("rung {}", self.number()), expected, "none")
        })?;
        let (path, notes) =
            (folder.combined().join(&state.name), storage::read_tensors(&folder.combined(), state)?.metadata);
        let stage = folder.stage(number(&path, &notes, TRAINED_IN)?);
        Ok((parsed(&path, &notes, TABLE)?, parsed(&path, &notes, FILES)?, stage))
    }

    /// The trials that the sweeps lead to: every rate with every pair, the lowest rate first.
    fn lay_out(&self, order: &CombineOrder<'_>, stage: &Path) -> Result<Table> {
        let mut losses = BTreeMap::new();
        for (worker, result) in (0..).zip(order.results) {
            losses.extend(sweep::read(stage, result, worker)?);
        }
        let pairs = self.pairs();
        let sweep = |(index, &(weight_decay, label_smoothing)): (usize, &(f64, f64))| {
            let losses: Vec<f32> = losses.remove(&index).ok_or_else(|| {
                Error::damaged(stage, format!("sweep {index} from {} workers", order.workers), "none")
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
        Ok(Table::new(sweeps, [rates[0], rates[rates.len() - 1]], trials))
    }

    /// Enters the scores of a rung's trials into the table and keeps the best of them.
    fn compare(&self, order: &CombineOrder<'_>, stage: &Path) -> Result<Combined> {
        let (mut table, _, _) = self.before(order.state)?;
        let mut files = BTreeMap::new();
        let epochs = (2..=self.number()).map(|rung| self.tune.epochs_in(rung)).sum();
        for (worker, result) in (0..).zip(order.results) {
            for Outcome { trial, result } in trial::read(stage, result, worker)? {
                let entry = table.trials.get_mut(trial).ok_or_else(|| {
                    Error::damaged(stage, "outcomes of the table's trials", format!("trial {trial}"))
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
        let Some((file, last)) = files.get(&best).zip(table.trials[best].scores.last().copied()) else {
            let expected = "lower rates: at those that were tried every trial diverged";
            return Err(Error::argument("job.tune.rates", expected, format!("{:?}", table.rates)));
        };
        let parameters =
            storage::read_tensors(stage, file)?.take_f32(PARAMETERS, &[self.round.shape.parameters()])?;
        self.publish(order.stage, &table, &files, Some((parameters, last.score)))
    }

    /// Drops all trials but the best.
    fn keep(&self, table: &mut Table, files: &mut BTreeMap<usize, FileRef>, stage: &Path) -> Result<()> {
        let through = |trial: &Trial| trial.scores.last().is_some_and(|last| last.rung == self.number());
        if let Some(lost) = table.trials.iter().position(|trial| trial.dropped.is_none() && !through(trial)) {
            return Err(Error::damaged(stage, format!("the outcome of trial {lost}"), "none"));
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
            (TABLE, json(table)?),
            (FILES, json(files)?),
            (TRAINED_IN, stage.to_string()),
        ]);
        let parameters = best.iter().map(|(p, _)| Tensor::f32(PARAMETERS, &[p.len()], &p[..]));
        let folder = self.root.run(&self.run).combined();
        let file = chunked::publish(&folder, &format!("{stage:04}"), &parameters.collect::<Vec<_>>(), &text)?;
        Ok(Combined { state: Some(file), features: None, score: best.map(|(_, score)| score.into()) })
    }
}

/// The part of a list that is a worker's: every `workers`-th.
fn dealt<T>(all: impl IntoIterator<Item = T>, workers: u32, worker: u32) -> Vec<T> {
    all.into_iter().skip(worker as usize).step_by(workers as usize).collect()
}

/// Reads a worker's file, which must be that worker's; gives its path, too.
fn read_own(folder: &Path, file: &FileRef, worker: u32) -> Result<(Tensors, PathBuf)> {
    let (saved, path) = (storage::read_tensors(folder, file)?, folder.join(&file.name));
    let found: u32 = number(&path, &saved.metadata, "worker")?;
    if found != worker {
        return Err(Error::damaged(&path, format!("worker {worker}'s"), format!("worker {found}'s")));
    }
    Ok((saved, path))
}

/// A score as text that gives exactly the same numbers again, which JSON does not.
fn score_text(score: &Score) -> [String; 4] {
    [score.loss.to_string(), score.top1.to_string(), score.top5.to_string(), score.images.to_string()]
}

fn read_score(file: &Path, text: &[String; 4]) -> Result<Score> {
    let damaged = || Error::damaged(file, "four numbers of a score", text.join(" "));
    let [loss, top1, top5] = [0, 1, 2].map(|at| text[at].parse());
    match (loss, top1, top5, text[3].parse()) {
        (Ok(loss), Ok(top1), Ok(top5), Ok(images)) => Ok(Score { loss, top1, top5, images }),
        _ => Err(damaged()),
    }
}

#[cfg(test)]
mod tests;
