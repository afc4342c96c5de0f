//! The combine of a round: one state of what all workers published, scored; or, where the workers make it in slices
//! themselves, the list of what there is to sum, and a stage later the index of the slices.

use super::averaged::model_array;
use super::common::{Common, SLICES, json, parsed};
use super::merge::{Merged, merge};
use super::round::Round;
use super::saved::{notes, number};
use crate::chunked::{self, Notes};
use crate::reduce::slice;
use crate::score::score;
use crate::work::{Assignment, CombineOrder, Combined, Progress, Work, on_results};
use crate::{Error, Result};
use frozen::Buffer;
use protocol::{FeatureStore, FileRef, Part, RunId};
use std::ops::Range;
use std::path::{Path, PathBuf};
use storage::{Root, Tensor};

/// Key of the list of what workers published.
const RESULTS: &str = "results";

pub(crate) fn combine(order: &CombineOrder<'_>) -> Result<Combined> {
    let folder = order.root.run(order.run).combined();
    let part = order.job.part(order.stage);
    let round = Round::open(order.root, order.job, part, order.features, order.threads)?;
    let (file, parameters) = match part {
        Part::Reduce { .. } => index(order, &round, &folder)?,
        _ if order.job.completed_by(order.stage).is_none() => {
            let text = list(order)?;
            let file = chunked::publish(&folder, &stem(order.stage), &[], &text)?;
            return Ok(Combined { state: Some(file), features: None, score: None });
        }
        _ => whole(order, &round, &folder)?,
    };
    if !order.job.scored_by(order.stage) {
        return Ok(Combined { state: Some(file), features: None, score: None });
    }
    let scored = score(&round.store, round.store.need("val")?, &round.trainer, &parameters);
    let score = scored.map_err(|error| match error {
        Error::Argument { .. } => round.not_finite("a score on the validation split", None),
        other => other,
    })?;
    Ok(Combined { state: Some(file), features: None, score: Some(score.score.into()) })
}

/// The whole state in one file, and the parameters in it that are scored.
fn whole(order: &CombineOrder<'_>, round: &Round, folder: &Path) -> Result<(FileRef, Buffer)> {
    let mut merged = merge(order, round, &(0..round.shape.parameters()))?;
    let text = text(round, &merged, order.stage);
    let file = chunked::publish(folder, &stem(order.stage), &tensors(round, &merged), &text)?;
    let of_model =
        round.combined_arrays().iter().position(|name| *name == model_array(&round.job)).unwrap_or(0);
    Ok((file, merged.arrays.swap_remove(of_model)))
}

/// What the workers of the next stage are to sum.
fn list(order: &CombineOrder<'_>) -> Result<Notes> {
    Ok(notes([
        (RESULTS, json(&order.results)?),
        ("state", json(&order.state)?),
        ("trained_in", order.stage.to_string()),
        ("round", order.job.rounds_in(order.stage + 1).to_string()),
    ]))
}

/// The index of the slices that the workers made, and the parameters in these that are scored.
fn index(order: &CombineOrder<'_>, round: &Round, folder: &Path) -> Result<(FileRef, Buffer)> {
    let stage = order.root.run(order.run).stage(order.stage);
    let mut slices: Vec<FileRef> = Vec::new();
    let mut text = Notes::new();
    for (worker, result) in order.results.iter().enumerate() {
        let (file, read) = (stage.join(&result.name), storage::read_tensors(&stage, result)?.metadata);
        if number::<usize>(&file, &read, "worker")? != worker {
            return Err(Error::damaged(&file, format!("worker {worker}'s"), "another's"));
        }
        slices.push(parsed(&file, &read, "slice")?);
        text = read;
    }
    ["worker", "slice"].into_iter().for_each(|key| drop(text.remove(key)));
    text.insert(SLICES.into(), json(&slices)?);
    let file = chunked::publish(folder, &stem(order.stage), &[], &text)?;
    let common = Common::open(folder, &file, round.shape.parameters())?;
    let mut parameters =
        Buffer::zeroed(round.shape.parameters()).map_err(Error::io("find memory for", folder))?;
    common.read(model_array(&round.job), 0, &mut parameters)?;
    Ok((file, parameters))
}

fn stem(stage: u32) -> String {
    format!("{stage:04}")
}

fn tensors<'a>(round: &Round, merged: &'a Merged) -> Vec<Tensor<'a>> {
    let arrays = round.combined_arrays().into_iter().zip(&merged.arrays);
    arrays.map(|(name, array)| Tensor::f32(name, &[array.len()], &array[..])).collect()
}

/// What a combined state says of itself.
fn text(round: &Round, merged: &Merged, trained_in: u32) -> Notes {
    let mut text = notes([
        ("round", round.number.to_string()),
        ("steps", merged.steps.to_string()),
        ("train_loss", merged.loss.to_string()),
    ]);
    if !merged.own.is_empty() {
        text.insert("trained_in".into(), trained_in.to_string());
        text.extend(merged.own.clone());
    }
    text
}

/// A worker's reduction: its slice of the parameters, of what all workers published in the round.
pub(crate) struct SliceWork {
    round: Round,
    root: Root,
    run: RunId,
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

impl SliceWork {
    pub(crate) fn open(a: &Assignment<'_>) -> Result<SliceWork> {
        let round = Round::open(a.root, a.job, a.job.part(a.stage), a.features, a.threads)?;
        let folder = a.root.run(a.run).combined();
        let Some(list) = a.state else {
            return Err(Error::argument(format!("stage {}", a.stage), "a list of results", "none"));
        };
        a.root.run(a.run).create_stage(a.stage)?;
        Ok(SliceWork {
            range: slice(round.shape.parameters(), a.workers, a.worker),
            list: (folder.join(&list.name), storage::read_tensors(&folder, list)?.metadata),
            round,
            root: a.root.clone(),
            run: a.run.clone(),
            features: a.features.clone(),
            stage: a.stage,
            worker: a.worker,
            workers: a.workers,
            threads: a.threads,
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
        let order = CombineOrder {
            root: &self.root,
            run: &self.run,
            job: &self.round.job,
            workers: self.workers,
            stage: self.trained_in()?,
            features: &self.features,
            state: state.as_ref(),
            results: &results,
            threads: self.threads,
        };
        on_results(&order, |order| merge(order, &self.round, &self.range))
    }
}

impl Work for SliceWork {
    fn step(&mut self) -> Result<()> {
        self.merged = Some(self.merge()?);
        Ok(())
    }

    fn progress(&self) -> Progress {
        Progress { done: u64::from(self.merged.is_some()), of: 1 }
    }

    /// Nothing: a slice that was not finished is begun again.
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
        let mut text = text(&self.round, &merged, self.trained_in()?);
        let name = format!("{:04}-slice-{:03}.safetensors", self.stage, self.worker);
        let slice = chunked::publish_same(&folder.combined(), &name, &tensors(&self.round, &merged), &text)?;
        text.insert("worker".into(), self.worker.to_string());
        text.insert("slice".into(), json(&slice)?);
        let stem = format!("worker-{:03}", self.worker);
        Ok(storage::write_tensors(&folder.stage(self.stage), &stem, &[], &text)?)
    }
}
