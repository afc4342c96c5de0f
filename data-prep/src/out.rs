//! The output at `--out`: its name, and whether it already has a data set.

use crate::{Error, Result};
use datasets::MANIFEST;
use std::path::Path;

/// The reason why an existing data set is not the one that a command makes.
pub(crate) const OTHER_RECIPE: &str =
    "a dataset made from other files, with other options or by another version";

/// The dataset's name: the last part of the output's path.
pub(crate) fn dataset_name(out: &Path) -> Result<String> {
    let name = out.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    storage::check_name("data set", name).map_err(|_| {
        let expected = "a folder whose name has only a-z, 0-9, '.', '_' and '-', and starts with no '.'";
        Error::option("--out", expected, out.display().to_string())
    })?;
    Ok(name.into())
}

/// Whether the output has a data set that is not replaced and may be the requested one.
///
/// # Errors
/// [`Error::Exists`], if something else is there.
pub(crate) fn is_taken(out: &Path, replace: bool) -> Result<bool> {
    let is_empty = || out.read_dir().is_ok_and(|mut entries| entries.next().is_none());
    if !out.exists() || is_empty() {
        return Ok(false);
    }
    // Even --replace removes only datasets: a mistyped --out must not cost a folder of photos.
    if !out.join(MANIFEST).exists() {
        let found = format!("no {MANIFEST} in it, so even --replace keeps it");
        return Err(Error::Exists { folder: out.to_owned(), found });
    }
    Ok(!replace)
}
