//! `baton predict` on a run of factors: ratings of pairs, and the items that a user would rate highest.

use crate::Failure;
use datasets::ratings::Side;
use factors::Predictor;
use serde_json::json;
use std::path::{Path, PathBuf};
use storage::Root;
use terminal::{say, shown};

/// The separators of a user and an item in a line of pairs.
const MARKS: [&str; 4] = ["::", "\t", ",", ";"];

/// The options for a model of ratings.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "For a run of factors")]
pub struct RatingsArgs {
    /// The id of a user: its highest predicted ratings are printed, without the items that it has rated.
    #[arg(long, value_name = "ID", conflicts_with_all = ["images", "dataset", "pairs"])]
    pub user: Option<String>,
    /// The predicted rating of this item by the user; may be repeated.
    #[arg(long, value_name = "ID", requires = "user")]
    pub item: Vec<String>,
    /// At most this many items.
    #[arg(long, value_name = "N", requires = "user", conflicts_with = "item", default_value_t = 10)]
    pub top: usize,
    /// Also items that the user has rated.
    #[arg(long, requires = "user", conflicts_with = "item")]
    pub with_rated: bool,
    /// A text with a user and an item in each line, separated by ::, a tab, a comma or a semicolon; - is
    /// standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["images", "dataset"])]
    pub pairs: Option<PathBuf>,
}

impl RatingsArgs {
    /// Whether ratings are asked for.
    pub(super) fn are_given(&self) -> bool {
        self.user.is_some() || self.pairs.is_some()
    }

    /// Predicts and prints.
    pub(super) fn run(&self, root: &Path, run: Option<&str>, json: bool) -> Result<(), Failure> {
        let root = Root::open(root)?;
        let run = crate::chosen_run(&root, run, factors::model::MODEL)?;
        let predictor = Predictor::open(&root, &run)?;
        if let Some(path) = &self.pairs {
            return each_pair(path, &mut |user, item| print(&predictor, (user, item), json));
        }
        let user = self.user.as_deref().unwrap_or_default();
        if !self.item.is_empty() {
            self.item.iter().for_each(|item| print(&predictor, (user, item), json));
            return Ok(());
        }
        let rated = if self.with_rated { None } else { Some(predictor.rated(&root, user)?) };
        for top in predictor.top(user, self.top, rated.as_ref())? {
            if json {
                say!("{}", json!({"user": user, "item": top.item, "rating": top.rating}));
            } else {
                say!("{:.3}  {}", top.rating, shown(&top.item));
            }
        }
        Ok(())
    }
}

fn print(predictor: &Predictor, (user, item): (&str, &str), json: bool) {
    let rating = predictor.rating(user, item);
    let unknown: Vec<&str> = [(Side::Users, user, "user"), (Side::Items, item, "item")]
        .into_iter()
        .filter(|(side, id, _)| !predictor.knows(*side, id))
        .map(|(_, _, name)| name)
        .collect();
    if json {
        say!("{}", json!({"user": user, "item": item, "rating": rating, "unknown": unknown}));
        return;
    }
    let told =
        if unknown.is_empty() { String::new() } else { format!("  (unknown {})", unknown.join(" and ")) };
    say!("{rating:.3}  {}  {}{told}", shown(user), shown(item));
}

/// The pairs of a text, each with its user and its item.
fn each_pair(path: &Path, take: &mut dyn FnMut(&str, &str)) -> Result<(), Failure> {
    let text = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(Failure::io("read", path))?;
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let pair = MARKS.iter().find_map(|mark| line.split_once(mark)).ok_or_else(|| {
            let expected = "a user and an item, separated by ::, a tab, a comma or a semicolon";
            Failure::input(format!(
                "{}: expected {expected}, found {line:?} in line {number}",
                path.display()
            ))
        })?;
        take(pair.0.trim(), pair.1.trim());
    }
    Ok(())
}
