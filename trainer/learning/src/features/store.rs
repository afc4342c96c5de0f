//! A feature store opened for training: rows read on demand, standardised, and kept in memory when they are few.

use super::mend::{Mend, ShardAt};
use crate::{Error, Fate, Result};
use half::slice::HalfFloatSliceExt;
use protocol::{FeatureStore, FileRef, Job};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use storage::arrays::{Dtype, Npy};
use storage::{FeatureManifest, Root};

/// Name of the file, and key in the manifest, of the columns' statistics and the labels.
pub(super) const STATISTICS: &str = "statistics";
/// What stands before a split's name in the name of its labels.
pub(super) const LABELS: &str = "labels.";
/// A split of at most so many bytes as f32 is kept in memory.
const KEEP_BYTES: usize = 96 << 20;
/// Below this a column counts as constant: it is moved to 0 and not stretched.
const CONSTANT: f32 = 1e-8;

/// A feature store, open for reading.
#[derive(Debug)]
pub struct Store {
    manifest: FeatureManifest,
    classes: Vec<String>,
    splits: BTreeMap<String, Rows>,
    standard: Option<Arc<Standard>>,
}

/// What brings a column to mean 0 and deviation 1.
#[derive(Debug)]
pub struct Standard {
    /// Each column's mean over the training images.
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
    /// Opens the store of a run, or gives the one that this process has open. What is damaged in it is computed again.
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::Damaged`] name the file.
    pub fn open(root: &Root, job: &Job, features: &FeatureStore) -> Result<Arc<Store>> {
        let standardise = job.standardises();
        let folder = root.features(&features.key)?;
        let reference = features.manifest.as_ref().ok_or_else(|| {
            Error::argument(format!("feature store {}", features.key), "a finished one", "no manifest yet")
        })?;
        let is_it = |warm: &&(PathBuf, FileRef, bool, Arc<Store>)| {
            warm.0 == folder && warm.1 == *reference && warm.2 == standardise
        };
        if let Some(warm) = WARM.lock().unwrap_or_else(PoisonError::into_inner).iter().find(is_it) {
            return Ok(warm.3.clone());
        }
        storage::open(&folder, reference)?.verify()?;
        let mend = Mend { root: root.clone(), job: job.clone() };
        let store = Arc::new(Store::read(&folder, standardise, Some(Arc::new(mend)))?);
        let mut warm = WARM.lock().unwrap_or_else(PoisonError::into_inner);
        warm.truncate(1);
        warm.insert(0, (folder, reference.clone(), standardise, store.clone()));
        Ok(store)
    }

    fn read(folder: &Path, standardise: bool, mend: Option<Arc<Mend>>) -> Result<Store> {
        let manifest = FeatureManifest::open(folder)?;
        let path = folder.join("features.json");
        let part = |key: &str| manifest.made_of.get(key).cloned().unwrap_or_default();
        let unreadable =
            |error: serde_json::Error| Error::damaged(&path, "statistics and classes", error.to_string());
        let statistics: FileRef = serde_json::from_value(part(STATISTICS)).map_err(unreadable)?;
        let classes: Vec<String> = serde_json::from_value(part("classes")).map_err(unreadable)?;
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
            let mut rows = Rows::new(folder, &manifest, split, standard.clone());
            rows.mend = mend.clone();
            let labels = tensors.take_i64(&format!("{LABELS}{split}"), &[rows.len()])?;
            if let Some(label) = labels.iter().find(|&&label| label < 0 || label >= classes.len() as i64) {
                let expected = format!("labels from 0 to below {}", classes.len());
                return Err(Error::damaged(&folder.join(&statistics.name), expected, label.to_string()));
            }
            rows.labels = labels.into_iter().map(|label| label as u32).collect();
            splits.insert(split.to_owned(), rows);
        }
        Ok(Store { classes, splits, standard, manifest })
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

    /// What the features were made of.
    pub fn manifest(&self) -> &FeatureManifest {
        &self.manifest
    }

    /// What standardises the rows; none if they are read as they are.
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

/// The rows of one split.
#[derive(Debug)]
pub struct Rows {
    folder: PathBuf,
    key: String,
    split: String,
    /// What makes a damaged shard good.
    mend: Option<Arc<Mend>>,
    columns: usize,
    shards: Vec<Shard>,
    labels: Vec<u32>,
    length: usize,
    standard: Option<Arc<Standard>>,
    /// Up to this size, in bytes as f32, all rows are kept.
    keep_bytes: usize,
    /// All rows, when they are few.
    kept: OnceLock<Vec<f32>>,
}

/// Rows that are loaded, in the order in which they lie in the store.
#[derive(Debug, Default)]
pub struct Window {
    /// For each row asked for: where it is in `values`, or in the kept rows.
    places: Vec<u32>,
    /// As stored, `[rows, columns]`; not used while all rows are kept.
    values: Vec<f32>,
}

#[derive(Debug)]
struct Shard {
    first: usize,
    file: FileRef,
    /// Opened, and its checksum verified, when it is first read.
    npy: OnceLock<Npy>,
}

impl Rows {
    fn new(folder: &Path, manifest: &FeatureManifest, split: &str, standard: Option<Arc<Standard>>) -> Rows {
        let shard = |shard: &storage::FeatureShard| Shard {
            first: shard.first_image as usize,
            file: shard.file.clone(),
            npy: OnceLock::new(),
        };
        Rows {
            folder: folder.to_owned(),
            key: manifest.key.clone(),
            split: split.to_owned(),
            mend: None,
            columns: manifest.columns as usize,
            length: manifest.split(split).map(|shard| shard.rows as usize).sum(),
            shards: manifest.split(split).map(shard).collect(),
            labels: Vec::new(),
            standard,
            keep_bytes: KEEP_BYTES,
            kept: OnceLock::new(),
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Each row's class.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// Whether all rows fit into memory, so that there is nothing to read ahead.
    pub(crate) fn is_kept(&self) -> bool {
        self.length * self.columns * 4 <= self.keep_bytes
    }

    /// Loads rows by their index, for [`Rows::batch`] to take from; `window`'s memory is used again.
    ///
    /// Rows that lie side by side in a shard are read at once, in whatever order they are asked for.
    ///
    /// # Errors
    /// [`Error::Storage`] names the shard.
    pub fn load(&self, indices: &[u32], window: &mut Window) -> Result<()> {
        window.places.clear();
        if self.kept()?.is_some() {
            window.places.extend_from_slice(indices);
            return Ok(());
        }
        let mut order: Vec<(u32, u32)> = indices.iter().copied().zip(0..).collect(); // (row, position)
        order.sort_unstable();
        window.places.resize(indices.len(), 0);
        window.values.resize(indices.len() * self.columns, 0.0);
        let mut place = 0;
        for run in order.chunk_by(|a, b| a.0 + 1 == b.0) {
            let values = &mut window.values[place * self.columns..][..run.len() * self.columns];
            self.read_run(run[0].0 as usize, values)?;
            for &(_, position) in run {
                window.places[position as usize] = place as u32;
                place += 1;
            }
        }
        Ok(())
    }

    /// Puts some of the loaded rows, in the order in which they were asked for, into `batch`, standardised:
    /// `[range.len(), columns]`.
    ///
    /// # Errors
    /// Those of [`Rows::load`].
    ///
    /// # Panics
    /// When so many rows are not loaded.
    pub fn batch(&self, window: &Window, range: Range<usize>, batch: &mut Vec<f32>) -> Result<()> {
        let kept = self.kept()?;
        let values = kept.unwrap_or(&window.values);
        let standard = self.standard.as_ref().filter(|_| kept.is_none());
        batch.clear();
        for &place in &window.places[range] {
            let row = &values[place as usize * self.columns..][..self.columns];
            match standard {
                Some(standard) => batch.extend(standard.row(row)),
                None => batch.extend_from_slice(row),
            }
        }
        Ok(())
    }

    /// Rows by their index, standardised: `[indices.len(), columns]`.
    ///
    /// # Errors
    /// Those of [`Rows::load`].
    pub fn gather(&self, indices: &[u32]) -> Result<Vec<f32>> {
        let (mut window, mut rows) = (Window::default(), Vec::new());
        self.load(indices, &mut window)?;
        self.batch(&window, 0..indices.len(), &mut rows)?;
        Ok(rows)
    }

    /// A range of rows, standardised: `[range.len(), columns]`.
    ///
    /// # Errors
    /// Those of [`Rows::load`].
    pub fn read(&self, range: Range<usize>) -> Result<Vec<f32>> {
        self.gather(&range.map(|row| row as u32).collect::<Vec<_>>())
    }

    /// All rows, when they are few enough to keep.
    fn kept(&self) -> Result<Option<&[f32]>> {
        if !self.is_kept() {
            return Ok(None);
        }
        if self.kept.get().is_none() {
            let mut rows = vec![0.0; self.length * self.columns];
            self.read_run(0, &mut rows)?;
            if let Some(standard) = &self.standard {
                standard.apply(&mut rows);
            }
            // Another thread may have been first, with the same rows.
            let _ = self.kept.set(rows);
        }
        Ok(self.kept.get().map(Vec::as_slice))
    }

    /// Reads rows from `first` on, over the borders of shards, as they are stored.
    fn read_run(&self, first: usize, rows: &mut [f32]) -> Result<()> {
        let (mut at, mut rows) = (first, rows);
        while !rows.is_empty() {
            let shard = &self.shards[self.shards.partition_point(|shard| shard.first <= at) - 1];
            let npy = self.open(shard)?;
            let from = at - shard.first;
            let count = (npy.rows() - from).min(rows.len() / self.columns);
            let (now, later) = rows.split_at_mut(count * self.columns);
            read_rows(npy, from, now)?;
            (at, rows) = (at + count, later);
        }
        Ok(())
    }

    /// Checks a shard's bytes; damaged ones are computed again.
    fn verify(&self, shard: &Shard) -> Result<()> {
        let whole = || -> Result<()> { Ok(storage::open(&self.folder, &shard.file)?.verify()?) };
        match (whole(), &self.mend) {
            (Err(damage), Some(mend)) if damage.fate() == Fate::Halt => {
                let at = ShardAt { split: &self.split, first: shard.first, file: &shard.file };
                mend.shard(&self.folder, &self.key, &at, damage)?;
                whole()
            }
            (verified, _) => verified,
        }
    }

    fn open<'a>(&self, shard: &'a Shard) -> Result<&'a Npy> {
        if shard.npy.get().is_none() {
            self.verify(shard)?;
            let npy = Npy::open(self.folder.join(&shard.file.name))?;
            let rows =
                self.shards.iter().map(|s| s.first).filter(|&f| f > shard.first).min().unwrap_or(self.length)
                    - shard.first;
            npy.expect(npy.dtype(), &[Some(rows), Some(self.columns)])?;
            let _ = shard.npy.set(npy);
        }
        Ok(shard.npy.get().expect("set just now, by this thread or another"))
    }
}

/// Reads rows of an array of single or half precision as they are stored.
pub(super) fn read_rows(npy: &Npy, first: usize, rows: &mut [f32]) -> Result<()> {
    let range = first..first + rows.len() / npy.row_len().max(1);
    if npy.dtype() != Dtype::F16 {
        return Ok(npy.read_rows(range, rows)?);
    }
    let mut halves = vec![0_u16; rows.len()];
    npy.read_rows(range, &mut halves)?;
    let halves: &[half::f16] = bytemuck::cast_slice(&halves);
    halves.convert_to_f32_slice(rows);
    Ok(())
}

#[cfg(test)]
mod tests;
