//! The form `units` of the data-prep command.

use clap::Args;
use data_prep::units::{Options, Progress, Summary, prepare};
use data_prep::{Error, Links, printable};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use terminal::{note, say};

#[derive(Args)]
pub(crate) struct UnitsForm {
    /// A .jsonl or .ndjson file, a .csv or .tsv file with a heading, a folder of files, or - for lines of
    /// JSON from standard input.
    #[arg(value_name = "SRC")]
    source: PathBuf,
    /// The dataset folder to make; the last part of its path is the dataset's name.
    #[arg(long)]
    out: PathBuf,
    /// Follow links that lead out of the folder.
    #[arg(long)]
    follow_links: bool,
    /// Replace the dataset at --out, also if files changed but kept names and lengths.
    #[arg(long)]
    replace: bool,
    /// Print a summary as JSON, and no progress.
    #[arg(long)]
    json: bool,
}

/// Makes the data set and prints the summary.
pub(crate) fn run(form: UnitsForm) -> Result<(), Error> {
    let UnitsForm { source, out, follow_links, replace, json } = form;
    // indicatif draws nothing if standard error is not a terminal.
    let bar = if json { ProgressBar::hidden() } else { ProgressBar::no_length() };
    let style = "{bar:40} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).expect("a valid template"));
    let links = if follow_links { Links::Anywhere } else { Links::Inside };
    let made = prepare(&source, &Options { out, links, replace }, &|progress| match progress {
        Progress::Planned { bytes } => bar.set_length(bytes),
        Progress::Done { bytes } => bar.inc(bytes),
        Progress::Note(note) if !json => bar.suspend(|| note!("data-prep: {note}")),
        Progress::Note(_) => {}
    });
    bar.finish_and_clear();
    let summary = made?;
    let text = if json {
        serde_json::to_string_pretty(&summary).expect("a summary has only string keys")
    } else {
        describe(&summary)
    };
    text.lines().for_each(|line| say!("{line}"));
    Ok(())
}

fn describe(summary: &Summary) -> String {
    let Summary { folder, was_there, bytes, manifest, .. } = summary;
    let made = if *was_there { "was there, and is whole" } else { "made" };
    let shards = if manifest.shards.len() == 1 { "shard" } else { "shards" };
    format!(
        "{} {made}: {} units from {}, {:.1} MB, {} {shards}",
        printable(&folder.to_string_lossy()),
        manifest.units,
        manifest.source,
        *bytes as f64 / 1e6,
        manifest.shards.len(),
    )
}
