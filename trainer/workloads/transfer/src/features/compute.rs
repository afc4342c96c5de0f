//! A worker's share of the features stage: unit after unit, batch after batch, each unit published as a
//! shard.

use super::Recipe;
use super::engine::Engine;
use super::prefetch::{Order, Prefetch};
use super::units::{Unit, dealt};
use crate::job::Job;
use crate::{Error, Result};
use half::slice::HalfFloatSliceExt;
use protocol::FileRef;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use storage::arrays::write_npy;
use storage::{FeatureType, Publication, Tensor, create_folder};
use work::{Failed, Progress, Stage, Work};

/// One finished unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Finished {
    /// The unit's index.
    pub(super) unit: u64,
    /// Its shard, in the store's folder.
    pub(super) file: FileRef,
}

/// A worker's result: the shards of all its units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shards {
    pub(super) worker: u32,
    pub(super) columns: u64,
    pub(super) shards: Vec<Finished>,
}

/// A worker's features stage.
pub(crate) struct FeatureWork {
    store: PathBuf,
    stage: PathBuf,
    worker: u32,
    recipe: Recipe,
    units: Vec<Unit>,
    step_images: usize,
    /// Opened at the first step: a leg that only has to publish needs none.
    running: Option<(Engine, Prefetch)>,
    job: Job,
    threads: usize,
    finished: Vec<Finished>,
    /// The finished rows of the current unit, `[n, columns]`.
    rows: Vec<f32>,
}

impl FeatureWork {
    pub(crate) fn open(at: &Stage<'_>, worker: u32, place: Option<&FileRef>) -> Result<FeatureWork> {
        let job = Job::of(at.job)?;
        let recipe = Recipe::open(at.root, &job)?;
        let key = recipe.key();
        if key != at.features.key {
            let what = format!("data set {:?}, weights {:?} or CPU", job.dataset, job.weights());
            let expected = format!("what the run was started with, feature key {}", at.features.key);
            return Err(Error::argument(what, expected, format!("another, feature key {key}")));
        }
        let store = at.root.features(&key)?;
        create_folder(&store)?;
        let mut work = FeatureWork {
            stage: at.root.run(at.run).create_stage(at.number)?,
            store,
            worker,
            units: dealt(&recipe.units(), at.workers, worker).cloned().collect(),
            step_images: recipe.step_images()?,
            recipe,
            running: None,
            job,
            threads: at.threads,
            finished: Vec::new(),
            rows: Vec::new(),
        };
        if let Some(place) = place {
            work.resume(place)?;
        }
        Ok(work)
    }

    fn resume(&mut self, place: &FileRef) -> Result<()> {
        let mut saved = storage::read_tensors(&self.stage, place)?;
        let path = self.stage.join(&place.name);
        let damaged = |found: String| Error::damaged(&path, "a place in the features stage", found);
        let shards = saved.metadata.get("shards").ok_or_else(|| damaged("no list of shards".into()))?;
        let Shards { worker, columns, shards } =
            serde_json::from_str(shards).map_err(|error| damaged(error.to_string()))?;
        let ours = self.units.iter().map(|unit| unit.index);
        if (worker, columns) != (self.worker, self.recipe.columns as u64)
            || !shards.iter().map(|shard| shard.unit).eq(ours.take(shards.len()))
        {
            return Err(damaged(format!("that of worker {worker}, {columns} columns, other units")));
        }
        self.finished = shards;
        if let Some(rows) = saved.tensors.get("rows").map(|rows| rows.shape.clone()) {
            self.rows = saved.take_f32("rows", &rows)?;
            let unit = self.units.get(self.finished.len()).map_or(0, |unit| unit.images.len());
            let count = self.done_rows();
            if rows.get(1) != Some(&self.recipe.columns)
                || count > unit
                || !count.is_multiple_of(self.step_images)
            {
                return Err(damaged(format!("rows of shape {rows:?}")));
            }
        }
        Ok(())
    }

    /// Finished rows of the current unit.
    fn done_rows(&self) -> usize {
        self.rows.len() / self.recipe.columns
    }

    /// Every batch that must still be computed.
    fn orders(&self) -> Vec<Order> {
        let left = self.units.iter().skip(self.finished.len()).enumerate();
        let batches = left.flat_map(|(ahead, unit)| {
            let begun = if ahead == 0 { self.done_rows() } else { 0 };
            batches(unit, begun, self.step_images)
        });
        batches.collect()
    }

    fn publish_unit(&mut self) -> Result<()> {
        let unit = &self.units[self.finished.len()];
        let stem = format!("{}-{:06}", unit.split, unit.index);
        let write = |file: &mut Publication| write_unit(file, &self.recipe, unit, &self.rows);
        let file = storage::publish(&self.store, &stem, "npy", write)?;
        self.finished.push(Finished { unit: unit.index, file });
        self.rows.clear();
        Ok(())
    }

    fn shards(&self) -> Shards {
        Shards { worker: self.worker, columns: self.recipe.columns as u64, shards: self.finished.clone() }
    }

    fn stem(&self) -> String {
        format!("worker-{:03}", self.worker)
    }
}

impl Work for FeatureWork {
    fn step(&mut self) -> Result<(), Failed> {
        if self.running.is_none() {
            let prefetch = Prefetch::start(&self.recipe, self.orders())?;
            self.running = Some((Engine::take(&self.recipe, &self.job, self.threads)?, prefetch));
        }
        if let Some((engine, prefetch)) = &mut self.running {
            let images = prefetch.next()?; // [n, size, size, 3]
            engine.run(&images, images.len() / self.recipe.preprocessing.len(), &mut self.rows)?;
        }
        if self.done_rows() == self.units[self.finished.len()].images.len() {
            self.publish_unit()?;
        }
        Ok(())
    }

    fn progress(&self) -> Progress {
        let images = |units: &[Unit]| units.iter().map(|unit| unit.images.len() as u64).sum::<u64>();
        let done = images(&self.units[..self.finished.len()]) + self.done_rows() as u64;
        Progress { done, of: images(&self.units) }
    }

    fn save(&mut self) -> Result<FileRef, Failed> {
        let shards = serde_json::to_string(&self.shards()).map_err(|error| encoding(&self.stage, error))?;
        let rows = Tensor::f32("rows", &[self.done_rows(), self.recipe.columns], &self.rows[..]);
        let metadata = BTreeMap::from([("shards".to_owned(), shards)]);
        Ok(storage::write_tensors(&self.stage, &self.stem(), &[rows], &metadata)?)
    }

    fn publish(&mut self) -> Result<FileRef, Failed> {
        let shards =
            serde_json::to_vec_pretty(&self.shards()).map_err(|error| encoding(&self.stage, error))?;
        Ok(storage::publish(&self.stage, &self.stem(), "json", |file| io::Write::write_all(file, &shards))?)
    }
}

impl Drop for FeatureWork {
    fn drop(&mut self) {
        if let Some((engine, _)) = self.running.take() {
            engine.keep();
        }
    }
}

/// The remaining batches of a unit, of which `begun` images are done.
fn batches(unit: &Unit, begun: usize, step_images: usize) -> impl Iterator<Item = Order> {
    let Unit { split, copy, .. } = *unit;
    let end = unit.images.end;
    let batch = move |first: usize| Order { split, copy, images: first..end.min(first + step_images) };
    (unit.images.start + begun..end).step_by(step_images).map(batch)
}

/// The features of a whole unit, `[images, columns]`, in the same batches as a worker computes them.
pub(super) fn compute_unit(recipe: &Recipe, job: &Job, threads: usize, unit: &Unit) -> Result<Vec<f32>> {
    let orders: Vec<Order> = batches(unit, 0, recipe.step_images()?).collect();
    let count = orders.len();
    let prefetch = Prefetch::start(recipe, orders)?;
    let mut engine = Engine::take(recipe, job, threads)?;
    let mut rows = Vec::new();
    for _ in 0..count {
        let images = prefetch.next()?; // [n, size, size, 3]
        engine.run(&images, images.len() / recipe.preprocessing.len(), &mut rows)?;
    }
    engine.keep();
    Ok(rows)
}

/// Writes the shard of a unit.
pub(super) fn write_unit(
    file: &mut Publication,
    recipe: &Recipe,
    unit: &Unit,
    rows: &[f32],
) -> io::Result<()> {
    let shape = [unit.images.len() as u64, recipe.columns as u64];
    match recipe.dtype() {
        FeatureType::F32 => write_npy(file, &shape, rows),
        FeatureType::F16 => write_npy(file, &shape, &halves(rows)?),
    }
}

fn encoding(folder: &Path, error: serde_json::Error) -> Error {
    Error::Storage(storage::Error::io("write to", folder)(error.into()))
}

/// Features as halves, as their 16 bits, rounded to nearest.
fn halves(rows: &[f32]) -> io::Result<Vec<u16>> {
    let mut halves = vec![half::f16::ZERO; rows.len()];
    halves.convert_from_f32_slice(rows);
    match halves.iter().zip(rows).find(|(half, _)| !half.is_finite()) {
        None => Ok(halves.iter().map(|half| half.to_bits()).collect()),
        Some((_, value)) => {
            let expected = "a value within ±65504 for features of type f16; use f32";
            Err(storage::Error::unfit("a feature", expected, value.to_string()).into())
        }
    }
}
