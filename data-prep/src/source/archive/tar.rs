//! Tars, gzipped or not, read member by member from the stream; headers with long names are bounded.

use super::found::{Found, MAX_HEADER_BYTES, MAX_NAME_BYTES, Member};
use crate::{Error, Result};
use flate2::read::MultiGzDecoder;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use tar::{Archive, Entry, EntryType, PaxExtensions};

type Kept = HashMap<String, Vec<u8>>;

/// The wanted members of a gzipped tar.
pub(super) fn read_gzipped(file: BufReader<File>, found: &mut Found) -> Result<Kept> {
    let mut stream = MultiGzDecoder::new(file).take(found.bounds.stream);
    let kept = read(&mut stream, found)?;
    // To the end, so that gzip's own checksum is verified.
    io::copy(&mut stream, &mut io::sink()).map_err(|e| damaged(found, &e))?;
    let bounds = found.bounds;
    if stream.limit() == 0 {
        return found.refuse(format!("at most {} bytes unpacked", bounds.stream), "more");
    }
    Ok(kept)
}

/// The wanted members of a plain tar.
pub(super) fn read_plain(mut file: BufReader<File>, found: &mut Found) -> Result<Kept> {
    let kept = read(&mut file, found)?;
    // Only the missing end shows that a plain tar was cut between two members.
    let mut last = [1; 512];
    file.seek(SeekFrom::End(-512))
        .and_then(|_| file.read_exact(&mut last))
        .map_err(|e| damaged(found, &e))?;
    if last == [0; 512] { Ok(kept) } else { Err(damaged(found, &io::ErrorKind::UnexpectedEof.into())) }
}

fn damaged(found: &Found, error: &io::Error) -> Error {
    let words = format!("a truncated or damaged one ({error}): fetch or copy it again");
    Error::input(found.path, "a whole tar archive, gzipped or not", words)
}

fn read(stream: impl Read, found: &mut Found) -> Result<Kept> {
    let (mut kept, mut total, mut long_name) = (Kept::new(), 0, None);
    let mut archive = Archive::new(stream);
    // Raw: headers with long names are bounded here; the library would read them whole.
    let entries = archive.entries().map_err(|e| damaged(found, &e))?.raw(true);
    for (number, entry) in entries.enumerate() {
        let mut entry = entry.map_err(|e| damaged(found, &e))?;
        let kind = entry.header().entry_type();
        if number >= 2 * found.bounds.members {
            return found.refuse(format!("at most {} members", found.bounds.members), "more");
        }
        if kind.is_gnu_longname() || kind.is_gnu_longlink() || kind.is_pax_local_extensions() {
            long_name = read_name(&mut entry, kind, found)?.or(long_name);
            continue;
        }
        if kind.is_pax_global_extensions() {
            continue;
        }
        let header_name = || entry.path_bytes().into_owned();
        let name = String::from_utf8(long_name.take().unwrap_or_else(header_name));
        let Ok(name) = name else { return found.refuse("names in UTF-8", "another one") };
        let Some(path) = plain_member(&entry, &name, kind, found)? else { continue };
        total += entry.size();
        if total > found.bounds.kept {
            let expected = format!("at most {} bytes of images in a tar", found.bounds.kept);
            return found.refuse(expected, "more: unpack it, and name the folder");
        }
        let mut content = Vec::new();
        let bytes = entry.size();
        entry.read_to_end(&mut content).map_err(|e| damaged(found, &e))?;
        if content.len() as u64 != bytes {
            return Err(damaged(found, &io::ErrorKind::UnexpectedEof.into()));
        }
        kept.insert(path, content);
    }
    Ok(kept)
}

/// The path of a member, if it is to be read; a member that is not a file is noted.
fn plain_member<R: Read>(
    entry: &Entry<R>,
    name: &str,
    kind: EntryType,
    found: &mut Found,
) -> Result<Option<String>> {
    if kind.is_gnu_sparse() {
        return found.refuse("an archive of plain files", format!("{name}, a sparse file"));
    }
    if kind.is_character_special() || kind.is_block_special() || kind.is_fifo() {
        found.listing.left_out.push((name.into(), "a device or a named pipe".into()));
        return Ok(None);
    }
    let (is_folder, is_link) = (kind.is_dir(), kind.is_symlink() || kind.is_hard_link());
    if !(kind.is_file() || kind.is_contiguous() || is_folder || is_link) {
        return Ok(None);
    }
    found.member(&Member { name, bytes: entry.size(), is_folder, is_link })
}

/// The name in a header before a member, if it has one.
fn read_name<R: Read>(entry: &mut Entry<R>, kind: EntryType, found: &Found) -> Result<Option<Vec<u8>>> {
    let is_pax = kind.is_pax_local_extensions();
    let (most, bytes) = (if is_pax { MAX_HEADER_BYTES } else { MAX_NAME_BYTES }, entry.size());
    if bytes > most {
        return found.refuse(format!("headers of at most {most} bytes"), format!("one of {bytes} bytes"));
    }
    let mut content = Vec::new();
    entry.read_to_end(&mut content).map_err(|e| damaged(found, &e))?;
    if kind.is_gnu_longlink() {
        return Ok(None);
    }
    if !is_pax {
        while content.last() == Some(&0) {
            content.pop();
        }
        return Ok(Some(content));
    }
    let mut name = None;
    for extension in PaxExtensions::new(&content) {
        let extension = extension.map_err(|e| damaged(found, &e))?;
        match extension.key_bytes() {
            b"path" if extension.value_bytes().len() as u64 > MAX_NAME_BYTES => {
                return found.refuse(format!("names of at most {MAX_NAME_BYTES} bytes"), "a longer one");
            }
            b"path" => name = Some(extension.value_bytes().to_vec()),
            // A size beside the header's is for members of 8 GB and more.
            key if key == b"size" || key.starts_with(b"GNU.sparse") => {
                return found.refuse("an archive of plain files", "a sparse file, or one of 8 GB or more");
            }
            _ => {}
        }
    }
    Ok(name)
}
