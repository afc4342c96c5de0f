//! A text that is read once, from a file or from standard input: hashed, reported, and freed of its mark.

use crate::files::open_plain;
use crate::{Error, Result};
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use twox_hash::XxHash3_128;

/// Bytes that are read at once.
pub(crate) const CHUNK: usize = 1 << 20;
/// Bytes of the beginning that are looked at together: the heading of a table is among them.
const HEAD: u64 = 1 << 16;

/// A report while a text is read.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// The number of bytes that will be read.
    Planned {
        /// Bytes of the source.
        bytes: u64,
    },
    /// The number of bytes that were read since the last report.
    Done {
        /// The number of bytes.
        bytes: u64,
    },
    /// A note on how the source was read or what was left out.
    Note(&'a str),
}

/// The receiver of reports.
pub(crate) type Watch<'a> = &'a (dyn Fn(Progress) + Sync);

/// The name of a source in messages: its path, or standard input for `-`.
pub(crate) fn called(path: &Path) -> PathBuf {
    if path == Path::new("-") { "standard input".into() } else { path.to_owned() }
}

/// Hashes everything that is read.
pub(crate) struct Hashed<'a> {
    text: Box<dyn Read>,
    hash: Box<XxHash3_128>,
    progress: Watch<'a>,
}

impl<'a> Hashed<'a> {
    /// Opens a plain file, or standard input for `-`; also returns its length, if it is known.
    pub(crate) fn open(path: &Path, progress: Watch<'a>) -> Result<(Hashed<'a>, Option<u64>)> {
        if path == Path::new("-") {
            return Ok((Hashed::new(Box::new(io::stdin()), progress), None));
        }
        let file = open_plain(path)?;
        let bytes = file.metadata().map_err(Error::io("look at", path))?.len();
        Ok((Hashed::new(Box::new(file), progress), Some(bytes)))
    }

    /// Reads an open text.
    pub(crate) fn new(text: Box<dyn Read>, progress: Watch<'a>) -> Hashed<'a> {
        Hashed { text, hash: Box::new(XxHash3_128::new()), progress }
    }

    /// The hash of the bytes so far, 32 hexadecimal digits.
    pub(crate) fn hash(&self) -> String {
        format!("{:032x}", self.hash.finish_128())
    }

    /// Reads the rest, and returns the hash of all of it.
    pub(crate) fn rest(mut self, path: &Path) -> Result<String> {
        let mut chunk = vec![0; CHUNK];
        while self.read(&mut chunk).map_err(Error::io("read", path))? > 0 {}
        Ok(self.hash())
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
pub(crate) fn without_mark<R: Read>(path: &Path, mut text: R) -> Result<impl Read> {
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
