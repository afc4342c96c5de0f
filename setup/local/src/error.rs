//! Errors of the local cloud itself, not of the function that it runs.

use std::{io, net::SocketAddr, path::PathBuf};

/// An error of the local cloud.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address to listen on is reachable from other machines.
    #[error(
        "listen address {0} is not the loopback: \
         the local cloud is for this machine only; use 127.0.0.1 or ::1"
    )]
    NotLoopback(SocketAddr),
    /// The listener could not be opened.
    #[error("cannot listen on {address}: {source}; choose another port, or port 0 for any free one")]
    Listen {
        /// Where it should have listened.
        address: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// The system has no randomness for the token.
    #[error("cannot make a token: /dev/urandom: {0}")]
    Token(io::Error),
    /// The function's binary is missing or cannot be run.
    #[error("function binary {program}: {reason}; build it first, or name the right file")]
    Program {
        /// The file that was named.
        program: PathBuf,
        /// Why it cannot be run.
        reason: String,
    },
    /// A setting that Lambda does not accept.
    #[error("setting `{name}` is {found}, expected {expected}")]
    Setting {
        /// The field of [`crate::Options`].
        name: &'static str,
        /// The value that was given.
        found: String,
        /// The values that Lambda accepts.
        expected: &'static str,
    },
    /// An environment variable that Lambda reserves was given.
    #[error("environment variable `{0}` is set by Lambda and cannot be given; leave it out")]
    Reserved(String),
    /// The event is not JSON or is too large.
    #[error("event refused: {0}")]
    Event(String),
    /// The function failed at a request; Lambda's error object says how.
    #[error("the function failed: {0}")]
    Failed(String),
    /// The local cloud is shutting down.
    #[error("the local cloud is shut down and takes no more events")]
    Closed,
}
