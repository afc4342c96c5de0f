//! What is damaged in a feature store is computed again: the same bytes, and only those, take its place.

use super::compute::{compute_unit, write_unit};
use super::gather::statistics_tensors;
use super::{Recipe, units::Unit};
use crate::{Error, Result};
use protocol::{FileRef, Job};
use std::collections::BTreeMap;
use std::path::Path;
use storage::{FeatureManifest, FeatureShard, Root, encode_tensors};

/// What it takes to compute a store's features again.
#[derive(Clone, Debug)]
pub(super) struct Mend {
    pub(super) root: Root,
    pub(super) job: Job,
}

impl Mend {
    /// Computes a damaged shard again.
    ///
    /// # Errors
    /// `damage`, and why it could not be made good.
    pub(super) fn shard(&self, folder: &Path, key: &str, shard: &ShardAt<'_>, damage: Error) -> Result<()> {
        let mended = self.recipe(key).and_then(|recipe| {
            let first = |unit: &Unit| unit.split == shard.split && unit.row == shard.first;
            let unit = recipe.units().into_iter().find(first);
            let unit =
                unit.ok_or_else(|| Error::argument("a unit", format!("one of {}", shard.file.name), "none"))?;
            restore_shard(&recipe, &self.job, threads(), folder, &unit, shard.file)
        });
        told(folder, shard.file, damage, mended)
    }

    /// Computes a store's statistics again.
    ///
    /// # Errors
    /// As [`Mend::shard`].
    pub(super) fn statistics(
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

/// Where a shard's rows lie.
pub(super) struct ShardAt<'a> {
    pub(super) split: &'a str,
    pub(super) first: usize,
    pub(super) file: &'a FileRef,
}

impl ShardAt<'_> {
    pub(super) fn of(shard: &FeatureShard) -> ShardAt<'_> {
        ShardAt { split: &shard.split, first: shard.first_image as usize, file: &shard.file }
    }
}

/// Computes the shard of a unit again and puts it in the place of the damaged one.
pub(super) fn restore_shard(
    recipe: &Recipe,
    job: &Job,
    threads: usize,
    folder: &Path,
    unit: &Unit,
    file: &FileRef,
) -> Result<()> {
    let rows = compute_unit(recipe, job, threads, unit)?;
    Ok(storage::restore(folder, file, |out| write_unit(out, recipe, unit, &rows))?)
}

/// Adds to the damage why it could not be made good.
fn told(folder: &Path, file: &FileRef, damage: Error, mended: Result<()>) -> Result<()> {
    let path = folder.join(&file.name);
    mended.map_err(|why| match why.fate() {
        // A full disk, say: all of it is to be tried again.
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
