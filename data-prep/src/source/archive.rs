//! Reads members of a `.tar` or `.tar.gz` from the stream; nothing is ever extracted to disk.

use super::MAX_LOADED_BYTES;
use crate::{Error, Result};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Component, Path};

/// The wanted members by their last name, in the archive's order.
///
/// # Errors
/// [`Error::Input`] for a damaged or truncated archive, and for one with links or paths that lead out of it.
pub(super) fn members(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<(String, Vec<u8>)>> {
    let mut file = BufReader::new(File::open(path).map_err(Error::io("open", path))?);
    let mut magic = [0; 2];
    let gzipped = file.read_exact(&mut magic).is_ok() && magic == [0x1f, 0x8b];
    file.rewind().map_err(Error::io("read", path))?;
    let damaged = |e: io::Error| Error::input(path, "a whole tar archive, gzipped or not", truncated(&e));
    if gzipped {
        let mut stream = MultiGzDecoder::new(file);
        let members = read_members(path, &mut stream, wanted)?;
        // To the end, so that gzip's own checksum is verified.
        io::copy(&mut stream, &mut io::sink()).map_err(damaged)?;
        Ok(members)
    } else {
        let members = read_members(path, &mut file, wanted)?;
        // A plain tar that was cut between two members is told only by its missing end.
        let mut last = [1; 512];
        file.seek(SeekFrom::End(-512)).and_then(|_| file.read_exact(&mut last)).map_err(damaged)?;
        if last == [0; 512] { Ok(members) } else { Err(damaged(io::ErrorKind::UnexpectedEof.into())) }
    }
}

fn read_members(
    path: &Path,
    stream: impl Read,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<(String, Vec<u8>)>> {
    let damaged = |e: io::Error| Error::input(path, "a whole tar archive, gzipped or not", truncated(&e));
    let mut members: Vec<(String, Vec<u8>)> = Vec::new();
    let mut archive = tar::Archive::new(stream);
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let kind = entry.header().entry_type();
        let member = entry.path().map_err(damaged)?.into_owned();
        let inside = member.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if !inside || kind.is_symlink() || kind.is_hard_link() {
            let found = format!("{}, a link or a path that leads out of it", member.display());
            return Err(Error::input(path, "an archive of plain files", found));
        }
        let name = member.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !kind.is_file() || !wanted(&name) {
            continue;
        }
        if entry.size() > MAX_LOADED_BYTES || members.iter().any(|(known, _)| *known == name) {
            let expected = format!("each batch once, of at most {MAX_LOADED_BYTES} bytes");
            return Err(Error::input(path, expected, format!("{name} again, or of {} bytes", entry.size())));
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(damaged)?;
        if content.len() as u64 != entry.size() {
            return Err(damaged(io::ErrorKind::UnexpectedEof.into()));
        }
        members.push((name, content));
    }
    Ok(members)
}

fn truncated(error: &io::Error) -> String {
    format!("a truncated or damaged one ({error}): fetch or copy it again")
}
