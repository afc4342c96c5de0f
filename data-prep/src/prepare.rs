//! The whole job: open, plan, make the shards in parallel, and give the finished folder its name.

use crate::classes::name_classes;
use crate::collection::{Collection, Role, Unread};
use crate::files::some_of;
use crate::out::{OTHER_RECIPE, dataset_name, is_taken};
use crate::partial::{Finished, Partial};
use crate::plan::{Deal, Pick, Plan, plan};
use crate::source::Source;
use crate::statistics::Sums;
use crate::{Error, Result};
use datasets::images::{
    DATASET_SCHEMA, Dataset, Image, MANIFEST, Manifest, SplitEntry, Unreadable, check_shard, write_names,
    write_shard,
};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Counts up when the same source would make other bytes, so that old parts and outputs are not used as new
/// ones.
const RECIPE_VERSION: u32 = 1;

/// How a dataset is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// The dataset folder to make; its last name is the dataset's.
    pub out: PathBuf,
    /// Which images go to which split.
    pub deal: Deal,
    /// Class names, in place of the source's.
    pub classes: Option<Vec<String>>,
    /// A shard's pixels have about this many bytes.
    pub shard_bytes: usize,
    /// The job stops when more than this share of the images cannot be read.
    pub max_unreadable: f64,
    /// Threads that decode; none for one per core.
    pub threads: Option<usize>,
    /// Replace the content of `out`, if it is something else.
    pub replace: bool,
}

impl Options {
    /// The usual options: 64 MiB shards, at most 1 % unreadable, all cores.
    pub fn new(out: impl Into<PathBuf>) -> Options {
        Options {
            out: out.into(),
            deal: Deal { seed: 1, ..Deal::default() },
            classes: None,
            shard_bytes: 64 << 20,
            max_unreadable: 0.01,
            threads: None,
            replace: false,
        }
    }
}

/// News from [`prepare`] while it works.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// The plan is made: this many images will be read.
    Planned {
        /// Images in all splits.
        images: usize,
    },
    /// This many more images are done, now or by an earlier run.
    Done {
        /// How many.
        images: usize,
    },
    /// An image is left out.
    Unreadable(&'a Unreadable),
    /// How the source was read, and which parts are left out.
    Note(&'a str),
}

/// The data set that was made.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The dataset folder.
    pub folder: PathBuf,
    /// Whether it existed already, made by the same command from the same files.
    pub was_there: bool,
    /// The hash over all images, labels and their order.
    pub digest: String,
    /// Bytes of all files.
    pub bytes: u64,
    /// How the source was read, and which parts are left out.
    pub notes: Vec<String>,
    /// The whole content of `dataset.json`.
    pub manifest: Manifest,
}

/// Makes a dataset folder from a source. The same source and options make the same bytes, however many
/// threads work.
///
/// The same call after an interruption continues; after completion it verifies the folder and returns it.
///
/// # Errors
/// [`Error`]; only a complete dataset is ever at `options.out`.
pub fn prepare(source: &Source, options: &Options, progress: &(dyn Fn(Progress) + Sync)) -> Result<Summary> {
    let name = dataset_name(&options.out)?;
    if !(0.0..=1.0).contains(&options.max_unreadable) {
        return Err(Error::option(
            "--max-unreadable",
            "a share from 0 to 1",
            options.max_unreadable.to_string(),
        ));
    }
    let mut collection = source.open(&options.deal.parts())?;
    name_classes(source.path(), &mut collection, options.classes.as_deref())?;
    let plan = plan(&collection, &options.deal)?;
    note_untrained(&mut collection, &plan);
    note_spared(&mut collection, &options.deal);
    let mut notes = std::mem::take(&mut collection.notes);
    notes.iter().for_each(|note| progress(Progress::Note(note)));
    let recipe = recipe(source, &collection, options);
    progress(Progress::Planned { images: plan.iter().map(|(_, picks)| picks.len()).sum() });
    if let Some(summary) = existing(options, &recipe)? {
        return Ok(Summary { notes, ..summary });
    }
    let partial = Partial::open(&options.out, &recipe)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads.unwrap_or(0)).build();
    let pool = pool.map_err(|e| Error::option("--threads", "a number of threads to start", e.to_string()))?;
    let job = Job { source, collection: &collection, options, partial: &partial, progress };
    let (manifest, late_notes) = match pool.install(|| job.run(&plan, name, recipe)) {
        Ok(made) => made,
        Err(e) => {
            if e.is_bad_input() {
                partial.discard();
            }
            return Err(e);
        }
    };
    let shards = manifest.splits.values().flat_map(|split| &split.shards);
    let files: Vec<&str> = shards.flat_map(|shard| shard.files()).map(|file| &file.name[..]).collect();
    partial.complete((MANIFEST, &manifest.to_json()), &files, options.replace)?;
    late_notes.iter().for_each(|note| progress(Progress::Note(note)));
    notes.extend(late_notes);
    Ok(Summary { notes, ..summary(&options.out, false)? })
}

/// Notes the classes that have images to validate or test on, and none to train on.
fn note_untrained(collection: &mut Collection, plan: &Plan) {
    let labels = |is_train: bool| {
        let splits = plan.iter().filter(move |(name, _)| (*name == "train") == is_train);
        splits.flat_map(|(_, picks)| picks).map(|pick| collection.parts[pick.part].labels[pick.index])
    };
    let trained: BTreeSet<u32> = labels(true).collect();
    let untrained: BTreeSet<u32> = labels(false).filter(|label| !trained.contains(label)).collect();
    let names: Vec<&str> = untrained.iter().map(|&label| &collection.classes[label as usize][..]).collect();
    if !names.is_empty() {
        let note = format!("classes without an image to train on: {}", names.join(", "));
        collection.notes.push(note);
    }
}

/// A hash of everything that decides the output's bytes: the source's files by name, length and, if known,
/// content; the options.
fn recipe(source: &Source, collection: &Collection, options: &Options) -> String {
    let content =
        (&collection.files, &collection.classes, &options.deal, options.shard_bytes, source.recipe());
    let bytes = serde_json::to_vec(&(RECIPE_VERSION, collection.kind, content)).expect("only string keys");
    format!("{:032x}", twox_hash::XxHash3_128::oneshot(&bytes))
}

/// A note that images were set aside because the source has none to validate on.
fn note_spared(collection: &mut Collection, deal: &Deal) {
    let has_own = collection.parts.iter().any(|part| part.role != Role::Train);
    if let (Some(share), None, false) = (deal.spare, deal.val_share, has_own) {
        let percent = 100.0 * share;
        collection.notes.push(format!("{percent:.0} % of each class are set aside to validate on"));
    }
}

/// The data set that is already at the output, if the same recipe made it and all of it is whole.
fn existing(options: &Options, recipe: &str) -> Result<Option<Summary>> {
    let out = &options.out;
    let in_the_way = |found: String| Error::Exists { folder: out.clone(), found };
    if !is_taken(out, options.replace)? {
        return Ok(None);
    }
    let manifest = Manifest::read(out).map_err(|e| in_the_way(e.to_string()))?;
    if manifest.recipe != recipe {
        return Err(in_the_way(OTHER_RECIPE.into()));
    }
    for shard in manifest.splits.values().flat_map(|split| &split.shards) {
        check_shard(out, shard).map_err(|e| in_the_way(e.to_string()))?;
    }
    Ok(Some(summary(out, true)?))
}

fn summary(out: &Path, was_there: bool) -> Result<Summary> {
    let dataset = Dataset::open(out)?;
    let manifest = dataset.manifest().clone();
    let shards = manifest.splits.values().flat_map(|split| &split.shards);
    let bytes = shards.flat_map(|shard| shard.files()).map(|file| file.bytes).sum();
    Ok(Summary { folder: out.into(), was_there, digest: dataset.digest(), bytes, notes: vec![], manifest })
}

/// The work that makes the shards.
struct Job<'a> {
    source: &'a Source,
    collection: &'a Collection,
    options: &'a Options,
    partial: &'a Partial,
    progress: &'a (dyn Fn(Progress) + Sync),
}

impl Job<'_> {
    /// Makes all shards; returns the manifest, and notes of what was left out.
    fn run(&self, plan: &Plan, name: String, recipe: String) -> Result<(Manifest, Vec<String>)> {
        let total: usize = plan.iter().map(|(_, picks)| picks.len()).sum();
        let per_shard = (self.options.shard_bytes / self.collection.image_bytes.max(1)).max(1);
        let classes = self.collection.classes.len();
        let (mut splits, mut train) = (BTreeMap::new(), Sums::default());
        let (mut unreadable, mut strays, mut notes) = (Vec::new(), Vec::new(), Vec::new());
        for (split_name, picks) in plan {
            let mut split = SplitEntry { per_class: vec![0; classes], ..SplitEntry::default() };
            for (number, picks) in picks.chunks(per_shard).enumerate() {
                let finished = self.shard(split_name, number, picks)?;
                finished.labels.iter().for_each(|&label| split.per_class[label as usize] += 1);
                split.images += finished.entry.images;
                split.shards.push(finished.entry);
                unreadable.extend(finished.unreadable);
                strays.extend(finished.strays);
                if *split_name == "train" {
                    train = train.plus(finished.sums);
                }
                self.check_share(&unreadable, total)?;
            }
            notes.extend(self.check_classes(split_name, picks, &split, unreadable.iter().chain(&strays))?);
            splits.insert(split_name.to_string(), split);
        }
        let names: Vec<&str> = strays.iter().map(|stray| &stray.file[..]).collect();
        if !names.is_empty() {
            notes.push(format!("left out as no images: {}", some_of(&names)));
        }
        unreadable.extend(strays);
        let (mean, std) = train.mean_and_std();
        let manifest = Manifest {
            schema: DATASET_SCHEMA,
            name,
            source: self.collection.kind.into(),
            recipe,
            seed: self.options.deal.seed,
            classes: self.collection.classes.clone(),
            image: self.collection.geometry,
            splits,
            mean,
            std,
            unreadable,
        };
        Ok((manifest, notes))
    }

    /// Refuses a source if a class has lost all its training images; in other splits it only notes this,
    /// unless no image is left.
    fn check_classes<'b>(
        &self,
        name: &str,
        picks: &[Pick],
        split: &SplitEntry,
        mut left_out: impl Iterator<Item = &'b Unreadable>,
    ) -> Result<Option<String>> {
        let label = |pick: &Pick| self.collection.parts[pick.part].labels[pick.index] as usize;
        let Some(lost) = picks.iter().map(label).find(|&label| split.per_class[label] == 0) else {
            return Ok(None);
        };
        let class = &self.collection.classes[lost];
        if name != "train" && split.images > 0 {
            return Ok(Some(format!("{name}: no image of class {class} that can be read")));
        }
        let one = left_out.find(|left_out| {
            picks.iter().any(|pick| {
                label(pick) == lost
                    && self.collection.parts[pick.part].images.name(pick.index) == left_out.file
            })
        });
        let one =
            one.map_or(String::new(), |Unreadable { file, reason }| format!("; the first, {file}: {reason}"));
        let expected = format!("images of class {class} to {name} on that can be read");
        Err(Error::input(self.source.path(), expected, format!("none{one}")))
    }

    /// Makes one shard, or returns the one that an earlier run finished.
    fn shard(&self, split: &str, number: usize, picks: &[Pick]) -> Result<Finished> {
        let shard = format!("{split}-{number:05}");
        if let Some(finished) = self.partial.finished(&shard) {
            (self.progress)(Progress::Done { images: picks.len() });
            return Ok(finished);
        }
        let mut made = Shard::default();
        for read in picks.par_iter().map(|&pick| self.read(pick)).collect::<Result<Vec<_>>>()? {
            match read {
                Read::Image { name, image, sums, label } => {
                    made.sums = made.sums.plus(sums);
                    made.names.push(name);
                    made.images.push(image);
                    made.labels.push(label);
                }
                Read::Unreadable(unread) => {
                    (self.progress)(Progress::Unreadable(&unread));
                    made.unreadable.push(unread);
                }
                Read::Stray(stray) => made.strays.push(stray),
            }
        }
        let Shard { names, images, labels, sums, unreadable, strays } = made;
        let folder = self.partial.folder();
        let file = |part: &str| format!("{split}-{part}-{number:05}.npy");
        let mut entry = write_shard(folder, file, self.collection.geometry, &images, &labels)?;
        entry.names = Some(write_names(folder, format!("{split}-names-{number:05}.json"), &names)?);
        let finished = Finished { entry, labels, sums, unreadable, strays };
        self.partial.record_finished(&shard, &finished)?;
        Ok(finished)
    }

    fn read(&self, pick: Pick) -> Result<Read> {
        let part = &self.collection.parts[pick.part];
        let name = part.images.name(pick.index);
        let read = match part.images.read(pick.index) {
            Ok(image) => {
                let sums = Sums::of(&image, self.collection.geometry.channels);
                Read::Image { name, image, sums, label: part.labels[pick.index] }
            }
            Err(Unread::Image(reason)) => Read::Unreadable(Unreadable { file: name, reason }),
            Err(Unread::Stray(reason)) => Read::Stray(Unreadable { file: name, reason }),
            Err(Unread::Source(e)) => return Err(e),
        };
        (self.progress)(Progress::Done { images: 1 });
        Ok(read)
    }

    fn check_share(&self, unreadable: &[Unreadable], total: usize) -> Result<()> {
        let share = self.options.max_unreadable;
        match unreadable.first() {
            Some(Unreadable { file, reason }) if unreadable.len() as f64 > share * total as f64 => {
                let (count, first) = (unreadable.len(), format!("{file}: {reason}"));
                Err(Error::TooManyUnreadable { count, total, share, first })
            }
            _ => Ok(()),
        }
    }
}

/// One file that was read.
enum Read {
    Image { name: String, image: Image, sums: Sums, label: u32 },
    Unreadable(Unreadable),
    Stray(Unreadable),
}

/// A shard while its images are added.
#[derive(Default)]
struct Shard {
    names: Vec<String>,
    images: Vec<Image>,
    labels: Vec<u32>,
    sums: Sums,
    unreadable: Vec<Unreadable>,
    strays: Vec<Unreadable>,
}

#[cfg(test)]
mod tests;
