//! `baton units`: the outcomes of the units of a run, and its dead letters.

use crate::Failure;
use protocol::RunId;
use serde_json::json;
use std::path::PathBuf;
use storage::Root;
use terminal::{say, shown};
use units::Index;

/// Shows the outcomes of the units of a run that has ended.
///
/// The results are in the run's `model` folder: `results-*.jsonl` in the order of the units, `dead.jsonl`,
/// and their index `results.json`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  baton units my-run --root efs   the counts, and the files of the results\n  \
    baton units my-run --root efs --dead   the dead letters, each with its reason\n  \
    baton units my-run --root efs --dead --json   one line of JSON for each\n\
    To try the dead ones again: a job with \"again\": \"my-run\"."
)]
pub struct UnitsCommand {
    /// The run.
    pub run: String,
    /// The folder that stands for EFS.
    #[arg(long, default_value_os_t = crate::usual_root())]
    pub root: PathBuf,
    /// Lists the dead letters.
    #[arg(long)]
    pub dead: bool,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
}

impl UnitsCommand {
    /// Prints the counts, or the dead letters.
    ///
    /// # Errors
    /// A run that is not a run of units or has not ended; a damaged file.
    pub fn run(&self) -> Result<(), Failure> {
        let root = Root::open(&self.root)?;
        let run = RunId::new(&self.run).map_err(Failure::input)?;
        let folder = root.run(&run).model();
        let index = Index::open(&folder).map_err(|failed| {
            let expected = "expected a run of units that has ended: `baton watch` tells how far it is";
            Failure::input(format!("run {run} has no results of units: {failed}; {expected}"))
        })?;
        if self.dead {
            for letter in index.letters(&folder).map_err(|failed| Failure::from(failed.to_string()))? {
                if self.json {
                    say!("{}", json!(letter));
                } else {
                    say!("unit {}: {}, tried {} times", letter.unit, shown(&letter.why), letter.tries);
                    letter.said.lines().for_each(|line| say!("    {}", shown(line)));
                }
            }
        } else if self.json {
            say!("{}", json!(index));
        } else {
            say!(
                "{} units: {} with a result, {} dead",
                index.counts.units,
                index.counts.done,
                index.counts.dead
            );
            say!("results: {}", folder.join("results-*.jsonl").display());
            if index.counts.dead > 0 {
                say!("why: baton units {run} --root {} --dead", self.root.display());
            }
        }
        Ok(())
    }
}
