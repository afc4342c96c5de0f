//! The names of the classes: the source's or the user's, each once, none without an image.

use crate::collection::Collection;
use crate::{Error, Result, printable};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

/// A source with more classes than this is refused.
const MOST: usize = 100_000;

/// Names the classes: by the names that the user asked for, the source's, or else their numbers.
///
/// # Errors
/// [`Error::Option`] if the requested names do not fit; [`Error::Input`] if there are fewer than two.
pub(crate) fn name_classes(
    source: &Path,
    collection: &mut Collection,
    asked: Option<&[String]>,
) -> Result<()> {
    if let Some(twice) = asked.and_then(first_twice) {
        return Err(Error::option("--classes", "each name once", format!("{twice:?} again")));
    }
    if let Some(twice) = first_twice(&collection.classes) {
        return Err(Error::input(source, "each class once", format!("{twice:?} again")));
    }
    match (asked, collection.classes.is_empty()) {
        (None, true) => number(source, collection)?,
        (Some(asked), true) => name_numbers(source, collection, asked)?,
        (Some(asked), false) => rename(collection, asked)?,
        (None, false) => {}
    }
    let counts = counts(collection);
    if counts.len() < 2 {
        let of = counts.keys().next().and_then(|&label| collection.classes.get(label as usize));
        let found = of.map_or("none with an image".into(), |name| format!("one, {name}"));
        return Err(Error::input(source, "images of two classes or more", found));
    }
    let without = (0..collection.classes.len() as u32).filter(|label| !counts.contains_key(label));
    let without: Vec<_> = without.map(|label| printable(&collection.classes[label as usize])).collect();
    if !without.is_empty() {
        collection.notes.push(format!("classes without an image: {}", without.join(", ")));
    }
    Ok(())
}

fn first_twice(names: &[String]) -> Option<&String> {
    let mut seen = HashSet::new();
    names.iter().find(|name| !seen.insert(*name))
}

/// How many images each label has.
fn counts(collection: &Collection) -> BTreeMap<u32, usize> {
    let mut counts = BTreeMap::new();
    for &label in collection.parts.iter().flat_map(|part| &part.labels) {
        *counts.entry(label).or_default() += 1;
    }
    counts
}

/// The labels that have images, in order.
fn present(source: &Path, collection: &Collection) -> Result<Vec<u32>> {
    let labels: Vec<u32> = counts(collection).into_keys().collect();
    if labels.len() > MOST {
        let found = format!("{} labels", labels.len());
        return Err(Error::input(source, format!("at most {MOST} classes"), found));
    }
    Ok(labels)
}

/// Makes classes of the labels that have images, named by their numbers; numbers in between without images
/// are left out.
fn number(source: &Path, collection: &mut Collection) -> Result<()> {
    let labels = present(source, collection)?;
    collection.classes = labels.iter().map(u32::to_string).collect();
    keep_only(collection, &labels);
    Ok(())
}

/// Names numbered labels: as many names as labels with images, or one for each number from 0 on.
fn name_numbers(source: &Path, collection: &mut Collection, asked: &[String]) -> Result<()> {
    let labels = present(source, collection)?;
    let largest = labels.last().map_or(0, |&label| label as usize);
    if asked.len() == labels.len() {
        collection.classes = asked.to_vec();
        keep_only(collection, &labels);
    } else if asked.len() > largest {
        collection.classes = labels.iter().map(|&label| asked[label as usize].clone()).collect();
        let unused = asked.len() - labels.len();
        collection.notes.push(format!("{unused} names of --classes have no image, and are left out"));
        keep_only(collection, &labels);
    } else {
        let expected =
            format!("{} names, one for each label, or {} from label 0 on", labels.len(), largest + 1);
        return Err(Error::option("--classes", expected, asked.len().to_string()));
    }
    Ok(())
}

/// Makes label `labels[i]` label `i`.
fn keep_only(collection: &mut Collection, labels: &[u32]) {
    if labels.iter().enumerate().all(|(place, &label)| place as u32 == label) {
        return;
    }
    let places: BTreeMap<u32, u32> =
        labels.iter().enumerate().map(|(place, &label)| (label, place as u32)).collect();
    collection.parts.iter_mut().flat_map(|part| &mut part.labels).for_each(|label| *label = places[label]);
    let first = labels.iter().enumerate().find(|(place, label)| *place as u32 != **label);
    let first = first.map_or(0, |(place, _)| place);
    collection.notes.push(format!("labels without an image are left out, the first: {first}"));
}

/// Reorders named classes, or renames them; never both at once.
fn rename(collection: &mut Collection, asked: &[String]) -> Result<()> {
    let known = &collection.classes;
    if asked.len() != known.len() {
        return Err(Error::option("--classes", format!("{} names", known.len()), asked.len().to_string()));
    }
    let place = |name: &String| known.iter().position(|other| other == name);
    let places: Vec<Option<usize>> = asked.iter().map(place).collect();
    if places.iter().all(Option::is_some) {
        // The same names: a label is the place of its name, and the images keep theirs.
        let mut new = vec![0; known.len()];
        places.iter().flatten().enumerate().for_each(|(to, &from)| new[from] = to as u32);
        collection.parts.iter_mut().flat_map(|part| &mut part.labels).for_each(|l| *l = new[*l as usize]);
    } else if let Some((to, from)) =
        places.iter().enumerate().find_map(|(to, &from)| from.filter(|&f| f != to).map(|f| (to, f)))
    {
        let found = format!("{:?} in the place of {:?}", known[from], known[to]);
        let expected = "all of the source's names in any order, or new names that none of the source's has";
        return Err(Error::option("--classes", expected, found));
    } else {
        let names = known.iter().zip(asked).filter(|(old, new)| old != new);
        let names: Vec<String> = names.map(|(old, new)| format!("{old} is {new}")).collect();
        if !names.is_empty() {
            collection.notes.push(format!("classes renamed: {}", names.join(", ")));
        }
    }
    collection.classes = asked.to_vec();
    Ok(())
}

#[cfg(test)]
mod tests;
