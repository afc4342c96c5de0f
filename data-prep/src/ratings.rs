//! Makes a dataset folder of ratings from a table: a row for each rating, with a user, an item and a number.

mod collected;
mod columns;
mod split;
mod table;

pub use crate::reading::Progress;
pub use columns::Columns;
pub use split::{By, Deal};

use crate::out::{OTHER_RECIPE, dataset_name, is_taken};
use crate::partial::Partial;
use crate::reading::{Hashed, Watch, called, without_mark};
use crate::{Error, Result};
use collected::Collected;
use datasets::MANIFEST;
use datasets::ratings::{About, Manifest, Ratings, write};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// It is raised when the same source would become other ratings.
const RECIPE_VERSION: u32 = 1;

/// Options of a data set of ratings.
#[derive(Clone, Debug)]
pub struct Options {
    /// The dataset folder to make; the last part of its path is the dataset's name.
    pub out: PathBuf,
    /// Where a row has its values.
    pub columns: Columns,
    /// The lowest and the highest rating that is possible; none means those that are found.
    pub scale: Option<[f64; 2]>,
    /// Which rating counts if a user has rated an item several times.
    pub twice: Twice,
    /// How ratings are held out.
    pub deal: Deal,
    /// Whether another data set at `out` is replaced.
    pub replace: bool,
}

impl Options {
    /// The usual options.
    pub fn new(out: impl Into<PathBuf>) -> Options {
        let (columns, deal) = (Columns::default(), Deal::default());
        Options { out: out.into(), columns, scale: None, twice: Twice::Last, deal, replace: false }
    }
}

/// Which rating counts if a user has rated an item several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Twice {
    /// The one in the last line.
    Last,
    /// The one in the first line.
    First,
    /// None: it is an error.
    Refuse,
}

/// The data set that was made.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The dataset folder.
    pub folder: PathBuf,
    /// Whether the same command had already made it from the same source.
    pub was_there: bool,
    /// The hash of all ratings.
    pub key: String,
    /// Bytes of all files.
    pub bytes: u64,
    /// The content of `dataset.json`.
    pub manifest: Manifest,
}

/// Makes a dataset folder of ratings from a text, or from standard input for `-`. The separator is that of
/// the first line: `::`, a tab, a comma, a semicolon or a space. The same source and options become the same
/// bytes.
///
/// The text is read once. Memory: about 60 bytes for each rating, and the ids.
///
/// After an interruption the same call starts over. After completion it compares the source with the data
/// set, verifies the data set, and returns it.
///
/// # Errors
/// [`Error`], with the number of the line; only a complete data set ever appears at `options.out`.
pub fn prepare(source: &Path, options: &Options, progress: Watch) -> Result<Summary> {
    let name = dataset_name(&options.out)?;
    options.deal.check()?;
    let (mut hashed, bytes) = Hashed::open(source, progress)?;
    bytes.into_iter().for_each(|bytes| progress(Progress::Planned { bytes }));
    let path = called(source);
    if is_taken(&options.out, options.replace)? {
        let recipe = recipe(options, hashed.rest(&path)?);
        return existing(&recipe, &options.out, progress);
    }
    let collected = Collected::read(&path, without_mark(&path, &mut hashed)?, options)?;
    let recipe = recipe(options, hashed.rest(&path)?);
    let (content, scale, notes) = collected.dealt(&path, options)?;
    notes.iter().for_each(|note| progress(Progress::Note(note)));
    let partial = Partial::afresh(&options.out)?;
    let written = write(partial.folder(), content, About { name, recipe, scale, notes });
    let manifest = match written {
        Ok(manifest) => manifest,
        Err(error) => {
            partial.discard();
            return Err(error.into());
        }
    };
    let files = manifest.files();
    let files: Vec<&str> = files.iter().map(|file| &file.name[..]).collect();
    partial.complete((MANIFEST, &manifest.to_json()), &files, options.replace)?;
    summary(&options.out, false)
}

/// The data set at the output, if it was made from this source and is whole.
fn existing(recipe: &str, out: &Path, progress: Watch) -> Result<Summary> {
    let in_the_way = |found: String| Error::Exists { folder: out.to_owned(), found };
    let there = Ratings::open(out).map_err(|error| in_the_way(error.to_string()))?;
    if there.manifest().recipe != recipe {
        return Err(in_the_way(OTHER_RECIPE.into()));
    }
    there.verify().map_err(|error| in_the_way(error.to_string()))?;
    there.manifest().notes.iter().for_each(|note| progress(Progress::Note(note)));
    summary(out, true)
}

fn summary(out: &Path, was_there: bool) -> Result<Summary> {
    let ratings = Ratings::open(out)?;
    let bytes = ratings.files().iter().map(|file| file.bytes).sum();
    let (key, manifest) = (ratings.key().to_owned(), ratings.manifest().clone());
    Ok(Summary { folder: out.into(), was_there, key, bytes, manifest })
}

/// A hash of the source and of the options that determine the ratings.
fn recipe(options: &Options, content: String) -> String {
    let Options { columns, scale, twice, deal, .. } = options;
    let all = ("ratings", RECIPE_VERSION, content, columns, scale, twice, deal);
    let bytes = serde_json::to_vec(&all).expect("only string keys");
    format!("{:032x}", twox_hash::XxHash3_128::oneshot(&bytes))
}

#[cfg(test)]
mod tests;
