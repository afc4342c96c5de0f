//! The list of blocks: the bytes of a shard that hold certain units, each block with a checksum.

use super::{MAX_UNIT_BYTES, Manifest, PATIENCE};
use protocol::FileRef;
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use storage::arrays::{Dtype, write_npy};
use storage::{Error, Publication, Result, open_within};

/// The largest number of units in a block.
pub(super) const MOST_UNITS: u64 = 256;
/// The largest number of bytes in a block with more than one unit, newlines included.
pub(super) const MOST_BYTES: usize = 1 << 20;

const NAME: &str = "units-blocks.npy";
const COLUMNS: usize = 5;

/// The place of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) shard: usize,
    pub(super) offset: u64,
    pub(super) bytes: usize,
    pub(super) units: u64,
    pub(super) xxh3: u64,
}

/// The blocks of a data set, each with the first of its units.
#[derive(Debug)]
pub(super) struct Blocks(Vec<(u64, Block)>);

/// Writes a list of blocks.
pub(super) fn write_blocks(folder: &Path, blocks: &[Block]) -> Result<FileRef> {
    let row = |block: &Block| {
        let numbers = [block.shard as u64, block.offset, block.bytes as u64, block.units, block.xxh3];
        numbers.map(u64::cast_signed)
    };
    let rows: Vec<i64> = blocks.iter().flat_map(row).collect();
    let mut file = Publication::begin_named(folder, NAME.to_owned())?;
    let shape = [blocks.len() as u64, COLUMNS as u64];
    let written = write_npy(&mut file, &shape, &rows).and_then(|()| file.flush());
    written.map_err(Error::io("write", &folder.join(NAME)))?;
    file.finish()
}

impl Blocks {
    /// Reads a data set's list, and checks that its blocks are exactly those of the manifest.
    pub(super) fn read(folder: &Path, manifest: &Manifest) -> Result<Blocks> {
        let path = folder.join(&manifest.blocks.name);
        let most = manifest.units.saturating_mul(COLUMNS as u64 * 8).saturating_add(4096);
        if manifest.blocks.bytes > most {
            let expected = format!("blocks of {} units, at most {most} bytes", manifest.units);
            return Err(Error::damaged(&path, expected, format!("{} bytes", manifest.blocks.bytes)));
        }
        let opened = open_within(folder, &manifest.blocks, PATIENCE)?;
        opened.verify()?;
        let npy = opened.into_npy()?;
        npy.expect(Dtype::I64, &[None, Some(COLUMNS)])?;
        let mut rows = vec![0_i64; npy.rows() * COLUMNS];
        npy.read_rows(0..npy.rows(), &mut rows)?;
        let of = |[shard, offset, bytes, units, xxh3]: [i64; COLUMNS]| Block {
            shard: shard as usize,
            offset: offset.cast_unsigned(),
            bytes: bytes as usize,
            units: units.cast_unsigned(),
            xxh3: xxh3.cast_unsigned(),
        };
        let blocks: Vec<Block> = rows.as_chunks().0.iter().copied().map(of).collect();
        match contradiction(manifest, &blocks) {
            Some(found) => Err(Error::damaged(&path, "blocks that make the manifest's shards", found)),
            None => Ok(Blocks::new(blocks)),
        }
    }

    fn new(blocks: Vec<Block>) -> Blocks {
        let first = blocks.iter().scan(0, |next, block| {
            let first = *next;
            *next += block.units;
            Some(first)
        });
        let first: Vec<u64> = first.collect();
        Blocks(first.into_iter().zip(blocks).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn place(&self, block: usize) -> Block {
        self.0[block].1
    }

    /// The units of a block.
    pub(super) fn units(&self, block: usize) -> Range<u64> {
        let (first, block) = self.0[block];
        first..first + block.units
    }

    /// The blocks that contain units of a range.
    pub(super) fn overlapping(&self, range: &Range<u64>) -> Range<usize> {
        if range.is_empty() {
            return 0..0;
        }
        let first = self.0.partition_point(|&(first, block)| first + block.units <= range.start);
        let end = self.0.partition_point(|&(first, _)| first < range.end);
        first..end
    }
}

/// The first place where the blocks do not cover the shards one after the other.
fn contradiction(manifest: &Manifest, blocks: &[Block]) -> Option<String> {
    let mut rest = blocks.iter().peekable();
    for (number, shard) in manifest.shards.iter().enumerate() {
        let (mut bytes, mut units) = (0, 0);
        while let Some(block) = rest.next_if(|block| block.shard == number) {
            let sized = (1..=MOST_UNITS).contains(&block.units) && block.bytes <= MAX_UNIT_BYTES + 1;
            if block.offset != bytes || !sized {
                return Some(format!(
                    "a block of {} units at byte {} of shard {number}",
                    block.units, block.offset
                ));
            }
            bytes += block.bytes as u64;
            units += block.units;
        }
        if (bytes, units) != (shard.lines.bytes, shard.units) {
            return Some(format!("{units} units in {bytes} bytes of {}", shard.lines.name));
        }
    }
    rest.next().map(|block| format!("a block of shard {}", block.shard))
}
