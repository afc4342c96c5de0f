//! The few operations of a locked file that an update needs: tests let them fail here.

use crate::Error;
use crate::disk::{self, Access, OpenFile};
use std::io;
use std::path::Path;

/// A locked file.
pub(super) trait Medium {
    /// The file's length on the server now: it opens the file again, so that no cache answers.
    fn length_anew(&mut self) -> io::Result<u64>;
    /// All bytes of the file from `offset` on; none if it is shorter.
    fn read_from(&mut self, offset: u64) -> io::Result<Vec<u8>>;
    /// Cuts the file to `length` bytes.
    fn cut(&mut self, length: u64) -> io::Result<()>;
    /// Writes `bytes` at `offset`, the end of the file.
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes all of it durable.
    fn sync(&mut self) -> io::Result<()>;
}

/// A locked file on disk, and its path.
pub(super) struct Locked<'a> {
    pub(super) file: &'a dyn OpenFile,
    pub(super) path: &'a Path,
}

impl Medium for Locked<'_> {
    fn length_anew(&mut self) -> io::Result<u64> {
        disk::open(self.path, Access::Read)?.length()
    }

    fn read_from(&mut self, offset: u64) -> io::Result<Vec<u8>> {
        self.file.read_from(offset, u64::MAX)
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file.set_length(length)
    }

    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }
}

/// The meaning of a failure on a locked file: with EIO and ESTALE, NFS says that the lock is gone.
pub(super) fn lost_or_io(action: &'static str, path: &Path, source: io::Error) -> Error {
    const EIO: i32 = 5;
    if source.raw_os_error() == Some(EIO) || source.kind() == io::ErrorKind::StaleNetworkFileHandle {
        return Error::LockLost { path: path.to_owned(), source };
    }
    Error::io(action, path)(source)
}
