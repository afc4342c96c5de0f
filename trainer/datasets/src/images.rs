//! Dataset folders: images as bytes, sharded in `.npy` files, and the manifest `dataset.json` that names
//! them.
//!
//! A folder is written once, by `data-prep`, and never changed. Images of one size are in shards `[images,
//! height, width, channels]`. Images of many sizes are one after the other in a flat shard, with a second
//! array `[images, 2]` of heights and widths. Labels are `int64`. numpy opens every file. Readers always get
//! RGB. Beside a shard there are the names that its images had in the source, for people.

mod manifest;
mod names;
mod shard;

pub use crate::MANIFEST;
pub use manifest::{DATASET_SCHEMA, Geometry, Manifest, ShardEntry, SplitEntry, Unreadable};
pub use names::{MAX_NAME_BYTES, write_names};
pub use shard::{check_shard, write_shard};

use shard::Shard;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;
use storage::{Error, Result};

/// How long we wait for a dataset's file that cannot be seen. Datasets are complete long before they are
/// used, so a look at the refreshed folder decides; the rest is for a server that is slow to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// One image: rows of bytes from the top, with each pixel's channels together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `[height, width, channels]`; 3 channels, RGB, when read from a dataset.
    pub pixels: Vec<u8>,
}

/// An open dataset folder.
#[derive(Debug)]
pub struct Dataset {
    folder: PathBuf,
    manifest: Manifest,
    splits: BTreeMap<String, Split>,
}

impl Dataset {
    /// Opens a dataset folder; each shard's checksum is verified once, when something is first read from it.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Damaged`] name the file; [`Error::Schema`] if a later version wrote it.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Dataset> {
        Dataset::open_with(folder.into(), true)
    }

    /// Opens a dataset folder whose checksums are not verified; lengths, shapes and labels still are.
    ///
    /// For a leg that reads few images of a large shard which an earlier leg has verified.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn open_unverified(folder: impl Into<PathBuf>) -> Result<Dataset> {
        Dataset::open_with(folder.into(), false)
    }

    fn open_with(folder: PathBuf, verify: bool) -> Result<Dataset> {
        let manifest = Manifest::read(&folder)?;
        let split = |entry: &SplitEntry| Split::new(&folder, &manifest, entry, verify);
        let splits = manifest.splits.iter().map(|(name, entry)| (name.clone(), split(entry))).collect();
        Ok(Dataset { splits, folder, manifest })
    }

    /// Its path.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The whole content of `dataset.json`.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The class names, in the order of the labels.
    pub fn classes(&self) -> &[String] {
        &self.manifest.classes
    }

    /// A hash over all images, labels and their order: equal digests mean equal data.
    pub fn digest(&self) -> String {
        self.manifest.digest()
    }

    /// One of its splits: "train", "val" or "test".
    ///
    /// # Errors
    /// [`Error::Array`] names the existing splits.
    pub fn split(&self, name: &str) -> Result<&Split> {
        self.splits.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.splits.keys().map(String::as_str).collect();
            Error::array(
                &self.folder.join(MANIFEST),
                format!("a split {name:?}"),
                format!("only {}", names.join(", ")),
            )
        })
    }
}

/// The images and labels of one split, in a fixed order.
#[derive(Debug)]
pub struct Split {
    images: usize,
    per_class: Vec<usize>,
    /// Each with the index of its first image.
    shards: Vec<(usize, Shard)>,
}

impl Split {
    fn new(folder: &Path, manifest: &Manifest, entry: &SplitEntry, verify: bool) -> Split {
        let mut first = 0;
        let shards = entry.shards.iter().map(|shard| {
            let at = first;
            first += shard.images;
            (at, Shard::new(folder, shard.clone(), manifest.image, manifest.classes.len(), verify))
        });
        Split { shards: shards.collect(), images: entry.images, per_class: entry.per_class.clone() }
    }

    /// How many images it has.
    pub fn len(&self) -> usize {
        self.images
    }

    /// Whether it has no images.
    pub fn is_empty(&self) -> bool {
        self.images == 0
    }

    /// How many images each class has.
    pub fn per_class(&self) -> &[usize] {
        &self.per_class
    }

    /// Every image's class.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Damaged`].
    pub fn labels(&self) -> Result<Vec<u32>> {
        let mut labels = Vec::with_capacity(self.images);
        for (_, shard) in &self.shards {
            shard.read_labels(&mut labels)?;
        }
        Ok(labels)
    }

    /// The name that an image had in its source: a file's path, or its place in a batch. None if the data set
    /// has no names, as in earlier versions. A shard's names are read when one of them is first needed.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Damaged`]; [`Error::Unfit`] if there is no such image.
    pub fn name(&self, index: usize) -> Result<Option<&str>> {
        let shard = self.shards.iter().find(|(first, shard)| (*first..first + shard.len()).contains(&index));
        let Some((first, shard)) = shard else {
            let expected = format!("an image within 0..{}", self.images);
            return Err(Error::unfit("the image to name", expected, index.to_string()));
        };
        shard.name(index - first)
    }

    /// Reads a range of images, RGB. They replace the content of `images`, whose buffers are used again.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Damaged`]; [`Error::Unfit`] if the range is outside the split.
    pub fn read_images(&self, range: Range<usize>, images: &mut Vec<Image>) -> Result<()> {
        if range.start > range.end || range.end > self.images {
            return Err(Error::unfit(
                "images to read",
                format!("a range within 0..{}", self.images),
                format!("{range:?}"),
            ));
        }
        images.resize_with(range.len(), Image::default);
        for (first, shard) in &self.shards {
            let from = range.start.max(*first);
            let to = range.end.min(first + shard.len());
            if from < to {
                shard.read_images(
                    from - first..to - first,
                    &mut images[from - range.start..to - range.start],
                )?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
