//! CIFAR-10 and CIFAR-100: batches of 32 x 32 images in colour planes, pickled or binary, in an archive or a
//! folder.

use super::archive::{Archive, Bounds};
use super::pickle::{Elements, Pickle};
use crate::collection::{Collection, Images, Part, Role, SourceFile, Unread};
use crate::files::{load, names};
use crate::{Error, Result};
use datasets::images::{Geometry, Image};
use std::path::{Path, PathBuf};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const PIXELS: usize = 3 * PLANE;

/// The largest file that is loaded; the training part of CIFAR-100 has 155 MB, and four times that as text.
const MAX_BYTES: u64 = 1 << 30;

/// The class names of CIFAR-10, for archives without their `batches.meta`.
const CIFAR10: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

pub(super) fn open(path: &Path, coarse: bool) -> Result<Collection> {
    let files = files(path)?;
    let hundred = files.iter().any(|(name, _)| matches!(stem(name), "train" | "test"));
    if coarse && !hundred {
        return Err(Error::option(
            "--coarse",
            "the batches of CIFAR-100, which have coarse labels",
            path.display().to_string(),
        ));
    }
    let labels = Labels::of(hundred, coarse);
    let mut collection = Collection {
        kind: "cifar",
        classes: labels.class_names(path, &files)?,
        geometry: Geometry::fixed(SIDE, SIDE, 3),
        image_bytes: PIXELS,
        parts: vec![],
        by_class: false,
        files: files.iter().map(|(name, content)| SourceFile::of_content(name, content)).collect(),
        notes: vec![],
    };
    for (name, content) in files.into_iter().filter(|(name, _)| is_batch(name)) {
        let parsed = if name.ends_with(".bin") { labels.binary(&content) } else { labels.pickled(&content) };
        let Batch { labels, first, stride, decoded } =
            parsed.map_err(|found| Error::input(&path.join(&name), "a batch of CIFAR images", found))?;
        let content = decoded.unwrap_or(content);
        let images = Box::new(Planes { name: name.clone(), content, first, stride });
        if collection.parts.iter().any(|part| part.name == stem(&name)) {
            let found = format!("{} and {}.bin", stem(&name), stem(&name));
            return Err(Error::input(path, "each batch in one form", found));
        }
        let role = Role::of_file(&name).unwrap_or(Role::Train);
        collection.parts.push(Part { role, name: stem(&name).into(), labels, images });
    }
    if collection.parts.is_empty() {
        let expected = "CIFAR batches: data_batch_1 ..., train, test, or the same with .bin";
        return Err(Error::input(path, expected, "none"));
    }
    Ok(collection)
}

fn stem(name: &str) -> &str {
    name.strip_suffix(".bin").unwrap_or(name)
}

fn is_batch(name: &str) -> bool {
    let stem = stem(name);
    !stem.contains('.')
        && (stem.starts_with("data_batch")
            || stem.starts_with("test_batch")
            || ["train", "test"].contains(&stem))
}

fn is_wanted(name: &str) -> bool {
    let meta = ["batches.meta", "meta", "batches.meta.txt", "fine_label_names.txt", "coarse_label_names.txt"];
    is_batch(name) || meta.contains(&name)
}

/// Whether a folder, a folder within it, or an archive has batches; none of them is read.
pub(super) fn is_there(path: &Path) -> Result<bool> {
    if !path.is_dir() {
        let last = |member: &str| member.rsplit('/').next().unwrap_or_default().to_owned();
        let archive = Archive::open(path, Bounds::USUAL, &|member| is_batch(&last(member)))?;
        return Ok(!archive.listing.files.is_empty());
    }
    for (name, is_folder) in names(path)? {
        let within = if is_folder { names(&path.join(&name))? } else { vec![(name, false)] };
        if within.iter().any(|(name, is_folder)| !is_folder && is_batch(name)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The batches and the class names, from an archive, a folder, or the only folder within it that has some.
fn files(path: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    if !path.is_dir() {
        return packed_files(path);
    }
    let mut found: Vec<(PathBuf, Vec<String>)> = Vec::new();
    let folders =
        names(path)?.into_iter().filter(|(_, is_folder)| *is_folder).map(|(name, _)| path.join(name));
    for folder in std::iter::once(path.to_owned()).chain(folders) {
        let names = names(&folder)?.into_iter().filter(|(name, is_folder)| !is_folder && is_wanted(name));
        let names: Vec<String> = names.map(|(name, _)| name).collect();
        if names.iter().any(|name| is_batch(name)) {
            found.push((folder, names));
        }
    }
    match &found[..] {
        [] => Ok(vec![]),
        [(folder, names)] => {
            names.iter().map(|name| Ok((name.clone(), load(&folder.join(name), MAX_BYTES)?))).collect()
        }
        [(a, _), (b, _), ..] => Err(Error::input(
            path,
            "one folder with batches: name one of them",
            format!("{} and {}", a.display(), b.display()),
        )),
    }
}

/// The batches and the class names of an archive, by their last names.
fn packed_files(path: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let last = |member: &str| member.rsplit('/').next().unwrap_or_default().to_owned();
    let archive = Archive::open(path, Bounds::USUAL, &|member| is_wanted(&last(member)))?;
    let mut files = Vec::<(String, Vec<u8>)>::new();
    for member in &archive.listing.files {
        let name = last(&member.path);
        if files.iter().any(|(known, _)| *known == name) {
            return Err(Error::input(path, "each batch once", format!("{name} again")));
        }
        let content = archive.read(&member.path, MAX_BYTES);
        files.push((name, content.map_err(|found| Error::input(path, "a whole archive", found))?));
    }
    files.sort();
    Ok(files)
}

/// Where labels and class names are in the files of one of the two sets.
struct Labels {
    key: &'static str,
    names: &'static str,
    text: &'static str,
    /// Label bytes before each binary image, and which of them is ours.
    bytes: usize,
    at: usize,
    classes: usize,
}

/// The images of a batch.
struct Batch {
    labels: Vec<u32>,
    /// Where the first one starts, and the distance to the next.
    first: usize,
    stride: usize,
    /// Their bytes, if the file has them in another form.
    decoded: Option<Vec<u8>>,
}

impl Labels {
    fn of(hundred: bool, coarse: bool) -> Labels {
        match (hundred, coarse) {
            (false, _) => Labels {
                key: "labels",
                names: "label_names",
                text: "batches.meta.txt",
                bytes: 1,
                at: 0,
                classes: 10,
            },
            (true, false) => Labels {
                key: "fine_labels",
                names: "fine_label_names",
                text: "fine_label_names.txt",
                bytes: 2,
                at: 1,
                classes: 100,
            },
            (true, true) => Labels {
                key: "coarse_labels",
                names: "coarse_label_names",
                text: "coarse_label_names.txt",
                bytes: 2,
                at: 0,
                classes: 20,
            },
        }
    }

    fn pickled(&self, content: &[u8]) -> Result<Batch, String> {
        let pickle = Pickle::parse(content)?;
        let data = pickle.get("data").and_then(|id| pickle.byte_array(id));
        let Some((shape, elements)) = data else {
            return Err("no uint8 array \"data\" in C order".into());
        };
        let labels = pickle.get(self.key).and_then(|id| pickle.ints(id));
        let labels = labels.ok_or_else(|| format!("no list {:?}", self.key))?;
        let bytes = elements.len();
        if shape != [labels.len() as i64, PIXELS as i64] || bytes != labels.len() * PIXELS {
            return Err(format!("\"data\" of shape {shape:?} in {bytes} bytes with {} labels", labels.len()));
        }
        let labels = labels.iter().map(|&label| self.label(label)).collect::<Result<_, _>>()?;
        let (first, decoded) = match elements {
            Elements::InFile(range) => (range.start, None),
            Elements::Decoded(bytes) => (0, Some(bytes)),
        };
        Ok(Batch { labels, first, stride: PIXELS, decoded })
    }

    fn binary(&self, content: &[u8]) -> Result<Batch, String> {
        let stride = self.bytes + PIXELS;
        if content.is_empty() || !content.len().is_multiple_of(stride) {
            return Err(format!("{} bytes, which is no multiple of {stride}", content.len()));
        }
        let labels = content.chunks(stride).map(|image| self.label(image[self.at].into()));
        let labels = labels.collect::<Result<_, _>>()?;
        Ok(Batch { labels, first: self.bytes, stride, decoded: None })
    }

    fn label(&self, label: i64) -> Result<u32, String> {
        let known = u32::try_from(label).ok().filter(|&label| (label as usize) < self.classes);
        known.ok_or_else(|| format!("label {label} of {} classes", self.classes))
    }

    fn class_names(&self, path: &Path, files: &[(String, Vec<u8>)]) -> Result<Vec<String>> {
        let file = |name: &str| files.iter().find(|(known, _)| known == name).map(|(_, content)| content);
        let names = if let Some(content) = file("batches.meta").or(file("meta")) {
            let pickle = Pickle::parse(content)
                .map_err(|found| Error::input(path, "a pickle of class names", found))?;
            pickle.get(self.names).and_then(|id| pickle.strings(id))
        } else if let Some(content) = file(self.text) {
            let text = String::from_utf8_lossy(content);
            Some(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(String::from).collect())
        } else if self.classes == 10 {
            Some(CIFAR10.map(String::from).to_vec())
        } else {
            return Ok((0..self.classes).map(|i| i.to_string()).collect());
        };
        let found = names.as_ref().map_or(0, Vec::len);
        let names = names.filter(|names| names.len() == self.classes);
        names.ok_or_else(|| Error::input(path, format!("{} class names", self.classes), found.to_string()))
    }
}

/// A batch whose images are in planes: all red bytes, then all green, then all blue.
struct Planes {
    name: String,
    content: Vec<u8>,
    first: usize,
    stride: usize,
}

impl Images for Planes {
    fn name(&self, index: usize) -> String {
        format!("{}[{index}]", self.name)
    }

    fn read(&self, index: usize) -> Result<Image, Unread> {
        let start = self.first + index * self.stride;
        let (red, rest) = self.content[start..start + PIXELS].split_at(PLANE);
        let (green, blue) = rest.split_at(PLANE);
        let pixels = (0..PLANE).flat_map(|i| [red[i], green[i], blue[i]]).collect();
        Ok(Image { height: SIDE, width: SIDE, pixels })
    }
}

#[cfg(test)]
mod tests;
