//! A feature store opened for training: the rows of its splits, their labels, and their standardisation.

mod mend;
mod rows;

pub(super) use mend::{Mend, ShardAt};
pub(super) use rows::read_rows;
pub use rows::{Rows, Window};

use super::recipe::AUGMENT;
use super::units::SPLITS;
use crate::job::Augment;
use crate::{Error, Fate, Result};
use protocol::{FeatureStore, FileRef};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use storage::{FeatureManifest, Root};

/// Name of the file, and key in the manifest, of the columns' statistics and the labels.
pub(super) const STATISTICS: &str = "statistics";
/// The prefix of a split's name in the name of its labels.
pub(super) const LABELS: &str = "labels.";
/// Below this a column counts as constant: it is shifted to 0 and not scaled.
const CONSTANT: f32 = 1e-8;

/// A feature store, open for reading.
#[derive(Debug)]
pub struct Store {
    manifest: FeatureManifest,
    classes: Vec<String>,
    splits: BTreeMap<String, Rows>,
    standard: Option<Arc<Standard>>,
}

/// The numbers that scale columns to mean 0 and deviation 1.
#[derive(Debug)]
pub struct Standard {
    /// Each column's mean over all copies of the training images.
    pub mean: Vec<f32>,
    /// 1 over each column's standard deviation; 1 for a constant column.
    pub inverse: Vec<f32>,
}

impl Standard {
    /// A row, standardised.
    fn row(&self, row: &[f32]) -> impl Iterator<Item = f32> {
        row.iter().zip(&self.mean).zip(&self.inverse).map(|((value, mean), inverse)| (value - mean) * inverse)
    }

    fn apply(&self, rows: &mut [f32]) {
        for row in rows.chunks_exact_mut(self.mean.len()) {
            for ((value, mean), inverse) in row.iter_mut().zip(&self.mean).zip(&self.inverse) {
                *value = (*value - mean) * inverse;
            }
        }
    }
}

type Warm = Vec<(PathBuf, FileRef, bool, Arc<Store>)>;
/// The stores that this process opened last.
static WARM: Mutex<Warm> = Mutex::new(Vec::new());

impl Store {
    /// Opens a store, or returns the one that this process has open. `mend` repairs damaged files in it.
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::Damaged`] name the file.
    pub(super) fn open(
        root: &Root,
        standardise: bool,
        features: &FeatureStore,
        mend: Arc<dyn Mend>,
    ) -> Result<Arc<Store>> {
        let folder = root.features(&features.key)?;
        let reference = features.manifest.as_ref().ok_or_else(|| {
            Error::argument(format!("feature store {}", features.key), "a finished one", "no manifest yet")
        })?;
        let is_it = |warm: &&(PathBuf, FileRef, bool, Arc<Store>)| {
            warm.0 == folder && warm.1 == *reference && warm.2 == standardise && !warm.3.has_failed()
        };
        if let Some(warm) = WARM.lock().unwrap_or_else(PoisonError::into_inner).iter().find(is_it) {
            return Ok(warm.3.clone());
        }
        storage::open(&folder, reference)?.verify()?;
        let store = Arc::new(Store::read(&folder, standardise, Some(mend))?);
        let mut warm = WARM.lock().unwrap_or_else(PoisonError::into_inner);
        warm.truncate(1);
        warm.insert(0, (folder, reference.clone(), standardise, store.clone()));
        Ok(store)
    }

    fn read(folder: &Path, standardise: bool, mend: Option<Arc<dyn Mend>>) -> Result<Store> {
        let manifest = FeatureManifest::open(folder)?;
        let path = folder.join("features.json");
        let part = |key: &str| manifest.made_of.get(key).cloned().unwrap_or_default();
        let unreadable =
            |error: serde_json::Error| Error::damaged(&path, "statistics and classes", error.to_string());
        let statistics: FileRef = serde_json::from_value(part(STATISTICS)).map_err(unreadable)?;
        let classes: Vec<String> = serde_json::from_value(part("classes")).map_err(unreadable)?;
        let augment: Option<Augment> = serde_json::from_value(part(AUGMENT)).map_err(unreadable)?;
        let mut tensors = match (storage::read_tensors(folder, &statistics).map_err(Error::from), &mend) {
            (Err(damage), Some(mend)) if damage.fate() == Fate::Halt => {
                mend.statistics(folder, &manifest, &statistics, damage)?;
                storage::read_tensors(folder, &statistics)?
            }
            (read, _) => read?,
        };
        let columns = [manifest.columns as usize];
        let standard = Standard {
            mean: tensors.take_f32("mean", &columns)?,
            inverse: tensors.take_f32("deviation", &columns)?.into_iter().map(inverse).collect(),
        };
        let standard = standardise.then(|| Arc::new(standard));
        let mut splits = BTreeMap::new();
        let names: std::collections::BTreeSet<&str> =
            manifest.shards.iter().map(|s| s.split.as_str()).collect();
        for split in names {
            let copies =
                augment.filter(|_| split == SPLITS[0]).map_or(1, |augment| augment.copies.max(1) as usize);
            let mut rows = Rows::new(folder, &manifest, (split, copies), standard.clone());
            rows.mend = mend.clone();
            let labels = tensors.take_i64(&format!("{LABELS}{split}"), &[rows.images()])?;
            if let Some(label) = labels.iter().find(|&&label| label < 0 || label >= classes.len() as i64) {
                let expected = format!("labels from 0 to below {}", classes.len());
                return Err(Error::damaged(&folder.join(&statistics.name), expected, label.to_string()));
            }
            rows.labels = labels.into_iter().map(|label| label as u32).collect::<Vec<_>>().repeat(copies);
            splits.insert(split.to_owned(), rows);
        }
        Ok(Store { classes, splits, standard, manifest })
    }

    fn has_failed(&self) -> bool {
        self.splits.values().any(Rows::has_failed)
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes.len()
    }

    /// The classes' names, in the order of the labels.
    pub fn class_names(&self) -> &[String] {
        &self.classes
    }

    /// Features of an image.
    pub fn columns(&self) -> usize {
        self.manifest.columns as usize
    }

    /// The manifest, which describes the features.
    pub fn manifest(&self) -> &FeatureManifest {
        &self.manifest
    }

    /// The standardisation of the rows; none if they are read as they are.
    pub fn standard(&self) -> Option<&Standard> {
        self.standard.as_deref()
    }

    /// A split, if the store has it.
    pub fn split(&self, name: &str) -> Option<&Rows> {
        self.splits.get(name)
    }

    /// A split that every store has.
    pub(crate) fn need(&self, name: &str) -> Result<&Rows> {
        self.split(name).ok_or_else(|| {
            let what = format!("feature store {}", self.manifest.key);
            let names: Vec<&str> = self.splits.keys().map(String::as_str).collect();
            Error::argument(what, format!("a split {name:?}"), names.join(", "))
        })
    }
}

fn inverse(deviation: f32) -> f32 {
    if deviation > CONSTANT { 1.0 / deviation } else { 1.0 }
}

#[cfg(test)]
mod tests;
