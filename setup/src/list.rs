//! `baton list`: the runs in a folder, the newest first.

use crate::Failure;
use crate::runs::views;
use crate::table::columns;
use crate::told;
use crate::view::View;
use protocol::items::RunItem;
use serde_json::json;
use std::path::PathBuf;
use storage::Root;
use terminal::say;

/// Lists the runs in a folder, the newest first: their state, best score, start and cost.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct List {
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
  baton list
  baton list --root efs --json

Times are UTC; dollars are those of Lambda by the ledger's account.";

impl List {
    /// Lists.
    ///
    /// # Errors
    /// A folder that cannot be read. A run that cannot be read is listed with the reason.
    pub fn run(&self) -> Result<(), Failure> {
        let root = Root::open(&self.root)?;
        let mut runs = views(&root)?;
        runs.sort_by_key(|(run, view)| {
            let started = view.as_ref().map_or(u64::MAX, |view| view.state.started_ms);
            (std::cmp::Reverse(started), run.clone())
        });
        if self.json {
            for (run, view) in &runs {
                match view {
                    Ok(view) => say!("{}", as_json(view)),
                    Err(why) => say!("{}", json!({"run": run, "error": why})),
                }
            }
            return Ok(());
        }
        if runs.is_empty() {
            say!("no runs in {}; `baton train` makes one", self.root.display());
            return Ok(());
        }
        let heading = ["run", "kind", "state", "score", "started", "dollars"].map(str::to_owned).to_vec();
        let rows = runs.iter().map(|(run, view)| match view {
            Ok(view) => row(view),
            Err(why) => vec![run.to_string(), String::new(), why.clone()],
        });
        let rows: Vec<Vec<String>> = [heading].into_iter().chain(rows).collect();
        columns(&rows, &[3, 5]).iter().for_each(|line| say!("{line}"));
        Ok(())
    }
}

/// The run, its kind, its state, its best score, when it started, its cost.
fn row(view: &View) -> Vec<String> {
    let state = &view.state;
    let score = state.best_value.map_or_else(String::new, |value| format!("{value:.4}"));
    let dollars = format!("{:.4}", state.dollars);
    vec![view.run.clone(), kind(view), word(state).into(), score, told::date(state.started_ms), dollars]
}

/// The state of a run in a word or two; `--json` has all of them.
fn word(state: &RunItem) -> &'static str {
    let begins = |word: &&&str| state.status.starts_with(**word);
    match ["failed", "gave up", "stopped", "limit"].iter().find(begins) {
        _ if !state.ended => "running",
        Some(word) => word,
        None => "done",
    }
}

/// The kind of a run's job, as the registry names it.
fn kind(view: &View) -> String {
    let job = view.job.as_ref().and_then(|item| protocol::Job::parse(item.job.as_bytes()).ok());
    let workloads = workloads::all();
    let kind = job.and_then(|job| workloads.kind(&job).map(str::to_owned));
    kind.unwrap_or_default()
}

fn as_json(view: &View) -> serde_json::Value {
    let state = &view.state;
    let best = view
        .best()
        .map(|(round, score)| json!({"round": round, "score": told::score_as_json(&view.course, &score)}));
    json!({"run": view.run, "kind": kind(view), "title": state.title, "state": state.status,
        "ended": state.ended, "stage": view.course.words(state.stage), "rounds_done": state.rounds_done,
        "rounds": view.course.rounds, "workers": state.workers, "started_ms": state.started_ms,
        "best": best, "dollars": state.dollars, "gb_seconds": state.gb_seconds, "model": state.model})
}
