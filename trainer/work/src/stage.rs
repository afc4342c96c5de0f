//! One stage of a run as worker and combine see it, and a piece of it as the handler sees it.

use crate::Failed;
use protocol::{Course, FeatureStore, FileRef, Job, RunId};
use storage::Root;

/// One stage of a run.
#[derive(Clone, Copy, Debug)]
pub struct Stage<'a> {
    /// The shared file system.
    pub root: &'a Root,
    /// The run.
    pub run: &'a RunId,
    /// Its job.
    pub job: &'a Job,
    /// Its stages.
    pub course: &'a Course,
    /// The stage's number, from 0.
    pub number: u32,
    /// Its number of workers.
    pub workers: u32,
    /// The run's feature store.
    pub features: &'a FeatureStore,
    /// The combined state before it, in `combined/`; none before the first.
    pub state: Option<&'a FileRef>,
    /// Threads to compute with.
    pub threads: usize,
}

/// How far a piece of work is, in the workload's unit: images, ratings, units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Done, in earlier legs too.
    pub done: u64,
    /// All of it.
    pub of: u64,
}

impl Progress {
    /// Whether everything is done except publishing.
    pub fn finished(&self) -> bool {
        self.done == self.of
    }
}

/// A piece of a stage, done in small steps: a worker's share, whose result is a file; a combine;
/// the end of a run.
pub trait Work<Made = FileRef> {
    /// Does one bounded piece; it must not be called when the work is finished.
    ///
    /// # Errors
    /// [`Failed`]; the work must then be dropped.
    fn step(&mut self) -> Result<(), Failed>;

    /// How far it is.
    fn progress(&self) -> Progress;

    /// Publishes everything that the next leg needs to continue exactly here.
    ///
    /// # Errors
    /// [`Failed`], when a file cannot be written.
    fn save(&mut self) -> Result<FileRef, Failed>;

    /// Publishes the result; the work must be finished.
    ///
    /// # Errors
    /// [`Failed`] if a file cannot be written.
    fn publish(&mut self) -> Result<Made, Failed>;
}
