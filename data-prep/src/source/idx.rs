//! MNIST-style IDX files: big-endian dimensions, then bytes; gzipped or not.

use super::pairs::{Pair, pairs};
use super::{Collection, Images, MAX_LOADED_BYTES, Part, Role, SourceFile, Unread, load};
use crate::{Error, Result};
use datasets::images::{Geometry, Image};
use flate2::read::MultiGzDecoder;
use std::io::Read;
use std::path::Path;

pub(super) fn open(folder: &Path) -> Result<Collection> {
    let found = pairs(
        folder,
        |name| name.contains("ubyte") || name.contains("idx"),
        |name| name.replace("idx3", "idx1"),
    )?;
    let mut size = None;
    let (mut parts, mut files) = (vec![], vec![]);
    for Pair { name, images, labels } in found {
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
        let images = Box::new(Grey { name: name.clone(), file: image_file });
        parts.push(Part { role: Role::of(&name), name, labels, images });
    }
    let (height, width) = size.unwrap_or((1, 1));
    let (geometry, image_bytes) = (Geometry::fixed(height, width, 1), height * width);
    Ok(Collection { kind: "idx", classes: vec![], geometry, image_bytes, parts, by_class: false, files })
}

/// A loaded IDX file.
struct Idx {
    content: Vec<u8>,
    shape: Vec<usize>,
}

impl Idx {
    fn open(path: &Path, dimensions: usize, files: &mut Vec<SourceFile>) -> Result<Idx> {
        let mut content = load(path)?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        files.push(SourceFile::of_content(&name, &content));
        let input = |found: String| {
            Error::input(
                path,
                format!("an IDX file of bytes with {dimensions} dimensions, gzipped or not"),
                found,
            )
        };
        if content.starts_with(&[0x1f, 0x8b]) {
            let mut plain = Vec::new();
            let read = MultiGzDecoder::new(&content[..]).take(MAX_LOADED_BYTES + 1).read_to_end(&mut plain);
            read.map_err(|e| input(format!("truncated or damaged gzip ({e}): fetch or copy it again")))?;
            content = plain;
        }
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
