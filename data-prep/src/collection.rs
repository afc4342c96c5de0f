//! An opened source: its parts, the labels of their images, and how each image is read.

use crate::{Error, Result};
use datasets::images::{Geometry, Image};
use serde::Serialize;

/// An opened source.
pub(crate) struct Collection {
    pub(crate) kind: &'static str,
    /// Class names; empty if the source has only numbers.
    pub(crate) classes: Vec<String>,
    pub(crate) geometry: Geometry,
    /// The approximate bytes of one stored image, to size the shards.
    pub(crate) image_bytes: usize,
    pub(crate) parts: Vec<Part>,
    /// Whether the source's own order is only by class.
    pub(crate) by_class: bool,
    /// The files that the data set will be made from, to know the same source again.
    pub(crate) files: Vec<SourceFile>,
    /// Lines for the user: how the source was read, and which parts are left out.
    pub(crate) notes: Vec<String>,
}

/// Images that belong together: a batch, or one side of a given split.
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) labels: Vec<u32>,
    pub(crate) images: Box<dyn Images>,
}

/// The split of a part, unless the user asks for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Train,
    Val,
    Test,
}

impl Role {
    /// The role that a folder's whole name means, in the words that people use: `Training`, `test_set`,
    /// `validation`.
    pub(crate) fn of_folder(name: &str) -> Option<Role> {
        let mut words = words(name).filter(|word| !SET_WORDS.contains(&&word[..]));
        let role = words.next().and_then(|word| Role::of_word(&word));
        role.filter(|_| words.next().is_none())
    }

    /// The role that some word of a file's name means: `t10k-images`, `x_train`.
    pub(crate) fn of_file(name: &str) -> Option<Role> {
        words(name).find_map(|word| Role::of_word(&word))
    }

    fn of_word(word: &str) -> Option<Role> {
        let stem = SET_WORDS.iter().find_map(|set| word.strip_suffix(set)).unwrap_or(word);
        match stem {
            "train" | "training" => Some(Role::Train),
            "val" | "valid" | "validation" | "validate" | "dev" | "eval" => Some(Role::Val),
            "test" | "testing" | "t10k" => Some(Role::Test),
            _ => None,
        }
    }
}

/// Words beside the one that means the role: `training_set`, `test images`.
const SET_WORDS: [&str; 7] = ["set", "data", "dataset", "images", "image", "imgs", "split"];

/// The words of a name, in lower case.
pub(crate) fn words(name: &str) -> impl Iterator<Item = String> {
    let parts = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    parts.map(str::to_lowercase)
}

/// The images of a part.
pub(crate) trait Images: Send + Sync {
    /// A name that stays the same wherever the source is stored.
    fn name(&self, index: usize) -> String;

    /// Reads one image in the collection's geometry.
    fn read(&self, index: usize) -> Result<Image, Unread>;
}

/// Why an image was not read.
pub(crate) enum Unread {
    /// The file is not an image, and its name does not say that it is one.
    Stray(String),
    /// This image cannot be read; the others may.
    Image(String),
    /// The source itself failed.
    Source(Error),
}

/// A file of the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct SourceFile {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// A checksum of the content, if the whole file is read anyway.
    pub(crate) xxh3: Option<String>,
}

impl SourceFile {
    pub(crate) fn of_content(name: &str, content: &[u8]) -> SourceFile {
        let xxh3 = format!("{:032x}", twox_hash::XxHash3_128::oneshot(content));
        SourceFile { name: name.to_owned(), bytes: content.len() as u64, xxh3: Some(xxh3) }
    }
}
