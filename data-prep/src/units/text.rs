//! Texts in which each line or row is a unit. The file's ending determines the form. A text is read once and
//! hashed at the same time.

use super::push::Push;
use super::{lines, recipe, rows};
use crate::files::open_plain;
use crate::reading::{Hashed, Watch, called, without_mark};
use crate::{Error, Result};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// A text before it is read.
pub(super) struct Text {
    path: PathBuf,
    kind: Kind,
    /// None for standard input.
    file: Option<File>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Jsonl,
    Csv,
    Tsv,
}

impl Text {
    pub(super) fn open(path: &Path) -> Result<Text> {
        if path == Path::new("-") {
            return Ok(Text { path: called(path), kind: Kind::Jsonl, file: None });
        }
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let kind = match &ending[..] {
            "jsonl" | "ndjson" => Kind::Jsonl,
            "csv" => Kind::Csv,
            "tsv" => Kind::Tsv,
            _ => {
                // Reports a missing source as missing.
                drop(open_plain(path)?);
                let way_out = match &ending[..] {
                    "json" => "; make a line of each element with jq -c '.[]'",
                    "gz" => "; unpack it, as in gunzip -c FILE | data-prep units - --out OUT",
                    _ => "",
                };
                let expected = ".jsonl, .ndjson, .csv or .tsv, a folder of files, or - for standard input";
                return Err(Error::input(path, expected, format!("the ending {ending:?}{way_out}")));
            }
        };
        Ok(Text { path: path.to_owned(), kind, file: Some(open_plain(path)?) })
    }

    /// Its path, for errors.
    pub(super) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// The name of its form.
    pub(super) fn kind(&self) -> &'static str {
        match self.kind {
            Kind::Jsonl => "jsonl",
            Kind::Csv => "csv",
            Kind::Tsv => "tsv",
        }
    }

    /// Its length, if it is known.
    pub(super) fn bytes(&self) -> Option<u64> {
        Some(self.file.as_ref()?.metadata().ok()?.len())
    }

    /// Passes each unit to `push`; returns notes for the user, and the recipe.
    pub(super) fn read(self, push: &mut Push, progress: Watch) -> Result<(Vec<String>, String)> {
        let (path, kind, name) = (self.path.clone(), self.kind, self.kind());
        let mut hashed = self.hashed(progress);
        let text = without_mark(&path, &mut hashed)?;
        let notes = match kind {
            Kind::Jsonl => lines::read(&path, text, push)?,
            Kind::Csv => rows::read(&path, text, None, push)?,
            Kind::Tsv => rows::read(&path, text, Some(b'\t'), push)?,
        };
        Ok((notes, recipe(name, hashed.hash())))
    }

    /// The recipe. It depends only on the content, not on the text's place.
    pub(super) fn recipe(self, progress: Watch) -> Result<String> {
        let (path, name) = (self.path.clone(), self.kind());
        Ok(recipe(name, self.hashed(progress).rest(&path)?))
    }

    fn hashed(self, progress: Watch<'_>) -> Hashed<'_> {
        match self.file {
            Some(file) => Hashed::new(Box::new(file), progress),
            None => Hashed::new(Box::new(io::stdin()), progress),
        }
    }
}
