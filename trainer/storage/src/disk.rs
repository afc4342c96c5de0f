//! The disk: every call of the operating system that this crate makes, for files, waiting and names, in one
//! place.
//!
//! The system's own disk is the default. [`within`] replaces it for the work of a thread: by one that counts
//! calls, that crashes between two of them, or that simulates a network file system with several clients.

use crate::entropy;
use std::cell::RefCell;
use std::fmt::Debug;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// For reading.
    Read,
    /// For reading and writing.
    Update,
    /// For reading and writing; the file is made if it is missing.
    UpdateOrCreate,
    /// For writing; the name must be new.
    CreateNew,
}

/// A disk, its clock and its randomness.
pub trait Disk: Send + Sync {
    /// Opens a file.
    fn open(&self, path: &Path, access: Access) -> io::Result<File>;
    /// Makes a folder.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Whether the path is a folder.
    fn is_dir(&self, path: &Path) -> io::Result<bool>;
    /// Makes the names in a folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// The names in a folder, freshly read.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Gives a file a name, and replaces the file that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file another name, which must be new.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Whether two names are those of one file.
    fn same_file(&self, a: &Path, b: &Path) -> io::Result<bool>;
    /// Removes a name.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder with everything in it.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// The time since some moment.
    fn now(&self) -> Duration;
    /// Waits.
    fn sleep(&self, time: Duration);
    /// 64 bits that no other call in any process returns.
    fn random(&self) -> u64;
}

/// An open file. Dropping it closes it and frees its lock.
pub type File = Box<dyn OpenFile>;

/// The operations on an open file. Several threads may read from one at once.
pub trait OpenFile: Debug + Send + Sync {
    /// Its length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Reads some bytes; none at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes some bytes.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Truncates it, or lengthens it with zeros.
    fn set_length(&self, length: u64) -> io::Result<()>;
    /// Makes its bytes durable.
    fn sync(&self) -> io::Result<()>;
    /// Makes it executable for everybody who may read it. A disk without such rights has nothing to do.
    fn allow_running(&self) -> io::Result<()> {
        Ok(())
    }
    /// Takes the lock that only one may hold, or answers `WouldBlock`.
    fn try_lock(&self) -> io::Result<()>;
    /// Releases the lock.
    fn unlock(&self) -> io::Result<()>;
}

impl dyn OpenFile + '_ {
    /// Reads some bytes, despite signals; none at the end.
    pub(crate) fn read_some(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.read_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    /// Fills the buffer.
    pub(crate) fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read_some(buffer, offset)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => {
                    buffer = &mut buffer[read..];
                    offset += read as u64;
                }
            }
        }
        Ok(())
    }

    /// Writes all bytes.
    pub(crate) fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write_at(bytes, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    bytes = &bytes[written..];
                    offset += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// At most `most` bytes from `offset` on; none if the file is shorter.
    pub(crate) fn read_from(&self, offset: u64, most: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.length()?.saturating_sub(offset).min(most) as usize];
        self.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

thread_local! {
    static HERE: RefCell<Option<Arc<dyn Disk>>> = const { RefCell::new(None) };
}

/// Runs `f`. All calls of this crate on this thread go to `disk`; threads that `f` starts use the system's
/// disk.
pub fn within<R>(disk: Arc<dyn Disk>, f: impl FnOnce() -> R) -> R {
    struct Restore(Option<Arc<dyn Disk>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            HERE.set(self.0.take());
        }
    }
    let _restore = Restore(HERE.replace(Some(disk)));
    f()
}

/// The disk of this thread.
pub(crate) fn on<R>(f: impl FnOnce(&dyn Disk) -> R) -> R {
    match HERE.with_borrow(Clone::clone) {
        Some(disk) => f(&*disk),
        None => f(&System),
    }
}

/// Opens a file on the disk of this thread.
pub(crate) fn open(path: &Path, access: Access) -> io::Result<File> {
    on(|disk| disk.open(path, access))
}

/// Measures how long something has taken.
pub(crate) struct Stopwatch(Duration);

impl Stopwatch {
    pub(crate) fn start() -> Stopwatch {
        Stopwatch(on(|disk| disk.now()))
    }

    pub(crate) fn elapsed(&self) -> Duration {
        on(|disk| disk.now()).saturating_sub(self.0)
    }
}

/// Waits.
pub(crate) fn sleep(time: Duration) {
    on(|disk| disk.sleep(time));
}

/// 64 bits that no other call in any process returns.
pub(crate) fn random() -> u64 {
    on(|disk| disk.random())
}

/// The operating system's own file system, clock and randomness.
#[derive(Clone, Copy, Debug)]
pub struct System;

impl Disk for System {
    fn open(&self, path: &Path, access: Access) -> io::Result<File> {
        let mut options = OpenOptions::new();
        match access {
            Access::Read => options.read(true),
            Access::Update => options.read(true).write(true),
            Access::UpdateOrCreate => options.read(true).write(true).create(true).truncate(false),
            Access::CreateNew => options.write(true).create_new(true),
        };
        Ok(Box::new(options.open(path)?))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn is_dir(&self, path: &Path) -> io::Result<bool> {
        Ok(fs::metadata(path)?.is_dir())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
        fs::read_dir(path)?.map(name).collect()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn same_file(&self, a: &Path, b: &Path) -> io::Result<bool> {
        let (a, b) = (fs::symlink_metadata(a)?, fs::symlink_metadata(b)?);
        Ok((a.dev(), a.ino()) == (b.dev(), b.ino()))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn now(&self) -> Duration {
        static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
        FIRST.elapsed()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn random(&self) -> u64 {
        entropy::random()
    }
}

impl OpenFile for fs::File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }

    fn allow_running(&self) -> io::Result<()> {
        let mut permissions = self.metadata()?.permissions();
        let mode = permissions.mode();
        let wanted = mode | (mode & 0o444) >> 2;
        if wanted == mode {
            return Ok(());
        }
        permissions.set_mode(wanted);
        self.set_permissions(permissions)
    }

    fn try_lock(&self) -> io::Result<()> {
        fs2::FileExt::try_lock_exclusive(self)
    }

    fn unlock(&self) -> io::Result<()> {
        fs2::FileExt::unlock(self)
    }
}
