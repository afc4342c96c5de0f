//! A workload: a kind of job.

use crate::{Failed, Stage, Work};
use protocol::items::ModelItem;
use protocol::{FileRef, Job, Reduce, RunId, Score};
use storage::Root;

/// A kind of job. What it publishes depends only on (job, stage, worker).
pub trait Workload: Send + Sync {
    /// Checks all that a job names, before anything is sent.
    ///
    /// # Errors
    /// [`Failed`] names the key of the job, or the file.
    fn plan(&self, root: &Root, job: &Job) -> Result<Plan, Failed>;

    /// Takes up a worker's share of a stage where its last leg left it: `place`, in the stage's folder.
    ///
    /// # Errors
    /// [`Failed`].
    fn open(&self, stage: &Stage<'_>, worker: u32, place: Option<&FileRef>) -> Result<Box<dyn Work>, Failed>;

    /// Takes up the combine: it makes one state of what the workers published, in worker order.
    ///
    /// # Errors
    /// [`Failed`].
    fn combine<'a>(
        &'a self,
        stage: &Stage<'a>,
        results: &'a [FileRef],
        place: Option<&FileRef>,
    ) -> Result<Box<dyn Work<Combined> + 'a>, Failed>;

    /// Takes up the end of a run: it publishes the product of the best state, once.
    ///
    /// # Errors
    /// [`Failed`].
    fn finish<'a>(
        &'a self,
        stage: &Stage<'a>,
        best: &'a FileRef,
        place: Option<&FileRef>,
    ) -> Result<Box<dyn Work + 'a>, Failed>;

    /// What people are shown of a run's product; nothing decides by it.
    fn show(&self, _root: &Root, _run: &RunId) -> Option<ModelItem> {
        None
    }
}

/// What a start settles.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The feature store's key, also its folder's name.
    pub features_key: String,
    /// The store's manifest, if the store is there already.
    pub manifest: Option<FileRef>,
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
