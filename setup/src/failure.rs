//! The failure of a command: words for the user and an exit code for scripts.

use std::fmt::{self, Display};
use std::io;
use std::path::Path;
use storage::Fate;

/// A command's failure. Exit codes: 1 anything else, 2 wrong usage (clap's own), 3 bad input,
/// 4 reading or writing, 6 AWS not reached, 7 AWS does not allow it, 8 AWS throttles.
#[derive(Debug)]
pub struct Failure {
    /// The process's exit code.
    pub code: u8,
    /// The message: what went wrong, where, and what to do.
    pub message: String,
}

impl Failure {
    /// An input that cannot be used.
    pub fn input(why: impl Display) -> Failure {
        Failure { code: 3, message: why.to_string() }
    }

    /// The failure of a workload, or of a part of it.
    pub fn of(error: impl Into<work::Failed>) -> Failure {
        error.into().into()
    }

    /// The operating system refused or failed an operation on a file.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Failure {
        move |error| storage::Error::io(action, path)(error).into()
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Failure {
        Failure { code: 1, message }
    }
}

impl From<work::Failed> for Failure {
    fn from(failed: work::Failed) -> Failure {
        Failure { code: code(failed.fate), message: failed.words }
    }
}

impl From<data_prep::Error> for Failure {
    fn from(error: data_prep::Error) -> Failure {
        Failure { code: if error.is_bad_input() { 3 } else { 4 }, message: error.to_string() }
    }
}

impl From<storage::Error> for Failure {
    fn from(error: storage::Error) -> Failure {
        Failure { code: code(error.fate()), message: error.to_string() }
    }
}

fn code(fate: Fate) -> u8 {
    match fate {
        Fate::Halt => 3,
        Fate::Retry => 4,
    }
}
