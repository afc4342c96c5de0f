//! The baton command: local cloud, deploy, start, stop, watch, status, tune, predict, evaluate, export.

// All output goes through `terminal`, which escapes control characters.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod assets;
pub mod aws;
pub mod cloud;
pub mod compare;
pub mod demo;
pub mod deploy;
pub mod destroy;
pub mod doctor;
pub mod evaluate;
pub mod export;
mod failure;
pub mod features;
pub mod fetch;
pub mod list;
pub mod local;
pub mod logs;
pub mod metrics;
pub mod mistakes;
mod output;
pub mod predict;
pub mod pretrain;
pub mod pull;
pub mod push;
pub mod remove;
pub mod runs;
pub mod sheet;
mod signed;
pub mod start;
pub mod status;
mod table;
mod told;
pub mod train;
mod trouble;
pub mod tune;
pub mod units;
pub mod view;
pub mod watch;
pub mod weights;

pub use failure::Failure;

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// The folder of the user's data sets, weights and runs if a command is given none: `$BATON_ROOT`, or
/// `baton`.
pub(crate) fn usual_root() -> PathBuf {
    let named = std::env::var_os("BATON_ROOT").filter(|root| !root.is_empty());
    named.map_or_else(|| "baton".into(), PathBuf::from)
}

/// The id of a run that has published a file of this name: this run, or without a name the last such one.
pub(crate) fn chosen_run(
    root: &storage::Root,
    run: Option<&str>,
    file: &str,
) -> Result<protocol::RunId, Failure> {
    match run {
        Some(run) => run_with(root, run, file),
        None => runs::last_with(root, file),
    }
}

/// The run's id, if the run has published a file of this name.
pub(crate) fn run_with(root: &storage::Root, run: &str, file: &str) -> Result<protocol::RunId, Failure> {
    let run = protocol::RunId::new(run).map_err(Failure::input)?;
    let model = root.run(&run).model().join(file);
    if model.is_file() {
        return Ok(run);
    }
    let begun = root.run(&run).ledger().is_file();
    let why =
        if begun { "has not finished, or makes another kind of model" } else { "was never started here" };
    Err(Failure::input(format!("run {run} {why}: there is no {}", model.display())))
}

/// The number of compute threads: the requested one, or the number of cores.
pub(crate) fn threads(asked: Option<usize>) -> usize {
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1)
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
