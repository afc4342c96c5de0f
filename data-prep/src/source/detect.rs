//! The form of a source by the names of its files, for a command that is given a path and nothing else.

use super::{Pictures, Source, cifar, idx};
use crate::Result;
use crate::files::names;
use std::path::Path;

/// The shorter side of a stored image is at most this.
const SHORT_SIDE: u32 = 256;

impl Source {
    /// The source at a path: batches of CIFAR, IDX files or arrays if there are any; otherwise images, in
    /// folders that are named after their classes or with their classes in a CSV, `labels`. For arrays it is
    /// the file of their labels.
    ///
    /// # Errors
    /// [`crate::Error::Io`] if the path cannot be read; [`crate::Error::Input`] for an archive that cannot.
    pub fn detect(path: &Path, labels: Option<&Path>) -> Result<Source> {
        let (path, labels) = (path.to_owned(), labels.map(Path::to_owned));
        if is_array(&path) || (path.is_dir() && has_arrays(&path)?) {
            return Ok(Source::Npy { path, labels });
        }
        if labels.is_none() {
            if cifar::is_there(&path)? {
                return Ok(Source::Cifar { path, coarse: false });
            }
            if idx::is_there(&path)? {
                return Ok(Source::Idx { path });
            }
        }
        Ok(Source::Folder { path, pictures: Pictures { labels, ..Pictures::new(SHORT_SIDE) } })
    }

    /// The form in a word or two: `CIFAR`, `image files`.
    pub fn form(&self) -> &'static str {
        match self {
            Source::Cifar { .. } => "CIFAR batches",
            Source::Folder { .. } => "image files",
            Source::Idx { .. } => "IDX files",
            Source::Npy { .. } => "arrays",
            Source::Generate(_) => "generated images",
        }
    }
}

fn has_arrays(folder: &Path) -> Result<bool> {
    let mut names = names(folder)?.into_iter();
    Ok(names.any(|(name, is_folder)| !is_folder && is_array(Path::new(&name))))
}

fn is_array(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ["npy", "npz"].iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests;
