//! The form `ratings` of the data-prep command.

use clap::Args;
use data_prep::ratings::{By, Columns, Deal, Options, Progress, Summary, Twice, prepare};
use data_prep::{Error, printable};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use terminal::{note, say};

#[derive(Args)]
pub(crate) struct RatingsForm {
    /// A text with a rating in each line, such as u.data, ratings.dat or ratings.csv; - is standard input.
    #[arg(value_name = "SRC")]
    source: PathBuf,
    /// The dataset folder to make; the last part of its path is the dataset's name.
    #[arg(long)]
    out: PathBuf,
    /// The user's column: its name in the heading, or its number from 1.
    #[arg(long, value_name = "COLUMN")]
    user: Option<String>,
    /// The item's column.
    #[arg(long, value_name = "COLUMN")]
    item: Option<String>,
    /// The rating's column.
    #[arg(long, value_name = "COLUMN")]
    rating: Option<String>,
    /// The time's column, for --split time.
    #[arg(long, value_name = "COLUMN")]
    time: Option<String>,
    /// The lowest and the highest possible rating, such as 1:5; others are refused. Without it the scale is
    /// that of the ratings that are found.
    #[arg(long, value_name = "LOW:HIGH", value_parser = scale, allow_hyphen_values = true)]
    scale: Option<[f64; 2]>,
    /// The rating that counts if a user has rated an item several times.
    #[arg(long, default_value = "last", value_parser = ["last", "first", "refuse"])]
    twice: String,
    /// Hold out a share of all ratings, of each user's, or of all by time, the latest for the test.
    #[arg(long, value_name = "BY", default_value = "share", value_parser = ["share", "user", "time"])]
    split: String,
    /// The share of the ratings that validate.
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    val_share: f64,
    /// The share of the ratings that are kept for a final test.
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    test_share: f64,
    /// Keys the draw.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Replace the dataset at --out.
    #[arg(long)]
    replace: bool,
    /// Print a summary as JSON, and no progress.
    #[arg(long)]
    json: bool,
}

fn scale(text: &str) -> Result<[f64; 2], String> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    let parts = text.split_once(':').and_then(|(low, high)| Some([number(low)?, number(high)?]));
    parts.filter(|[low, high]| low < high).ok_or_else(|| "two numbers, the lower first, such as 0.5:5".into())
}

/// Makes the data set and prints the summary.
pub(crate) fn run(form: RatingsForm) -> Result<(), Error> {
    let json = form.json;
    // indicatif draws nothing if standard error is not a terminal.
    let bar = if json { ProgressBar::hidden() } else { ProgressBar::no_length() };
    let style = "{bar:40} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).expect("a valid template"));
    let source = form.source.clone();
    let made = prepare(&source, &options(form), &|progress| match progress {
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

fn options(form: RatingsForm) -> Options {
    Options {
        out: form.out,
        columns: Columns { user: form.user, item: form.item, rating: form.rating, time: form.time },
        scale: form.scale,
        twice: match &form.twice[..] {
            "first" => Twice::First,
            "refuse" => Twice::Refuse,
            _ => Twice::Last,
        },
        deal: Deal {
            by: match &form.split[..] {
                "user" => By::User,
                "time" => By::Time,
                _ => By::Share,
            },
            val_share: form.val_share,
            test_share: form.test_share,
            seed: form.seed,
        },
        replace: form.replace,
    }
}

fn describe(summary: &Summary) -> String {
    let Summary { folder, was_there, bytes, manifest, .. } = summary;
    let made = if *was_there { "was there, and is whole" } else { "made" };
    let [low, high] = manifest.scale;
    let held_out =
        |listed: &Option<datasets::ratings::Listed>| listed.as_ref().map_or(0, |some| some.ratings);
    format!(
        "{} {made}: {} users, {} items, ratings from {low} to {high}, {:.1} MB\n  \
         train {}, val {}, test {}; mean {:.4}",
        printable(&folder.to_string_lossy()),
        manifest.users.count,
        manifest.items.count,
        *bytes as f64 / 1e6,
        manifest.train,
        held_out(&manifest.val),
        held_out(&manifest.test),
        manifest.mean,
    )
}
