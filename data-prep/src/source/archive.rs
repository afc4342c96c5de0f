//! Zip and tar archives, gzipped or not: listed, bounded and read in place; nothing is ever extracted to
//! disk.
//! A zip's members are read when they are needed. A tar has no table of contents: its wanted members are kept
//! in memory.

mod found;
mod tar;
mod zip;

use crate::content::{GZIP, TAR, ZIP, kind_of};
use crate::files::{Listing, open_plain};
use crate::{Error, Result};
use found::{Found, too_long};
use std::collections::HashMap;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

pub(super) use found::Bounds;

/// An archive whose wanted members can be read, by several threads at once.
pub(super) struct Archive {
    /// The wanted members.
    pub(super) listing: Listing,
    members: Members,
}

enum Members {
    Zip(zip::Zip),
    Kept(HashMap<String, Vec<u8>>),
}

impl Archive {
    /// Opens an archive; only members whose path is `wanted` count.
    ///
    /// # Errors
    /// [`Error::Input`] for a file that is not an archive, for a damaged or truncated one, for one with links
    /// or paths that lead out of it, and for one beyond its bounds.
    pub(super) fn open(path: &Path, bounds: Bounds, wanted: &dyn Fn(&str) -> bool) -> Result<Archive> {
        let mut file = BufReader::new(open_plain(path)?);
        let mut head = Vec::new();
        file.by_ref().take(512).read_to_end(&mut head).map_err(Error::io("read", path))?;
        file.rewind().map_err(Error::io("read", path))?;
        let mut found = Found::new(path, bounds, wanted);
        let members = match kind_of(&head) {
            Some(ZIP) => Members::Zip(zip::open(file.into_inner(), &mut found)?),
            Some(GZIP) => Members::Kept(tar::read_gzipped(file, &mut found)?),
            None | Some(TAR) => Members::Kept(tar::read_plain(file, &mut found)?),
            Some(other) => return Err(Error::input(path, "a zip, or a tar, gzipped or not", other)),
        };
        Ok(Archive { listing: found.listing(), members })
    }

    /// The content of a wanted member.
    pub(super) fn read(&self, member: &str, most: u64) -> Result<Vec<u8>, String> {
        match &self.members {
            Members::Zip(zip) => zip.read(member, most),
            Members::Kept(kept) => match kept.get(member) {
                Some(content) if content.len() as u64 > most => Err(too_long(content.len() as u64, most)),
                Some(content) => Ok(content.clone()),
                None => Err("no such member".into()),
            },
        }
    }
}

#[cfg(test)]
mod tests;
