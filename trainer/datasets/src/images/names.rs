//! The names of a shard's images: a JSON array of strings, a name a line, shown to people later.

use super::PATIENCE;
use protocol::FileRef;
use std::io::Write;
use std::path::Path;
use storage::{Error, Publication, Result, open_within};

/// The longest name in bytes; a longer one is shortened to its end, which says more than the beginning.
pub const MAX_NAME_BYTES: usize = 1024;

/// The most bytes of a name in the file: every byte may be escaped as six, and quotes, comma and newline.
const MAX_LINE_BYTES: usize = 6 * MAX_NAME_BYTES + 4;

/// Writes the names of a shard's images; the file appears whole or not at all.
///
/// # Errors
/// [`Error::Io`].
pub fn write_names(folder: &Path, name: String, names: &[String]) -> Result<FileRef> {
    let path = folder.join(&name);
    let lines = names.iter().map(|name| serde_json::to_string(last_bytes(name)).expect("a string"));
    let text = format!("[\n{}\n]\n", lines.collect::<Vec<_>>().join(",\n"));
    let mut file = Publication::begin_named(folder, name)?;
    file.write_all(text.as_bytes()).map_err(Error::io("write", &path))?;
    file.finish()
}

/// Reads and checks them.
pub(super) fn read_names(folder: &Path, file: &FileRef, images: usize) -> Result<Vec<String>> {
    let path = folder.join(&file.name);
    let most = (images as u64).saturating_mul(MAX_LINE_BYTES as u64).saturating_add(8);
    if file.bytes > most {
        let expected = format!("names of {images} images, at most {most} bytes");
        return Err(Error::damaged(&path, expected, format!("{} bytes", file.bytes)));
    }
    let bytes = open_within(folder, file, PATIENCE)?.read()?;
    let expected = || format!("a JSON array of {images} names");
    let names: Vec<String> =
        serde_json::from_slice(&bytes).map_err(|e| Error::damaged(&path, expected(), e.to_string()))?;
    if names.len() != images {
        return Err(Error::damaged(&path, expected(), format!("{} names", names.len())));
    }
    Ok(names)
}

/// At most the last [`MAX_NAME_BYTES`] of a text.
fn last_bytes(text: &str) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(MAX_NAME_BYTES))..]
}
