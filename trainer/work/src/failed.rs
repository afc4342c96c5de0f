//! Why work failed: everything that the handler may know about it.

use std::fmt::Display;
use std::path::Path;

pub use storage::Fate;

/// A failure of a workload, with its words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct Failed {
    /// Whether the event must be delivered again, or the run has failed.
    pub fate: Fate,
    /// Whether it lasts until somebody provides space, access or a file.
    pub lasting: bool,
    /// The message: found, expected, and what to do.
    pub words: String,
}

impl Failed {
    /// A failure that trying again cannot help.
    pub fn halt(words: impl ToString) -> Failed {
        Failed { fate: Fate::Halt, lasting: false, words: words.to_string() }
    }

    /// An input that does not fit: a key of the job, an array, a name.
    pub fn argument(what: impl Display, expected: impl Display, found: impl Display) -> Failed {
        Failed::halt(format!("{what}: expected {expected}, found {found}"))
    }

    /// A file that has other bytes than were written, or not those that the run needs.
    pub fn damaged(file: &Path, expected: impl Display, found: impl Display) -> Failed {
        let file = file.display();
        Failed::halt(format!(
            "{file} is damaged or another's: expected {expected}, found {found}; remove it and make it again"
        ))
    }
}

impl From<storage::Error> for Failed {
    fn from(error: storage::Error) -> Failed {
        Failed { fate: error.fate(), lasting: error.is_lasting(), words: error.to_string() }
    }
}

impl From<protocol::Error> for Failed {
    fn from(error: protocol::Error) -> Failed {
        Failed::halt(error)
    }
}
