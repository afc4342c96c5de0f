//! Zips: the table of contents is checked once, members are unpacked when they are needed.

use super::found::{Found, Member, Positioned, too_long};
use crate::{Error, Result};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use zip::{CompressionMethod, ZipArchive};

/// An open zip; a clone of the archive shares its table of contents.
pub(super) struct Zip {
    archive: ZipArchive<Positioned>,
    places: HashMap<String, usize>,
}

/// Opens a zip and checks every member of its table of contents.
pub(super) fn open(file: File, found: &mut Found) -> Result<Zip> {
    let path = found.path;
    let bytes = file.metadata().map_err(Error::io("open", path))?.len();
    let damaged = |e: zip::result::ZipError| {
        let words = format!("a truncated or damaged one ({e}): fetch or copy it again");
        Error::input(path, "a whole zip archive", words)
    };
    let archive = ZipArchive::new(Positioned::new(file, bytes)).map_err(damaged)?;
    if archive.has_duplicate_names() {
        return found.refuse("each member once", "two of one name");
    }
    if archive.len() > found.bounds.members {
        return found.refuse(format!("at most {} members", found.bounds.members), archive.len().to_string());
    }
    let (mut places, mut packed) = (HashMap::new(), 0u64);
    for place in 0..archive.len() {
        let entry = archive.by_index_data(place).map_err(damaged)?;
        // Windows writes its own separator, against the standard.
        let name = entry.name().map_err(damaged)?.replace('\\', "/");
        let (is_folder, is_link) = (entry.is_dir(), entry.is_symlink());
        packed = packed.saturating_add(entry.compressed_size());
        let member = Member { name: &name, bytes: entry.size(), is_folder, is_link };
        let Some(member) = found.member(&member)? else { continue };
        if entry.encrypted() {
            return found.refuse("a zip without a password", format!("{name}, which has one"));
        }
        if !matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
            let way = entry.compression();
            return found.refuse("members stored or deflated", format!("{name}, packed as {way}"));
        }
        places.insert(member, place);
    }
    // Members that share their bytes unpack to any size; in an honest zip they are one after the other.
    if packed > bytes {
        return found.refuse("members that lie one after the other", "members that share their bytes");
    }
    Ok(Zip { archive, places })
}

impl Zip {
    /// Unpacks a member; its checksum is verified.
    pub(super) fn read(&self, member: &str, most: u64) -> Result<Vec<u8>, String> {
        let place = *self.places.get(member).ok_or("no such member")?;
        let mut archive = self.archive.clone();
        let file = archive.by_index(place).map_err(|e| e.to_string())?;
        let bytes = file.size();
        if bytes > most {
            return Err(too_long(bytes, most));
        }
        let mut content = Vec::with_capacity(bytes.min(1 << 20) as usize);
        file.take(bytes + 1).read_to_end(&mut content).map_err(|e| format!("damaged in the zip: {e}"))?;
        match content.len() as u64 == bytes {
            true => Ok(content),
            false => Err(format!("damaged in the zip: {} bytes, not {bytes}", content.len())),
        }
    }
}
