//! A folder of image files: one sub-folder per class, or `train`, `val` and `test` with the classes in each.

use super::{Collection, Images, Part, Role, SourceFile, Unread, list};
use crate::decode::decode;
use crate::{Error, Result};
use datasets::images::{Geometry, Image};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The names that the three sides of a given split have.
const SPLITS: [(&str, Role); 5] = [
    ("train", Role::Train),
    ("val", Role::Val),
    ("valid", Role::Val),
    ("validation", Role::Val),
    ("test", Role::Test),
];

/// Files that systems leave in folders and that are no images.
const LITTER: [&str; 2] = ["Thumbs.db", "desktop.ini"];

/// Folders within a class's folder, at most; deeper ones are most likely a loop of links.
const MAX_DEPTH: usize = 8;

pub(super) fn open(path: &Path, short_side: u32) -> Result<Collection> {
    let sides = sides(path)?;
    let mut classes = BTreeSet::new();
    for (_, folder, _) in &sides {
        let names = list(folder)?.into_iter().filter(|(_, is_folder)| *is_folder).map(|(name, _)| name);
        let names: Vec<String> = names.collect();
        if names.is_empty() {
            return Err(Error::input(folder, "one sub-folder for each class", "no sub-folder"));
        }
        classes.extend(names);
    }
    let classes: Vec<String> = classes.into_iter().collect();
    let (mut parts, mut files) = (vec![], vec![]);
    for (name, folder, role) in sides {
        parts.push(part(path, name, &folder, role, &classes, short_side, &mut files)?);
    }
    let short = short_side as usize;
    Ok(Collection {
        kind: "folder",
        classes,
        geometry: Geometry::VARIED,
        image_bytes: short.saturating_mul(short).saturating_mul(4), // RGB at 4 : 3, the usual shape of a photo
        parts,
        by_class: true,
        files,
    })
}

/// The sides of a given split, or the folder itself as training images.
fn sides(path: &Path) -> Result<Vec<(String, PathBuf, Role)>> {
    let entries = list(path)?;
    let has_classes = |folder: &Path| Ok::<_, Error>(list(folder)?.iter().any(|(_, is_folder)| *is_folder));
    let train = path.join("train");
    if !(entries.contains(&("train".into(), true)) && has_classes(&train)?) {
        return Ok(vec![("images".into(), path.into(), Role::Train)]);
    }
    let mut sides = Vec::new();
    for (name, _) in entries.into_iter().filter(|(_, is_folder)| *is_folder) {
        let Some((_, role)) = SPLITS.iter().find(|(known, _)| *known == name) else {
            return Err(Error::input(path, "beside train only val (or valid, validation) and test", name));
        };
        sides.push((name.clone(), path.join(name), *role));
    }
    Ok(sides)
}

fn part(
    root: &Path,
    name: String,
    folder: &Path,
    role: Role,
    classes: &[String],
    short_side: u32,
    files: &mut Vec<SourceFile>,
) -> Result<Part> {
    let (mut labels, mut paths) = (vec![], vec![]);
    for (label, class) in classes.iter().enumerate() {
        let class_folder = folder.join(class);
        if !class_folder.is_dir() {
            if role == Role::Train {
                return Err(Error::input(
                    folder,
                    format!("a sub-folder for class {class}, as beside it"),
                    "none",
                ));
            }
            continue;
        }
        let before = paths.len();
        walk(&class_folder, 0, &mut paths)?;
        if paths.len() == before {
            return Err(Error::input(
                &class_folder,
                "images of this class",
                "an empty folder: put some there or remove it",
            ));
        }
        labels.resize(paths.len(), label as u32);
    }
    let names: Vec<String> = paths.iter().map(|(path, _)| relative(root, path)).collect();
    files.extend(names.iter().zip(&paths).map(|(name, (_, bytes))| SourceFile {
        name: name.clone(),
        bytes: *bytes,
        xxh3: None,
    }));
    let images = Box::new(Files { root: root.into(), names, short_side });
    Ok(Part { name, role, labels, images })
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}

/// All files below a class's folder with their lengths, in the order of their names.
fn walk(folder: &Path, depth: usize, paths: &mut Vec<(PathBuf, u64)>) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(Error::input(folder, format!("at most {MAX_DEPTH} folders within a class"), "more"));
    }
    for (name, is_folder) in list(folder)? {
        let path = folder.join(&name);
        if is_folder {
            walk(&path, depth + 1, paths)?;
        } else if !LITTER.contains(&&name[..]) {
            let bytes = fs::metadata(&path).map_err(Error::io("open", &path))?.len();
            paths.push((path, bytes));
        }
    }
    Ok(())
}

/// Image files, decoded when they are read.
struct Files {
    root: PathBuf,
    names: Vec<String>,
    short_side: u32,
}

impl Images for Files {
    fn name(&self, index: usize) -> String {
        self.names[index].clone()
    }

    fn read(&self, index: usize) -> Result<Image, Unread> {
        let content =
            fs::read(self.root.join(&self.names[index])).map_err(|e| Unread::Image(e.to_string()))?;
        decode(&content, self.short_side).map_err(Unread::Image)
    }
}
