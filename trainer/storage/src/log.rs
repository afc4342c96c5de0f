//! An append-only file of records that many machines append to, under a lock on that very file.
//!
//! Invariants, each measured on NFS: the locked file is the file with the data (a lock refreshes the cache of
//! its own file only). It is opened for reading and writing. It is never truncated except for a torn tail,
//! under the lock. A record counts once `fsync` has succeeded while the lock was held. EIO means that the
//! lock was lost.

mod frames;
mod lock;
mod medium;

use crate::disk::{self, Access};
use crate::folder::{create_folder, sync_folder};
use crate::{Error, Result};
use frames::Decode;
pub use frames::Known;
use medium::{Locked, Medium};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A process that appends to a log that it has only read writes this many of the last bytes again, the same
/// to the same place: some frames, or those that several failed to make durable one after the other.
const DOUBTED: usize = 4096;
/// An append-only file of records; it keeps only the path, and each use opens the file again.
#[derive(Clone, Debug)]
pub struct Log {
    path: PathBuf,
    /// Whether damage is skipped, and everything whole after it counts.
    forgiving: bool,
}

/// The records that a reader does not know yet.
#[derive(Clone, Copy, Debug)]
pub struct News<'a> {
    /// Whether these are all records: the reader knew another file, or nothing.
    pub all: bool,
    /// The records, oldest first.
    pub records: &'a [Vec<u8>],
}

/// The result of [`Log::create`].
#[derive(Clone, Debug)]
pub enum Created {
    /// The log had no records; the first one is ours.
    New(Log),
    /// The log had records already.
    Exists(Log),
}

impl Created {
    /// The log, whoever began it.
    pub fn into_log(self) -> Log {
        match self {
            Created::New(log) | Created::Exists(log) => log,
        }
    }
}

impl Log {
    /// Begins the log with the record `first`, unless it has records; one of many callers gets
    /// [`Created::New`].
    ///
    /// The file's content decides under the lock who is first, not the maker of the file: a file whose maker
    /// died before its first record is an empty log, and the next caller begins it.
    ///
    /// # Errors
    /// As [`Log::update`].
    pub fn create(path: impl Into<PathBuf>, first: &[u8], wait: Duration) -> Result<Created> {
        let log = Log::open_or_create(path)?;
        let new = log.update(wait, |records| -> Result<_> {
            let append = if records.is_empty() { vec![first.to_vec()] } else { Vec::new() };
            Ok((append, records.is_empty()))
        })?;
        Ok(if new { Created::New(log) } else { Created::Exists(log) })
    }

    /// The log at `path`, made without records if it is missing.
    ///
    /// # Errors
    /// [`Error::Io`] if the file or its folder cannot be made.
    pub fn open_or_create(path: impl Into<PathBuf>) -> Result<Log> {
        let path = path.into();
        let folder = path.parent().unwrap_or(Path::new("."));
        create_folder(folder)?;
        disk::open(&path, Access::UpdateOrCreate).map_err(Error::io("create", &path))?;
        sync_folder(folder)?;
        Ok(Log { path, forgiving: false })
    }

    /// The same log, for records that do not depend on each other: damage costs only the records that it has
    /// hit.
    pub fn forgiving(self) -> Log {
        Log { forgiving: true, ..self }
    }

    /// The log at `path`, which someone has created.
    ///
    /// # Errors
    /// [`Error::Missing`] if it is still missing after two seconds.
    pub fn open(path: impl Into<PathBuf>) -> Result<Log> {
        let log = Log { path: path.into(), forgiving: false };
        log.file()?;
        Ok(log)
    }

    /// The log's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All records, oldest first, as they are on disk: read under the lock, because only that refreshes them.
    ///
    /// # Errors
    /// As [`Log::update`].
    pub fn read(&self, wait: Duration) -> Result<Vec<Vec<u8>>> {
        self.update(wait, |records| Ok((Vec::new(), records.to_vec())))
    }

    /// Passes all records to `f` and appends those that it returns, as one: all of them count or none.
    ///
    /// The lock is held from the reading to the `fsync`, so `f` must be quick: decide there, compute
    /// elsewhere. `wait` is the longest wait for the lock.
    ///
    /// # Errors
    /// [`Error::Busy`] if others hold the lock all the time; [`Error::LockLost`] if nothing of this counts
    /// and all of it must be done again; [`Error::Damaged`]; [`Error::Schema`]; and the errors of `f`.
    pub fn update<R, E: From<Error>>(
        &self,
        wait: Duration,
        f: impl FnOnce(&[Vec<u8>]) -> Result<(Vec<Vec<u8>>, R), E>,
    ) -> Result<R, E> {
        self.update_after(wait, &mut Known::default(), |news| f(news.records))
    }

    /// As [`Log::update`], but passes only the records after `known` to `f`, and moves `known` to the end of
    /// the log.
    ///
    /// So a process that reads a long log again and again reads each record once. `known` moves only if the
    /// update succeeds; records that `f` appended are then after it.
    ///
    /// # Errors
    /// As [`Log::update`].
    pub fn update_after<R, E: From<Error>>(
        &self,
        wait: Duration,
        known: &mut Known,
        f: impl FnOnce(News<'_>) -> Result<(Vec<Vec<u8>>, R), E>,
    ) -> Result<R, E> {
        let file = self.lock(wait)?;
        let decode = if self.forgiving { frames::decode_or_salvage } else { frames::decode };
        let medium = &mut Locked { file: &*file, path: &self.path };
        let result = transact(&self.path, medium, known, decode, f);
        // The records are on disk by now, and closing the file releases the lock as well.
        let _ = file.unlock();
        result
    }

    /// Whether the file's length or its last frame differs from `known`: asked of the server by opening the
    /// file, without the lock. A frame that was written over, by one who had lost the lock, need not change
    /// the length.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn has_changed(&self, known: &Known) -> Result<bool> {
        let look = || {
            let file = disk::open(&self.path, Access::Read)?;
            if file.length()? != known.whole as u64 {
                return Ok(true);
            }
            if known.at == 0 {
                return Ok(false); // no frame is known, and there is none
            }
            let mut head = [0; frames::HEAD];
            file.read_exact_at(&mut head, known.at as u64)?;
            Ok(!known.begins_with(&head))
        };
        look().map_err(Error::io("look at", &self.path))
    }
}

/// An error that may come from a client's old cache: the name is missing, or its file was replaced on the
/// server.
pub(crate) fn is_stale(source: &io::Error) -> bool {
    matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle)
}

/// One update on a locked file: read new records, ask `f`, append as one write, make it durable.
fn transact<R, E: From<Error>>(
    path: &Path,
    file: &mut impl Medium,
    known: &mut Known,
    decode: Decode,
    f: impl FnOnce(News<'_>) -> Result<(Vec<Vec<u8>>, R), E>,
) -> Result<R, E> {
    let read = |file: &mut dyn Medium, from: usize| {
        file.read_from(from as u64).map_err(|source| medium::lost_or_io("read", path, source))
    };
    let mut from = if known.only_read { known.at.min(known.whole.saturating_sub(DOUBTED)) } else { known.at };
    let mut bytes = read(file, from)?;
    let all = !known.is_of(bytes.get(known.at - from..).unwrap_or_default());
    let base = if all { Known::default() } else { known.clone() };
    if all && from > 0 {
        (from, bytes) = (0, read(file, 0)?);
    }
    let end = from + bytes.len();
    check_alone(path, file, end, "after reading")?;
    let behind = &bytes[base.whole - from..];
    let contents = decode(path, base, behind)?;
    let (append, result) = f(News { all, records: &contents.records })?;
    check_alone(path, file, end, "before writing")?;
    let mut now_known = contents.known;
    let whole = now_known.whole;
    now_known.only_read = all || known.only_read;
    if !append.is_empty() {
        let (frame, with_frame) = frames::encode(path, &now_known, &append)?;
        if whole < end {
            file.cut(whole as u64)
                .map_err(|source| medium::lost_or_io("cut the torn tail of", path, source))?;
        }
        // The last holder's fsync may have failed, and then this machine's cache shows bytes that the disk
        // does not have.
        let doubted = if now_known.only_read { whole.saturating_sub(DOUBTED).max(from) } else { whole };
        let bytes = [&bytes[doubted - from..whole - from], &frame].concat();
        file.write_all_at(&bytes, doubted as u64).map_err(|source| {
            // A part of the frame may have been written, for instance on a full disk. If the cut fails too,
            // the part is a torn tail, which the next holder cuts.
            let _ = file.cut(whole as u64);
            medium::lost_or_io("append to", path, source)
        })?;
        now_known = with_frame;
    }
    // A process that tries again after a failed fsync must doubt what it reads.
    *known = Known::default();
    // Also if nothing was appended: the last holder may have died between its write and its fsync, and a
    // decision may only use durable facts.
    file.sync().map_err(|source| medium::lost_or_io("sync", path, source))?;
    *known = now_known;
    Ok(result)
}

/// Checks that the file is as long as the part that was read.
fn check_alone(path: &Path, file: &mut impl Medium, end: usize, when: &str) -> Result<()> {
    let length = file.length_anew().map_err(|source| medium::lost_or_io("look at", path, source))?;
    if length == end as u64 {
        return Ok(());
    }
    let source = io::Error::other(format!("{when} it has {length} bytes, {end} were read"));
    Err(Error::LockLost { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
