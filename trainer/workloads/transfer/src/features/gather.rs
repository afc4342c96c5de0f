//! The combine of the features stage: all shards into one manifest, with the columns' statistics and the
//! labels.

use super::Recipe;
use super::compute::{Finished, Shards, compute_unit};
use super::mend::restore_shard;
use super::recipe::manifest_reference;
use super::statistics::statistics_tensors;
use super::store::STATISTICS;
use crate::job::Job;
use crate::{Error, Result};
use protocol::FileRef;
use serde_json::json;
use std::collections::BTreeMap;
use storage::{FeatureManifest, FeatureShard};
use work::{Combined, Stage};

pub(crate) fn combine(at: &Stage<'_>, results: &[FileRef]) -> Result<Combined> {
    let job = Job::of(at.job)?;
    let recipe = Recipe::open(at.root, &job)?;
    let folder = at.root.features(&at.features.key)?;
    let done = |manifest| Combined { state: None, features: Some(manifest), score: None };
    if FeatureManifest::find(&folder)?.is_some() {
        // Another run, or this combine's first try, has made the same store: the first manifest is kept.
        return Ok(done(manifest_reference(&folder)?));
    }
    let shards = collect(at, results, &recipe)?;
    let again = |shard: &FeatureShard, _| {
        let first =
            |unit: &super::units::Unit| unit.split == shard.split && unit.row as u64 == shard.first_image;
        recipe.units().iter().filter(|unit| first(unit)).try_for_each(|unit| {
            let rows = compute_unit(&recipe, &job, at.threads, unit)?;
            restore_shard(&recipe, unit, &rows, &folder, &shard.file)
        })
    };
    let tensors = statistics_tensors(&folder, &recipe, &shards, &again)?;
    let statistics = storage::write_tensors(&folder, STATISTICS, &tensors, &BTreeMap::new())?;
    let mut made_of = recipe.made_of();
    made_of.insert(STATISTICS.into(), json!(statistics));
    made_of.insert("classes".into(), json!(recipe.dataset.classes()));
    let key = at.features.key.clone();
    FeatureManifest::new(key, made_of, recipe.columns as u64, recipe.dtype(), shards).publish(&folder)?;
    Ok(done(manifest_reference(&folder)?))
}

/// The shards of all units, in their order.
fn collect(at: &Stage<'_>, results: &[FileRef], recipe: &Recipe) -> Result<Vec<FeatureShard>> {
    let stage = at.root.run(at.run).stage(at.number);
    let mut files: BTreeMap<u64, FileRef> = BTreeMap::new();
    for (worker, result) in results.iter().enumerate() {
        let path = stage.join(&result.name);
        let text = storage::open(&stage, result)?.read()?;
        let shards: Shards = serde_json::from_slice(&text)
            .map_err(|error| Error::damaged(&path, "a list of shards", error.to_string()))?;
        if (shards.worker as usize, shards.columns) != (worker, recipe.columns as u64) {
            let expected = format!("worker {worker}'s shards of {} columns", recipe.columns);
            let found = format!("worker {}'s of {}", shards.worker, shards.columns);
            return Err(Error::damaged(&path, expected, found));
        }
        files.extend(shards.shards.into_iter().map(|Finished { unit, file }| (unit, file)));
    }
    let shard = |unit: super::units::Unit| {
        let file = files.remove(&unit.index).ok_or_else(|| {
            let expected = format!("a shard of unit {} from {} workers", unit.index, results.len());
            Error::damaged(&stage, expected, "none")
        })?;
        let (first_image, rows) = (unit.row as u64, unit.images.len() as u64);
        Ok(FeatureShard { file, split: unit.split.to_owned(), first_image, rows })
    };
    recipe.units().into_iter().map(shard).collect()
}
