//! The split and the class of each file of a folder, according to the names of the folders.

use crate::collection::Role;
use crate::files::Listing;
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The files of a source by side and class.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// The classes' names, sorted.
    pub(super) classes: Vec<String>,
    pub(super) sides: Vec<Side>,
    /// Lines for the user.
    pub(super) notes: Vec<String>,
}

/// One side of a split, or all images if there is none.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) name: String,
    pub(super) role: Role,
    /// Each file's index in the listing, with its class.
    pub(super) files: Vec<(usize, u32)>,
}

/// Reads the layout of a folder or an archive from its names alone.
///
/// # Errors
/// [`Error::Input`] if the folders can be read in more than one way, or in none.
pub(super) fn layout(source: &Path, listing: &Listing) -> Result<Layout> {
    let tree = Tree::new(source, listing);
    let mut notes = Vec::new();
    let mut top = String::new();
    // A folder that contains only the data set's own folder, as archives often unpack.
    while let Some(inner) = tree.only_folder_of_folders(&top) {
        notes.push(format!("read as the data set: {inner}, the only folder"));
        top = inner;
    }
    let sides = tree.sides(&top)?;
    let classes: BTreeSet<String> =
        sides.iter().flat_map(|(_, folder, _)| tree.folders(folder)).map(str::to_owned).collect();
    let mut layout = Layout { classes: classes.into_iter().collect(), sides: vec![], notes };
    let mut beside: usize = sides.iter().map(|(_, folder, _)| tree.files_in(folder)).sum();
    if sides[0].1 != top {
        beside += tree.files_in(&top);
    }
    for (name, folder, role) in sides {
        let files = tree.class_files(&folder, role, &mut layout)?;
        layout.sides.push(Side { name, role, files });
    }
    if beside > 0 {
        layout.notes.push(format!("{beside} files beside the folders of the classes are left out"));
    }
    Ok(layout)
}

/// The folders of a listing by the folder that they are in.
struct Tree<'a> {
    source: &'a Path,
    listing: &'a Listing,
    folders: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

impl<'a> Tree<'a> {
    fn new(source: &'a Path, listing: &'a Listing) -> Tree<'a> {
        let mut folders = BTreeMap::<&str, BTreeSet<&str>>::new();
        for folder in &listing.folders {
            let (parent, name) = folder.rsplit_once('/').unwrap_or(("", folder));
            folders.entry(parent).or_default().insert(name);
        }
        Tree { source, listing, folders }
    }

    /// The names of the folders in a folder.
    fn folders(&self, folder: &str) -> impl Iterator<Item = &'a str> {
        self.folders.get(folder).into_iter().flatten().copied()
    }

    /// The files of one side with their classes.
    fn class_files(&self, folder: &str, role: Role, layout: &mut Layout) -> Result<Vec<(usize, u32)>> {
        let mut by_class = BTreeMap::<&str, Vec<usize>>::new();
        for (index, file) in self.listing.files.iter().enumerate() {
            let below = match folder {
                "" => Some(&file.path[..]),
                folder => file.path.strip_prefix(folder).and_then(|path| path.strip_prefix('/')),
            };
            if let Some((class, _)) = below.and_then(|path| path.split_once('/')) {
                by_class.entry(class).or_default().push(index);
            }
        }
        let (here, mut files) = (self.folders.get(folder), Vec::new());
        for (label, class) in layout.classes.iter().enumerate() {
            let is_here = here.is_some_and(|names| names.contains(&class[..]));
            match by_class.get(&class[..]) {
                Some(found) => files.extend(found.iter().map(|&file| (file, label as u32))),
                None if is_here => return Err(self.empty(&join(folder, class))),
                None if role == Role::Train => {
                    let expected = format!("a sub-folder for class {class}, as beside it");
                    return Err(Error::input(&self.source.join(folder), expected, "none"));
                }
                None => layout.notes.push(format!("{folder}: no images of class {class}")),
            }
        }
        Ok(files)
    }

    /// How many files are in a folder itself.
    fn files_in(&self, folder: &str) -> usize {
        let parent = |path: &'a str| path.rsplit_once('/').map_or("", |(parent, _)| parent);
        self.listing.files.iter().filter(|file| parent(&file.path) == folder).count()
    }

    /// The only folder in a folder, if that has only folders and is not a side of a split.
    fn only_folder_of_folders(&self, folder: &str) -> Option<String> {
        let mut names = self.folders(folder);
        let name = names.next().filter(|_| names.next().is_none())?;
        let inner = join(folder, name);
        let holds_folders = self.folders(&inner).next().is_some() && self.files_in(&inner) == 0;
        (holds_folders && Role::of_folder(name).is_none()).then_some(inner)
    }

    /// The sides of a given split, each with its name, the folder of its classes and its role; or the folder
    /// itself as training images.
    fn sides(&self, top: &str) -> Result<Vec<(String, String, Role)>> {
        let names: Vec<&str> = self.folders(top).collect();
        if names.is_empty() {
            return Err(self.no_classes(top));
        }
        let has_classes = |name: &str| self.folders(&join(top, name)).next().is_some();
        let roles: Vec<(&str, Option<Role>)> =
            names.iter().map(|name| (*name, Role::of_folder(name))).collect();
        let split = roles.iter().find(|(name, role)| role.is_some() && has_classes(name));
        let other = roles.iter().find(|(_, role)| role.is_none());
        match (split, other) {
            (Some((split, _)), Some((other, _))) => {
                let expected = format!("beside {split} only the other sides of the split: train, val, test");
                return Err(Error::input(&self.source.join(top), expected, *other));
            }
            // A train is also a vehicle, and may be a class beside the bus.
            (None, Some(_)) => return Ok(vec![("images".into(), top.into(), Role::Train)]),
            (_, None) => {}
        }
        let mut sides = Vec::<(String, String, Role)>::new();
        for (name, role) in roles {
            let role = role.expect("all have one");
            if let Some((before, ..)) = sides.iter().find(|(.., known)| *known == role) {
                let found = format!("{before} and {name}");
                return Err(Error::input(
                    &self.source.join(top),
                    "one folder for each side of the split",
                    found,
                ));
            }
            if !has_classes(name) {
                return Err(self.no_classes(&join(top, name)));
            }
            let mut folder = join(top, name);
            while let Some(inner) =
                self.only_folder_of_folders(&folder).or_else(|| self.same_again(&folder, name))
            {
                folder = inner;
            }
            sides.push((name.into(), folder, role));
        }
        if sides.iter().all(|(.., role)| *role != Role::Train) {
            let found = sides.iter().map(|(name, ..)| &name[..]).collect::<Vec<_>>().join(" and ");
            let expected = "a folder of training images, named train, beside the others";
            return Err(Error::input(&self.source.join(top), expected, format!("only {found}")));
        }
        Ok(sides)
    }

    /// `training_set/training_set`: the side's folder, nested in itself.
    fn same_again(&self, folder: &str, name: &str) -> Option<String> {
        let mut names = self.folders(folder);
        let inner = names.next().filter(|inner| *inner == name && names.next().is_none())?;
        let inner = join(folder, inner);
        let holds_classes = self.folders(&inner).next().is_some();
        holds_classes.then_some(inner)
    }

    fn no_classes(&self, folder: &str) -> Error {
        let found = match self.files_in(folder) {
            0 => "no sub-folder".into(),
            files => format!("{files} files and no sub-folder; --labels reads the classes from a CSV"),
        };
        Error::input(&self.source.join(folder), "one sub-folder for each class", found)
    }

    fn empty(&self, folder: &str) -> Error {
        let below = |path: &str| {
            path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let left_out: Vec<_> = self.listing.left_out.iter().filter(|(path, _)| below(path)).collect();
        let found = match left_out.first() {
            None => "an empty folder: put some there or remove it".into(),
            Some((path, why)) => format!("{} left out; the first, {path}, is {why}", left_out.len()),
        };
        Error::input(&self.source.join(folder), "images of this class", found)
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.into() } else { format!("{folder}/{name}") }
}

#[cfg(test)]
mod tests;
