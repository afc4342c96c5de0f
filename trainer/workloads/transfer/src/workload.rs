//! The workload of transfer learning on images: features once, then rounds of training a head.
//!
//! Invariant: results depend only on (the job, stage, worker), never on when or how often they were computed,
//! where legs were cut, how many threads there were, or who finished first.

use crate::combining::Combining;
use crate::ending::Ending;
use crate::features::FeatureWork;
use crate::job::Job;
use crate::model;
use crate::plan::{Planned, course, plan};
use crate::training::TrainedHead;
use protocol::items::ModelItem;
use protocol::{FileRef, RunId};
use std::sync::Arc;
use storage::Root;
use work::{Combined, Failed, Last, Opened, Plan, Stage, Work, Workload, resumed};

/// Transfer learning on images.
#[derive(Clone, Copy, Debug)]
pub struct Transfer;

impl Workload for Transfer {
    fn check(&self, job: &protocol::Job) -> Result<(), Failed> {
        Ok(Job::of(job).map(drop)?)
    }

    fn plan(&self, root: &Root, given: &protocol::Job, workers: u32) -> Result<Plan, Failed> {
        let Planned { job, features } = plan(root, &Job::of(given)?, workers)?;
        Ok(Plan { course: Box::new(course(&job)), job: Box::new(job.written(given)), features })
    }

    fn open(&self, stage: &Stage<'_>, worker: u32, place: Option<&FileRef>) -> Opened {
        resumed(stage, place, |place| open(stage, worker, place))
    }

    fn combine<'a>(
        &'a self,
        stage: &Stage<'a>,
        results: &'a [FileRef],
        place: Option<&FileRef>,
    ) -> Result<Box<dyn Work<Combined> + 'a>, Failed> {
        Ok(Box::new(Combining::open(*stage, results, place, open)?))
    }

    fn finish<'a>(&'a self, stage: &Stage<'a>, last: Last<'a>) -> Result<Box<dyn Work + 'a>, Failed> {
        Ok(Box::new(Ending::open(*stage, last)?))
    }

    fn command(&self) -> Option<&'static str> {
        Some("baton predict --root {root} --run {run} IMAGE…")
    }

    fn show(&self, root: &Root, run: &RunId) -> Option<ModelItem> {
        model::Model::open(&root.run(run).model()).ok()?.item()
    }
}

/// Opens a worker's share of a stage.
fn open(stage: &Stage<'_>, worker: u32, place: Option<&FileRef>) -> Opened {
    match stage.number {
        0 => Ok(Box::new(FeatureWork::open(stage, worker, place)?)),
        _ => rounds::open(stage, worker, place, Arc::new(TrainedHead::open(stage)?)),
    }
}

#[cfg(test)]
mod tests;
