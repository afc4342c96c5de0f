//! Texts in which each line or row is a unit. The file's ending determines the form. A text is read once and
//! hashed at the same time.

use super::push::{CHUNK, Push};
use super::{Progress, Watch, lines, recipe, rows};
use crate::files::open_plain;
use crate::{Error, Result};
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use twox_hash::XxHash3_128;

/// Bytes of the beginning that are looked at together: the heading of a table is among them.
const HEAD: u64 = 1 << 16;

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
            return Ok(Text { path: "standard input".into(), kind: Kind::Jsonl, file: None });
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
        Ok((notes, hashed.recipe(name)))
    }

    /// The recipe. It depends only on the content, not on the text's place.
    pub(super) fn recipe(self, progress: Watch) -> Result<String> {
        let (path, name) = (self.path.clone(), self.kind());
        let mut hashed = self.hashed(progress);
        let mut chunk = vec![0; CHUNK];
        while hashed.read(&mut chunk).map_err(Error::io("read", &path))? > 0 {}
        Ok(hashed.recipe(name))
    }

    fn hashed(self, progress: Watch<'_>) -> Hashed<'_> {
        let text: Box<dyn Read> = match self.file {
            Some(file) => Box::new(file),
            None => Box::new(io::stdin()),
        };
        Hashed { text, hash: Box::new(XxHash3_128::new()), progress }
    }
}

/// Hashes everything that is read.
struct Hashed<'a> {
    text: Box<dyn Read>,
    hash: Box<XxHash3_128>,
    progress: Watch<'a>,
}

impl Hashed<'_> {
    fn recipe(&self, kind: &str) -> String {
        recipe(kind, format!("{:032x}", self.hash.finish_128()))
    }
}

impl Read for Hashed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = loop {
            match self.text.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.hash.write(&buffer[..read]);
        (self.progress)(Progress::Done { bytes: read as u64 });
        Ok(read)
    }
}

/// The text without the byte order mark of UTF-8, if it has one; UTF-16 is refused.
fn without_mark<R: Read>(path: &Path, mut text: R) -> Result<impl Read> {
    let mut head = Vec::new();
    text.by_ref().take(HEAD).read_to_end(&mut head).map_err(Error::io("read", path))?;
    match head[..] {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            return Err(Error::input(path, "a text in UTF-8", "one in UTF-16; save it as UTF-8"));
        }
        [0xef, 0xbb, 0xbf, ..] => drop(head.drain(..3)),
        _ => {}
    }
    Ok(Cursor::new(head).chain(text))
}
