//! The work of a run as the handler sees it: plan, a worker's piece of a stage, the combine, the finished model.
//!
//! Invariant: what is published depends only on (the job, stage, worker), never on when or how often it was computed,
//! where legs were cut, how many threads there were, or who finished first.

use crate::features::{self, FeatureWork};
use crate::rounds::{self, AverageWork, GradientWork, SliceWork};
use crate::{Result, model, tuning};
use ::work::{Failed, Last, Plan, Stage, Workload, at_once};
use protocol::items::ModelItem;
use protocol::{Agreement, FileRef, Job, Part, RunId};
use storage::Root;

pub use crate::features::plan;
pub(crate) use again::on_results;
pub use terms::{Assignment, CombineOrder, Combined, Progress, Work};

mod again;
mod terms;

/// Transfer learning on images.
pub struct Transfer;

impl Workload for Transfer {
    fn plan(&self, root: &Root, job: &Job, workers: u32) -> Result<Plan, Failed> {
        Ok(plan(root, job, workers)?)
    }

    fn open(
        &self,
        stage: &Stage<'_>,
        worker: u32,
        place: Option<&FileRef>,
    ) -> Result<Box<dyn ::work::Work>, Failed> {
        let Stage { root, run, job, number, workers, features, state, threads, .. } = *stage;
        let assignment =
            Assignment { root, run, job, workers, stage: number, worker, features, place, state, threads };
        Ok(Box::new(Outward(work(&assignment)?)))
    }

    fn combine<'a>(
        &'a self,
        stage: &Stage<'a>,
        results: &'a [FileRef],
        _place: Option<&FileRef>,
    ) -> Result<Box<dyn ::work::Work<Combined> + 'a>, Failed> {
        let Stage { root, run, job, number, workers, features, state, threads, .. } = *stage;
        Ok(at_once(move || {
            let stage = number;
            Ok(combine(&CombineOrder { root, run, job, workers, stage, features, state, results, threads })?)
        }))
    }

    fn finish<'a>(&'a self, stage: &Stage<'a>, last: Last<'a>) -> Result<Box<dyn ::work::Work + 'a>, Failed> {
        let stage = *stage;
        Ok(at_once(move || Ok(finish(&stage, &last)?)))
    }

    fn show(&self, root: &Root, run: &RunId) -> Option<ModelItem> {
        model::Model::open(&root.run(run).model()).ok()?.item()
    }
}

/// A worker's stage with failures in the handler's terms.
struct Outward(Box<dyn Work>);

impl ::work::Work for Outward {
    fn step(&mut self) -> Result<(), Failed> {
        Ok(self.0.step()?)
    }

    fn progress(&self) -> Progress {
        self.0.progress()
    }

    fn save(&mut self) -> Result<FileRef, Failed> {
        Ok(self.0.save()?)
    }

    fn publish(&mut self) -> Result<FileRef, Failed> {
        Ok(self.0.publish()?)
    }
}

/// Takes up a worker's stage where its previous leg left it; from its start when that place is damaged.
///
/// # Errors
/// Any of this crate.
pub fn work(assignment: &Assignment<'_>) -> Result<Box<dyn Work>> {
    again::work(assignment, open)
}

fn open(assignment: &Assignment<'_>) -> Result<Box<dyn Work>> {
    Ok(match (assignment.job.part(assignment.stage), assignment.job.agree) {
        (Part::Features, _) => Box::new(FeatureWork::open(assignment)?),
        (Part::Train { .. }, _) if assignment.job.tune.is_some() => rounds::open_rung(assignment)?,
        (Part::Train { .. }, Agreement::Gradient) => Box::new(GradientWork::open(assignment)?),
        (Part::Train { .. }, _) => Box::new(AverageWork::open(assignment)?),
        (Part::Reduce { .. }, _) => Box::new(SliceWork::open(assignment)?),
    })
}

/// Combines what the workers of a stage published, in worker order, and scores the result. A worker whose result is
/// damaged has its stage computed again here.
///
/// # Errors
/// Any of this crate; [`crate::Error::NotFinite`] when training has diverged.
pub fn combine(order: &CombineOrder<'_>) -> Result<Combined> {
    on_results(order, |order| match order.stage {
        0 => features::combine(order),
        _ if order.job.tune.is_some() => rounds::combine_rung(order),
        _ => rounds::combine(order),
    })
}

/// Publishes a run's model, once: its head's tensors, the table of a tuning, then `model/model.json`; gives the latter.
///
/// # Errors
/// Any of this crate.
pub fn finish(stage: &Stage<'_>, last: &Last<'_>) -> Result<FileRef> {
    let Stage { root, run, job, features, threads, .. } = *stage;
    tuning::publish(root, run, job, last.best)?;
    model::publish(root, run, job, features, last.best, last.unscored, threads)
}

#[cfg(test)]
mod tests;
