//! Makes a dataset folder of units for a program from lines of JSON, rows of a table, or the files of a
//! folder.

mod folder;
mod lines;
mod push;
mod rows;
mod text;

pub use crate::reading::Progress;

use crate::out::{OTHER_RECIPE, dataset_name, is_taken};
use crate::partial::Partial;
use crate::reading::Watch;
use crate::{Error, Links, Result};
use datasets::MANIFEST;
use datasets::units::{About, Form, Manifest, Units, Writer};
use folder::Folder;
use serde::Serialize;
use std::path::{Path, PathBuf};
use text::Text;

/// It is raised when the same source would become other units.
const RECIPE_VERSION: u32 = 1;

/// Options of a data set of units.
#[derive(Clone, Debug)]
pub struct Options {
    /// The dataset folder to make; the last part of its path is the dataset's name.
    pub out: PathBuf,
    /// Whether links that lead out of a folder of files are followed.
    pub links: Links,
    /// Whether another data set at `out` is replaced.
    pub replace: bool,
}

/// The data set that was made.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The dataset folder.
    pub folder: PathBuf,
    /// Whether the same command had already made it from the same source.
    pub was_there: bool,
    /// The hash of all units and their order.
    pub key: String,
    /// Bytes of all files.
    pub bytes: u64,
    /// The content of `dataset.json`.
    pub manifest: Manifest,
}

/// The source of units.
enum Source {
    Text(Text),
    Folder(Folder),
}

/// Makes a dataset folder of units: from a `.jsonl` or `.ndjson` file or, for `-`, from standard input; from
/// a `.csv` or `.tsv` file with a heading; from a folder, whose files are copied. The same source becomes the
/// same bytes.
///
/// After an interruption the same call starts over. After completion it compares the source with the data
/// set, verifies the data set, and returns it.
///
/// # Errors
/// [`Error`]; only a complete data set ever appears at `options.out`.
pub fn prepare(source: &Path, options: &Options, progress: Watch) -> Result<Summary> {
    let name = dataset_name(&options.out)?;
    let source = Source::open(source, options.links)?;
    let bytes = match &source {
        Source::Text(text) => text.bytes(),
        Source::Folder(folder) => Some(folder.bytes()),
    };
    bytes.into_iter().for_each(|bytes| progress(Progress::Planned { bytes }));
    if is_taken(&options.out, options.replace)? {
        return existing(source, &options.out, progress);
    }
    let partial = Partial::afresh(&options.out)?;
    let manifest = match source.write(partial.folder(), name, progress) {
        Ok(manifest) => manifest,
        Err(error) => {
            partial.discard();
            return Err(error);
        }
    };
    manifest.notes.iter().for_each(|note| progress(Progress::Note(note)));
    let shards = manifest.shards.iter().map(|shard| &shard.lines.name[..]);
    let files: Vec<&str> = shards.chain([&manifest.blocks.name[..], folder::FILES]).collect();
    partial.complete((MANIFEST, &manifest.to_json()), &files, options.replace)?;
    summary(&options.out, false)
}

/// The data set at the output, if it was made from this source and is whole.
fn existing(source: Source, out: &Path, progress: Watch) -> Result<Summary> {
    let in_the_way = |found: String| Error::Exists { folder: out.to_owned(), found };
    let there = Units::open(out).map_err(|error| in_the_way(error.to_string()))?;
    if there.manifest().recipe != source.recipe(progress)? {
        return Err(in_the_way(OTHER_RECIPE.into()));
    }
    there.verify().map_err(|error| in_the_way(error.to_string()))?;
    there.manifest().notes.iter().for_each(|note| progress(Progress::Note(note)));
    summary(out, true)
}

fn summary(out: &Path, was_there: bool) -> Result<Summary> {
    let units = Units::open(out)?;
    let bytes = units.files()?.iter().map(|file| file.bytes).sum();
    let (key, manifest) = (units.key().to_owned(), units.manifest().clone());
    Ok(Summary { folder: out.into(), was_there, key, bytes, manifest })
}

impl Source {
    fn open(path: &Path, links: Links) -> Result<Source> {
        if path != Path::new("-") && path.is_dir() {
            return Ok(Source::Folder(Folder::open(path, links)?));
        }
        Ok(Source::Text(Text::open(path)?))
    }

    /// Writes shards, blocks and files into a folder.
    fn write(self, folder: &Path, name: String, progress: Watch) -> Result<Manifest> {
        let form = match &self {
            Source::Text(_) => Form::Lines,
            Source::Folder(_) => Form::Files,
        };
        let mut writer = Writer::new(folder, form);
        let (path, source, notes, recipe) = match self {
            Source::Text(text) => {
                let (path, kind) = (text.path(), text.kind());
                let (notes, recipe) = text.read(&mut |line| Ok(writer.push(line)?), progress)?;
                (path, kind, notes, recipe)
            }
            Source::Folder(source) => {
                let copied = source.copy(folder, &mut |line| Ok(writer.push(line)?), progress);
                copied?;
                (source.path(), "folder", source.notes(), source.recipe())
            }
        };
        let about = About { name, source: source.into(), recipe, notes };
        writer.finish(about).map_err(|error| match error {
            storage::Error::Unfit { expected, found, .. } => Error::input(&path, expected, found),
            error => error.into(),
        })
    }

    fn recipe(self, progress: Watch) -> Result<String> {
        match self {
            Source::Text(text) => text.recipe(progress),
            Source::Folder(folder) => Ok(folder.recipe()),
        }
    }
}

/// A hash of the form of a source and of everything that determines its units.
fn recipe(kind: &str, content: impl Serialize) -> String {
    let bytes = serde_json::to_vec(&("units", RECIPE_VERSION, kind, content)).expect("only string keys");
    format!("{:032x}", twox_hash::XxHash3_128::oneshot(&bytes))
}

#[cfg(test)]
mod tests;
