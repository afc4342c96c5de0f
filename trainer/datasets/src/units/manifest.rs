//! `dataset.json` of a data set of units: shards and the list of blocks, each with length and checksum.

use crate::{Kind, MANIFEST};
use protocol::FileRef;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::Path;
use storage::{Error, Result, check_file_name, read_whole, seal, unseal};

/// The schema that this version writes; a later one is refused by name.
pub const UNITS_SCHEMA: u32 = 1;

/// The form of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// A line of JSON.
    Lines,
    /// A file, named by a line: [`super::FileUnit`].
    Files,
}

/// The content of a data set of units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`UNITS_SCHEMA`].
    pub schema: u32,
    /// Always "units"; manifests of images name no kind.
    pub kind: String,
    /// The data set's name, which is its folder's.
    pub name: String,
    /// The form of its source: "jsonl", "csv", "folder".
    pub source: String,
    /// A hash that determines the units' bytes: the same command on the same source has the same hash.
    pub recipe: String,
    /// The form of a unit.
    pub form: Form,
    /// Units in all shards.
    pub units: u64,
    /// The shards, in order.
    pub shards: Vec<ShardEntry>,
    /// The list of blocks, `<i8` `[blocks, 5]`: shard, offset, bytes, units, and the bits of xxh3-64.
    pub blocks: FileRef,
    /// Notes on how the source was read and what was left out.
    pub notes: Vec<String>,
}

/// One shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardEntry {
    /// Lines of JSON, each with a newline at its end.
    pub lines: FileRef,
    /// The number of units.
    pub units: u64,
}

impl Manifest {
    /// Reads and checks a folder's manifest.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Io`], [`Error::Schema`], [`Error::Damaged`]; [`Error::Array`] for a data
    /// set of another kind.
    pub fn read(folder: &Path) -> Result<Manifest> {
        let path = folder.join(MANIFEST);
        let bytes = unseal(&path, &read_whole(&path)?.0)?;
        let manifest: Manifest = Kind::Units.parse(&path, &bytes, UNITS_SCHEMA)?;
        match manifest.contradiction() {
            Some(found) => Err(Error::damaged(&path, "a manifest that agrees with itself", found)),
            None => Ok(manifest),
        }
    }

    /// The manifest's text; the same data set always has the same bytes.
    pub fn to_json(&self) -> String {
        seal(&serde_json::to_string_pretty(self).expect("a manifest has only string keys"))
    }

    /// A hash of all units and their order, 64 hexadecimal digits.
    pub fn key(&self) -> String {
        let bytes = serde_json::to_vec(&(UNITS_SCHEMA, self.form, &self.shards));
        let digest = Sha256::digest(bytes.expect("a manifest has only string keys"));
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn contradiction(&self) -> Option<String> {
        let sum = self.shards.iter().try_fold(0_u64, |sum, shard| sum.checked_add(shard.units));
        if sum != Some(self.units) || self.units == 0 {
            return Some(format!("{} units, and another sum of its shards, or none", self.units));
        }
        let mut files = self.shards.iter().map(|shard| &shard.lines).chain([&self.blocks]);
        let leaves = |file: &&FileRef| file.name.contains('/') || check_file_name(&file.name).is_err();
        files.find(leaves).map(|file| format!("a file name {:?} that leaves the folder", file.name))
    }
}
