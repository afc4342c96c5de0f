//! Image files in a folder or an archive: one sub-folder per class, or the sides of a split with the classes
//! in each, or in any order with their labels in a CSV.

use super::archive::{Archive, Bounds};
use super::labels;
use super::layout::{Layout, layout};
use crate::collection::{Collection, Images, Part, SourceFile, Unread};
use crate::decode::{DECODE_VERSION, MAX_FILE_BYTES, NoImage, Reading, decode_named, read_image};
use crate::files::{Links, Listing, list_folder};
use crate::{Result, printable};
use datasets::images::{Geometry, Image};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a folder of images is read.
#[derive(Clone, Debug)]
pub struct Pictures {
    /// How each image is read.
    pub reading: Reading,
    /// Whether links that lead out of the folder are followed.
    pub links: Links,
    /// A CSV with a file's name and its label in each row, instead of folders for the classes.
    pub labels: Option<PathBuf>,
    /// The column of that CSV with the labels, if there are several.
    pub label_column: Option<String>,
}

impl Pictures {
    /// Images whose shorter side becomes at most `short_side`, with one folder for each class.
    pub fn new(short_side: u32) -> Pictures {
        let (reading, links) = (Reading::new(short_side), Links::Inside);
        Pictures { reading, links, labels: None, label_column: None }
    }

    /// Everything that decides the bytes of the images, besides their files.
    pub(super) fn recipe(&self) -> serde_json::Value {
        serde_json::json!([self.reading.short_side, self.reading.bits, DECODE_VERSION])
    }
}

/// The place of the files.
enum Store {
    Folder(PathBuf),
    Archive(Archive),
}

pub(super) fn open(path: &Path, pictures: &Pictures) -> Result<Collection> {
    let (store, listing) = if path.is_dir() {
        (Store::Folder(path.into()), list_folder(path, pictures.links)?)
    } else {
        let mut archive = Archive::open(path, Bounds::USUAL, &|_| true)?;
        let listing = std::mem::take(&mut archive.listing);
        (Store::Archive(archive), listing)
    };
    let Layout { classes, sides, mut notes } = match &pictures.labels {
        Some(csv) => labels::layout(path, &listing, csv, pictures.label_column.as_deref())?,
        None => layout(path, &listing)?,
    };
    notes.extend(left_out(&listing));
    let (store, mut parts, mut files) = (Arc::new(store), vec![], vec![]);
    for side in sides {
        let found = || side.files.iter().map(|&(file, _)| &listing.files[file]);
        files.extend(found().map(|file| SourceFile {
            name: file.path.clone(),
            bytes: file.bytes,
            xxh3: None,
        }));
        let names = found().map(|file| file.path.clone()).collect();
        let images = Box::new(Files { store: store.clone(), names, reading: pictures.reading });
        let labels = side.files.iter().map(|&(_, label)| label).collect();
        parts.push(Part { name: side.name, role: side.role, labels, images });
    }
    let short = pictures.reading.short_side as usize;
    Ok(Collection {
        kind: "folder",
        classes,
        geometry: Geometry::VARIED,
        // RGB at 4 : 3, the usual shape of a photo.
        image_bytes: short.saturating_mul(short).saturating_mul(4),
        parts,
        by_class: true,
        files,
        notes,
    })
}

/// A note of the paths that were not read because they are not plain files.
fn left_out(listing: &Listing) -> Option<String> {
    let (path, why) = listing.left_out.first()?;
    Some(match listing.left_out.len() {
        1 => format!("left out {}: {why}", printable(path)),
        count => format!("left out {count} links or special files; the first, {}, is {why}", printable(path)),
    })
}

/// Image files, decoded when they are read.
struct Files {
    store: Arc<Store>,
    names: Vec<String>,
    reading: Reading,
}

impl Images for Files {
    fn name(&self, index: usize) -> String {
        self.names[index].clone()
    }

    fn read(&self, index: usize) -> Result<Image, Unread> {
        let name = &self.names[index];
        let image = match &*self.store {
            Store::Folder(root) => read_image(&root.join(name), &self.reading),
            Store::Archive(archive) => archive
                .read(name, MAX_FILE_BYTES)
                .map_err(NoImage::Unreadable)
                .and_then(|content| decode_named(name, &content, &self.reading)),
        };
        image.map_err(|why| match why {
            NoImage::Stray(why) => Unread::Stray(why),
            NoImage::Unreadable(why) => Unread::Image(why),
        })
    }
}
