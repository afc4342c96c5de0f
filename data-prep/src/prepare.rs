//! The whole job: open, plan, make the shards in parallel, and give the finished folder its name.

use crate::partial::{Finished, Partial};
use crate::plan::{Deal, Pick, Plan, plan};
use crate::source::{Collection, Source, Unread};
use crate::statistics::Sums;
use crate::{Error, Result};
use datasets::images::{
    DATASET_SCHEMA, Dataset, Image, MANIFEST, Manifest, SplitEntry, Unreadable, check_shard, write_shard,
};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Raised when the same source would give other bytes, so that old parts and outputs are not taken for new ones.
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
    /// Threads that decode; nothing for one per core.
    pub threads: Option<usize>,
    /// Replace what is at `out`, should it be something else.
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

/// What [`prepare`] tells while it works.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// The plan is made: so many images will be read.
    Planned {
        /// Images in all splits.
        images: usize,
    },
    /// So many more images are done, now or by an earlier run.
    Done {
        /// How many.
        images: usize,
    },
    /// An image is left out.
    Unreadable(&'a Unreadable),
}

/// What was made.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The dataset folder.
    pub folder: PathBuf,
    /// Whether it was there already, made by the same command from the same files.
    pub was_there: bool,
    /// The hash over all images, labels and their order.
    pub digest: String,
    /// Bytes of all files.
    pub bytes: u64,
    /// All that `dataset.json` says.
    pub manifest: Manifest,
}

/// Makes a dataset folder from a source. The same source and options give the same bytes, however many threads work.
///
/// The same call after an interruption continues; after completion it verifies what is there and returns it.
///
/// # Errors
/// [`Error`]; nothing is ever at `options.out` but a complete dataset.
pub fn prepare(source: &Source, options: &Options, progress: &(dyn Fn(Progress) + Sync)) -> Result<Summary> {
    let name = dataset_name(&options.out)?;
    if !(0.0..=1.0).contains(&options.max_unreadable) {
        return Err(Error::option(
            "--max-unreadable",
            "a share from 0 to 1",
            options.max_unreadable.to_string(),
        ));
    }
    let mut collection = source.open()?;
    name_classes(&mut collection, options)?;
    let plan = plan(&collection, &options.deal)?;
    let recipe = recipe(source, &collection, options);
    progress(Progress::Planned { images: plan.iter().map(|(_, picks)| picks.len()).sum() });
    if let Some(summary) = existing(options, &recipe)? {
        return Ok(summary);
    }
    let partial = Partial::open(&options.out, &recipe)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads.unwrap_or(0)).build();
    let pool = pool.map_err(|e| Error::option("--threads", "a number of threads to start", e.to_string()))?;
    let job = Job { collection: &collection, options, partial: &partial, progress };
    let manifest = match pool.install(|| job.run(&plan, name, recipe)) {
        Ok(manifest) => manifest,
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
    summary(&options.out, false)
}

/// The dataset's name: the last one of the output's path.
fn dataset_name(out: &Path) -> Result<String> {
    let name = out.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    storage::check_name("data set", name).map_err(|_| {
        let expected = "a folder whose name has only a-z, 0-9, '.', '_' and '-', and starts with no '.'";
        Error::option("--out", expected, out.display().to_string())
    })?;
    Ok(name.into())
}

/// Gives the classes names: those asked for, the source's, else their numbers.
fn name_classes(collection: &mut Collection, options: &Options) -> Result<()> {
    let largest = collection.parts.iter().flat_map(|part| &part.labels).max();
    let needed = largest.map_or(0, |&label| label as usize + 1).max(collection.classes.len());
    if let Some(classes) = &options.classes {
        if classes.len() < needed || (!collection.classes.is_empty() && classes.len() != needed) {
            return Err(Error::option("--classes", format!("{needed} names"), classes.len().to_string()));
        }
        collection.classes.clone_from(classes);
    } else if collection.classes.is_empty() {
        let most = 100_000;
        if needed > most {
            let found = format!("label {}", needed - 1);
            return Err(Error::option("SRC", format!("labels below {most}, one for each class"), found));
        }
        collection.classes = (0..needed).map(|label| label.to_string()).collect();
    }
    Ok(())
}

/// What decides the output's bytes, hashed: the source's files by name, length and, where known, content; the options.
fn recipe(source: &Source, collection: &Collection, options: &Options) -> String {
    let short_side = if let Source::Folder { short_side, .. } = source { *short_side } else { 0 };
    let content = (&collection.files, &collection.classes, &options.deal, options.shard_bytes, short_side);
    let bytes = serde_json::to_vec(&(RECIPE_VERSION, collection.kind, content)).expect("only string keys");
    format!("{:032x}", twox_hash::XxHash3_128::oneshot(&bytes))
}

/// What is at the output already, when the same recipe made it and all of it is whole.
fn existing(options: &Options, recipe: &str) -> Result<Option<Summary>> {
    let out = &options.out;
    let is_empty = || out.read_dir().is_ok_and(|mut entries| entries.next().is_none());
    if !out.exists() || is_empty() {
        return Ok(None);
    }
    let in_the_way = |found: String| Error::Exists { folder: out.clone(), found };
    // Even --replace removes nothing but datasets: a mistyped --out must not cost a folder of photos.
    if !out.join(MANIFEST).exists() {
        return Err(in_the_way(format!("no {MANIFEST} in it, so even --replace keeps it")));
    }
    if options.replace {
        return Ok(None);
    }
    let manifest = Manifest::read(out).map_err(|e| in_the_way(e.to_string()))?;
    if manifest.recipe != recipe {
        return Err(in_the_way("a dataset made from other files or with other options".into()));
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
    Ok(Summary { folder: out.into(), was_there, digest: dataset.digest(), bytes, manifest })
}

/// The work that makes the shards.
struct Job<'a> {
    collection: &'a Collection,
    options: &'a Options,
    partial: &'a Partial,
    progress: &'a (dyn Fn(Progress) + Sync),
}

impl Job<'_> {
    fn run(&self, plan: &Plan, name: String, recipe: String) -> Result<Manifest> {
        let total: usize = plan.iter().map(|(_, picks)| picks.len()).sum();
        let per_shard = (self.options.shard_bytes / self.collection.image_bytes.max(1)).max(1);
        let classes = self.collection.classes.len();
        let (mut splits, mut unreadable, mut train) = (BTreeMap::new(), Vec::new(), Sums::default());
        for (split_name, picks) in plan {
            let mut split = SplitEntry { per_class: vec![0; classes], ..SplitEntry::default() };
            for (number, picks) in picks.chunks(per_shard).enumerate() {
                let Finished { entry, labels, sums, unreadable: unread } =
                    self.shard(split_name, number, picks)?;
                labels.iter().for_each(|&label| split.per_class[label as usize] += 1);
                split.images += entry.images;
                split.shards.push(entry);
                unreadable.extend(unread);
                if *split_name == "train" {
                    train = train.plus(sums);
                }
                self.check_share(&unreadable, total)?;
            }
            if split.images == 0 {
                return Err(Error::option("SRC", format!("readable images to {split_name} on"), "none"));
            }
            splits.insert(split_name.to_string(), split);
        }
        let (mean, std) = train.mean_and_std();
        Ok(Manifest {
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
        })
    }

    /// Makes one shard, or takes the one that an earlier run finished.
    fn shard(&self, split: &str, number: usize, picks: &[Pick]) -> Result<Finished> {
        let shard = format!("{split}-{number:05}");
        if let Some(finished) = self.partial.finished(&shard) {
            (self.progress)(Progress::Done { images: picks.len() });
            return Ok(finished);
        }
        let geometry = self.collection.geometry;
        let read = |&pick: &Pick| {
            let part = &self.collection.parts[pick.part];
            let read = match part.images.read(pick.index) {
                Ok(image) => Ok((Sums::of(&image, geometry.channels), image, part.labels[pick.index])),
                Err(Unread::Image(reason)) => Err(Unreadable { file: part.images.name(pick.index), reason }),
                Err(Unread::Source(e)) => return Err(e),
            };
            (self.progress)(Progress::Done { images: 1 });
            Ok(read)
        };
        let (mut images, mut labels) = (Vec::<Image>::new(), Vec::new());
        let (mut sums, mut unreadable) = (Sums::default(), Vec::new());
        for read in picks.par_iter().map(read).collect::<Result<Vec<_>>>()? {
            match read {
                Ok((image_sums, image, label)) => {
                    sums = sums.plus(image_sums);
                    images.push(image);
                    labels.push(label);
                }
                Err(unread) => {
                    (self.progress)(Progress::Unreadable(&unread));
                    unreadable.push(unread);
                }
            }
        }
        let file = |part: &str| format!("{split}-{part}-{number:05}.npy");
        let entry = write_shard(self.partial.folder(), file, geometry, &images, &labels)?;
        let finished = Finished { entry, labels, sums, unreadable };
        self.partial.record_finished(&shard, &finished)?;
        Ok(finished)
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

#[cfg(test)]
mod tests;
