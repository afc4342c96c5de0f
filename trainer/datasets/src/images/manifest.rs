//! `dataset.json`: the content of a dataset folder, every file with its length and checksum.

use crate::{Kind, MANIFEST};
use protocol::FileRef;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;
use storage::{Error, Result, check_file_name, read_whole, seal, unseal};

/// The schema of `dataset.json` that this version writes; a later one is refused by name.
///
/// Since schema 2 shards may have the names of their images; earlier data sets can still be read.
pub const DATASET_SCHEMA: u32 = 2;

/// The schema in a digest. It counts up if the same images would be stored as other bytes; names do not
/// change it.
const DIGEST_SCHEMA: u32 = 1;

/// The content of a dataset folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`DATASET_SCHEMA`].
    pub schema: u32,
    /// The dataset's name, which is its folder's.
    pub name: String,
    /// The kind of its source: "cifar", "folder", "idx", "npy".
    pub source: String,
    /// A hash of the source's listing and of the options; the same command on the same files makes the same
    /// hash.
    pub recipe: String,
    /// The seed of the order and of the split.
    pub seed: u64,
    /// Class names in the order of the labels.
    pub classes: Vec<String>,
    /// The images' size.
    pub image: Geometry,
    /// "train", and "val" and "test" if they exist.
    pub splits: BTreeMap<String, SplitEntry>,
    /// Mean of each channel R, G, B over the training split's pixels, in 0..1.
    pub mean: [f64; 3],
    /// Standard deviation of each channel over the training split's pixels, in 0..1.
    pub std: [f64; 3],
    /// The images of the source that could not be read and are left out.
    pub unreadable: Vec<Unreadable>,
}

/// The size of a dataset's images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Geometry {
    /// Rows; none if images vary.
    pub height: Option<usize>,
    /// Columns; none if images vary.
    pub width: Option<usize>,
    /// 3, or 1 for grey images of one size, which are made RGB when they are read.
    pub channels: usize,
}

impl Geometry {
    /// RGB images of many sizes.
    pub const VARIED: Geometry = Geometry { height: None, width: None, channels: 3 };

    /// Images of one size.
    pub fn fixed(height: usize, width: usize, channels: usize) -> Geometry {
        Geometry { height: Some(height), width: Some(width), channels }
    }

    /// Height and width, if all images have the same.
    pub fn size(self) -> Option<(usize, usize)> {
        Some((self.height?, self.width?))
    }

    fn is_valid(self) -> bool {
        match (self.height, self.width) {
            (None, None) => self.channels == 3,
            (Some(h), Some(w)) => {
                (1..=65_535).contains(&h) && (1..=65_535).contains(&w) && [1, 3].contains(&self.channels)
            }
            _ => false,
        }
    }
}

/// One split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitEntry {
    /// Images in all its shards.
    pub images: usize,
    /// Images of each class.
    pub per_class: Vec<usize>,
    /// Its shards, in order.
    pub shards: Vec<ShardEntry>,
}

/// The files of one shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardEntry {
    /// Images in it.
    pub images: usize,
    /// The pixels, `uint8`: `[images, height, width, channels]`, or flat if images vary.
    pub pixels: FileRef,
    /// The labels, `int64 [images]`.
    pub labels: FileRef,
    /// Heights and widths, `int64 [images, 2]`, if images vary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shapes: Option<FileRef>,
    /// The images' names, a JSON array of strings; data sets of schema 1 have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<FileRef>,
}

impl ShardEntry {
    /// All its files.
    pub fn files(&self) -> impl Iterator<Item = &FileRef> {
        [&self.pixels, &self.labels].into_iter().chain(&self.shapes).chain(&self.names)
    }
}

/// An image of the source that is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unreadable {
    /// Its file, relative to the source.
    pub file: String,
    /// Why it cannot be read.
    pub reason: String,
}

impl Manifest {
    /// Reads and checks a folder's manifest.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Io`], [`Error::Schema`], [`Error::Damaged`]; [`Error::Array`] for a data
    /// set of another kind.
    pub fn read(folder: &Path) -> Result<Manifest> {
        let path = folder.join(MANIFEST);
        let bytes = unseal(&path, &read_whole(&path)?.0)?;
        let manifest: Manifest = Kind::Images.parse(&path, &bytes, DATASET_SCHEMA)?;
        match manifest.contradiction() {
            Some(found) => Err(Error::damaged(&path, "a manifest that agrees with itself", found)),
            None => Ok(manifest),
        }
    }

    /// The manifest's text; the same dataset makes the same bytes.
    pub fn to_json(&self) -> String {
        seal(&serde_json::to_string_pretty(self).expect("a manifest has only string keys"))
    }

    /// A hash over all images, labels and their order, 64 hexadecimal digits; it does not depend on images'
    /// names.
    pub fn digest(&self) -> String {
        let mut splits = self.splits.clone();
        splits.values_mut().flat_map(|split| &mut split.shards).for_each(|shard| shard.names = None);
        let content = (DIGEST_SCHEMA, &self.classes, self.image, &splits);
        let bytes = serde_json::to_vec(&content).expect("a manifest has only string keys");
        Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
    }

    fn contradiction(&self) -> Option<String> {
        if !self.image.is_valid() {
            return Some(format!("images of {:?}", self.image));
        }
        if self.classes.is_empty() {
            return Some("no classes".into());
        }
        self.splits.iter().find_map(|(name, split)| {
            let in_shards = split.shards.iter().try_fold(0usize, |n, s| n.checked_add(s.images));
            let in_classes = split.per_class.iter().try_fold(0usize, |n, &c| n.checked_add(c));
            if in_shards != Some(split.images) || in_classes != Some(split.images) {
                return Some(format!(
                    "split {name}: {} images, but other sums of shards or classes",
                    split.images
                ));
            }
            if split.per_class.len() != self.classes.len() {
                return Some(format!("split {name}: counts of {} classes", split.per_class.len()));
            }
            split.shards.iter().find_map(|shard| self.shard_contradiction(shard))
        })
    }

    fn shard_contradiction(&self, shard: &ShardEntry) -> Option<String> {
        if shard.shapes.is_some() == self.image.size().is_some() {
            return Some(format!("{}: shapes and image size do not go together", shard.pixels.name));
        }
        let file =
            shard.files().find(|file| file.name.contains('/') || check_file_name(&file.name).is_err())?;
        Some(format!("a file name {:?} that leaves the folder", file.name))
    }
}
