//! The rows of one split: read on demand, standardised, and kept in memory when they are few.

use super::Standard;
use super::mend::{Mend, ShardAt};
use crate::{Fate, Result};
use half::slice::HalfFloatSliceExt;
use protocol::FileRef;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use storage::FeatureManifest;
use storage::arrays::{Dtype, Npy};

/// A split of at most this many bytes as f32 is kept in memory.
const KEEP_BYTES: usize = 96 << 20;

/// The rows of one split: for training images copy after copy, for other splits one for each image.
#[derive(Debug)]
pub struct Rows {
    folder: PathBuf,
    key: String,
    split: String,
    /// Repairs a damaged shard.
    pub(super) mend: Option<Arc<dyn Mend>>,
    columns: usize,
    shards: Vec<Shard>,
    pub(super) labels: Vec<u32>,
    length: usize,
    copies: usize,
    standard: Option<Arc<Standard>>,
    /// Up to this size, in bytes as f32, all rows are kept.
    pub(super) keep_bytes: usize,
    /// All rows, when they are few.
    kept: OnceLock<Vec<f32>>,
    /// Whether rows could not be read: the server refuses an open file for ever once it has forgotten it.
    failed: AtomicBool,
}

/// Loaded rows, in the order of the store.
#[derive(Debug, Default)]
pub struct Window {
    /// For each requested row: its place in `values`, or in the kept rows.
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
    pub(super) fn new(
        folder: &Path,
        manifest: &FeatureManifest,
        (split, copies): (&str, usize),
        standard: Option<Arc<Standard>>,
    ) -> Rows {
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
            copies,
            standard,
            keep_bytes: KEEP_BYTES,
            kept: OnceLock::new(),
            failed: AtomicBool::new(false),
        }
    }

    /// Whether rows could not be read; a caller that wants them should open the store again.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Relaxed)
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// How many images there are.
    pub fn images(&self) -> usize {
        self.length / self.copies
    }

    /// The number of copies of each image; row `copy * images + image` is a copy's.
    pub fn copies(&self) -> usize {
        self.copies
    }

    /// The images of rows, by their index in the split.
    pub(crate) fn images_of(&self, rows: &[u32]) -> Vec<u32> {
        rows.iter().map(|row| row % self.images() as u32).collect()
    }

    /// Features of a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Each row's class.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// Whether all rows fit into memory, so that there is nothing to read ahead.
    pub(crate) fn is_kept(&self) -> bool {
        self.length * self.columns * 4 <= self.keep_bytes
    }

    /// Loads rows by their index, for [`Rows::batch`]; `window`'s memory is used again.
    ///
    /// Neighbouring rows of a shard are read at once, whatever the order of the indices.
    ///
    /// # Errors
    /// [`crate::Error::Storage`] names the shard.
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

    /// Puts some of the loaded rows, in the order of the indices, into `batch`, standardised: `[range.len(),
    /// columns]`.
    ///
    /// # Errors
    /// Those of [`Rows::load`].
    ///
    /// # Panics
    /// If fewer rows are loaded.
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
            read_rows(npy, from, now).inspect_err(|_| self.failed.store(true, Relaxed))?;
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
pub(in super::super) fn read_rows(npy: &Npy, first: usize, rows: &mut [f32]) -> Result<()> {
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
