//! Where images come from: each form is opened as a collection of parts, whose images are read one by one.

mod archive;
mod array;
mod cifar;
mod detect;
mod folder;
mod idx;
mod labels;
mod layout;
mod npy;
mod pairs;
mod pickle;
mod pixels;

use crate::Result;
use crate::collection::Collection;
use crate::generate::Generated;
use std::path::{Path, PathBuf};

pub use folder::Pictures;

/// A source of labelled images.
#[derive(Clone, Debug)]
pub enum Source {
    /// CIFAR-10 or CIFAR-100: an archive or a folder of batches, pickled or binary.
    Cifar {
        /// The archive or folder.
        path: PathBuf,
        /// The 20 coarse labels of CIFAR-100 in place of the 100 fine ones.
        coarse: bool,
    },
    /// Image files in a folder or an archive, with one sub-folder per class, or the sides of a split and the
    /// classes in each, or with their labels in a CSV.
    Folder {
        /// The folder or archive.
        path: PathBuf,
        /// How it is read.
        pictures: Pictures,
    },
    /// A folder of MNIST-style IDX files, gzipped or not.
    Idx {
        /// The folder, or a folder that contains it.
        path: PathBuf,
    },
    /// Pairs of arrays: images `[n, h, w]`, `[n, h, w, 1 or 3]` or `[n, 1 or 3, h, w]`, and integer labels
    /// `[n]`.
    Npy {
        /// A folder of pairs, a `.npz` with pairs, or the images' file.
        path: PathBuf,
        /// The labels' file, if `path` is the images'.
        labels: Option<PathBuf>,
    },
    /// Procedural images.
    Generate(Generated),
}

impl Source {
    /// Opens the source; batches are loaded, image files are only listed. If any are named, parts that are
    /// not `wanted` may be skipped.
    pub(crate) fn open(&self, wanted: &[String]) -> Result<Collection> {
        match self {
            Source::Cifar { path, coarse } => cifar::open(path, *coarse),
            Source::Folder { path, pictures } => folder::open(path, pictures),
            Source::Idx { path } => idx::open(path, wanted),
            Source::Npy { path, labels } => npy::open(path, labels.as_deref(), wanted),
            Source::Generate(generated) => generated.open(),
        }
    }

    /// Its path, for errors.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Source::Cifar { path, .. }
            | Source::Folder { path, .. }
            | Source::Idx { path }
            | Source::Npy { path, .. } => path,
            Source::Generate(_) => Path::new("generate"),
        }
    }

    /// The source's part in the recipe, besides its files: everything that decides the bytes of its images.
    pub(crate) fn recipe(&self) -> serde_json::Value {
        match self {
            Source::Folder { pictures, .. } => pictures.recipe(),
            _ => serde_json::json!(0),
        }
    }
}
