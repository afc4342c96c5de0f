//! The product of a run of units: an index of the results and of the dead letters, in `model/`.

use crate::Letter;
use protocol::FileRef;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;
use work::Failed;

/// The index's file.
pub const INDEX: &str = "results.json";
/// The file of the dead letters, if there are any.
pub const DEAD: &str = "dead.jsonl";
/// The newest schema of the index.
const SCHEMA: u32 = 1;

/// An index of results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Index {
    schema: u32,
    /// The sources of the results, as the workload describes them.
    pub made_of: Value,
    /// The number of units of each sort.
    #[serde(flatten)]
    pub counts: Counts,
    /// The files of the results, in the order of the units: a line of JSON each.
    pub shards: Vec<FileRef>,
    /// The dead letters: a line of JSON each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<FileRef>,
}

/// The number of units of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All units.
    pub units: u64,
    /// Units with a result.
    pub done: u64,
    /// Units without a result after the last try.
    pub dead: u64,
}

impl Index {
    /// An index of these files.
    pub(crate) fn new(made_of: Value, counts: Counts, shards: Vec<FileRef>, dead: Option<FileRef>) -> Index {
        Index { schema: SCHEMA, made_of, counts, shards, dead_letters: dead }
    }

    /// Reads the index of a run's `model` folder.
    ///
    /// # Errors
    /// [`Failed`], if it is missing, cannot be read, is damaged, or has a later schema.
    pub fn open(folder: &Path) -> Result<Index, Failed> {
        let path = folder.join(INDEX);
        let (text, _) = storage::read_whole(&path)?;
        let text = storage::unseal(&path, &text)?;
        let damaged =
            |error: serde_json::Error| Failed::damaged(&path, "an index of results", error.to_string());
        let index: Index = serde_json::from_slice(&text).map_err(damaged)?;
        if index.schema != SCHEMA {
            let what = path.display();
            return Err(Failed::argument(
                what,
                format!("schema {SCHEMA}"),
                format!("schema {}", index.schema),
            ));
        }
        Ok(index)
    }

    /// The dead letters, by the numbers of their units.
    ///
    /// # Errors
    /// [`Failed`], when their file is damaged or cannot be read.
    pub fn letters(&self, folder: &Path) -> Result<Vec<Letter>, Failed> {
        let Some(file) = &self.dead_letters else { return Ok(Vec::new()) };
        let text = storage::open(folder, file)?.read()?;
        let damaged = |error: serde_json::Error| {
            Failed::damaged(&folder.join(&file.name), "dead letters", error.to_string())
        };
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).map_err(damaged)).collect()
    }
}
