//! A workload: a kind of job.

use crate::{Failed, Stage, Work};
use protocol::items::ModelItem;
use protocol::{Course, CutShort, FeatureStore, FileRef, Job, RunId, Score};
use storage::Root;

/// A kind of job. Its results depend only on (job, stage, worker).
pub trait Workload: Send + Sync {
    /// Checks the keys of a job by themselves; it reads no file.
    ///
    /// # Errors
    /// [`Failed`] names the key.
    fn check(&self, job: &Job) -> Result<(), Failed>;

    /// Checks everything that a job names, before anything is sent.
    ///
    /// # Errors
    /// [`Failed`] names the key of the job, or the file.
    fn plan(&self, root: &Root, job: &Job, workers: u32) -> Result<Plan, Failed>;

    /// Opens a share of a stage where its last leg left it: `place`, in the stage's folder. A stage has a
    /// share for each worker, in their order, or the number of shares in the course.
    ///
    /// # Errors
    /// [`Failed`].
    fn open(&self, stage: &Stage<'_>, share: u32, place: Option<&FileRef>) -> Result<Box<dyn Work>, Failed>;

    /// Opens the combine: it makes one state from the results, which are in the order of the shares.
    ///
    /// # Errors
    /// [`Failed`].
    fn combine<'a>(
        &'a self,
        stage: &Stage<'a>,
        results: &'a [FileRef],
        place: Option<&FileRef>,
    ) -> Result<Box<dyn Work<Combined> + 'a>, Failed>;

    /// Opens the end of a run: it scores and publishes the product of the best state, once.
    ///
    /// # Errors
    /// [`Failed`].
    fn finish<'a>(&'a self, stage: &Stage<'a>, last: Last<'a>) -> Result<Box<dyn Work + 'a>, Failed>;

    /// The command that tries a product out; `{root}` and `{run}` in it are replaced.
    fn command(&self) -> Option<&'static str> {
        None
    }

    /// Tables and samples of a run's product, for people; nothing decides by them.
    fn show(&self, _root: &Root, _run: &RunId) -> Option<ModelItem> {
        None
    }
}

/// The end of a run: the state to publish, and how.
#[derive(Clone, Copy, Debug)]
pub struct Last<'a> {
    /// The best state, in `combined/`; none if the run ended within its first stage.
    pub best: Option<&'a FileRef>,
    /// The stage that the end has cut short, if the course publishes its results, too.
    pub cut_short: Option<&'a CutShort>,
    /// Why it is published without scores, in one step; none if it is scored.
    pub unscored: Option<&'a str>,
    /// The place that the last leg has left, in the stage's folder.
    pub place: Option<&'a FileRef>,
}

impl<'a> Last<'a> {
    /// The best state, for a workload whose product always has one.
    ///
    /// # Errors
    /// [`Failed`], if there is none.
    pub fn state(&self) -> Result<&'a FileRef, Failed> {
        self.best.ok_or_else(|| Failed::halt("the run has no state to publish"))
    }
}

/// The result of planning: what a start records.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The job, with its open keys filled in.
    pub job: Box<Job>,
    /// Its stages.
    pub course: Box<Course>,
    /// Its feature store; with a manifest if it exists already.
    pub features: FeatureStore,
}

/// The result of a combine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Combined {
    /// The new state, in `combined/`.
    pub state: Option<FileRef>,
    /// The store's manifest, in its folder.
    pub features: Option<FileRef>,
    /// The score on the validation split, if the stage is scored.
    pub score: Option<Score>,
}
