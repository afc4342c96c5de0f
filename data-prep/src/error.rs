//! Errors of making a data set. Their messages name the file and say what to do.

use std::io;
use std::path::{Path, PathBuf};
use storage::Fate;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure: where it was, what was expected and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An option that contradicts another or does not fit the source.
    #[error("{option}: expected {}, found {}", printable(expected), printable(found))]
    Option {
        /// The option as it is written on the command line.
        option: &'static str,
        /// A value that would work.
        expected: String,
        /// The value that was given.
        found: String,
    },
    /// A source that does not have the expected form.
    #[error("{}: expected {}, found {}", shown(file), printable(expected), printable(found))]
    Input {
        /// The file or folder.
        file: PathBuf,
        /// A thing that can be read.
        expected: String,
        /// The thing that is there.
        found: String,
    },
    /// More images than allowed cannot be read.
    #[error(
        "{count} of {total} images cannot be read, more than the allowed share of {share}; the first: {}. \
         Repair or remove them, or allow more with --max-unreadable",
        printable(first)
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
    #[error(
        "{} exists and is not what this command makes ({found}): \
         choose another --out, or replace the dataset with --replace",
        shown(folder)
    )]
    Exists {
        /// The folder.
        folder: PathBuf,
        /// Its content.
        found: String,
    },
    /// Another process is making the same dataset.
    #[error("another data-prep is writing {}: wait for it, or choose another --out", shown(folder))]
    Busy {
        /// The folder.
        folder: PathBuf,
    },
    /// A file cannot be read or written, or is damaged.
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

    /// The failure without the file's name, for a place that already has the name.
    pub(crate) fn reason(&self) -> String {
        match self {
            Error::Input { expected, found, .. } => format!("expected {expected}, found {found}"),
            Error::Storage(storage::Error::Io { action, source, .. }) => format!("cannot {action}: {source}"),
            other => other.to_string(),
        }
    }

    /// Whether the source or an option is wrong, so that trying again cannot help.
    pub fn is_bad_input(&self) -> bool {
        match self {
            Error::Storage(error) => error.fate() == Fate::Halt,
            Error::Busy { .. } => false,
            _ => true,
        }
    }
}

/// A text that a stranger may have chosen, fit for a terminal: control characters are shown, not obeyed.
pub fn printable(text: &str) -> String {
    terminal::shown(text)
}

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_named_is_shown_and_not_obeyed() {
        assert_eq!(printable("Ameisen, 蟻.jpg"), "Ameisen, 蟻.jpg");
        assert_eq!(printable("\u{1b}[2Ka\nb\u{202e}gpj"), "\\u001b[2Ka\\nb\\u202egpj");
        let error = Error::input(Path::new("a\rb"), "one\ttwo", "\u{7}").to_string();
        assert_eq!(error, "a\\rb: expected one\\ttwo, found \\u0007");
    }
}
