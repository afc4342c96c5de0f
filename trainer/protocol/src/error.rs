//! Errors in an event or a job. Their messages name the key.

use serde_json::Value;

/// Why the protocol does not accept something.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// An event or a job has a key or value that is not allowed; never retried.
    #[error("{key}: found {found}, expected {expected}")]
    Refused {
        /// The key in the event or job.
        key: String,
        /// The value that was found.
        found: String,
        /// The values that are allowed.
        expected: String,
    },
    /// The text is not JSON, or not an object.
    #[error("the event is not understood: {0}")]
    Malformed(String),
    /// A ledger, job or fact of a schema that this version does not know.
    #[error(
        "{what} has schema {found}, this version of Baton reads {known}: \
         use the version that wrote it, or start a new run"
    )]
    Schema {
        /// The file or record.
        what: String,
        /// Its schema.
        found: u32,
        /// The newest that this version knows.
        known: u32,
    },
    /// The log of facts contradicts itself: damage, or a defect.
    #[error("the ledger contradicts itself at fact {at}: {what}")]
    Contradiction {
        /// Index of the fact in the log, from 0.
        at: usize,
        /// The contradiction.
        what: String,
    },
}

impl Error {
    /// A refusal of `key`.
    pub fn refused(key: &str, found: impl Into<String>, expected: impl Into<String>) -> Error {
        Error::Refused { key: key.into(), found: found.into(), expected: expected.into() }
    }
}

/// A value shortened for a message.
pub(crate) fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
