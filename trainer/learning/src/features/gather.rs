//! The combine of the features stage: all shards into one manifest, with the columns' statistics and the labels.

use super::Recipe;
use super::compute::{Finished, Shards};
use super::mend::restore_shard;
use super::recipe::manifest_reference;
use super::store::{LABELS, STATISTICS, read_rows};
use crate::work::{CombineOrder, Combined};
use crate::{Error, Fate, Result};
use protocol::FileRef;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use storage::arrays::Npy;
use storage::{FeatureManifest, FeatureShard, Tensor};

/// Rows read at a time.
const ROWS: usize = 64;

pub(crate) fn combine(order: &CombineOrder<'_>) -> Result<Combined> {
    let recipe = Recipe::open(order.root, order.job)?;
    let folder = order.root.features(&order.features.key)?;
    let done = |manifest| Combined { state: None, features: Some(manifest), score: None };
    if FeatureManifest::find(&folder)?.is_some() {
        // Another run, or this combine's first try, has made the same store: the first manifest stays.
        return Ok(done(manifest_reference(&folder)?));
    }
    let shards = collect(order, &recipe)?;
    let again =
        |shard: &FeatureShard, _| {
            let first =
                |unit: &super::units::Unit| unit.split == shard.split && unit.row as u64 == shard.first_image;
            recipe.units().iter().filter(|unit| first(unit)).try_for_each(|unit| {
                restore_shard(&recipe, order.job, order.threads, &folder, unit, &shard.file)
            })
        };
    let tensors = statistics_tensors(&folder, &recipe, &shards, &again)?;
    let statistics = storage::write_tensors(&folder, STATISTICS, &tensors, &BTreeMap::new())?;
    let mut made_of = recipe.made_of();
    made_of.insert(STATISTICS.into(), json!(statistics));
    made_of.insert("classes".into(), json!(recipe.dataset.classes()));
    let key = order.features.key.clone();
    FeatureManifest::new(key, made_of, recipe.columns as u64, recipe.dtype(), shards).publish(&folder)?;
    Ok(done(manifest_reference(&folder)?))
}

/// The shards of all units, in their order.
fn collect(order: &CombineOrder<'_>, recipe: &Recipe) -> Result<Vec<FeatureShard>> {
    let stage = order.root.run(order.run).stage(order.stage);
    let mut files: BTreeMap<u64, FileRef> = BTreeMap::new();
    for (worker, result) in order.results.iter().enumerate() {
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
            let expected = format!("a shard of unit {} from {} workers", unit.index, order.results.len());
            Error::damaged(&stage, expected, "none")
        })?;
        let (first_image, rows) = (unit.row as u64, unit.images.len() as u64);
        Ok(FeatureShard { file, split: unit.split.to_owned(), first_image, rows })
    };
    recipe.units().into_iter().map(shard).collect()
}

/// What makes a damaged shard good, which is given with the damage.
pub(super) type Again<'a> = &'a dyn Fn(&FeatureShard, Error) -> Result<()>;

/// Each column's mean and standard deviation over all copies of the training images, and every split's labels.
pub(super) fn statistics_tensors(
    folder: &Path,
    recipe: &Recipe,
    shards: &[FeatureShard],
    again: Again<'_>,
) -> Result<Vec<Tensor<'static>>> {
    let (mean, deviation) = column_statistics(folder, recipe.columns, shards, again)?;
    let columns = [recipe.columns];
    let mut tensors =
        vec![Tensor::f32("mean", &columns, mean), Tensor::f32("deviation", &columns, deviation)];
    for (split, images) in recipe.splits() {
        let labels: Vec<i64> = recipe.dataset.split(split)?.labels()?.into_iter().map(i64::from).collect();
        tensors.push(Tensor::i64(format!("{LABELS}{split}"), &[images], labels));
    }
    Ok(tensors)
}

/// Mean and standard deviation of each column over the training rows.
///
/// Sums of differences from the first row, in f64, row after row: one pass, and no digits lost to a large mean.
fn column_statistics(
    folder: &Path,
    columns: usize,
    shards: &[FeatureShard],
    again: Again<'_>,
) -> Result<(Vec<f32>, Vec<f32>)> {
    let mut origin: Vec<f64> = Vec::new();
    let (mut sums, mut squares) = (vec![0.0; columns], vec![0.0; columns]);
    let mut count = 0_u64;
    let mut rows = Vec::new();
    for shard in shards.iter().filter(|shard| shard.split == "train") {
        let whole = || -> Result<()> { Ok(storage::open(folder, &shard.file)?.verify()?) };
        if let Err(damage) = whole() {
            if damage.fate() == Fate::Retry {
                return Err(damage);
            }
            again(shard, damage)?;
        }
        let npy = Npy::open(folder.join(&shard.file.name))?;
        for first in (0..npy.rows()).step_by(ROWS) {
            rows.resize((npy.rows() - first).min(ROWS) * columns, 0.0);
            read_rows(&npy, first, &mut rows)?; // [n, columns]
            if let Some(value) = rows.iter().find(|value| !value.is_finite()) {
                return Err(Error::damaged(npy.path(), "finite features", value.to_string()));
            }
            if origin.is_empty() {
                origin = rows[..columns].iter().map(|&value| f64::from(value)).collect();
            }
            for row in rows.chunks_exact(columns) {
                for ((&value, origin), (sum, square)) in
                    row.iter().zip(&origin).zip(sums.iter_mut().zip(&mut squares))
                {
                    let difference = f64::from(value) - origin;
                    *sum += difference;
                    *square += difference * difference;
                }
                count += 1;
            }
        }
    }
    let count = count.max(1) as f64;
    let mean = origin.iter().zip(&sums).map(|(origin, sum)| (origin + sum / count) as f32).collect();
    let deviation =
        |(sum, square): (&f64, &f64)| ((square / count - (sum / count).powi(2)).max(0.0)).sqrt() as f32;
    Ok((mean, sums.iter().zip(&squares).map(deviation).collect()))
}
