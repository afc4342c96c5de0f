//! A workload: a kind of job.

use crate::{Failed, Stage, Work};
use protocol::items::ModelItem;
use protocol::{Course, FeatureStore, FileRef, Job, RunId, Score};
use storage::Root;

/// A kind of job. What it publishes depends only on (job, stage, worker).
pub trait Workload: Send + Sync {
    /// Checks the keys of a job by themselves; no file is looked at.
    ///
    /// # Errors
    /// [`Failed`] names the key.
    fn check(&self, job: &Job) -> Result<(), Failed>;

    /// Checks all that a job names, before anything is sent.
    ///
    /// # Errors
    /// [`Failed`] names the key of the job, or the file.
    fn plan(&self, root: &Root, job: &Job, workers: u32) -> Result<Plan, Failed>;

    /// Takes up a share of a stage where its last leg left it: `place`, in the stage's folder. A stage has a
    /// share for each worker, in their order, or as many as the course says.
    ///
    /// # Errors
    /// [`Failed`].
    fn open(&self, stage: &Stage<'_>, share: u32, place: Option<&FileRef>) -> Result<Box<dyn Work>, Failed>;

    /// Takes up the combine: it makes one state of the results, which are in the order of the shares.
    ///
    /// # Errors
    /// [`Failed`].
    fn combine<'a>(
        &'a self,
        stage: &Stage<'a>,
        results: &'a [FileRef],
        place: Option<&FileRef>,
    ) -> Result<Box<dyn Work<Combined> + 'a>, Failed>;

    /// Takes up the end of a run: it scores and publishes the product of the best state, once.
    ///
    /// # Errors
    /// [`Failed`].
    fn finish<'a>(&'a self, stage: &Stage<'a>, last: Last<'a>) -> Result<Box<dyn Work + 'a>, Failed>;

    /// The command that tries a product out, where `{root}` and `{run}` stand for the folder and the run.
    fn command(&self) -> Option<&'static str> {
        None
    }

    /// What people are shown of a run's product; nothing decides by it.
    fn show(&self, _root: &Root, _run: &RunId) -> Option<ModelItem> {
        None
    }
}

/// The end of a run: what is to be published, and how.
#[derive(Clone, Copy, Debug)]
pub struct Last<'a> {
    /// The best state, in `combined/`.
    pub best: &'a FileRef,
    /// Why it is published without scores, if it is: in one step then.
    pub unscored: Option<&'a str>,
    /// The place that the last leg has left, in the stage's folder.
    pub place: Option<&'a FileRef>,
}

/// What a start settles.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The job, with what it had left open.
    pub job: Box<Job>,
    /// Its stages.
    pub course: Box<Course>,
    /// Its feature store; with a manifest if it is there already.
    pub features: FeatureStore,
}

/// What a combine gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Combined {
    /// The new state, in `combined/`.
    pub state: Option<FileRef>,
    /// The store's manifest, in its folder.
    pub features: Option<FileRef>,
    /// The score on the validation split, where the stage is scored.
    pub score: Option<Score>,
}
