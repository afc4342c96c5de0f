//! `baton compare`: the scores of runs side by side, and the keys in which their jobs differ.

use crate::Failure;
use crate::runs::view;
use crate::table::columns;
use crate::told;
use crate::view::View;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use storage::Root;
use terminal::say;

/// Compares runs: their best scores, their cost, and the keys in which their jobs differ.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Compare {
    /// Two runs or more.
    #[arg(required = true, num_args = 2.., value_name = "RUN")]
    pub runs: Vec<String>,
    /// The folder that stands for EFS.
    #[arg(long, default_value_os_t = crate::usual_root())]
    pub root: PathBuf,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
}

/// The examples of the help.
pub const EXAMPLES: &str = "\
Examples:
  baton compare my-run another --root efs
  baton compare my-run another --root efs --json

Scores are comparable if the data sets are the same: the key \"dataset\" is then not among the differences.
Exit codes: 0 compared, 2 wrong usage, 3 no such run, 4 could not read.";

impl Compare {
    /// Compares.
    ///
    /// # Errors
    /// A run that is not there, or whose ledger cannot be read.
    pub fn run(&self) -> Result<(), Failure> {
        let root = Root::open(&self.root)?;
        let views = self.runs.iter().map(|run| view(&root, run)).collect::<Result<Vec<_>, _>>()?;
        let jobs: Vec<Map<String, Value>> = views.iter().map(job).collect();
        let differ = differences(&jobs);
        if self.json {
            let of = |(view, job): (&View, &Map<String, Value>)| {
                let best = view.best().map(|(_, score)| told::score_as_json(&view.course, &score));
                let keys: Map<String, Value> = differ.iter().map(|key| (key.clone(), of(job, key))).collect();
                json!({"run": view.run, "state": view.state.status, "best": best,
                    "best_round": view.best().map(|(round, _)| round), "workers": view.state.workers,
                    "dollars": view.state.dollars, "differs": keys})
            };
            let runs: Vec<Value> = views.iter().zip(&jobs).map(of).collect();
            say!("{}", json!({"runs": runs, "differ": differ}));
            return Ok(());
        }
        let heading = [String::new()].into_iter().chain(views.iter().map(|view| view.run.clone())).collect();
        let mut rows: Vec<Vec<String>> = vec![heading];
        rows.extend(scores(&views));
        let key = |key: &String| {
            let cells = jobs.iter().map(|job| words(&of(job, key)));
            [key.clone()].into_iter().chain(cells).collect()
        };
        rows.extend(differ.iter().map(key));
        columns(&rows, &[]).iter().for_each(|line| say!("{line}"));
        if differ.is_empty() {
            say!("their jobs are the same");
        }
        Ok(())
    }
}

/// A row for each number of the best scores, for the round, the workers and the cost.
fn scores(views: &[View]) -> Vec<Vec<String>> {
    let row = |name: &str, cell: &dyn Fn(&View) -> String| {
        [name.to_owned()].into_iter().chain(views.iter().map(cell)).collect::<Vec<_>>()
    };
    let mut names: Vec<&str> = Vec::new();
    for measure in views.iter().flat_map(|view| &view.course.measures) {
        if !names.contains(&measure.name.as_str()) {
            names.push(&measure.name);
        }
    }
    let mut rows = vec![row("state", &|view| view.state.status.clone())];
    rows.extend(names.into_iter().map(|name| {
        row(name, &|view| {
            let best = view.best().map(|(_, score)| score);
            let found =
                best.as_ref().and_then(|best| told::numbers(&view.course, best).find(|(n, _)| *n == name));
            found.map_or("–".into(), |(_, value)| value)
        })
    }));
    rows.push(row("in round", &|view| view.best().map_or("–".into(), |(round, _)| round.to_string())));
    rows.push(row("workers", &|view| view.state.workers.to_string()));
    rows.push(row("dollars", &|view| format!("{:.4}", view.state.dollars)));
    rows
}

/// The keys of a run's job.
fn job(view: &View) -> Map<String, Value> {
    let job = view.job.as_ref().and_then(|item| serde_json::from_str(&item.job).ok());
    let mut job: Map<String, Value> = job.unwrap_or_default();
    // These say nothing about the model.
    ["limits", "schema"].iter().for_each(|key| drop(job.remove(*key)));
    job
}

/// The keys whose values are not all the same.
fn differences(jobs: &[Map<String, Value>]) -> Vec<String> {
    let keys: BTreeSet<&String> = jobs.iter().flat_map(Map::keys).collect();
    let differs = |key: &&&String| jobs.iter().any(|job| job.get(**key) != jobs[0].get(**key));
    keys.iter().filter(differs).map(|key| (*key).clone()).collect()
}

fn of(job: &Map<String, Value>, key: &str) -> Value {
    job.get(key).cloned().unwrap_or_default()
}

/// A value in a cell.
fn words(value: &Value) -> String {
    match value {
        Value::Null => "–".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_that_differ_are_listed() {
        let job = |value: Value| value.as_object().unwrap().clone();
        let jobs = [
            json!({"network": "vgg19", "seed": 1, "rounds": 3}),
            json!({"network": "vgg19", "seed": 2, "clip": 1.0, "rounds": 3}),
        ];
        assert_eq!(differences(&jobs.map(job)), ["clip", "seed"]);
    }
}
