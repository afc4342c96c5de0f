//! Pairs of `.npy`: images that are read row by row, and their labels.

use super::pairs::{Pair, pairs};
use super::{Collection, Images, Part, Role, SourceFile, Unread};
use crate::{Error, Result};
use datasets::images::{Geometry, Image};
use std::path::{Path, PathBuf};
use storage::arrays::{Dtype, Element, Npy};

pub(super) fn open(path: &Path, labels: Option<&Path>) -> Result<Collection> {
    let found = match labels {
        Some(labels) => vec![Pair { name: "images".into(), images: path.into(), labels: labels.into() }],
        None if path.is_dir() => pairs(path, |name| name.ends_with(".npy"), |name| name.into())?,
        None => return Err(Error::option("--labels", "the labels' .npy, since SRC is a file", "nothing")),
    };
    let mut geometry = None;
    let (mut parts, mut files) = (vec![], vec![]);
    for Pair { name, images, labels } in found {
        let array = Npy::open(&images)?;
        let (height, width, channels) = image_size(&array)?;
        let size = Geometry::fixed(height, width, channels);
        if *geometry.get_or_insert(size) != size {
            return Err(Error::input(
                &images,
                format!("images like the others, {geometry:?}"),
                format!("{size:?}"),
            ));
        }
        for file in [&images, &labels] {
            files.push(listed(file)?);
        }
        let labels = read_labels(&labels, array.rows())?;
        let images = Box::new(Rows { name: name.clone(), array, height, width });
        parts.push(Part { role: Role::of(&name), name, labels, images });
    }
    let geometry = geometry.expect("there is at least one pair");
    let image_bytes = geometry.size().map_or(0, |(h, w)| h * w * geometry.channels);
    Ok(Collection { kind: "npy", classes: vec![], geometry, image_bytes, parts, by_class: false, files })
}

fn listed(path: &PathBuf) -> Result<SourceFile> {
    let bytes = std::fs::metadata(path).map_err(Error::io("open", path))?.len();
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(SourceFile { name, bytes, xxh3: None })
}

fn image_size(array: &Npy) -> Result<(usize, usize, usize)> {
    match (array.dtype(), array.shape()) {
        (Dtype::U8, &[_, h, w]) if !array.shape().contains(&0) => Ok((h, w, 1)),
        (Dtype::U8, &[_, h, w, c @ (1 | 3)]) if !array.shape().contains(&0) => Ok((h, w, c)),
        (dtype, shape) => {
            let expected = "images |u1 [n, height, width] or [n, height, width, 1 or 3]";
            Err(Error::input(array.path(), expected, format!("{dtype} {shape:?}")))
        }
    }
}

fn read_labels(path: &Path, images: usize) -> Result<Vec<u32>> {
    let array = Npy::open(path)?;
    let expected = format!("labels |u1, <i4 or <i8 [{images}], at least 0");
    let input = |found: String| Error::input(path, &expected[..], found);
    if array.shape() != [images] {
        return Err(input(format!("{} {:?}", array.dtype(), array.shape())));
    }
    let labels = match array.dtype() {
        Dtype::U8 => read_all::<u8>(&array)?,
        Dtype::I32 => read_all::<i32>(&array)?,
        Dtype::I64 => read_all::<i64>(&array)?,
        other => return Err(input(other.to_string())),
    };
    labels
        .into_iter()
        .map(|label| u32::try_from(label).map_err(|_| input(format!("label {label}"))))
        .collect()
}

fn read_all<T: Element + Into<i64>>(array: &Npy) -> Result<Vec<i64>> {
    let mut values = vec![T::default(); array.rows()];
    array.read_rows(0..array.rows(), &mut values)?;
    Ok(values.into_iter().map(T::into).collect())
}

/// Images of an open array.
struct Rows {
    name: String,
    array: Npy,
    height: usize,
    width: usize,
}

impl Images for Rows {
    fn name(&self, index: usize) -> String {
        format!("{}[{index}]", self.name)
    }

    fn read(&self, index: usize) -> Result<Image, Unread> {
        let mut pixels = vec![0; self.array.row_len()];
        self.array.read_byte_rows(index..index + 1, &mut pixels).map_err(|e| Unread::Source(e.into()))?;
        Ok(Image { height: self.height, width: self.width, pixels })
    }
}

#[cfg(test)]
mod tests;
