//! Where images come from: each form is opened as a collection of parts, whose images are read one by one.

mod archive;
mod cifar;
mod folder;
mod idx;
mod npy;
mod pairs;
mod pickle;

use crate::generate::Generated;
use crate::{Error, Result};
use datasets::images::{Geometry, Image};
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};

/// A source of labelled images.
#[derive(Clone, Debug)]
pub enum Source {
    /// CIFAR-10 or CIFAR-100: a `.tar.gz`, `.tar`, or a folder of batches, pickled or binary.
    Cifar {
        /// The archive or folder.
        path: PathBuf,
        /// The 20 coarse labels of CIFAR-100 in place of the 100 fine ones.
        coarse: bool,
    },
    /// A folder with one sub-folder per class, or with `train`, `val` and `test` and the classes in each.
    Folder {
        /// The folder.
        path: PathBuf,
        /// The shorter side of a stored image is at most this; images are never enlarged.
        short_side: u32,
    },
    /// A folder of MNIST-style IDX files, gzipped or not.
    Idx {
        /// The folder.
        path: PathBuf,
    },
    /// Pairs of `.npy`: images `uint8 [n, h, w]` or `[n, h, w, 1 or 3]`, and integer labels `[n]`.
    Npy {
        /// A folder of pairs, or the images' file.
        path: PathBuf,
        /// The labels' file, when `path` is the images'.
        labels: Option<PathBuf>,
    },
    /// Procedural images.
    Generate(Generated),
}

/// An opened source.
pub(crate) struct Collection {
    pub(crate) kind: &'static str,
    /// Class names; empty when the source has only numbers.
    pub(crate) classes: Vec<String>,
    pub(crate) geometry: Geometry,
    /// Bytes that one stored image has about, to size the shards.
    pub(crate) image_bytes: usize,
    pub(crate) parts: Vec<Part>,
    /// Whether the source's own order is by class and says nothing.
    pub(crate) by_class: bool,
    /// What the dataset will be made from, to know the same source again.
    pub(crate) files: Vec<SourceFile>,
}

/// Images that belong together: a batch, or one side of a given split.
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) labels: Vec<u32>,
    pub(crate) images: Box<dyn Images>,
}

/// What a part is for, when nothing else is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Train,
    Val,
    Test,
}

impl Role {
    /// The role that a file's name tells: `test` and MNIST's `t10k`, `val`, else training.
    fn of(name: &str) -> Role {
        let name = name.to_ascii_lowercase();
        match () {
            () if name.contains("test") || name.contains("t10k") => Role::Test,
            () if name.contains("val") => Role::Val,
            () => Role::Train,
        }
    }
}

/// The images of a part.
pub(crate) trait Images: Send + Sync {
    /// A name that stays the same wherever the source lies.
    fn name(&self, index: usize) -> String;

    /// Reads one image in the collection's geometry.
    fn read(&self, index: usize) -> Result<Image, Unread>;
}

/// Why an image was not read.
pub(crate) enum Unread {
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
    /// A checksum of the content, where the whole file is read anyway.
    pub(crate) xxh3: Option<String>,
}

impl SourceFile {
    pub(crate) fn of_content(name: &str, content: &[u8]) -> SourceFile {
        let xxh3 = format!("{:032x}", twox_hash::XxHash3_128::oneshot(content));
        SourceFile { name: name.to_owned(), bytes: content.len() as u64, xxh3: Some(xxh3) }
    }
}

impl Source {
    /// Opens the source; batches are loaded, image files are only listed.
    pub(crate) fn open(&self) -> Result<Collection> {
        match self {
            Source::Cifar { path, coarse } => cifar::open(path, *coarse),
            Source::Folder { path, short_side } => folder::open(path, *short_side),
            Source::Idx { path } => idx::open(path),
            Source::Npy { path, labels } => npy::open(path, labels.as_deref()),
            Source::Generate(generated) => generated.open(),
        }
    }
}

/// The largest file that is loaded whole; the training part of CIFAR-100 has 155 MB.
const MAX_LOADED_BYTES: u64 = 1 << 30;

/// Loads a file whole.
fn load(path: &Path) -> Result<Vec<u8>> {
    let bytes = fs::metadata(path).map_err(Error::io("open", path))?.len();
    if bytes > MAX_LOADED_BYTES {
        return Err(Error::input(
            path,
            format!("at most {MAX_LOADED_BYTES} bytes"),
            format!("{bytes} bytes"),
        ));
    }
    fs::read(path).map_err(Error::io("read", path))
}

/// The names in a folder and whether each is a folder, sorted; hidden ones are left out.
fn list(folder: &Path) -> Result<Vec<(String, bool)>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let entry = entry.map_err(Error::io("list", folder))?;
        let Ok(name) = entry.file_name().into_string() else {
            return Err(Error::input(&entry.path(), "a name in UTF-8", "another one"));
        };
        if !name.starts_with('.') {
            let is_folder = fs::metadata(entry.path()).map_err(Error::io("open", &entry.path()))?.is_dir();
            entries.push((name, is_folder));
        }
    }
    entries.sort();
    Ok(entries)
}
