//! Dataset folders of units: lines of JSON in shards, cut into blocks that are read and verified one by one.
//!
//! `data-prep` writes a folder once, and nothing changes it afterwards. A unit is one line. If the units are
//! files, these are in the data set too, and a unit's line names one file with its length and checksum.

mod blocks;
mod file;
mod manifest;
mod write;

pub use file::FileUnit;
pub use manifest::{Form, Manifest, ShardEntry, UNITS_SCHEMA};
pub use write::{About, Writer};

use blocks::Blocks;
use protocol::FileRef;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use storage::{Error, Opened, Result, open_within};
use twox_hash::XxHash3_64;

/// The longest unit, in bytes.
pub const MAX_UNIT_BYTES: usize = 1 << 20;

/// The time to wait for a file that is not visible. It is short: data sets are complete long before they are
/// used.
const PATIENCE: Duration = Duration::from_secs(2);

/// An open data set of units.
#[derive(Debug)]
pub struct Units {
    folder: PathBuf,
    manifest: Manifest,
    key: String,
    blocks: Blocks,
    last: Mutex<Last>,
}

/// The shard and the block that were read last: the next read mostly needs them again.
#[derive(Debug, Default)]
struct Last {
    shard: Option<(usize, Arc<Opened>)>,
    block: Option<(usize, Arc<Vec<String>>)>,
}

impl Units {
    /// Opens a data set: reads its manifest and its list of blocks, and no unit.
    ///
    /// # Errors
    /// [`Error::Missing`] and [`Error::Io`] if a file is not visible or cannot be read, [`Error::Damaged`],
    /// [`Error::Schema`] if a later version wrote it, [`Error::Array`] for a data set of another kind.
    pub fn open(folder: &Path) -> Result<Units> {
        let manifest = Manifest::read(folder)?;
        let blocks = Blocks::read(folder, &manifest)?;
        let (folder, key, last) = (folder.to_owned(), manifest.key(), Mutex::default());
        Ok(Units { folder, manifest, key, blocks, last })
    }

    /// The number of its units.
    pub fn count(&self) -> u64 {
        self.manifest.units
    }

    /// A hash of all units and their order, 64 hexadecimal digits: equal keys mean equal units.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether its units are lines or files.
    pub fn form(&self) -> Form {
        self.manifest.form
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The content of `dataset.json`.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The lines of the units of a range, without line ends. Only their blocks are read; each is verified.
    ///
    /// # Errors
    /// [`Error::Missing`] and [`Error::Io`] if a shard is not visible or cannot be read; [`Error::Damaged`];
    /// [`Error::Unfit`] for a range outside the data set.
    pub fn lines(&self, range: Range<u64>) -> Result<Vec<String>> {
        if range.start > range.end || range.end > self.count() {
            let expected = format!("a range within 0..{}", self.count());
            return Err(Error::unfit("units to read", expected, format!("{range:?}")));
        }
        let mut lines = Vec::with_capacity((range.end - range.start) as usize);
        for block in self.blocks.overlapping(&range) {
            let units = self.blocks.units(block);
            let (from, to) = (range.start.max(units.start), range.end.min(units.end));
            let inside = (from - units.start) as usize..(to - units.start) as usize;
            lines.extend_from_slice(&self.block(block)?[inside]);
        }
        Ok(lines)
    }

    /// The files of the data set except `dataset.json`: blocks, shards, and the units' own files.
    ///
    /// # Errors
    /// The same as [`Units::lines`].
    pub fn files(&self) -> Result<Vec<FileRef>> {
        let shards = self.manifest.shards.iter().map(|shard| shard.lines.clone());
        let mut files: Vec<FileRef> = [self.manifest.blocks.clone()].into_iter().chain(shards).collect();
        if self.form() == Form::Files {
            for block in 0..self.blocks.len() {
                for line in self.block(block)?.iter() {
                    files.push(self.file(line)?.reference());
                }
            }
        }
        Ok(files)
    }

    /// Reads every file once and checks it.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Io`], [`Error::Damaged`].
    pub fn verify(&self) -> Result<()> {
        self.files()?.iter().try_for_each(|file| open_within(&self.folder, file, PATIENCE)?.verify())
    }

    /// The file that a unit's line names, in a data set of files.
    ///
    /// # Errors
    /// [`Error::Damaged`] for a line that names no file.
    pub fn file(&self, line: &str) -> Result<FileUnit> {
        FileUnit::parse(&self.folder, line)
    }

    /// The lines of a block, verified.
    fn block(&self, block: usize) -> Result<Arc<Vec<String>>> {
        let last = || self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, lines)) = last().block.as_ref().filter(|(known, _)| *known == block) {
            return Ok(lines.clone());
        }
        let at = self.blocks.place(block);
        let known = last().shard.as_ref().filter(|(known, _)| *known == at.shard).map(|(_, s)| s.clone());
        let shard = match known {
            Some(shard) => shard,
            None => {
                let opened = open_within(&self.folder, &self.manifest.shards[at.shard].lines, PATIENCE)?;
                let opened = Arc::new(opened);
                last().shard = Some((at.shard, opened.clone()));
                opened
            }
        };
        let mut bytes = vec![0; at.bytes];
        shard.read_exact_at(&mut bytes, at.offset)?;
        let hash = XxHash3_64::oneshot(&bytes);
        let part = || format!("in bytes {} to {}", at.offset, at.offset + at.bytes as u64);
        if hash != at.xxh3 {
            let expected = format!("xxh3 {:016x} {}", at.xxh3, part());
            return Err(Error::damaged(shard.path(), expected, format!("xxh3 {hash:016x}")));
        }
        let expected = format!("{} lines {}", at.units, part());
        let text = String::from_utf8(bytes)
            .map_err(|_| Error::damaged(shard.path(), &*expected, "bytes that are no UTF-8"))?;
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        if lines.len() as u64 != at.units || !text.ends_with('\n') {
            return Err(Error::damaged(shard.path(), expected, format!("{} lines", lines.len())));
        }
        let lines = Arc::new(lines);
        last().block = Some((block, lines.clone()));
        Ok(lines)
    }
}

#[cfg(test)]
mod tests;
