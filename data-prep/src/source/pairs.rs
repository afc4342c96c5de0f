//! Finds pairs of an images' and a labels' file, or array, by their names.

use crate::collection::{Role, words};
use crate::{Error, Result};
use std::collections::BTreeSet;
use std::path::Path;

/// Words for images and their labels, the surest first.
const WORDS: [(&str, &str); 6] = [
    ("images", "labels"),
    ("imgs", "labels"),
    ("image", "label"),
    ("x", "y"),
    ("data", "labels"),
    ("data", "targets"),
];

/// The names of one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    /// The part that the two names have in common, or "images" if there is none.
    pub(super) name: String,
    pub(super) images: String,
    pub(super) labels: String,
}

impl Pair {
    /// The split that the part is for.
    pub(super) fn role(&self) -> Role {
        Role::of_file(&self.name).unwrap_or(Role::Train)
    }

    /// The name of the part's data set: the part's without the words that mean its role.
    fn set(&self) -> String {
        words(&self.name).filter(|word| Role::of_file(word).is_none()).collect::<Vec<_>>().join("-")
    }
}

/// The pairs among some names: one with "images" in it belongs to the one with "labels" in the same place.
///
/// `partner` makes further changes to the labels' name. If `wanted` names any pairs, only these count.
///
/// # Errors
/// [`Error::Input`] for images without labels, without any pair, and for those of several data sets.
pub(super) fn pairs(
    source: &Path,
    names: &[String],
    partner: impl Fn(&str) -> String,
    wanted: &[String],
) -> Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    for name in names {
        let of_word = |&(images, labels): &(&'static str, &str)| {
            let place = word_place(name, images)?;
            let wanted = partner(&format!("{}{labels}{}", &name[..place], &name[place + images.len()..]));
            // Either of the two may be gzipped.
            let plain = wanted.strip_suffix(".gz").unwrap_or(&wanted).to_lowercase();
            let is_it = |other: &&String| other.strip_suffix(".gz").unwrap_or(other).to_lowercase() == plain;
            Some((place, images, names.iter().find(is_it), plain.clone()))
        };
        let mut found: Vec<_> = WORDS.iter().filter_map(of_word).collect();
        found.sort_by_key(|(_, _, labels, _)| labels.is_none());
        match found.first() {
            Some(&(place, images, Some(labels), _)) => {
                let part = part_name(&name[..place], &name[place + images.len()..]);
                pairs.push(Pair { name: part, images: name.clone(), labels: labels.clone() });
            }
            Some((_, "images" | "imgs", None, plain)) => {
                return Err(Error::input(&source.join(name), format!("{plain} beside it"), "no such file"));
            }
            _ => {}
        }
    }
    if pairs.is_empty() {
        let expected = "names with \"images\" and \"labels\" in them, or \"x\" and \"y\"";
        return Err(Error::input(source, expected, "no such pair"));
    }
    if wanted.iter().all(|part| pairs.iter().any(|pair| pair.name == *part)) && !wanted.is_empty() {
        pairs.retain(|pair| wanted.contains(&pair.name));
    } else {
        check_one_set(source, &pairs)?;
    }
    Ok(pairs)
}

/// Where a name has a word by itself, in lower or upper case.
fn word_place(name: &str, word: &str) -> Option<usize> {
    let lower = name.to_ascii_lowercase();
    let is_apart = |at: usize| {
        let around = [lower[..at].chars().next_back(), lower[at + word.len()..].chars().next()];
        around.into_iter().flatten().all(|c| !c.is_alphanumeric())
    };
    lower.match_indices(word).map(|(at, _)| at).find(|&at| is_apart(at))
}

fn part_name(before: &str, after: &str) -> String {
    let after = after.split('.').next().unwrap_or_default().replace("-idx3-ubyte", "");
    let stem = format!("{before}{after}").replace("--", "-").replace("__", "_");
    let stem = stem.split('.').next().unwrap_or_default().trim_matches(['-', '_']);
    if stem.is_empty() { "images".into() } else { stem.into() }
}

/// Refuses the training images of one data set beside the test images of another.
fn check_one_set(source: &Path, pairs: &[Pair]) -> Result<()> {
    let told: Vec<&Pair> = pairs.iter().filter(|pair| Role::of_file(&pair.name).is_some()).collect();
    let sets: BTreeSet<String> = told.iter().map(|pair| pair.set()).collect();
    if sets.len() < 2 {
        return Ok(());
    }
    let of_first = |role: Role| {
        let mut of_set = told.iter().filter(|pair| Some(&pair.set()) == sets.last());
        of_set.find(|pair| (pair.role() == Role::Train) == (role == Role::Train)).map(|pair| &pair.name[..])
    };
    let options = [("--train", of_first(Role::Train)), ("--val", of_first(Role::Val))];
    let options = options.iter().filter_map(|(option, part)| Some(format!("{option} {}", (*part)?)));
    let expected =
        format!("one data set, or the parts to take, such as {}", options.collect::<Vec<_>>().join(" "));
    let sets = sets.into_iter().map(|set| if set.is_empty() { "one without a name".into() } else { set });
    Err(Error::input(source, expected, sets.collect::<Vec<_>>().join(", ")))
}
