//! The terms of a run's work: what the handler orders, and what it gets. Plain types, so that simulations share them.

use crate::Result;
use protocol::{FeatureStore, FileRef, Job, RunId};
use storage::Root;

pub use ::work::{Combined, Progress};

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
