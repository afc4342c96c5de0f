//! What can go wrong while a dataset is made, in words that name the file and say what to do.

use std::io;
use std::path::{Path, PathBuf};
use storage::Fate;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, where, what was expected and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An option that contradicts another or does not fit the source.
    #[error("{option}: expected {expected}, found {found}")]
    Option {
        /// The option as it is written on the command line.
        option: &'static str,
        /// What would do.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A source that is not what it should be.
    #[error("{}: expected {expected}, found {found}", file.display())]
    Input {
        /// The file or folder.
        file: PathBuf,
        /// What can be read.
        expected: String,
        /// What is there.
        found: String,
    },
    /// More images than allowed cannot be read.
    #[error(
        "{count} of {total} images cannot be read, more than the allowed share of {share}; the first: {first}. Repair or remove them, or allow more with --max-unreadable"
    )]
    TooManyUnreadable {
        /// How many, so far.
        count: usize,
        /// Of how many.
        total: usize,
        /// The share that is allowed.
        share: f64,
        /// One of them and its reason.
        first: String,
    },
    /// The output folder holds something else.
    #[error("{} exists and is not what this command makes ({found}): choose another --out, or replace the dataset with --replace", folder.display())]
    Exists {
        /// The folder.
        folder: PathBuf,
        /// What it holds.
        found: String,
    },
    /// Another process is making the same dataset.
    #[error("another data-prep is writing {}: wait for it, or choose another --out", folder.display())]
    Busy {
        /// The folder.
        folder: PathBuf,
    },
    /// A file cannot be read or written, or is not what it should be.
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

impl Error {
    /// The failure of `action` on `path`; use as `.map_err(Error::io("open", path))`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| storage::Error::io(action, path)(source).into()
    }

    pub(crate) fn input(file: &Path, expected: impl Into<String>, found: impl Into<String>) -> Error {
        Error::Input { file: file.to_owned(), expected: expected.into(), found: found.into() }
    }

    pub(crate) fn option(
        option: &'static str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Error {
        Error::Option { option, expected: expected.into(), found: found.into() }
    }

    /// Whether the source or an option is at fault, so that going on later cannot help.
    pub fn is_bad_input(&self) -> bool {
        match self {
            Error::Storage(error) => error.fate() == Fate::Halt,
            Error::Busy { .. } => false,
            _ => true,
        }
    }
}
