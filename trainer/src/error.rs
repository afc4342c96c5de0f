//! Errors of an event, and Lambda's answer for each.

/// The consequence of a failed event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Fail the invocation: the event is delivered again.
    Retry,
    /// Answer with the reason; never delivered again.
    Refuse,
    /// The run cannot continue: it is recorded as failed, with the reason.
    Halt,
}

impl From<storage::Fate> for Fate {
    fn from(fate: storage::Fate) -> Fate {
        match fate {
            storage::Fate::Retry => Fate::Retry,
            storage::Fate::Halt => Fate::Halt,
        }
    }
}

/// Why an event was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The event or its job is not allowed, or the ledger contradicts itself.
    #[error(transparent)]
    Protocol(#[from] protocol::Error),
    /// A file cannot be read or written, or is damaged.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The data, the weights or the training.
    #[error(transparent)]
    Work(#[from] work::Failed),
    /// The event is newer than the ledger that this process sees.
    #[error("ahead of the ledger: {0}; it will be delivered again")]
    Ahead(String),
    /// An event could not be sent.
    #[error("the event {event} could not be sent: {reason}")]
    Send {
        /// The event.
        event: String,
        /// The service's message.
        reason: String,
    },
    /// An object of the bucket could not be read or written.
    #[error("the object {key} could not be read or written: {reason}")]
    Bucket {
        /// Its key.
        key: String,
        /// The service's message.
        reason: String,
    },
    /// The operator allows no more.
    #[error("the operator's ceiling: {0}")]
    Ceiling(String),
    /// There is no run that the event could be for.
    #[error("run: found {found}, expected a run that was started; send {{\"start\": true}} first")]
    NoRun {
        /// The run that the event names.
        found: String,
    },
}

impl Error {
    /// The kind of the error: Lambda's `errorType`.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Storage(_) => "Storage",
            Error::Protocol(_) | Error::NoRun { .. } | Error::Ceiling(_) => "Protocol",
            Error::Work(failed) if failed.lasting => "Storage",
            Error::Work(_) => "Work",
            Error::Ahead(_) => "Ahead",
            Error::Send { .. } => "Send",
            Error::Bucket { .. } => "Bucket",
        }
    }

    /// Whether it can last until somebody provides space, access or a file.
    pub fn is_lasting(&self) -> bool {
        match self {
            Error::Storage(error) => error.is_lasting(),
            Error::Work(failed) => failed.lasting,
            _ => false,
        }
    }

    /// The consequence for the event.
    pub fn fate(&self) -> Fate {
        match self {
            Error::Protocol(protocol::Error::Contradiction { .. } | protocol::Error::Schema { .. }) => {
                Fate::Halt
            }
            // An answer to an event that was queued is heard by nobody: it fails, and is kept when it has
            // failed as often as the platform tries.
            Error::Protocol(protocol::Error::Malformed(_)) => Fate::Retry,
            Error::Protocol(_) | Error::NoRun { .. } | Error::Ceiling(_) => Fate::Refuse,
            Error::Storage(error) => error.fate().into(),
            Error::Work(failed) => failed.fate.into(),
            Error::Ahead(_) | Error::Send { .. } | Error::Bucket { .. } => Fate::Retry,
        }
    }
}
