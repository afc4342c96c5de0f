//! The work of a run as the handler sees it: plan, a worker's piece of a stage, the combine, the finished model.
//!
//! Invariant: what is published depends only on (the job, stage, worker), never on when or how often it was computed,
//! where legs were cut, how many threads there were, or who finished first.

use crate::features::{self, FeatureWork};
use crate::rounds::{self, AverageWork, GradientWork};
use crate::{Result, model};
use protocol::{Agreement, FeatureStore, FileRef, Job, RunId, Score};
use storage::Root;

pub use crate::features::{Plan, plan};

/// What one leg of a worker is to do.
#[derive(Clone, Copy, Debug)]
pub struct Assignment<'a> {
    /// The shared file system.
    pub root: &'a Root,
    /// The run.
    pub run: &'a RunId,
    /// What it trains.
    pub job: &'a Job,
    /// Its number of workers.
    pub workers: u32,
    /// 0 is the features stage, r is round r.
    pub stage: u32,
    /// This worker, from 0.
    pub worker: u32,
    /// The run's feature store.
    pub features: &'a FeatureStore,
    /// What this worker's previous leg saved, in the stage's folder.
    pub place: Option<&'a FileRef>,
    /// The combined state of the previous round, in `combined/`; none in round 1.
    pub state: Option<&'a FileRef>,
    /// Threads to compute with.
    pub threads: usize,
}

/// How far a worker is in its stage, in images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Images done, those of earlier legs included.
    pub done: u64,
    /// All of them.
    pub of: u64,
}

impl Progress {
    /// Whether nothing is left to do but to publish.
    pub fn finished(&self) -> bool {
        self.done == self.of
    }
}

/// A worker's stage, done in small steps.
pub trait Work {
    /// Does one bounded piece; not to be called when finished.
    ///
    /// # Errors
    /// Any of this crate; the work is then to be dropped.
    fn step(&mut self) -> Result<()>;

    /// How far it is.
    fn progress(&self) -> Progress;

    /// Publishes all that the next leg needs to go on exactly here.
    ///
    /// # Errors
    /// [`crate::Error::Storage`].
    fn save(&mut self) -> Result<FileRef>;

    /// Publishes the worker's result of the stage, when finished.
    ///
    /// # Errors
    /// [`crate::Error::Storage`].
    fn publish(&mut self) -> Result<FileRef>;
}

/// Takes up a worker's stage where its previous leg left it.
///
/// # Errors
/// Any of this crate.
pub fn work(assignment: &Assignment<'_>) -> Result<Box<dyn Work>> {
    Ok(match (assignment.stage, assignment.job.agree) {
        (0, _) => Box::new(FeatureWork::open(assignment)?),
        (_, Agreement::Average) => Box::new(AverageWork::open(assignment)?),
        (_, Agreement::Gradient) => Box::new(GradientWork::open(assignment)?),
    })
}

/// What a combine is to do.
#[derive(Clone, Copy, Debug)]
pub struct CombineOrder<'a> {
    /// The shared file system.
    pub root: &'a Root,
    /// The run.
    pub run: &'a RunId,
    /// What it trains.
    pub job: &'a Job,
    /// Its number of workers.
    pub workers: u32,
    /// 0 is the features stage, r is round r.
    pub stage: u32,
    /// The run's feature store.
    pub features: &'a FeatureStore,
    /// The combined state of the previous round; none in round 1.
    pub state: Option<&'a FileRef>,
    /// What the workers published, in their order, in the stage's folder.
    pub results: &'a [FileRef],
    /// Threads to compute with.
    pub threads: usize,
}

/// What a combine gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Combined {
    /// After a round: the new state, in `combined/`.
    pub state: Option<FileRef>,
    /// After the features stage: `features.json`, in the store's folder.
    pub features: Option<FileRef>,
    /// After a round: the score on the validation split.
    pub score: Option<Score>,
}

/// Combines what the workers of a stage published, in worker order, and scores the result.
///
/// # Errors
/// Any of this crate; [`crate::Error::NotFinite`] when training has diverged.
pub fn combine(order: &CombineOrder<'_>) -> Result<Combined> {
    match order.stage {
        0 => features::combine(order),
        _ => rounds::combine(order),
    }
}

/// Publishes a run's model, once: its head's tensors, then `model/model.json` that names them; gives the latter.
///
/// # Errors
/// Any of this crate.
pub fn finish(
    root: &Root,
    run: &RunId,
    job: &Job,
    features: &FeatureStore,
    best: &FileRef,
    threads: usize,
) -> Result<FileRef> {
    let _ = threads; // scoring is one pass over small splits
    model::publish(root, run, job, features, best)
}

#[cfg(test)]
mod tests;
