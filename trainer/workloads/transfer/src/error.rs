//! What can go wrong in learning, what to do about it, and whether doing it again can help.

use frozen::BoxError;
use std::io;
use std::path::{Path, PathBuf};
use work::Failed;

pub use storage::Fate;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, where, what was expected and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written, or is damaged.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// There is no such network or point, or an image is too small for it.
    #[error(transparent)]
    Network(#[from] networks::Error),
    /// Something given does not fit: a key of the job, an array, a name.
    #[error("{what}: expected {expected}, found {found}")]
    Argument {
        /// What does not fit.
        what: String,
        /// What would.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A file is not what was written, or not what the run needs there.
    #[error("{} is damaged or another's: expected {expected}, found {found}; remove it and make it again", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A file holds no weights that can be read.
    #[error("{} is no weights file: {reason}; expected a whole .safetensors or a .pth with a state_dict", .file.display())]
    NotWeights {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
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
        /// What there is.
        found: String,
    },
    /// The weights are another network's.
    #[error("{} does not fit `{network}`: {detail}", .file.display())]
    WrongWeights {
        /// The file.
        file: PathBuf,
        /// The network that was asked for.
        network: String,
        /// What is missing or differs, and what to do.
        detail: String,
    },
    /// A folder already holds something else.
    #[error("{} is taken: expected {expected}, found {found}; choose another name or remove the folder", .folder.display())]
    Taken {
        /// The folder.
        folder: PathBuf,
        /// What should go there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Something that the run began with is another now.
    #[error(
        "{what} is not what the run began with: expected {expected}, found {found}; put back what was \
         there, and the run goes on"
    )]
    Replaced {
        /// What of the job.
        what: String,
        /// What the features were made of.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A network's parameter could not be had.
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
        /// What it was asked for.
        action: &'static str,
        /// Its answer.
        reason: String,
    },
    /// Rounds could not be opened or combined.
    #[error(transparent)]
    Rounds(#[from] Failed),
    /// A thread of this process ended in a way that it should not.
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

    /// Whether it can last until somebody gives space, access or a file.
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

    /// The failure of a reader of weights on a file: trouble if it could not read, else no weights.
    pub(crate) fn weights(file: &Path, error: &(dyn std::error::Error + 'static)) -> Error {
        let reason = error.to_string();
        if storage::is_trouble(error) {
            return Error::io("read", file)(io::Error::other(reason));
        }
        Error::NotWeights { file: file.to_owned(), reason }
    }

    /// Something given that does not fit.
    pub fn argument(what: impl ToString, expected: impl ToString, found: impl ToString) -> Error {
        Error::Argument { what: what.to_string(), expected: expected.to_string(), found: found.to_string() }
    }

    /// A file that is not what was written, or not what the run needs there.
    pub(crate) fn damaged(file: &Path, expected: impl Into<String>, found: impl Into<String>) -> Error {
        Error::Damaged { file: file.to_owned(), expected: expected.into(), found: found.into() }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed { fate: error.fate(), lasting: error.is_lasting(), words: error.to_string() }
    }
}
