//! Finds pairs of an images' and a labels' file by their names.

use super::list;
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// The files of one part.
pub(super) struct Pair {
    /// What the two names have in common, or "images" when nothing.
    pub(super) name: String,
    pub(super) images: PathBuf,
    pub(super) labels: PathBuf,
}

/// The pairs in a folder: a file with "images" in its name belongs to the one with "labels" in the same place.
///
/// `partner` makes further changes to the labels' name; `is_wanted` says which files count at all.
pub(super) fn pairs(
    folder: &Path,
    is_wanted: impl Fn(&str) -> bool,
    partner: impl Fn(&str) -> String,
) -> Result<Vec<Pair>> {
    let names: Vec<String> = list(folder)?
        .into_iter()
        .filter(|(name, is_folder)| !is_folder && is_wanted(name))
        .map(|(name, _)| name)
        .collect();
    let mut pairs = Vec::new();
    for name in names.iter().filter(|name| name.contains("images")) {
        let wanted = partner(&name.replacen("images", "labels", 1));
        // Either of the two may be gzipped.
        let plain = wanted.strip_suffix(".gz").unwrap_or(&wanted);
        let labels = names.iter().find(|n| n.strip_suffix(".gz").unwrap_or(n) == plain);
        let labels = labels
            .ok_or_else(|| Error::input(&folder.join(name), format!("{plain} beside it"), "no such file"))?;
        let stem =
            name.split('.').next().unwrap_or(name).replace("-idx3-ubyte", "").replacen("images", "", 1);
        let stem = stem.replace("--", "-").replace("__", "_");
        let stem = stem.trim_matches(['-', '_']);
        let part = if stem.is_empty() { "images" } else { stem };
        pairs.push(Pair { name: part.into(), images: folder.join(name), labels: folder.join(labels) });
    }
    if pairs.is_empty() {
        return Err(Error::input(
            folder,
            "files with \"images\" and \"labels\" in their names",
            "no such pair",
        ));
    }
    Ok(pairs)
}
