//! The files of a folder. Each file is a unit: it is copied into the data set, and a line names it.

use super::push::Push;
use super::recipe;
use crate::files::{FoundFile, Links, Listing, list_folder, open_plain, some_of};
use crate::reading::{CHUNK, Progress, Watch};
use crate::{Error, Result};
use datasets::units::FileUnit;
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use storage::{check_file_name, create_folder, sync_folder};
use twox_hash::{XxHash3_64, XxHash3_128};

/// The folder of the copies in the data set.
pub(super) const FILES: &str = "files";

/// Files that are copied before the next ones are handed to threads.
const AT_ONCE: usize = 1024;
/// The longest name of a copy, in bytes, without the part that makes it unique.
const LONGEST: usize = 96;

/// A folder before it is copied.
pub(super) struct Folder {
    path: PathBuf,
    listing: Listing,
}

impl Folder {
    pub(super) fn open(path: &Path, links: Links) -> Result<Folder> {
        Ok(Folder { path: path.to_owned(), listing: list_folder(path, links)? })
    }

    /// Its path, for errors.
    pub(super) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// The length of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.listing.files.iter().map(|file| file.bytes).sum()
    }

    /// Notes on the files that were left out.
    pub(super) fn notes(&self) -> Vec<String> {
        let told = self.listing.left_out.iter().map(|(path, why)| format!("{path}: {why}"));
        let told: Vec<String> = told.collect();
        if told.is_empty() { vec![] } else { vec![format!("left out {}", some_of(&told))] }
    }

    /// The recipe: the files' names and lengths, as for images.
    pub(super) fn recipe(&self) -> String {
        let files: Vec<_> = self.listing.files.iter().map(|file| (&file.path, file.bytes)).collect();
        recipe("folder", files)
    }

    /// Copies all files, and passes their lines to `push` in the order of their names.
    pub(super) fn copy(&self, to: &Path, push: &mut Push, progress: Watch) -> Result<()> {
        let mut folders = BTreeSet::new();
        for files in self.listing.files.chunks(AT_ONCE) {
            let names: Vec<String> = files.iter().map(|file| copy_name(&file.path)).collect();
            for name in &names {
                let folder = to.join(name).parent().map(Path::to_owned).unwrap_or_default();
                if folders.insert(folder.clone()) {
                    create_folder(&folder)?;
                }
            }
            let pairs = files.par_iter().zip(&names);
            let copied = pairs.map(|(file, name)| self.copy_file(file, to, name, progress));
            for unit in copied.collect::<Result<Vec<_>>>()? {
                push(&unit.to_line())?;
            }
        }
        // The copies are durable; now their names are made durable.
        folders.iter().try_for_each(|folder| Ok(sync_folder(folder)?))
    }

    fn copy_file(&self, file: &FoundFile, to: &Path, name: &str, progress: Watch) -> Result<FileUnit> {
        let (from, target) = (self.path.join(&file.path), to.join(name));
        let mut source = open_plain(&from)?;
        let mut copy = File::create_new(&target).map_err(Error::io("create", &target))?;
        let (mut bytes, mut hash) = (0, XxHash3_128::new());
        let mut chunk = vec![0; CHUNK.min(file.bytes as usize + 1)];
        loop {
            let read = source.read(&mut chunk).map_err(Error::io("read", &from))?;
            if read == 0 {
                break;
            }
            hash.write(&chunk[..read]);
            copy.write_all(&chunk[..read]).map_err(Error::io("write", &target))?;
            bytes += read as u64;
            progress(Progress::Done { bytes: read as u64 });
        }
        copy.sync_all().map_err(Error::io("sync", &target))?;
        let source_name = file.path.clone();
        let kept = name == format!("{FILES}/{source_name}");
        let (file, xxh3) = (name.to_owned(), format!("{:032x}", hash.finish_128()));
        Ok(FileUnit { file, name: (!kept).then_some(source_name), bytes, xxh3 })
    }
}

/// The path of a copy: the file's own path, or one that every system accepts, made unique by a hash of the
/// own path.
fn copy_name(path: &str) -> String {
    let own = format!("{FILES}/{path}");
    if check_file_name(&own).is_ok() {
        return own;
    }
    let plain = |name: &str| -> String {
        let plain =
            name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' });
        let plain: String = plain.collect();
        plain[plain.len().saturating_sub(LONGEST)..].trim_start_matches('.').to_owned()
    };
    let hash = XxHash3_64::oneshot(path.as_bytes());
    let mut parts: Vec<String> = path.split('/').map(plain).collect();
    if let Some(last) = parts.last_mut() {
        *last = format!("{hash:016x}-{last}");
    }
    // A folder's name may have had only dots and characters that were cut off.
    let parts: Vec<&str> = parts.iter().map(|part| if part.is_empty() { "_" } else { part }).collect();
    format!("{FILES}/{}", parts.join("/"))
}
