//! One shard of a dataset: written in one go, opened when it is first needed, read image by image.

use super::names::read_names;
use super::{Geometry, Image, PATIENCE, ShardEntry};
use protocol::FileRef;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use storage::arrays::{Dtype, Npy, write_npy, write_npy_header};
use storage::{Error, Publication, Result, open_within};

/// A shard that is not read before it is needed.
#[derive(Debug)]
pub(super) struct Shard {
    folder: PathBuf,
    entry: ShardEntry,
    image: Geometry,
    classes: usize,
    verify: bool,
    open: OnceLock<Open>,
    names: OnceLock<Vec<String>>,
}

/// The pixels of an open shard.
#[derive(Debug)]
struct Open {
    pixels: Npy,
    /// Where each image starts, and its height and width; empty if all have one size.
    places: Vec<(usize, usize, usize)>,
}

impl Shard {
    pub(super) fn new(
        folder: &Path,
        entry: ShardEntry,
        image: Geometry,
        classes: usize,
        verify: bool,
    ) -> Shard {
        let (open, names) = (OnceLock::new(), OnceLock::new());
        Shard { folder: folder.to_owned(), entry, image, classes, verify, open, names }
    }

    pub(super) fn len(&self) -> usize {
        self.entry.images
    }

    pub(super) fn read_labels(&self, labels: &mut Vec<u32>) -> Result<()> {
        let npy = self.open_file(&self.entry.labels)?;
        npy.expect(Dtype::I64, &[Some(self.len())])?;
        let mut values = vec![0i64; self.len()];
        npy.read_rows(0..self.len(), &mut values)?;
        for value in values {
            let label = u32::try_from(value).ok().filter(|&l| (l as usize) < self.classes);
            let expected = || format!("labels 0 to {}", self.classes - 1);
            labels.push(label.ok_or_else(|| Error::damaged(npy.path(), expected(), value.to_string()))?);
        }
        Ok(())
    }

    /// The name of one image; none if the data set has no names.
    pub(super) fn name(&self, index: usize) -> Result<Option<&str>> {
        let Some(file) = &self.entry.names else { return Ok(None) };
        let names = match self.names.get() {
            Some(names) => names,
            None => {
                let read = read_names(&self.folder, file, self.len())?;
                self.names.get_or_init(|| read)
            }
        };
        Ok(Some(&names[index]))
    }

    pub(super) fn read_images(&self, range: Range<usize>, images: &mut [Image]) -> Result<()> {
        let open = self.open()?;
        for (i, image) in range.zip(images) {
            let (rows, height, width) = match self.image.size() {
                Some((height, width)) => (i..i + 1, height, width),
                None => {
                    let (start, height, width) = open.places[i];
                    (start..start + height * width * self.image.channels, height, width)
                }
            };
            (image.height, image.width) = (height, width);
            image.pixels.resize(height * width * self.image.channels, 0);
            open.pixels.read_byte_rows(rows, &mut image.pixels)?;
            if self.image.channels == 1 {
                image.pixels = image.pixels.iter().flat_map(|&grey| [grey; 3]).collect();
            }
        }
        Ok(())
    }

    fn open(&self) -> Result<&Open> {
        if let Some(open) = self.open.get() {
            return Ok(open);
        }
        let pixels = self.open_file(&self.entry.pixels)?;
        let places = match &self.entry.shapes {
            None => {
                let (height, width) = self.image.size().expect("checked with the manifest");
                pixels.expect(
                    Dtype::U8,
                    &[Some(self.len()), Some(height), Some(width), Some(self.image.channels)],
                )?;
                Vec::new()
            }
            Some(shapes) => {
                let places = places(&self.open_file(shapes)?, self.len(), self.image.channels)?;
                let end = places.last().map_or(0, |&(start, h, w)| start + h * w * self.image.channels);
                pixels.expect(Dtype::U8, &[Some(end)])?;
                places
            }
        };
        // Two threads may both have opened it; both results are good.
        Ok(self.open.get_or_init(|| Open { pixels, places }))
    }

    fn open_file(&self, file: &FileRef) -> Result<Npy> {
        let opened = open_within(&self.folder, file, PATIENCE)?;
        if self.verify {
            opened.verify()?;
        }
        opened.into_npy()
    }
}

/// Where each image of a flat shard starts, from the array of their shapes.
fn places(shapes: &Npy, images: usize, channels: usize) -> Result<Vec<(usize, usize, usize)>> {
    shapes.expect(Dtype::I64, &[Some(images), Some(2)])?;
    let mut values = vec![0i64; images * 2];
    shapes.read_rows(0..images, &mut values)?;
    let mut start = 0usize;
    let mut places = Vec::with_capacity(images);
    for [height, width] in values.as_chunks().0 {
        let side = |v: i64| usize::try_from(v).ok().filter(|&v| v > 0);
        let size = side(*height).zip(side(*width));
        let end = size.and_then(|(h, w)| h.checked_mul(w)?.checked_mul(channels)?.checked_add(start));
        let (Some((h, w)), Some(end)) = (size, end) else {
            return Err(Error::damaged(
                shapes.path(),
                "heights and widths above 0",
                format!("{height} x {width}"),
            ));
        };
        places.push((start, h, w));
        start = end;
    }
    Ok(places)
}

/// Writes one shard: pixels, labels and, if images vary, shapes; each file appears whole or not at all.
///
/// `name` makes a file's name from its kind: "images", "labels" or "shapes".
///
/// # Errors
/// [`Error::Io`]; [`Error::Unfit`] if an image or the number of labels does not fit the geometry.
pub fn write_shard(
    folder: &Path,
    name: impl Fn(&str) -> String,
    geometry: Geometry,
    images: &[Image],
    labels: &[u32],
) -> Result<ShardEntry> {
    for image in images {
        let sized = geometry.size().is_none_or(|size| size == (image.height, image.width));
        if !sized || image.pixels.len() != image.height * image.width * geometry.channels {
            let found = format!("{} x {} in {} bytes", image.height, image.width, image.pixels.len());
            return Err(Error::unfit(
                format!("an image of {}", name("images")),
                format!("{geometry:?}"),
                found,
            ));
        }
    }
    if images.len() != labels.len() {
        return Err(Error::unfit(
            name("labels"),
            format!("{} labels", images.len()),
            labels.len().to_string(),
        ));
    }
    let count = images.len() as u64;
    let pixels = write_file(folder, name("images"), |file| {
        let shape = match geometry.size() {
            Some((h, w)) => vec![count, h as u64, w as u64, geometry.channels as u64],
            None => vec![images.iter().map(|i| i.pixels.len() as u64).sum()],
        };
        write_npy_header(file, Dtype::U8, &shape)?;
        images.iter().try_for_each(|image| file.write_all(&image.pixels))
    })?;
    let labels: Vec<i64> = labels.iter().map(|&l| l.into()).collect();
    let labels = write_file(folder, name("labels"), |file| write_npy(file, &[count], &labels))?;
    let shapes = geometry.size().is_none().then(|| {
        let sides: Vec<i64> = images.iter().flat_map(|i| [i.height as i64, i.width as i64]).collect();
        write_file(folder, name("shapes"), |file| write_npy(file, &[count, 2], &sides))
    });
    Ok(ShardEntry { images: images.len(), pixels, labels, shapes: shapes.transpose()?, names: None })
}

/// Verifies length and checksum of all of a shard's files.
///
/// # Errors
/// [`Error::Io`], [`Error::Missing`], [`Error::Damaged`].
pub fn check_shard(folder: &Path, shard: &ShardEntry) -> Result<()> {
    shard.files().try_for_each(|file| open_within(folder, file, PATIENCE)?.verify())
}

fn write_file(
    folder: &Path,
    name: String,
    content: impl FnOnce(&mut Publication) -> io::Result<()>,
) -> Result<FileRef> {
    let path = folder.join(&name);
    let mut file = Publication::begin_named(folder, name)?;
    content(&mut file).map_err(Error::io("write", &path))?;
    file.finish()
}
