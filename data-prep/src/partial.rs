//! The folder in which a dataset grows: hidden beside the output, locked, and renamed when it is complete.

use crate::statistics::Sums;
use crate::{Error, Result};
use datasets::images::{ShardEntry, Unreadable, check_shard};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use storage::{create_folder, sync_folder};

const LOCK: &str = "lock";
const RECIPE: &str = "recipe";

/// A finished shard, as its record describes it to a later run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Finished {
    pub(crate) entry: ShardEntry,
    pub(crate) labels: Vec<u32>,
    pub(crate) sums: Sums,
    pub(crate) unreadable: Vec<Unreadable>,
    /// Files that are not images and do not claim to be.
    #[serde(default)]
    pub(crate) strays: Vec<Unreadable>,
}

/// The folder of a dataset that is being made, locked against others.
pub(crate) struct Partial {
    folder: PathBuf,
    out: PathBuf,
    /// Held until the end; closing it unlocks.
    _lock: File,
}

impl Partial {
    /// Opens or creates the folder for `out`, and empties it unless it holds parts made by the same recipe.
    pub(crate) fn open(out: &Path, recipe: &str) -> Result<Partial> {
        let partial = Partial::take(out)?;
        let known = partial.folder.join(RECIPE);
        if fs::read_to_string(&known).is_ok_and(|found| found == recipe) {
            return Ok(partial);
        }
        partial.remove_all_but(|name| name == LOCK)?;
        write(&known, recipe.as_bytes())?;
        Ok(partial)
    }

    /// Opens or creates the folder for `out`, and empties it.
    pub(crate) fn afresh(out: &Path) -> Result<Partial> {
        let partial = Partial::take(out)?;
        partial.remove_all_but(|name| name == LOCK)?;
        Ok(partial)
    }

    fn take(out: &Path) -> Result<Partial> {
        let folder = beside(out, "partial");
        create_folder(&folder)?;
        let lock = lock(&folder)?;
        Ok(Partial { folder, out: out.to_owned(), _lock: lock })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A shard that an earlier run finished, if its record and all its files are whole.
    pub(crate) fn finished(&self, shard: &str) -> Option<Finished> {
        let record = fs::read(self.record(shard)).ok()?;
        let finished: Finished = serde_json::from_slice(&record).ok()?;
        check_shard(&self.folder, &finished.entry).ok()?;
        Some(finished)
    }

    /// Remembers a shard whose files are durable.
    pub(crate) fn record_finished(&self, shard: &str, finished: &Finished) -> Result<()> {
        let record = serde_json::to_vec(finished).expect("a record has only string keys");
        write(&self.record(shard), &record)
    }

    fn record(&self, shard: &str) -> PathBuf {
        self.folder.join(format!("{shard}.finished"))
    }

    /// Writes the manifest, leaves nothing else but the named files, and gives the folder its name.
    pub(crate) fn complete(self, manifest: (&str, &str), files: &[&str], replace: bool) -> Result<()> {
        write(&self.folder.join(manifest.0), manifest.1.as_bytes())?;
        self.remove_all_but(|name| name == LOCK || name == manifest.0 || files.contains(&name))?;
        let old = beside(&self.out, "replaced");
        if replace && self.out.exists() {
            if old.exists() {
                fs::remove_dir_all(&old).map_err(Error::io("remove", &old))?;
            }
            fs::rename(&self.out, &old).map_err(Error::io("rename", &self.out))?;
        }
        fs::rename(&self.folder, &self.out).map_err(Error::io("rename to", &self.out))?;
        // Last, because the lock is in the folder: nobody begins anew before the folder has its name.
        let lock = self.out.join(LOCK);
        fs::remove_file(&lock).map_err(Error::io("remove", &lock))?;
        sync_folder(&self.out)?;
        sync_folder(self.out.parent().unwrap_or(Path::new(".")))?;
        if replace && old.exists() {
            fs::remove_dir_all(&old).map_err(Error::io("remove", &old))?;
        }
        Ok(())
    }

    /// Removes the folder, if its source turned out to be wrong.
    pub(crate) fn discard(self) {
        // The next run finds and empties the rest.
        let _ = fs::remove_dir_all(&self.folder);
    }

    fn remove_all_but(&self, keep: impl Fn(&str) -> bool) -> Result<()> {
        let list = || Error::io("list", &self.folder);
        for entry in fs::read_dir(&self.folder).map_err(list())? {
            let entry = entry.map_err(list())?;
            if keep(&entry.file_name().to_string_lossy()) {
                continue;
            }
            let kind = entry.file_type().map_err(list())?;
            let removed =
                if kind.is_dir() { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
            removed.map_err(Error::io("remove", &entry.path()))?;
        }
        Ok(())
    }
}

/// `.name.what` beside `out`.
fn beside(out: &Path, what: &str) -> PathBuf {
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    out.with_file_name(format!(".{name}.{what}"))
}

fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(LOCK);
    let busy = || Error::Busy { folder: folder.to_owned() };
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(Error::io("create", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(busy()),
        Err(TryLockError::Error(e)) => return Err(Error::io("lock", &path)(e)),
    }
    // Another process may have completed and removed this very file between our opening and locking it.
    let ours = file.metadata().map_err(Error::io("read", &path))?.ino();
    if fs::metadata(&path).is_ok_and(|m| m.ino() == ours) { Ok(file) } else { Err(busy()) }
}

/// Writes a small file that appears whole or not at all.
fn write(path: &Path, content: &[u8]) -> Result<()> {
    let temporary = path.with_added_extension("tmp");
    let write = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|e| {
        let _ = fs::remove_file(&temporary);
        Error::io("write", path)(e)
    })
}
