//! Errors of learning, with advice, and whether trying again can help.

use frozen::BoxError;
use std::io;
use std::path::{Path, PathBuf};
use work::Failed;

pub use storage::Fate;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error: what went wrong, where, what was expected and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written, or is damaged.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// There is no such network or point, or an image is too small for it.
    #[error(transparent)]
    Network(#[from] networks::Error),
    /// A key of the job is not allowed.
    #[error(transparent)]
    Job(#[from] protocol::Error),
    /// An input does not fit: a key of the job, an array, a name.
    #[error("{what}: expected {expected}, found {found}")]
    Argument {
        /// The thing that does not fit.
        what: String,
        /// The value that would fit.
        expected: String,
        /// The value that was given.
        found: String,
    },
    /// A file has other bytes than were written, or not those that the run needs.
    #[error(
        "{} is damaged or another's: expected {expected}, found {found}; remove it and make it again",
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
    /// A file has no weights that can be read.
    #[error(
        "{} is no weights file: {reason}; expected a whole .safetensors or a .pth with a state_dict",
        .file.display()
    )]
    NotWeights {
        /// The file.
        file: PathBuf,
        /// Its fault.
        reason: String,
    },
    /// A tensor of a weights file is not what is needed.
    #[error("{}: tensor {name}: expected {expected}, found {found}", .file.display())]
    Tensor {
        /// The file.
        file: PathBuf,
        /// The tensor.
        name: String,
        /// Type and shape that are needed.
        expected: String,
        /// Type and shape that were found.
        found: String,
    },
    /// The weights are another network's.
    #[error("{} does not fit `{network}`: {detail}", .file.display())]
    WrongWeights {
        /// The file.
        file: PathBuf,
        /// The network that was asked for.
        network: String,
        /// The missing or different tensors, and advice.
        detail: String,
    },
    /// A folder already has other content.
    #[error(
        "{} is taken: expected {expected}, found {found}; choose another name or remove the folder",
        .folder.display()
    )]
    Taken {
        /// The folder.
        folder: PathBuf,
        /// The content that was to be written there.
        expected: String,
        /// The content that was found.
        found: String,
    },
    /// Something that the run began with is another now.
    #[error(
        "{what} is not what the run began with: expected {expected}, found {found}; put back what was \
         there, and the run goes on"
    )]
    Replaced {
        /// The folder or its part.
        what: String,
        /// The value that the features were made of.
        expected: String,
        /// The present value.
        found: String,
    },
    /// A network's parameter could not be read.
    #[error("parameter {name} of `{network}`: {source}")]
    Parameter {
        /// The parameter.
        name: String,
        /// The network.
        network: &'static str,
        /// Why.
        source: BoxError,
    },
    /// The frozen pass could not be compiled or run.
    #[error(transparent)]
    Frozen(#[from] frozen::Error),
    /// burn failed.
    #[error("burn could not {action}: {reason}")]
    Burn {
        /// The action that failed.
        action: &'static str,
        /// Its answer.
        reason: String,
    },
    /// Rounds could not be opened or combined.
    #[error(transparent)]
    Rounds(#[from] Failed),
    /// A thread of this process ended unexpectedly.
    #[error("the thread that {0} ended without a result; its panic is in the log")]
    Thread(&'static str),
}

impl Error {
    /// Whether doing the same again can help.
    pub fn fate(&self) -> Fate {
        match self {
            Error::Storage(error) => error.fate(),
            Error::Rounds(failed) => failed.fate,
            Error::Thread(_) | Error::Replaced { .. } => Fate::Retry,
            // A parameter that could not be read, threads or memory that the system did not give.
            error if storage::is_trouble(error) => Fate::Retry,
            _ => Fate::Halt,
        }
    }

    /// Whether it can last until somebody provides space, access or a file.
    pub fn is_lasting(&self) -> bool {
        match self {
            Error::Storage(error) => error.is_lasting(),
            Error::Rounds(failed) => failed.lasting,
            Error::Replaced { .. } => true,
            error => storage::is_trouble(error),
        }
    }

    /// The failure of `action` on `path`; use as `.map_err(Error::io("open", path))`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| storage::Error::io(action, path)(source).into()
    }

    /// The failure of a reader of weights on a file: trouble if it could not read, otherwise not a weights
    /// file.
    pub(crate) fn weights(file: &Path, error: &(dyn std::error::Error + 'static)) -> Error {
        let reason = error.to_string();
        if storage::is_trouble(error) {
            return Error::io("read", file)(io::Error::other(reason));
        }
        Error::NotWeights { file: file.to_owned(), reason }
    }

    /// An input that does not fit.
    pub fn argument(what: impl ToString, expected: impl ToString, found: impl ToString) -> Error {
        Error::Argument { what: what.to_string(), expected: expected.to_string(), found: found.to_string() }
    }

    /// A file that has other bytes than were written, or not those that the run needs.
    pub(crate) fn damaged(file: &Path, expected: impl Into<String>, found: impl Into<String>) -> Error {
        Error::Damaged { file: file.to_owned(), expected: expected.into(), found: found.into() }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed { fate: error.fate(), lasting: error.is_lasting(), words: error.to_string() }
    }
}
