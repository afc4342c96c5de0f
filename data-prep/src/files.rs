//! Which files below a folder are read, and how: the one rule of `data-prep` and `baton predict`.
//!
//! Left out are hidden files and files that systems leave behind, links that lead out of the folder (unless
//! the user asks for them), and everything that is not a plain file: a named pipe or a device is never
//! opened. Every folder is read once, wherever links lead.

use crate::{Error, Result, printable};
use std::collections::HashSet;
use std::fs::{self, DirEntry, File, FileType, Metadata};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Names, in lower case, that systems leave in folders and archives.
const LITTER: [&str; 8] = [
    "__macosx",
    "@eadir",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "icon\r",
    "$recycle.bin",
    "system volume information",
];

/// Folders within each other, at most.
const MAX_DEPTH: usize = 64;

/// Whether links that lead out of a folder are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Links {
    /// They are left out: a folder that came from elsewhere reads nothing but itself.
    #[default]
    Inside,
    /// They are followed.
    Anywhere,
}

/// A file below a folder or in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFile {
    /// Its path below the folder, with `/` between the names.
    pub path: String,
    /// Its length.
    pub bytes: u64,
}

/// The content of a folder.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// The files, in the order of their names.
    pub files: Vec<FoundFile>,
    /// Paths of the folders that were read, except the first one.
    pub folders: Vec<String>,
    /// Paths that are neither file nor folder, or a link that is not followed, each with the reason.
    pub left_out: Vec<(String, String)>,
}

/// Whether a file or folder of this name is skipped silently.
pub fn is_litter(name: &str) -> bool {
    name.starts_with('.') || LITTER.contains(&&name.to_lowercase()[..])
}

/// Lists all files to read below a folder.
///
/// # Errors
/// [`Error::Storage`]; [`Error::Input`] for a name that is not UTF-8, and for folders nested too deeply.
pub fn list_folder(folder: &Path, links: Links) -> Result<Listing> {
    let root = folder.canonicalize().map_err(Error::io("open", folder))?;
    let seen = HashSet::from([identity(&fs::metadata(&root).map_err(Error::io("open", folder))?)]);
    let mut walk = Walk { folder, root, links, seen, listing: Listing::default() };
    walk.enter(folder, "", 0)?;
    let by_names = |a: &str, b: &str| a.split('/').cmp(b.split('/'));
    walk.listing.files.sort_by(|a, b| by_names(&a.path, &b.path));
    walk.listing.folders.sort_by(|a, b| by_names(a, b));
    walk.listing.left_out.sort();
    Ok(walk.listing)
}

struct Walk<'a> {
    folder: &'a Path,
    root: PathBuf,
    links: Links,
    /// Every folder that was entered.
    seen: HashSet<(u64, u64)>,
    listing: Listing,
}

/// Device and number; no two folders have the same.
fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl Walk<'_> {
    fn enter(&mut self, at: &Path, below: &str, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            let expected = format!("at most {MAX_DEPTH} folders within each other");
            return Err(Error::input(self.folder, expected, "more"));
        }
        let mut links = Vec::new();
        for entry in fs::read_dir(at).map_err(Error::io("list", at))? {
            let entry = entry.map_err(Error::io("list", at))?;
            let Ok(name) = entry.file_name().into_string() else {
                return Err(Error::input(&entry.path(), "a name in UTF-8", "another one"));
            };
            if is_litter(&name) {
                continue;
            }
            let path = if below.is_empty() { name } else { format!("{below}/{name}") };
            let kind = entry.file_type().map_err(Error::io("open", &entry.path()))?;
            if kind.is_symlink() {
                links.push((entry, path));
            } else if kind.is_dir() {
                let metadata = entry.metadata().map_err(Error::io("open", &entry.path()))?;
                self.seen.insert(identity(&metadata));
                self.enter(&entry.path(), &path, depth + 1)?;
                self.listing.folders.push(path);
            } else if kind.is_file() {
                let bytes = entry.metadata().map_err(Error::io("open", &entry.path()))?.len();
                self.listing.files.push(FoundFile { path, bytes });
            } else {
                self.listing.left_out.push((path, kind_of(kind).into()));
            }
        }
        // Last, so that a folder has its own name rather than a link's.
        links.into_iter().try_for_each(|(entry, path)| self.follow(&entry, path, depth))
    }

    fn follow(&mut self, entry: &DirEntry, path: String, depth: usize) -> Result<()> {
        let target = entry.path().canonicalize().and_then(|target| Ok((fs::metadata(&target)?, target)));
        let Ok((metadata, target)) = target else {
            self.listing.left_out.push((path, "a link that leads nowhere".into()));
            return Ok(());
        };
        let inside = target.starts_with(&self.root);
        let kind = metadata.file_type();
        let left_out = match (inside || self.links == Links::Anywhere, kind.is_dir()) {
            (false, _) => "a link that leads out of the folder; --follow-links reads such",
            // The target of a link within the folder is found in its own place.
            (true, true) if inside || !self.seen.insert(identity(&metadata)) => {
                "a link to a folder that is read in its own place"
            }
            (true, true) => {
                self.enter(&entry.path(), &path, depth + 1)?;
                self.listing.folders.push(path);
                return Ok(());
            }
            (true, false) if kind.is_file() => {
                self.listing.files.push(FoundFile { path, bytes: metadata.len() });
                return Ok(());
            }
            (true, false) => kind_of(kind),
        };
        self.listing.left_out.push((path, left_out.into()));
        Ok(())
    }
}

fn kind_of(kind: FileType) -> &'static str {
    match () {
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_socket() => "a socket",
        () if kind.is_dir() => "a folder",
        () => "a device",
    }
}

/// Opens a plain file; nothing else is ever opened, because a pipe or a device may block the reader for ever.
///
/// # Errors
/// [`Error::Storage`]; [`Error::Input`] for anything but a plain file.
pub(crate) fn open_plain(path: &Path) -> Result<File> {
    let kind = fs::metadata(path).map_err(Error::io("open", path))?.file_type();
    if !kind.is_file() {
        return Err(Error::input(path, "a plain file", kind_of(kind)));
    }
    File::open(path).map_err(Error::io("open", path))
}

/// Reads a plain file of at most `most` bytes.
///
/// # Errors
/// As [`open_plain`]; [`Error::Input`] for a longer file.
pub(crate) fn load(path: &Path, most: u64) -> Result<Vec<u8>> {
    let file = open_plain(path)?;
    let too_long = |found: u64| Error::input(path, format!("at most {most} bytes"), format!("{found} bytes"));
    let bytes = file.metadata().map_err(Error::io("open", path))?.len();
    if bytes > most {
        return Err(too_long(bytes));
    }
    let mut content = Vec::with_capacity(bytes as usize);
    file.take(most + 1).read_to_end(&mut content).map_err(Error::io("read", path))?;
    if content.len() as u64 > most { Err(too_long(content.len() as u64)) } else { Ok(content) }
}

/// The names in a folder and whether each is a folder, sorted; without litter and anything but plain files.
pub(crate) fn names(folder: &Path) -> Result<Vec<(String, bool)>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let entry = entry.map_err(Error::io("list", folder))?;
        let name = entry.file_name().into_string();
        let name = name.map_err(|_| Error::input(&entry.path(), "a name in UTF-8", "another one"))?;
        // A link that leads nowhere is not a plain file.
        let Ok(metadata) = fs::metadata(entry.path()) else { continue };
        if !is_litter(&name) && (metadata.is_dir() || metadata.is_file()) {
            entries.push((name, metadata.is_dir()));
        }
    }
    entries.sort();
    Ok(entries)
}

/// A count and the first of some paths, for a note.
pub(crate) fn some_of(paths: &[impl AsRef<str>]) -> String {
    match paths {
        [] => "none".into(),
        [one] => printable(one.as_ref()),
        [first, ..] => format!("{} files, the first: {}", paths.len(), printable(first.as_ref())),
    }
}

#[cfg(test)]
mod tests;
