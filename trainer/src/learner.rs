//! The port's real side: `learning` trains.

use crate::services::Learner;
use learning::{Assignment, CombineOrder, Combined, Plan, Work};
use protocol::items::ModelItem;
use protocol::{FeatureStore, FileRef, Job, RunId};
use storage::Root;

/// Trains with `learning`.
pub struct Learning;

impl Learner for Learning {
    fn plan(&self, root: &Root, job: &Job) -> Result<Plan, learning::Error> {
        learning::plan(root, job)
    }
    fn work(&self, assignment: &Assignment<'_>) -> Result<Box<dyn Work>, learning::Error> {
        learning::work(assignment)
    }
    fn combine(&self, order: &CombineOrder<'_>) -> Result<Combined, learning::Error> {
        learning::combine(order)
    }
    fn finish(
        &self,
        root: &Root,
        run: &RunId,
        job: &Job,
        features: &FeatureStore,
        best: &FileRef,
        threads: usize,
    ) -> Result<FileRef, learning::Error> {
        learning::finish(root, run, job, features, best, threads)
    }
    fn describe(&self, root: &Root, run: &RunId) -> Option<ModelItem> {
        Some(learning::model::Model::open(&root.run(run).model()).ok()?.item())
    }
}
