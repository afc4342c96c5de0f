//! MNIST-style IDX files: big-endian dimensions, then bytes; gzipped or not.

use super::pairs::pairs;
use crate::collection::{Collection, Images, Part, SourceFile, Unread};
use crate::files::{load, names, open_plain};
use crate::{Error, Result};
use datasets::images::{Geometry, Image};
use flate2::read::MultiGzDecoder;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The longest file that is loaded, stored and unpacked.
const MAX_BYTES: u64 = 1 << 30;

/// Folders within each other in which the files are looked for: torchvision puts them into `MNIST/raw`.
const MAX_DEPTH: usize = 3;

pub(super) fn open(source: &Path, wanted: &[String]) -> Result<Collection> {
    let folder = folder(source)?;
    let (names, twins) = without_twins(idx_names(&folder)?);
    let found = pairs(&folder, &names, |name| name.replace("idx3", "idx1"), wanted)?;
    let mut notes = Vec::new();
    for (plain, packed) in twins {
        let content = |name: &str| unpacked(&folder.join(name), load(&folder.join(name), MAX_BYTES)?);
        if content(&plain)? != content(&packed)? {
            let found = format!("{plain} and {packed}, which differ");
            return Err(Error::input(
                &folder,
                "one of a file and its packed form, or two that are equal",
                found,
            ));
        }
        notes.push(format!("left out {packed}: {plain} is the same, unpacked"));
    }
    let mut size = None;
    let (mut parts, mut files) = (vec![], vec![]);
    for pair in found {
        let (images, labels) = (folder.join(&pair.images), folder.join(&pair.labels));
        let image_file = Idx::open(&images, 3, &mut files)?;
        let label_file = Idx::open(&labels, 1, &mut files)?;
        let [count, height, width] = image_file.shape[..] else { unreachable!("opened with 3 dimensions") };
        if label_file.shape[0] != count {
            return Err(Error::input(&labels, format!("{count} labels"), label_file.shape[0].to_string()));
        }
        if *size.get_or_insert((height, width)) != (height, width) {
            return Err(Error::input(&images, format!("images of {size:?}"), format!("{height} x {width}")));
        }
        let labels = label_file.elements().iter().map(|&label| label.into()).collect();
        let images = Box::new(Grey { name: pair.name.clone(), file: image_file });
        parts.push(Part { role: pair.role(), name: pair.name, labels, images });
    }
    let (height, width) = size.unwrap_or((1, 1));
    Ok(Collection {
        kind: "idx",
        classes: vec![],
        geometry: Geometry::fixed(height, width, 1),
        image_bytes: height * width,
        parts,
        by_class: false,
        files,
        notes,
    })
}

/// Whether a folder, or one within it, has files that are named as IDX files are.
pub(super) fn is_there(source: &Path) -> Result<bool> {
    let mut level = if source.is_dir() { vec![source.to_owned()] } else { vec![] };
    for _ in 0..=MAX_DEPTH {
        let mut inner = Vec::new();
        for folder in level {
            for (name, is_folder) in names(&folder)? {
                match is_folder {
                    true => inner.push(folder.join(name)),
                    false if name.contains("-ubyte") => return Ok(true),
                    false => {}
                }
            }
        }
        level = inner;
    }
    Ok(false)
}

/// The names of IDX files in a folder.
fn idx_names(folder: &Path) -> Result<Vec<String>> {
    let is_idx = |name: &str| name.contains("ubyte") || name.contains("idx");
    let names = names(folder)?.into_iter().filter(|(name, is_folder)| !is_folder && is_idx(name));
    Ok(names.map(|(name, _)| name).collect())
}

/// The folder itself if it has such files, or the one within it that has.
fn folder(source: &Path) -> Result<PathBuf> {
    if !source.is_dir() {
        open_plain(source)?;
        return Err(Error::input(source, "a folder with IDX files", "a file"));
    }
    let mut level = vec![source.to_owned()];
    for _ in 0..=MAX_DEPTH {
        let mut with_files = Vec::new();
        for folder in &level {
            if !idx_names(folder)?.is_empty() {
                with_files.push(folder.clone());
            }
        }
        match &with_files[..] {
            [] => {}
            [one] => return Ok(one.clone()),
            [a, b, ..] => {
                let found = format!("{} and {}", a.display(), b.display());
                return Err(Error::input(source, "one folder with IDX files: name one of them", found));
            }
        }
        let mut inner = Vec::new();
        for folder in &level {
            let names = names(folder)?.into_iter().filter(|(_, is_folder)| *is_folder);
            inner.extend(names.map(|(name, _)| folder.join(name)));
        }
        level = inner;
    }
    Ok(source.to_owned())
}

/// The names, without the packed form of a file that is also there unpacked; and those twins.
fn without_twins(names: Vec<String>) -> (Vec<String>, Vec<(String, String)>) {
    let plain = |name: &str| {
        name.strip_suffix(".gz").filter(|plain| names.iter().any(|n| n == plain)).map(String::from)
    };
    let twins: Vec<_> = names.iter().filter_map(|name| Some((plain(name)?, name.clone()))).collect();
    let rest = names.iter().filter(|name| plain(name).is_none()).cloned().collect();
    (rest, twins)
}

/// A file's content, unpacked if it is gzipped.
fn unpacked(path: &Path, content: Vec<u8>) -> Result<Vec<u8>> {
    if !content.starts_with(&[0x1f, 0x8b]) {
        return Ok(content);
    }
    let mut plain = Vec::new();
    let read = MultiGzDecoder::new(&content[..]).take(MAX_BYTES + 1).read_to_end(&mut plain);
    let damaged = |found: String| Error::input(path, "an IDX file, gzipped or not", found);
    read.map_err(|e| damaged(format!("truncated or damaged gzip ({e}): fetch or copy it again")))?;
    if plain.len() as u64 > MAX_BYTES {
        return Err(damaged(format!("more than {MAX_BYTES} bytes, unpacked")));
    }
    Ok(plain)
}

/// A loaded IDX file.
struct Idx {
    content: Vec<u8>,
    shape: Vec<usize>,
}

impl Idx {
    fn open(path: &Path, dimensions: usize, files: &mut Vec<SourceFile>) -> Result<Idx> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let content = load(path, MAX_BYTES)?;
        files.push(SourceFile::of_content(&name, &content));
        let content = unpacked(path, content)?;
        let input = |found: String| {
            Error::input(
                path,
                format!("an IDX file of bytes with {dimensions} dimensions, gzipped or not"),
                found,
            )
        };
        let start = 4 + 4 * dimensions;
        if content.len() < start || content[..4] != [0, 0, 8, dimensions as u8] {
            return Err(input(format!("a file that starts with {:02x?}", &content[..content.len().min(4)])));
        }
        let words = content[4..start].as_chunks().0.iter();
        let shape: Vec<usize> = words.map(|word| u32::from_be_bytes(*word) as usize).collect();
        let size = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if size != Some(content.len() - start) || shape.contains(&0) {
            return Err(input(format!("{} bytes for shape {shape:?}", content.len() - start)));
        }
        Ok(Idx { content, shape })
    }

    fn elements(&self) -> &[u8] {
        &self.content[4 + 4 * self.shape.len()..]
    }
}

/// Grey images.
struct Grey {
    name: String,
    file: Idx,
}

impl Images for Grey {
    fn name(&self, index: usize) -> String {
        format!("{}[{index}]", self.name)
    }

    fn read(&self, index: usize) -> Result<Image, Unread> {
        let (height, width) = (self.file.shape[1], self.file.shape[2]);
        let pixels = self.file.elements()[index * height * width..][..height * width].to_vec();
        Ok(Image { height, width, pixels })
    }
}

#[cfg(test)]
mod tests;
