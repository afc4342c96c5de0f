//! `baton metrics`: the scores of a run, round by round, for other programs.

use crate::Failure;
use crate::runs::{last, view};
use crate::table::{columns, csv_line};
use crate::told;
use crate::view::View;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use storage::Root;
use terminal::say;

/// Prints the scores of a run, round by round, with the seconds that each round took.
///
/// The loss of training is the mean over the images of the round while they were trained on.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Metrics {
    /// The run; without it the last one.
    pub run: Option<String>,
    /// The folder that stands for EFS.
    #[arg(long, default_value_os_t = crate::usual_root())]
    pub root: PathBuf,
    /// Print CSV, with a heading.
    #[arg(long, conflicts_with = "jsonl")]
    pub csv: bool,
    /// Print JSON, one object per line.
    #[arg(long, alias = "json")]
    pub jsonl: bool,
}

/// The examples of the help.
pub const EXAMPLES: &str = "\
Examples:
  baton metrics                     of the last run
  baton metrics my-run --root efs --csv > my-run.csv
  baton metrics my-run --root efs --jsonl

Exit codes: 0 printed, 2 wrong usage, 3 no such run, 4 could not read.";

impl Metrics {
    /// Prints them.
    ///
    /// # Errors
    /// A run that is not there, or whose ledger cannot be read.
    pub fn run(&self) -> Result<(), Failure> {
        let root = Root::open(&self.root)?;
        let view = match &self.run {
            Some(run) => view(&root, run)?,
            None => last(&root)?,
        };
        let (names, rows) = table(&view);
        if self.jsonl {
            for row in &rows {
                let keys = names.iter().map(|name| key(name));
                say!("{}", Value::Object(keys.zip(row.iter().cloned()).collect::<Map<_, _>>()));
            }
            return Ok(());
        }
        let words = |row: &Vec<Value>| row.iter().map(Value::to_string).collect::<Vec<_>>();
        if self.csv {
            say!(
                "{}",
                csv_line(names.iter().map(|name| key(name)).collect::<Vec<_>>().iter().map(String::as_str))
            );
            rows.iter().for_each(|row| say!("{}", words(row).join(",")));
            return Ok(());
        }
        if rows.is_empty() {
            say!("run {} has no scored {} yet", view.run, view.course.called);
            return Ok(());
        }
        let numbers: Vec<usize> = (0..names.len()).collect();
        let rounded = |row: &Vec<Value>| row.iter().map(rounded).collect::<Vec<_>>();
        let rows: Vec<Vec<String>> = [names].into_iter().chain(rows.iter().map(rounded)).collect();
        columns(&rows, &numbers).iter().for_each(|line| say!("{line}"));
        Ok(())
    }
}

/// The names of the columns, and a row for each scored round.
fn table(view: &View) -> (Vec<String>, Vec<Vec<Value>>) {
    let course = &view.course;
    let measures = course.measures.iter().map(|measure| measure.name.clone());
    let names = [course.called.clone()].into_iter().chain(measures);
    let names = names.chain([course.unit.clone(), "seconds".into()]).collect();
    let row = |(round, score): (u32, protocol::Score)| {
        let seconds = view.round_ms(round) as f64 / 1_000.0;
        // A ledger of an earlier version may have fewer numbers in a score.
        let values = (0..course.measures.len()).map(|place| json!(score.values.get(place)));
        [json!(round)].into_iter().chain(values).chain([json!(score.of), json!(seconds)]).collect()
    };
    (names, view.scores().map(row).collect())
}

/// A name as a key: "top-1" is `top1`, "training loss" is `training_loss`.
fn key(name: &str) -> String {
    told::key(name)
}

fn rounded(value: &Value) -> String {
    match (value.as_u64(), value.as_f64()) {
        (Some(whole), _) => whole.to_string(),
        (None, Some(number)) => format!("{number:.4}"),
        _ => "–".into(),
    }
}
