//! Errors on the shared file system. Their messages name the file and say what to do.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error: what went wrong, where, what was expected and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused or failed an operation.
    #[error("cannot {action} {}: {source}{}", .path.display(), advice(.source))]
    Io {
        /// The action that failed: "open", "write".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file that should be there is not, although it was looked for again and again.
    #[error(
        "{} is not there after {:.1} s of looking: was it removed, or is another file system mounted?",
        .path.display(), .waited.as_secs_f64()
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// How long it was looked for.
        waited: Duration,
    },
    /// Others held the lock for the whole time that we could wait; try again later.
    #[error(
        "{} stayed locked by others for {:.1} s: try again; \
         if nothing runs, wait 180 s for a vanished client's lock to end",
        .path.display(), .waited.as_secs_f64()
    )]
    Busy {
        /// The locked file.
        path: PathBuf,
        /// How long we waited.
        waited: Duration,
    },
    /// The lock was lost during an update: nothing of it counts; do all of it again.
    #[error(
        "the lock on {} was lost ({source}): this update does not count, do it again from the start",
        .path.display()
    )]
    LockLost {
        /// The locked file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file has other bytes than were written.
    #[error(
        "{} is damaged: expected {expected}, found {found}; remove it and make it again, or restore a copy",
        .file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The expected content.
        expected: String,
        /// The content that was found.
        found: String,
    },
    /// A file was written by another version.
    #[error(
        "{} has schema {found}, this version of Baton reads {known}: \
         use the version that wrote it, or start afresh",
        .file.display()
    )]
    Schema {
        /// The file.
        file: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest that this version knows.
        known: u32,
    },
    /// A name that would leave its folder, hide, or be unreadable elsewhere.
    #[error("{what} {found:?} is not allowed: expected {expected}")]
    Name {
        /// The kind of name: "data set", "file".
        what: &'static str,
        /// The name.
        found: String,
        /// The names that are allowed.
        expected: &'static str,
    },
    /// An array or data set that somebody made in another form than the needed one.
    #[error("{}: expected {expected}, found {found}", .file.display())]
    Array {
        /// The file.
        file: PathBuf,
        /// The forms that can be read.
        expected: String,
        /// The form that was found.
        found: String,
    },
    /// Data to write, or a request for a file, that does not fit.
    #[error("{what}: expected {expected}, found {found}")]
    Unfit {
        /// The thing that does not fit.
        what: String,
        /// The value that would fit.
        expected: String,
        /// The value that was given.
        found: String,
    },
}

/// Whether doing the same again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It can: bytes that could not be read or written, a lock that others have, a file that cannot be seen
    /// yet.
    Retry,
    /// It cannot: bytes that were read and are wrong, or a request that nothing on disk can satisfy.
    Halt,
}

impl Error {
    /// Whether doing the same again can help.
    pub fn fate(&self) -> Fate {
        match self {
            Error::Io { .. } | Error::Missing { .. } | Error::Busy { .. } | Error::LockLost { .. } => {
                Fate::Retry
            }
            Error::Damaged { .. }
            | Error::Schema { .. }
            | Error::Name { .. }
            | Error::Array { .. }
            | Error::Unfit { .. } => Fate::Halt,
        }
    }

    /// Whether it can last until somebody provides space, access or a file. A lock is released by itself.
    pub fn is_lasting(&self) -> bool {
        matches!(self, Error::Io { .. } | Error::Missing { .. })
    }

    /// The failure of `action` on `path`; use as `.map_err(Error::io("open", path))`.
    ///
    /// An error of this crate that travelled through an [`io::Error`] comes out as itself.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| match source.downcast::<Error>() {
            Ok(error) => error,
            Err(source) => Error::Io { action, path: path.to_owned(), source },
        }
    }

    /// The failure to read `expected` from `path`: the one place that distinguishes damage from trouble.
    ///
    /// Bytes that were read and are wrong are damage: they end too early, or their reader cannot parse them.
    /// Bytes that could not be read are trouble, whatever the system's reason.
    pub fn read(path: &Path, expected: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        move |source| match source.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData if !is_trouble(&source) => {
                Error::damaged(path, expected, source.to_string())
            }
            _ => Error::io("read", path)(source),
        }
    }

    /// A file that has other bytes than were written.
    pub fn damaged(file: &Path, expected: impl Into<String>, found: impl Into<String>) -> Error {
        Error::Damaged { file: file.to_owned(), expected: expected.into(), found: found.into() }
    }

    /// An array or data set in another form than the needed one.
    pub fn array(file: &Path, expected: impl Into<String>, found: impl Into<String>) -> Error {
        Error::Array { file: file.to_owned(), expected: expected.into(), found: found.into() }
    }

    /// An input or a request that does not fit.
    pub fn unfit(what: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) -> Error {
        Error::Unfit { what: what.into(), expected: expected.into(), found: found.into() }
    }
}

/// Whether the cause is a refusal of the system, however deep it is in the chain of errors: then the error
/// says nothing about the bytes.
pub fn is_trouble(error: &(dyn std::error::Error + 'static)) -> bool {
    let refused = |error: &(dyn std::error::Error + 'static)| {
        error.downcast_ref::<io::Error>().is_some_and(|error| error.raw_os_error().is_some())
    };
    std::iter::successors(Some(error), |error| error.source()).any(refused)
}

/// So that `?` works in closures that write; [`Error::io`] takes the error out again.
impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        io::Error::other(error)
    }
}

/// Advice for a person about a system's error.
fn advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; the disk is full: free some space or use a larger file system, then start again"
        }
        io::ErrorKind::ReadOnlyFilesystem => "; mount it for writing, or choose another folder",
        io::ErrorKind::PermissionDenied => "; give this user access to it, or choose another folder",
        _ => "",
    }
}
