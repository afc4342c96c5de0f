//! The SHA-256 of a file, in as many goes as time allows: how far one came is kept beside it.

use crate::disk::{self, Access, OpenFile};
use crate::{Error, Publication, Result};
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest, Sha256};
use std::io::{self, Write};
use std::path::Path;
use twox_hash::XxHash3_64;

const PIECE: u64 = 1 << 20;
/// So many bytes are hashed between two places that are kept: a kill costs no more.
const KEPT: u64 = 256 << 20;

/// Length and SHA-256, in hex, of a file; none when the time is up. Then `place` has how far this came, and
/// the next call with the same place goes on there. The file must not change in between.
pub(crate) fn sha256(
    path: &Path,
    file: &dyn OpenFile,
    place: &Path,
    in_time: &dyn Fn() -> bool,
) -> Result<Option<(u64, String)>> {
    let all = file.length().map_err(Error::io("look at", path))?;
    let (mut at, mut hash) = kept(place).filter(|(at, _)| *at <= all).unwrap_or_default();
    let mut known = at;
    loop {
        let piece = file.read_from(at, PIECE).map_err(Error::io("read", path))?;
        if piece.is_empty() {
            forget(place)?;
            return Ok(Some((at, hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())));
        }
        at += piece.len() as u64;
        hash.update(&piece);
        let goes_on = in_time();
        if !goes_on || at - known >= KEPT {
            keep(place, at, &hash)?;
            known = at;
        }
        if !goes_on {
            return Ok(None);
        }
    }
}

/// The bytes and the hash that are kept at a place, if it is whole.
fn kept(place: &Path) -> Option<(u64, Sha256)> {
    let bytes = disk::open(place, Access::Read).and_then(|file| file.read_from(0, 1 << 10)).ok()?;
    let (text, check) = bytes.split_last_chunk::<8>()?;
    let (at, state) = text.split_first_chunk::<8>()?;
    let state = SerializedState::<Sha256>::try_from(state).ok()?;
    let whole = XxHash3_64::oneshot(text) == u64::from_le_bytes(*check);
    let hash = Sha256::deserialize(&state).ok().filter(|_| whole)?;
    Some((u64::from_le_bytes(*at), hash))
}

fn keep(place: &Path, at: u64, hash: &Sha256) -> Result<()> {
    let (folder, name) = (place.parent(), place.file_name());
    let (folder, name) = (folder.unwrap_or(Path::new(".")), name.unwrap_or_default().to_string_lossy());
    let mut text = at.to_le_bytes().to_vec();
    text.extend_from_slice(&hash.serialize());
    text.extend_from_slice(&XxHash3_64::oneshot(&text).to_le_bytes());
    let mut publication = Publication::begin_named(folder, name.into_owned())?;
    publication.write_all(&text).map_err(Error::io("write", place))?;
    publication.finish().map(drop)
}

fn forget(place: &Path) -> Result<()> {
    match disk::on(|disk| disk.remove_file(place)) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", place)(source)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_folders::temporary;
    use std::cell::Cell;

    #[test]
    fn a_file_that_takes_longer_than_a_leg_is_hashed_in_several() {
        let folder = temporary();
        let (path, place) = (folder.path().join("large"), folder.path().join("large.sum"));
        let bytes: Vec<u8> = (0..5 * PIECE as usize + 77).map(|at| (at * 31 % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let file = disk::open(&path, Access::Read).unwrap();
        let whole: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let (mut legs, read) = (0, Cell::new(0));
        let found = loop {
            legs += 1;
            // A leg has time for two pieces.
            let left = Cell::new(2);
            let in_time = || {
                read.set(read.get() + 1);
                left.set(left.get() - 1);
                left.get() > 0
            };
            if let Some(found) = sha256(&path, &*file, &place, &in_time).unwrap() {
                break found;
            }
            assert!(legs < 10, "no leg comes further than the one before");
        };
        assert_eq!((found, legs, read.get()), ((bytes.len() as u64, whole.clone()), 4, 6), "each piece once");
        assert!(!place.exists());
        // A place that is damaged is none.
        assert_eq!(sha256(&path, &*file, &place, &|| false).unwrap(), None);
        let mut kept = std::fs::read(&place).unwrap();
        kept[20] ^= 1;
        std::fs::write(&place, kept).unwrap();
        assert_eq!(sha256(&path, &*file, &place, &|| true).unwrap().unwrap().1, whole);
    }
}
