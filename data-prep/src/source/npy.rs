//! Pairs of `.npy`, or of arrays in `.npz`: images that are read row by row, and their labels.

use super::archive::{Archive, Bounds};
use super::array::Array;
use super::pairs::{Pair, pairs};
use super::pixels::Pixels;
use crate::collection::{Collection, Images, Part, SourceFile, Unread};
use crate::files::names;
use crate::{Error, Result};
use datasets::images::Image;
use std::path::Path;

pub(super) fn open(path: &Path, labels: Option<&Path>, wanted: &[String]) -> Result<Collection> {
    let mut files = Vec::new();
    let found = match labels {
        Some(labels) => {
            let pair = Pair { name: "images".into(), images: "images".into(), labels: "labels".into() };
            files.extend([listed(path)?, listed(labels)?]);
            vec![(pair, one_array(path)?, one_array(labels)?)]
        }
        None if path.is_dir() => of_folder(path, wanted, &mut files)?,
        None if has_ending(path, "npz") => {
            files.push(listed(path)?);
            of_npz(path, wanted)?
        }
        None => return Err(Error::option("--labels", "the labels' .npy, since SRC is a file", "nothing")),
    };
    let (mut geometry, mut parts, mut notes) = (None, vec![], vec![]);
    for (pair, images, labels) in found {
        let path = images.path().to_owned();
        let labels = read_labels(&labels, images.shape().first().copied().unwrap_or(0))?;
        let pixels = Pixels::new(images, &mut notes)?;
        let size = pixels.geometry();
        if *geometry.get_or_insert(size) != size {
            let expected = format!("images like the others, {geometry:?}");
            return Err(Error::input(&path, expected, format!("{size:?}")));
        }
        let (role, images) = (pair.role(), Box::new(Rows { name: pair.name.clone(), pixels }));
        parts.push(Part { role, name: pair.name, labels, images });
    }
    let geometry = geometry.expect("there is at least one pair");
    let image_bytes = geometry.size().map_or(0, |(h, w)| h * w * geometry.channels);
    Ok(Collection {
        kind: "npy",
        classes: vec![],
        geometry,
        image_bytes,
        parts,
        by_class: false,
        files,
        notes,
    })
}

type Arrays = Vec<(Pair, Array, Array)>;

/// The pairs of files in a folder.
fn of_folder(folder: &Path, wanted: &[String], files: &mut Vec<SourceFile>) -> Result<Arrays> {
    let is_array = |name: &str| has_ending(Path::new(name), "npy") || has_ending(Path::new(name), "npz");
    let names = names(folder)?.into_iter().filter(|(name, is_folder)| !is_folder && is_array(name));
    let names: Vec<String> = names.map(|(name, _)| name).collect();
    let mut arrays = Arrays::new();
    for pair in pairs(folder, &names, str::to_owned, wanted)? {
        let (images, labels) = (folder.join(&pair.images), folder.join(&pair.labels));
        files.extend([listed(&images)?, listed(&labels)?]);
        arrays.push((pair, one_array(&images)?, one_array(&labels)?));
    }
    Ok(arrays)
}

/// The pairs of arrays in one `.npz`.
fn of_npz(path: &Path, wanted: &[String]) -> Result<Arrays> {
    let archive = Archive::open(path, Bounds::USUAL, &|name| name.ends_with(".npy"))?;
    let names = archive.listing.files.iter().filter_map(|file| file.path.strip_suffix(".npy"));
    let names: Vec<String> = names.map(String::from).collect();
    let mut arrays = Arrays::new();
    for pair in pairs(path, &names, str::to_owned, wanted)? {
        let (images, labels) = (member(path, &archive, &pair.images)?, member(path, &archive, &pair.labels)?);
        arrays.push((pair, images, labels));
    }
    Ok(arrays)
}

/// The array of a `.npy`, or the only one of a `.npz`.
fn one_array(path: &Path) -> Result<Array> {
    if !has_ending(path, "npz") {
        return Array::open(path);
    }
    let archive = Archive::open(path, Bounds::USUAL, &|name| name.ends_with(".npy"))?;
    let names: Vec<&str> =
        archive.listing.files.iter().filter_map(|file| file.path.strip_suffix(".npy")).collect();
    match names[..] {
        [only] => member(path, &archive, only),
        _ => Err(Error::input(path, "one array in each .npz of a pair", names.join(", "))),
    }
}

fn member(path: &Path, archive: &Archive, name: &str) -> Result<Array> {
    let shown = path.join(name);
    let content = archive.read(&format!("{name}.npy"), Bounds::USUAL.member);
    Array::of_content(&shown, content.map_err(|found| Error::input(&shown, "a whole array", found))?)
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending))
}

fn listed(path: &Path) -> Result<SourceFile> {
    let bytes = std::fs::metadata(path).map_err(Error::io("open", path))?.len();
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(SourceFile { name, bytes, xxh3: None })
}

fn read_labels(array: &Array, images: usize) -> Result<Vec<u32>> {
    let expected = format!("labels of whole numbers [{images}], at least 0");
    let input = |found: String| Error::input(array.path(), &expected[..], found);
    let (kind, shape) = (array.kind(), array.shape());
    let found = format!("{} {shape:?}", kind.name);
    match *shape {
        [n] | [n, 1] if n == images => {}
        [n, classes] if n == images && classes > 1 => {
            return Err(input(format!("{found}; for one-hot rows save array.argmax(1)")));
        }
        _ => return Err(input(found)),
    }
    if !kind.is_whole() {
        return Err(input(format!("{found}; save array.astype(\"int64\")")));
    }
    let label = |row: usize| {
        let value = array.values(row)?[0];
        let fits = (0.0..=f64::from(u32::MAX)).contains(&value);
        if fits { Ok(value as u32) } else { Err(input(format!("label {value}"))) }
    };
    (0..images).map(label).collect()
}

/// Images of an open array.
struct Rows {
    name: String,
    pixels: Pixels,
}

impl Images for Rows {
    fn name(&self, index: usize) -> String {
        format!("{}[{index}]", self.name)
    }

    fn read(&self, index: usize) -> Result<Image, Unread> {
        self.pixels.read(index).map_err(Unread::Source)
    }
}

#[cfg(test)]
mod tests;
