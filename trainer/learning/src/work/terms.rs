//! The terms of a run's work: what the handler orders, and what it gets. Plain types, so that simulations share them.

use crate::Result;
use protocol::{FeatureStore, FileRef, Job, Reduce, RunId, Score};
use storage::Root;

/// What a run will do, as far as its job, data set and weights say.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The feature store's key, also its folder's name.
    pub features_key: String,
    /// The store's manifest, if the store is there already.
    pub manifest: Option<FileRef>,
    /// Images to train on.
    pub train_images: u64,
    /// Images to validate on.
    pub val_images: u64,
    /// The classes, in the order of the labels.
    pub classes: Vec<String>,
    /// Feature shards, the pieces that workers are dealt.
    pub units: u64,
    /// Bytes that a worker publishes in a round.
    pub result_bytes: u64,
}

/// Bytes of all results of a round from which on the workers sum them themselves, in slices. One combine reads so much
/// in the time that another stage takes to begin and to end (docs/results.md).
const SLICED_FROM: u64 = 256 << 20;

impl Plan {
    /// Who sums the workers' results, if the job does not say.
    pub fn reduce(&self, workers: u32) -> Reduce {
        let all = self.result_bytes * u64::from(workers);
        if workers > 1 && all >= SLICED_FROM { Reduce::Sliced } else { Reduce::Single }
    }
}

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
