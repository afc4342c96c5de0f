//! An append-only file of records that many machines append to, under a lock on that very file.
//!
//! Invariants, each measured on NFS: the locked file is the file with the data (a lock refreshes the cache of
//! its own file only); it is opened for reading and writing; it is never truncated but for a torn tail, under
//! the lock; a record counts once `fsync` has succeeded while the lock was held;
//! EIO means that the lock was lost.

mod frames;
mod medium;

use crate::disk::{self, Access, File, Stopwatch};
use crate::folder::{create_folder, refresh, sync_folder};
use crate::{Error, Result};
use frames::Decode;
pub use frames::Known;
use medium::{Locked, Medium};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a log that is not there is looked for. Its folder is refreshed each time, so that a name once
/// found missing does not stay missing.
const LOOK_FOR: Duration = Duration::from_secs(2);

/// So many of the last bytes are written again, the same to the same place, by who appends to a log that it
/// has only read: some frames, or what several failed to make durable one after the other.
const DOUBTED: usize = 4096;
/// The first pause before the lock is asked for again; each is twice as long as the one before it,
/// up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(16);

/// An append-only file of records; only its path is kept, each use opens the file anew.
#[derive(Clone, Debug)]
pub struct Log {
    path: PathBuf,
    /// Whether damage is passed over, and all that is whole behind it counts.
    forgiving: bool,
}

/// The records that a reader does not know yet.
#[derive(Clone, Copy, Debug)]
pub struct News<'a> {
    /// Whether these are all records: what the reader knew is of another file, or nothing.
    pub all: bool,
    /// The records, oldest first.
    pub records: &'a [Vec<u8>],
}

/// What [`Log::create`] found.
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
    /// Begins the log with the record `first`, unless it has records;
    /// of many callers one gets [`Created::New`].
    ///
    /// Who is first is decided under the lock by what the file holds, not by who made the file: a file whose
    /// maker died before its first record is an empty log, and the next caller begins it.
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

    /// The log at `path`, made without records when it is not there.
    ///
    /// # Errors
    /// [`Error::Io`] when the file or its folder cannot be made.
    pub fn open_or_create(path: impl Into<PathBuf>) -> Result<Log> {
        let path = path.into();
        let folder = path.parent().unwrap_or(Path::new("."));
        create_folder(folder)?;
        disk::open(&path, Access::UpdateOrCreate).map_err(Error::io("create", &path))?;
        sync_folder(folder)?;
        Ok(Log { path, forgiving: false })
    }

    /// The same log, for records of which none depends on another:
    /// damage costs those that it has hit and no more.
    pub fn forgiving(self) -> Log {
        Log { forgiving: true, ..self }
    }

    /// The log at `path`, which someone has created.
    ///
    /// # Errors
    /// [`Error::Missing`] when it is not there, after looking for it for two seconds.
    pub fn open(path: impl Into<PathBuf>) -> Result<Log> {
        let log = Log { path: path.into(), forgiving: false };
        log.file()?;
        Ok(log)
    }

    /// The file that the log lies in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All records, oldest first, as they are on disk: read under the lock, for only that refreshes them.
    ///
    /// # Errors
    /// As [`Log::update`].
    pub fn read(&self, wait: Duration) -> Result<Vec<Vec<u8>>> {
        self.update(wait, |records| Ok((Vec::new(), records.to_vec())))
    }

    /// Gives all records to `f` and appends those that it returns, as one: all of them count or none.
    ///
    /// The lock is held from the reading to the `fsync`, so `f` must be quick: decide there, compute
    /// elsewhere. It is waited for during `wait`.
    ///
    /// # Errors
    /// [`Error::Busy`] when others hold the lock all the time; [`Error::LockLost`] when nothing of this
    /// counts and all of it is to be done again; [`Error::Damaged`]; [`Error::Schema`];
    /// and whatever `f` says.
    pub fn update<R, E: From<Error>>(
        &self,
        wait: Duration,
        f: impl FnOnce(&[Vec<u8>]) -> Result<(Vec<Vec<u8>>, R), E>,
    ) -> Result<R, E> {
        self.update_after(wait, &mut Known::default(), |news| f(news.records))
    }

    /// As [`Log::update`], but gives `f` only the records behind `known`,
    /// and moves that on to the end of the log.
    ///
    /// So a process that looks at a long log again and again reads each record once. `known` moves only when
    /// the update succeeds; records that `f` appended are behind it then.
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
        // What counts is on disk by now, and closing the file frees the lock as well.
        let _ = file.unlock();
        result
    }

    /// Whether the file's length, or its last frame, is another than `known`: asked of the server by an
    /// opening, without the lock. A frame that was written over, by one who held the lock no more,
    /// need not change the length.
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

    /// Opens the file and locks it. Never blocks in the kernel:
    /// an NFS client would sleep for up to 30 s between its own tries.
    fn lock(&self, wait: Duration) -> Result<File> {
        let file = self.file()?;
        let start = Stopwatch::start();
        let mut pause = FIRST_PAUSE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(source) if source.kind() == io::ErrorKind::WouldBlock => {}
                Err(source) if source.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(medium::lost_or_io("lock", &self.path, source)),
            }
            let waited = start.elapsed();
            if waited >= wait {
                return Err(Error::Busy { path: self.path.clone(), waited });
            }
            disk::sleep(jittered(pause).min(wait - waited));
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    fn file(&self) -> Result<File> {
        let start = Stopwatch::start();
        loop {
            match disk::open(&self.path, Access::Update) {
                Err(source) if is_stale(&source) => {}
                opened => return opened.map_err(Error::io("open", &self.path)),
            }
            let waited = start.elapsed();
            if waited >= LOOK_FOR {
                return Err(Error::Missing { path: self.path.clone(), waited });
            }
            disk::sleep(Duration::from_millis(100));
            // The folder itself may be what is not there yet; then the next look says so.
            let _ = refresh(self.path.parent().unwrap_or(Path::new(".")));
        }
    }
}

/// What may be only a client's old knowledge: the name is not there, or its file was replaced on the server.
pub(crate) fn is_stale(source: &io::Error) -> bool {
    matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle)
}

/// Half of a pause to all of it, so that those who wait do not ask in step.
fn jittered(pause: Duration) -> Duration {
    let half = pause.as_micros() as u64 / 2;
    Duration::from_micros(half + disk::random() % (half + 1))
}

/// One update on a locked file: read what is new, ask `f`, append as one write, make it durable.
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
        // A holder's fsync may have failed, and after that this machine's cache shows what the disk has not.
        let doubted = if now_known.only_read { whole.saturating_sub(DOUBTED).max(from) } else { whole };
        let bytes = [&bytes[doubted - from..whole - from], &frame].concat();
        file.write_all_at(&bytes, doubted as u64).map_err(|source| {
            // A part of the frame may be there, for instance on a full disk. If this fails too, the part is a
            // torn tail, which the next holder cuts.
            let _ = file.cut(whole as u64);
            medium::lost_or_io("append to", path, source)
        })?;
        now_known = with_frame;
    }
    // Whoever tries again after a failed fsync is to doubt what it reads.
    *known = Known::default();
    // Also when nothing was appended: the last holder may have died between its write and its fsync,
    // and what is acted on must be durable.
    file.sync().map_err(|source| medium::lost_or_io("sync", path, source))?;
    *known = now_known;
    Ok(result)
}

/// Checks that the file is as long as what was read of it.
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
