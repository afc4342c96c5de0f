//! The destination of the function's output, with Lambda's own START, END and REPORT lines in it.

use std::{
    fmt,
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex},
};

/// The writer of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The function's standard output.
    Stdout,
    /// The function's standard error.
    Stderr,
    /// The local cloud, in the words of Lambda: INIT_START, START, END, REPORT.
    Platform,
}

type Sink = dyn Fn(u32, Source, &str) + Send + Sync;

/// A receiver of lines; each comes with the number of the process and its source.
#[derive(Clone)]
pub struct Log(Arc<Sink>);

impl Log {
    /// Passes every line to a function, which must not block for long.
    pub fn new(sink: impl Fn(u32, Source, &str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Drops every line.
    pub fn discard() -> Self {
        Self::new(|_, _, _| {})
    }

    /// Appends every line to a file, each after the number of its process and escaped for a terminal.
    ///
    /// # Errors
    /// The file cannot be opened. A line that cannot be written later is lost:
    /// logging never stops the function.
    pub fn file(path: &Path) -> io::Result<Self> {
        let file = Mutex::new(OpenOptions::new().create(true).append(true).open(path)?);
        Ok(Self::new(move |pid, _, line| {
            if let Ok(mut file) = file.lock() {
                // One write per line, so that lines of several local clouds do not mix.
                let _ = file.write_all(format!("[{pid}] {}\n", terminal::shown(line)).as_bytes());
            }
        }))
    }

    pub(crate) fn line(&self, pid: u32, source: Source, line: &str) {
        (self.0)(pid, source, line);
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Log")
    }
}
