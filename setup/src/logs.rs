//! `baton logs`: the function's output, on AWS or in the local cloud.

mod cloudwatch;

use crate::Failure;
use crate::aws::Aws;
use cloudwatch::CloudWatch;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;
use terminal::say;

/// How often a followed log is read.
const LOOK: Duration = Duration::from_secs(2);
/// Lines reach CloudWatch late and out of order by up to this much.
const LATE_MS: u64 = 30_000;

/// Shows the function's output.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  baton logs --root efs --run my-run   of the local cloud on this folder\n  \
    baton logs --run my-run --follow   on AWS\n  baton logs --minutes 600 --stack my-stack"
)]
pub struct Logs {
    /// The folder of a local cloud; without it AWS is asked, with the SDK's own credentials.
    #[arg(long)]
    pub root: Option<PathBuf>,
    /// Only lines that name this run.
    #[arg(long)]
    pub run: Option<String>,
    /// How many minutes back, on AWS.
    #[arg(long, default_value_t = 60)]
    pub minutes: u64,
    /// Continue until Ctrl-C.
    #[arg(long)]
    pub follow: bool,
    /// The stack's name.
    #[arg(long, default_value = crate::cloud::FUNCTION)]
    pub stack: String,
}

impl Logs {
    /// Prints the log.
    ///
    /// # Errors
    /// No log there, AWS's error.
    pub async fn run(&self) -> Result<(), Failure> {
        match &self.root {
            Some(root) => self.local(&root.join("local-cloud.log")).await,
            None => self.aws().await,
        }
    }

    async fn local(&self, path: &Path) -> Result<(), Failure> {
        let mut from = 0;
        loop {
            from = self.lines_after(path, from)?;
            if !self.follow {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Prints whole lines from a byte on, and returns the byte after the last one.
    fn lines_after(&self, path: &Path, from: u64) -> Result<u64, Failure> {
        let mut file = std::fs::File::open(path).map_err(Failure::io("open", path))?;
        file.seek(SeekFrom::Start(from)).map_err(Failure::io("read", path))?;
        let mut reader = BufReader::new(file);
        let mut after = from;
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(Failure::io("read", path))?;
            if line.last() != Some(&b'\n') {
                return Ok(after);
            }
            after += read as u64;
            self.show(&String::from_utf8_lossy(&line));
        }
    }

    async fn aws(&self) -> Result<(), Failure> {
        let aws = Aws::connect().await?;
        let group = aws.output(&self.stack, "LogGroup").await?;
        let log = CloudWatch::new(&aws.config, group);
        let mut since_ms = crate::now_ms().saturating_sub(self.minutes.saturating_mul(60_000));
        let mut told = BTreeSet::new();
        loop {
            for event in log.events(since_ms, self.run.as_deref()).await? {
                since_ms = since_ms.max(event.timestamp.saturating_sub(LATE_MS));
                if told.insert((event.event_id, event.timestamp, event.message.clone())) {
                    self.show(&event.message);
                }
            }
            if !self.follow {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn show(&self, line: &str) {
        if self.run.as_ref().is_none_or(|run| line.contains(run.as_str())) {
            say!("{}", line.trim_end());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_being_written_waits_for_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("local-cloud.log");
        let logs = Logs { root: None, run: None, minutes: 1, follow: false, stack: "baton".into() };
        assert!(logs.lines_after(&path, 0).unwrap_err().message.contains("local-cloud.log"));
        std::fs::write(&path, "[1] one\n[1] tw").unwrap();
        assert_eq!(logs.lines_after(&path, 0).unwrap(), 8);
        std::fs::write(&path, "[1] one\n[1] two\n").unwrap();
        assert_eq!(logs.lines_after(&path, 8).unwrap(), 16);
    }
}
