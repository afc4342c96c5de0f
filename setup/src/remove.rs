//! `baton remove`: removes runs that have ended.

use crate::Failure;
use crate::runs::{active, bytes_below, read_ledger};
use indicatif::HumanBytes;
use protocol::{Ledger, RunId};
use serde_json::json;
use std::path::PathBuf;
use storage::{Root, remove_folder};
use terminal::say;

/// Removes runs that have ended, with their models, and frees their space.
///
/// Data sets, weights and stored features stay: others may use them. `baton features rm` removes features.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Remove {
    /// The runs.
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<String>,
    /// The folder that stands for EFS.
    #[arg(long, default_value_os_t = crate::usual_root())]
    pub root: PathBuf,
    /// Print JSON, one object per line.
    #[arg(long)]
    pub json: bool,
}

/// The examples of the help.
pub const EXAMPLES: &str = "\
Examples:
  baton remove my-run --root efs
  baton remove my-run another --root efs --json

A run that has not ended is kept: `baton stop` ends it. Exit codes: 0 removed, 2 wrong usage,
3 no such run, or one that has not ended, 4 could not read or write.";

impl Remove {
    /// Removes them. Nothing is removed if one of them may not be.
    ///
    /// # Errors
    /// A run that is not there, has not ended, or is needed by one that has not ended.
    pub fn run(&self) -> Result<(), Failure> {
        let root = Root::open(&self.root)?;
        let runs = self.runs.iter().map(|run| RunId::new(run).map_err(Failure::input));
        let runs = runs.collect::<Result<Vec<_>, _>>()?;
        let active = active(&root)?;
        runs.iter().try_for_each(|run| check(&root, run, &active))?;
        for run in &runs {
            let folder = root.path().join("runs").join(run.as_str());
            let bytes = bytes_below(&folder)?;
            if !remove_folder(&folder)? {
                let why =
                    format!("{}: a file in it is still read by someone: try again later", folder.display());
                return Err(Failure { code: 4, message: why });
            }
            match self.json {
                true => say!("{}", json!({"removed": run, "bytes": bytes})),
                false => say!("removed {run}, {}", HumanBytes(bytes)),
            }
        }
        Ok(())
    }
}

/// Whether a run may be removed.
fn check(root: &Root, run: &RunId, active: &[Ledger]) -> Result<(), Failure> {
    if !root.run(run).ledger().is_file() {
        let runs = root.path().join("runs");
        return Err(Failure::input(format!(
            "run {run}: found none in {}; `baton list` shows them",
            runs.display()
        )));
    }
    let ledger = read_ledger(root.path(), run)?;
    if ledger.ending.is_none() {
        let root = root.path().display();
        return Err(Failure::input(format!(
            "run {run} has not ended: end it first, with baton stop --root {root} --run {run}"
        )));
    }
    let named = |ledger: &&Ledger| ledger.job.keys.values().any(|value| value == run.as_str());
    match active.iter().find(named) {
        Some(user) => {
            Err(Failure::input(format!("run {} needs run {run} and has not ended: stop it first", user.run)))
        }
        None => Ok(()),
    }
}
