//! The state that a round made for all workers: the parameters, and the memory for the next step; in one file
//! or in slices.

use super::chunked::{Chunked, Notes};
use super::saved::number;
use crate::Result;
use protocol::FileRef;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use work::Failed;

/// Key of the list of slices in an index.
pub(super) const SLICES: &str = "slices";

/// A combined state, open for reading any part of it.
#[derive(Debug)]
pub(super) struct Common {
    path: PathBuf,
    /// The files, in order.
    parts: Vec<Chunked>,
    notes: Notes,
}

impl Common {
    /// Opens a combine's state of `length` parameters in `folder`.
    ///
    /// # Errors
    /// Those of reading it; if it has another number of parameters.
    pub(super) fn open(folder: &Path, file: &FileRef, length: usize) -> Result<Common> {
        let first = Chunked::open(folder, file)?;
        let (path, notes) = (first.path().to_owned(), first.notes().clone());
        let parts = match notes.contains_key(SLICES) {
            true => {
                first.verify()?; // an index is text, for which no chunk answers
                let slices: Vec<FileRef> = parsed(&path, &notes, SLICES)?;
                slices.iter().map(|slice| Chunked::open(folder, slice)).collect::<Result<_>>()?
            }
            false => vec![first],
        };
        let found: usize = parts.iter().map(Chunked::length).sum();
        if found != length {
            return Err(Failed::damaged(&path, format!("{length} parameters"), found.to_string()));
        }
        Ok(Common { path, parts, notes })
    }

    /// An array.
    ///
    /// # Errors
    /// As [`Common::read`].
    pub(super) fn array(&self, name: &str) -> Result<Vec<f32>> {
        let mut values = vec![0.0; self.parts.iter().map(Chunked::length).sum()];
        self.read(name, 0, &mut values)?;
        Ok(values)
    }

    /// Reads values of an array into `values`, from `from` on: whole chunks, or the rest of the array.
    ///
    /// # Errors
    /// If there is no such array or a checksum is wrong; those of reading.
    pub(super) fn read(&self, name: &str, from: usize, values: &mut [f32]) -> Result<()> {
        let (wanted, mut first, mut raw) = (from..from + values.len(), 0, Vec::new());
        for part in &self.parts {
            let end = first + part.length();
            let some = wanted.start.clamp(first, end)..wanted.end.clamp(first, end);
            if !some.is_empty() {
                part.read(
                    name,
                    some.start - first,
                    &mut values[some.start - from..some.end - from],
                    &mut raw,
                )?;
            }
            first = end;
        }
        Ok(())
    }

    /// A number from the text.
    pub(super) fn number<T: FromStr>(&self, key: &str) -> Result<T> {
        number(&self.path, &self.notes, key)
    }

    /// The text.
    pub(super) fn notes(&self) -> &Notes {
        &self.notes
    }
}

/// The JSON value of a key in a file's text.
pub(super) fn parsed<T: serde::de::DeserializeOwned>(file: &Path, notes: &Notes, key: &str) -> Result<T> {
    let text = notes.get(key).map_or("none", String::as_str);
    serde_json::from_str(text)
        .map_err(|error| Failed::damaged(file, format!("{key:?} as JSON"), error.to_string()))
}

/// The value of such a key: files that the text names.
pub(super) fn json(files: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(files)
        .map_err(|error| Failed::argument("names of files", "JSON", error.to_string()))
}
