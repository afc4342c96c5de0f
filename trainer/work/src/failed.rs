//! Why work failed: all that the handler may know of it.

/// Whether doing the same again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It can: input and output, a lost lock, a file that is not to be seen yet.
    Retry,
    /// It cannot: damage, a job that does not fit its data, numbers that are not finite.
    Halt,
}

/// A failure of a workload, with its words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct Failed {
    /// Whether the event is to be delivered again, or the run has failed.
    pub fate: Fate,
    /// Whether it lasts until somebody gives space, access or a file.
    pub lasting: bool,
    /// What was found, what was expected, what to do.
    pub words: String,
}

impl Failed {
    /// A failure that doing the same again cannot help.
    pub fn halt(words: impl ToString) -> Failed {
        Failed { fate: Fate::Halt, lasting: false, words: words.to_string() }
    }
}

impl From<storage::Error> for Failed {
    fn from(error: storage::Error) -> Failed {
        use storage::Error::{Busy, Io, LockLost, Missing};
        let lasting = matches!(error, Io { .. } | Missing { .. });
        let passing = lasting || matches!(error, Busy { .. } | LockLost { .. });
        let fate = if passing { Fate::Retry } else { Fate::Halt };
        Failed { fate, lasting, words: error.to_string() }
    }
}
