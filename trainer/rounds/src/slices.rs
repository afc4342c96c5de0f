//! A worker's reduction in a stage of its own: one slice of the parameters, summed over all workers' results.

use super::chunked::{self, Notes};
use super::merge::{Merged, merge};
use super::reduce::slice;
use super::round::Round;
use super::saved::{notes, number};
use super::state::{json, parsed};
use super::trainable::Trainable;
use super::training;
use crate::Result;
use protocol::{Course, FeatureStore, FileRef, Job, RunId};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use storage::Root;
use work::{Failed, Progress, Stage, Work, on_results};

/// Key of the list of the workers' results.
pub(super) const RESULTS: &str = "results";

/// A worker's reduction: its slice of the parameters of all workers' results in the round.
pub(super) struct SliceWork<T> {
    round: Round<T>,
    root: Root,
    run: RunId,
    job: Job,
    course: Course,
    features: FeatureStore,
    stage: u32,
    worker: u32,
    workers: u32,
    threads: usize,
    /// The list that the combine before has published.
    list: (PathBuf, Notes),
    range: Range<usize>,
    merged: Option<Merged>,
}

impl<T: Trainable> SliceWork<T> {
    pub(super) fn open(at: &Stage<'_>, worker: u32, of: Arc<T>) -> Result<SliceWork<T>> {
        let round = Round::at(at, of);
        let folder = at.root.run(at.run).combined();
        let Some(list) = at.state else {
            return Err(Failed::argument(format!("stage {}", at.number), "a list of results", "none"));
        };
        at.root.run(at.run).create_stage(at.number)?;
        Ok(SliceWork {
            range: slice(round.length(), at.workers, worker),
            list: (folder.join(&list.name), storage::read_tensors(&folder, list)?.metadata),
            round,
            root: at.root.clone(),
            run: at.run.clone(),
            job: at.job.clone(),
            course: at.course.clone(),
            features: at.features.clone(),
            stage: at.number,
            worker,
            workers: at.workers,
            threads: at.threads,
            merged: None,
        })
    }

    fn trained_in(&self) -> Result<u32> {
        number(&self.list.0, &self.list.1, "trained_in")
    }

    fn merge(&self) -> Result<Merged> {
        let (file, notes) = &self.list;
        let (results, state) =
            (parsed::<Vec<FileRef>>(file, notes, RESULTS)?, parsed::<Option<FileRef>>(file, notes, "state")?);
        let trained = Stage {
            root: &self.root,
            run: &self.run,
            job: &self.job,
            course: &self.course,
            number: self.trained_in()?,
            workers: self.workers,
            features: &self.features,
            state: state.as_ref(),
            threads: self.threads,
        };
        let again = |worker| training::open(&trained, worker, None, self.round.of.clone());
        on_results(&trained, &results, again, |results| merge(&trained, results, &self.round, &self.range))
    }
}

impl<T: Trainable> Work for SliceWork<T> {
    fn step(&mut self) -> Result<()> {
        self.merged = Some(self.merge()?);
        Ok(())
    }

    fn progress(&self) -> Progress {
        Progress { done: u64::from(self.merged.is_some()), of: 1 }
    }

    /// Nothing is saved: a slice that was not finished is begun again.
    fn save(&mut self) -> Result<FileRef> {
        let folder = self.root.run(&self.run).stage(self.stage);
        let text = notes([("worker", self.worker.to_string())]);
        Ok(storage::write_tensors(&folder, &format!("worker-{:03}", self.worker), &[], &text)?)
    }

    fn publish(&mut self) -> Result<FileRef> {
        let merged = match self.merged.take() {
            Some(merged) => merged,
            None => self.merge()?,
        };
        let folder = self.root.run(&self.run);
        let mut text = merged.text(self.round.number, self.trained_in()?);
        let name = format!("{:04}-slice-{:03}.safetensors", self.stage, self.worker);
        let slice = chunked::publish_same(&folder.combined(), &name, &merged.tensors(&self.round), &text)?;
        text.insert("worker".into(), self.worker.to_string());
        text.insert("slice".into(), json(&slice)?);
        let stem = format!("worker-{:03}", self.worker);
        Ok(storage::write_tensors(&folder.stage(self.stage), &stem, &[], &text)?)
    }
}
