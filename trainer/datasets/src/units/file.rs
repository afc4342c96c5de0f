//! A unit that is a file: the line that names it.

use protocol::FileRef;
use serde::{Deserialize, Serialize};
use std::path::Path;
use storage::{Error, Result, check_file_name};

/// A file of the data set, as its unit's line describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileUnit {
    /// Its path below the data set's folder: `files/a/b.png`.
    pub file: String,
    /// Its path in the source, if some systems do not accept that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its length.
    pub bytes: u64,
    /// Its xxh3-128, 32 hexadecimal digits.
    pub xxh3: String,
}

impl FileUnit {
    /// The unit's line.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("a unit has only string keys")
    }

    /// A reference by which the file is opened and verified.
    pub fn reference(&self) -> FileRef {
        FileRef { name: self.file.clone(), bytes: self.bytes, xxh3: self.xxh3.clone() }
    }

    pub(super) fn parse(folder: &Path, line: &str) -> Result<FileUnit> {
        let damaged = |found: String| Error::damaged(folder, "units that name files below files/", found);
        let unit: FileUnit = serde_json::from_str(line).map_err(|error| damaged(error.to_string()))?;
        if !unit.file.starts_with("files/") || check_file_name(&unit.file).is_err() {
            return Err(damaged(format!("{:?}", unit.file)));
        }
        Ok(unit)
    }
}
