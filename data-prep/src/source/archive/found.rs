//! The limits of an archive's members, and the members to read.

use crate::files::{FoundFile, Listing, is_litter};
use crate::{Error, Result};
use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// The limits of an archive. A small file can unpack to any size, so each of these is counted during reading.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bytes of one wanted member.
    pub(crate) member: u64,
    /// Bytes of all members that are kept in memory.
    pub(crate) kept: u64,
    /// Bytes of the whole stream, unpacked.
    pub(crate) stream: u64,
    /// Members.
    pub(crate) members: usize,
}

impl Bounds {
    /// The bounds of every archive.
    pub(crate) const USUAL: Bounds =
        Bounds { member: 1 << 30, kept: 4 << 30, stream: 16 << 30, members: 2_000_000 };
}

/// Bytes of a member's name, and of the header that tar puts before a member for such names.
pub(super) const MAX_NAME_BYTES: u64 = 4096;
pub(super) const MAX_HEADER_BYTES: u64 = 1 << 20;

pub(super) fn too_long(bytes: u64, most: u64) -> String {
    format!("{bytes} bytes; at most {most} are read")
}

/// Checks and collects the members of an archive while it is read.
pub(super) struct Found<'a> {
    pub(super) path: &'a Path,
    pub(super) bounds: Bounds,
    wanted: &'a dyn Fn(&str) -> bool,
    seen: HashSet<String>,
    pub(super) listing: Listing,
}

/// One member as the archive states it.
pub(super) struct Member<'a> {
    pub(super) name: &'a str,
    pub(super) bytes: u64,
    pub(super) is_folder: bool,
    /// A link, symbolic or hard.
    pub(super) is_link: bool,
}

impl<'a> Found<'a> {
    pub(super) fn new(path: &'a Path, bounds: Bounds, wanted: &'a dyn Fn(&str) -> bool) -> Found<'a> {
        Found { path, bounds, wanted, seen: HashSet::new(), listing: Listing::default() }
    }

    pub(super) fn refuse<T>(&self, expected: impl Into<String>, found: impl Into<String>) -> Result<T> {
        Err(Error::input(self.path, expected, found))
    }

    /// The path of a member, if it is to be read.
    pub(super) fn member(&mut self, member: &Member) -> Result<Option<String>> {
        let Member { name, bytes, .. } = *member;
        let names = || name.split('/').filter(|part| !part.is_empty() && *part != ".");
        if member.is_link || name.starts_with('/') || names().any(|part| part == "..") {
            let found = format!("{name}, a link or a path that leads out of it");
            return self.refuse("an archive of plain files", found);
        }
        let path = names().collect::<Vec<_>>().join("/");
        if path.is_empty() || names().any(is_litter) {
            return Ok(None);
        }
        if member.is_folder {
            self.listing.folders.push(path);
            return Ok(None);
        }
        if !(self.wanted)(&path) {
            return Ok(None);
        }
        let Bounds { member: most, members, .. } = self.bounds;
        if bytes > most {
            return self
                .refuse(format!("members of at most {most} bytes"), format!("{name} of {bytes} bytes"));
        }
        if !self.seen.insert(path.clone()) {
            return self.refuse("each member once", format!("{name} again"));
        }
        if self.seen.len() > members {
            return self.refuse(format!("at most {members} members"), "more");
        }
        self.listing.files.push(FoundFile { path: path.clone(), bytes });
        Ok(Some(path))
    }

    /// Everything that was found, sorted, with all folders of the files.
    pub(super) fn listing(mut self) -> Listing {
        let by_names = |a: &str, b: &str| a.split('/').cmp(b.split('/'));
        self.listing.files.sort_by(|a, b| by_names(&a.path, &b.path));
        let mut folders: BTreeSet<String> = self.listing.folders.drain(..).collect();
        for file in &self.listing.files {
            let mut rest = &file.path[..];
            while let Some((folder, _)) = rest.rsplit_once('/') {
                if !folders.insert(folder.into()) {
                    break;
                }
                rest = folder;
            }
        }
        self.listing.folders = folders.into_iter().collect();
        self.listing
    }
}

/// A file that each clone reads at its own position.
#[derive(Clone, Debug)]
pub(super) struct Positioned {
    file: Arc<File>,
    at: u64,
    bytes: u64,
}

impl Positioned {
    pub(super) fn new(file: File, bytes: u64) -> Positioned {
        Positioned { file: Arc::new(file), at: 0, bytes }
    }
}

impl Read for Positioned {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Positioned {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.bytes.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
