//! Damaged files of a feature store are computed again: only the same bytes may replace them.

use super::Recipe;
use super::compute::{compute_unit, write_unit};
use super::statistics::statistics_tensors;
use super::store::{Mend, ShardAt, Store};
use super::units::Unit;
use crate::job::Job;
use crate::{Error, Result};
use protocol::{FeatureStore, FileRef};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use storage::{FeatureManifest, Root, encode_tensors};

/// Opens the store of a run, or returns the one that this process has open. Damaged files in it are computed
/// again.
///
/// # Errors
/// [`Error::Storage`], [`Error::Damaged`] name the file.
pub(crate) fn open(root: &Root, job: &Job, features: &FeatureStore) -> Result<Arc<Store>> {
    let mend = Again { root: root.clone(), job: job.clone() };
    Store::open(root, job.standardises(), features, Arc::new(mend))
}

/// The means to compute a store's features again.
#[derive(Clone, Debug)]
struct Again {
    root: Root,
    job: Job,
}

impl Mend for Again {
    fn shard(&self, folder: &Path, key: &str, shard: &ShardAt<'_>, damage: Error) -> Result<()> {
        let mended = self.recipe(key).and_then(|recipe| {
            let first = |unit: &Unit| unit.split == shard.split && unit.row == shard.first;
            let unit = recipe.units().into_iter().find(first);
            let unit =
                unit.ok_or_else(|| Error::argument("a unit", format!("one of {}", shard.file.name), "none"))?;
            let rows = compute_unit(&recipe, &self.job, threads(), &unit)?;
            restore_shard(&recipe, &unit, &rows, folder, shard.file)
        });
        told(folder, shard.file, damage, mended)
    }

    fn statistics(
        &self,
        folder: &Path,
        manifest: &FeatureManifest,
        file: &FileRef,
        damage: Error,
    ) -> Result<()> {
        let mended = self.recipe(&manifest.key).and_then(|recipe| {
            let tensors = statistics_tensors(folder, &recipe, &manifest.shards, &|shard, damage| {
                self.shard(folder, &manifest.key, &ShardAt::of(shard), damage)
            })?;
            Ok(storage::restore(folder, file, |out| encode_tensors(out, &tensors, &BTreeMap::new()))?)
        });
        told(folder, file, damage, mended)
    }
}

impl Again {
    fn recipe(&self, key: &str) -> Result<Recipe> {
        let recipe = Recipe::open(&self.root, &self.job)?;
        let found = recipe.key();
        if found == key {
            return Ok(recipe);
        }
        let expected = format!("data set, weights and processor of feature store {key}");
        Err(Error::argument("what the features are made of", expected, format!("those of {found}")))
    }
}

/// Replaces the damaged shard of a unit by one of the same rows.
pub(super) fn restore_shard(
    recipe: &Recipe,
    unit: &Unit,
    rows: &[f32],
    folder: &Path,
    file: &FileRef,
) -> Result<()> {
    Ok(storage::restore(folder, file, |out| write_unit(out, recipe, unit, rows))?)
}

/// Adds to the error why the damage could not be repaired.
fn told(folder: &Path, file: &FileRef, damage: Error, mended: Result<()>) -> Result<()> {
    let path = folder.join(&file.name);
    mended.map_err(|why| match why.fate() {
        // A full disk, for example: all of it must be tried again.
        crate::Fate::Retry => why,
        crate::Fate::Halt => Error::damaged(
            &path,
            "what was published, or the means to compute it again",
            format!("{damage}; {why}"),
        ),
    })
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
