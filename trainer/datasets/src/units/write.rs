//! Writes a data set of units: it receives lines one by one and writes shards of whole blocks.

use super::blocks::{Block, MOST_BYTES, MOST_UNITS, write_blocks};
use super::{Form, MAX_UNIT_BYTES, Manifest, ShardEntry, UNITS_SCHEMA};
use std::io::Write;
use std::path::{Path, PathBuf};
use storage::{Error, Publication, Result};
use twox_hash::XxHash3_64;

/// The largest number of bytes in a shard.
const SHARD_BYTES: u64 = 64 << 20;

/// The manifest's entries besides its files.
#[derive(Clone, Debug)]
pub struct About {
    /// The data set's name.
    pub name: String,
    /// The form of its source.
    pub source: String,
    /// A hash of everything that determines its units.
    pub recipe: String,
    /// Notes on how the source was read and what was left out.
    pub notes: Vec<String>,
}

/// Writes shards into a folder, which becomes a data set when a manifest is written into it.
pub struct Writer {
    folder: PathBuf,
    form: Form,
    shard_bytes: u64,
    /// The shard that is being written, with its bytes and units so far.
    open: Option<(Publication, u64, u64)>,
    shards: Vec<ShardEntry>,
    blocks: Vec<Block>,
    /// The current block: lines with their ends, and the number of lines.
    block: (Vec<u8>, u64),
}

impl Writer {
    /// Begins in a folder that exists and has no other writer.
    pub fn new(folder: &Path, form: Form) -> Writer {
        Writer {
            folder: folder.to_owned(),
            form,
            shard_bytes: SHARD_BYTES,
            open: None,
            shards: Vec::new(),
            blocks: Vec::new(),
            block: (Vec::with_capacity(MOST_BYTES), 0),
        }
    }

    /// Adds a unit.
    ///
    /// # Errors
    /// [`Error::Unfit`] for an empty line, one with a line end in it, and one that is too long;
    /// [`Error::Io`].
    pub fn push(&mut self, line: &str) -> Result<()> {
        let ends = |end| line.as_bytes().contains(&end);
        if line.is_empty() || line.len() > MAX_UNIT_BYTES || ends(b'\n') || ends(b'\r') {
            let expected = format!("one line of 1 to {MAX_UNIT_BYTES} bytes");
            return Err(Error::unfit("a unit", expected, format!("{} bytes", line.len())));
        }
        let (bytes, units) = (&mut self.block.0, self.block.1);
        if units == MOST_UNITS || (units > 0 && bytes.len() + line.len() + 1 > MOST_BYTES) {
            self.end_block()?;
        }
        self.block.0.extend_from_slice(line.as_bytes());
        self.block.0.push(b'\n');
        self.block.1 += 1;
        Ok(())
    }

    /// Makes everything durable and returns the manifest. The folder is a data set once the manifest is
    /// written into it under the name [`crate::MANIFEST`].
    ///
    /// # Errors
    /// [`Error::Unfit`] if there is no unit; [`Error::Io`].
    pub fn finish(mut self, about: About) -> Result<Manifest> {
        self.end_block()?;
        self.end_shard()?;
        if self.blocks.is_empty() {
            return Err(Error::unfit("a data set of units", "one unit or more", "none"));
        }
        let blocks = write_blocks(&self.folder, &self.blocks)?;
        let About { name, source, recipe, notes } = about;
        let units = self.shards.iter().map(|shard| shard.units).sum();
        let (schema, kind) = (UNITS_SCHEMA, "units".to_owned());
        let (form, shards) = (self.form, self.shards);
        Ok(Manifest { schema, kind, name, source, recipe, form, units, shards, blocks, notes })
    }

    fn end_block(&mut self) -> Result<()> {
        let (bytes, units) = (self.block.0.len() as u64, self.block.1);
        if units == 0 {
            return Ok(());
        }
        if self.open.as_ref().is_some_and(|(_, written, _)| written + bytes > self.shard_bytes) {
            self.end_shard()?;
        }
        let shard = self.shards.len();
        let name = format!("units-{shard:05}.jsonl");
        let (file, written, so_far) = match &mut self.open {
            Some(open) => open,
            none => none.insert((Publication::begin_named(&self.folder, name.clone())?, 0, 0)),
        };
        file.write_all(&self.block.0).map_err(Error::io("write", &self.folder.join(name)))?;
        let (offset, xxh3) = (*written, XxHash3_64::oneshot(&self.block.0));
        self.blocks.push(Block { shard, offset, bytes: bytes as usize, units, xxh3 });
        *written += bytes;
        *so_far += units;
        self.block.0.clear();
        self.block.1 = 0;
        Ok(())
    }

    fn end_shard(&mut self) -> Result<()> {
        if let Some((file, _, units)) = self.open.take() {
            self.shards.push(ShardEntry { lines: file.finish()?, units });
        }
        Ok(())
    }

    /// Smaller shards, for tests.
    #[cfg(test)]
    pub(super) fn with_shards_of(mut self, bytes: u64) -> Writer {
        self.shard_bytes = bytes;
        self
    }
}
