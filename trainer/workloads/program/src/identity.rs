//! The identity of a program: its files. A run must end with the files that it began with.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use storage::{Error, Result};
use twox_hash::XxHash3_128;

/// The executable of a program, in its folder.
pub(crate) const RUN: &str = "run";
/// A file of at most this many bytes counts in full; a longer one counts by its length, its first and its
/// last bytes.
const WHOLE: u64 = 8 << 20;
/// The largest number of files of a program, and the deepest folder.
const MOST_FILES: usize = 100_000;
const DEEPEST: usize = 32;

/// A hash of the names, lengths and bytes of all files of a program.
///
/// # Errors
/// [`Error::Io`], if a file cannot be read; [`Error::Unfit`] for too many files.
pub(crate) fn identity(folder: &Path) -> Result<String> {
    let mut files = BTreeMap::new();
    list(folder, PathBuf::new(), 0, &mut files)?;
    let mut hash = XxHash3_128::new();
    for (name, bytes) in &files {
        hash.write(name.as_os_str().as_encoded_bytes());
        hash.write(&bytes.to_le_bytes());
        let path = folder.join(name);
        read(&path, *bytes, |piece| hash.write(piece)).map_err(Error::io("read", &path))?;
    }
    Ok(format!("{:032x}", hash.finish_128()))
}

fn list(folder: &Path, below: PathBuf, depth: usize, files: &mut BTreeMap<PathBuf, u64>) -> Result<()> {
    let here = folder.join(&below);
    for entry in std::fs::read_dir(&here).map_err(Error::io("list", &here))? {
        let entry = entry.map_err(Error::io("list", &here))?;
        let name = below.join(entry.file_name());
        let found = std::fs::metadata(entry.path()).map_err(Error::io("look at", &entry.path()))?;
        if found.is_dir() && depth < DEEPEST {
            list(folder, name, depth + 1, files)?;
        } else if found.is_file() {
            files.insert(name, found.len());
        }
        if files.len() > MOST_FILES {
            let expected = format!("at most {MOST_FILES} files: put many into an archive");
            return Err(Error::unfit(format!("the program {}", folder.display()), expected, "more"));
        }
    }
    Ok(())
}

fn read(path: &Path, bytes: u64, mut take: impl FnMut(&[u8])) -> std::io::Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; (1 << 16).min(bytes.max(1)) as usize];
    let last = bytes.min(WHOLE.max(bytes.saturating_sub(WHOLE)));
    for part in [0..bytes.min(WHOLE), last..bytes] {
        file.seek(SeekFrom::Start(part.start))?;
        let mut left = part.end - part.start;
        while left > 0 {
            let most = left.min(buffer.len() as u64) as usize;
            match file.read(&mut buffer[..most])? {
                0 => break,
                read => {
                    take(&buffer[..read]);
                    left -= read as u64;
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn every_file_counts_by_name_and_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
        fs::create_dir(folder.path().join("lib")).unwrap();
        write("run", b"#!/bin/sh\n");
        write("lib/table", &vec![7; 3 * WHOLE as usize]);
        let first = identity(folder.path()).unwrap();
        assert_eq!(first, identity(folder.path()).unwrap());
        let changed = |name: &str, bytes: &[u8]| {
            let before = fs::read(folder.path().join(name)).unwrap_or_default();
            write(name, bytes);
            let found = identity(folder.path()).unwrap();
            write(name, &before);
            found
        };
        assert_ne!(changed("run", b"#!/bin/ash"), first);
        let mut last = vec![7; 3 * WHOLE as usize];
        *last.last_mut().unwrap() = 8;
        assert_ne!(changed("lib/table", &last), first);
        assert_eq!(identity(folder.path()).unwrap(), first);
        write("lib/more", b"");
        assert_ne!(identity(folder.path()).unwrap(), first);
    }
}
