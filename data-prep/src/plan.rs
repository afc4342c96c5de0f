//! Which image goes to which split, and in which order: decided before any image is read.

use crate::collection::{Collection, Role};
use crate::{Error, Result};
use serde::Serialize;
use std::collections::HashSet;
use std::str::FromStr;
use twox_hash::XxHash3_64;

/// A part of the source, or some of it: `data_batch_5` or `data_batch_5[:2000]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Selection {
    /// The part's name.
    pub part: String,
    /// The first image taken.
    pub from: usize,
    /// The image before which to stop; none for the end.
    pub to: Option<usize>,
}

impl FromStr for Selection {
    type Err = String;

    fn from_str(text: &str) -> Result<Selection, String> {
        let malformed = || format!("{text:?} is not of the form NAME, NAME[:N] or NAME[FROM:TO]");
        let Some((part, range)) = text.split_once('[') else {
            return Ok(Selection { part: text.into(), from: 0, to: None });
        };
        let (from, to) =
            range.strip_suffix(']').and_then(|range| range.split_once(':')).ok_or_else(malformed)?;
        let number = |text: &str| text.parse::<usize>().map_err(|_| malformed());
        let from = if from.is_empty() { 0 } else { number(from)? };
        let to = if to.is_empty() { None } else { Some(number(to)?) };
        Ok(Selection { part: part.into(), from, to })
    }
}

/// How the images of a source are dealt to the splits.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Deal {
    /// The parts to train on; if all three are empty, the source's own split.
    pub train: Vec<Selection>,
    /// The parts to validate on.
    pub val: Vec<Selection>,
    /// The parts to test on.
    pub test: Vec<Selection>,
    /// The share of each class's training images that is drawn for validation.
    pub val_share: Option<f64>,
    /// The same share, drawn only if the source has no images to validate on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spare: Option<f64>,
    /// At most this many training images, the first ones.
    pub limit_train: Option<usize>,
    /// At most this many validation images, the first ones.
    pub limit_val: Option<usize>,
    /// Keys the draw for validation, and the order of images whose own order is by class.
    pub seed: u64,
}

impl Deal {
    /// The selected parts; none for the source's own split.
    pub(crate) fn parts(&self) -> Vec<String> {
        let selections = self.train.iter().chain(&self.val).chain(&self.test);
        selections.map(|selection| selection.part.clone()).collect()
    }
}

/// One image: its part and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Pick {
    pub(crate) part: usize,
    pub(crate) index: usize,
}

/// The images of each split that has some, by the split's name.
pub(crate) type Plan = Vec<(&'static str, Vec<Pick>)>;

/// Deals the images of a source.
///
/// # Errors
/// [`Error::Option`] if the deal contradicts itself or the source.
pub(crate) fn plan(collection: &Collection, deal: &Deal) -> Result<Plan> {
    let mut plan = if deal.train.is_empty() && deal.val.is_empty() && deal.test.is_empty() {
        by_role(collection, deal.val_share.is_some())
    } else {
        selected(collection, deal)?
    };
    if collection.by_class {
        for (_, picks) in &mut plan {
            picks.sort_by_cached_key(|&pick| draw(collection, deal.seed, pick));
        }
    }
    let spared = deal.spare.filter(|_| split(&mut plan, "val").is_none_or(|picks| picks.is_empty()));
    if let Some(share) = deal.val_share.or(spared) {
        draw_validation(collection, deal, share, &mut plan)?;
    }
    for (name, limit) in [("train", deal.limit_train), ("val", deal.limit_val)] {
        if let Some(picks) = split(&mut plan, name) {
            picks.truncate(limit.unwrap_or(usize::MAX));
        }
    }
    for (name, option) in [("train", "--train"), ("val", "--val or --val-share")] {
        let none_is_asked = name == "val" && deal.val_share == Some(0.0);
        if split(&mut plan, name).is_none_or(|picks| picks.is_empty()) && !none_is_asked {
            let expected = match name {
                "val" => "images to validate on, e.g. --val-share 0.2; --val-share 0 for none",
                _ => "images to train on",
            };
            return Err(Error::option(option, expected, "none"));
        }
    }
    plan.retain(|(_, picks)| !picks.is_empty());
    Ok(plan)
}

fn split<'a>(plan: &'a mut Plan, name: &str) -> Option<&'a mut Vec<Pick>> {
    plan.iter_mut().find(|(known, _)| *known == name).map(|(_, picks)| picks)
}

/// The source's own split; its test images become validation images if it has no others and none are drawn.
fn by_role(collection: &Collection, val_is_drawn: bool) -> Plan {
    let has_val = val_is_drawn || collection.parts.iter().any(|part| part.role == Role::Val);
    let mut plan: Plan = vec![("train", vec![]), ("val", vec![]), ("test", vec![])];
    for (p, part) in collection.parts.iter().enumerate() {
        let name = match part.role {
            Role::Train => "train",
            Role::Val => "val",
            Role::Test if has_val => "test",
            Role::Test => "val",
        };
        let picks = split(&mut plan, name).expect("one of the three");
        picks.extend((0..part.labels.len()).map(|index| Pick { part: p, index }));
    }
    plan
}

fn selected(collection: &Collection, deal: &Deal) -> Result<Plan> {
    let mut taken = HashSet::new();
    let mut plan = Plan::new();
    let sides =
        [("train", "--train", &deal.train), ("val", "--val", &deal.val), ("test", "--test", &deal.test)];
    for (name, option, selections) in sides {
        let mut picks = Vec::new();
        for selection in selections {
            let part = collection.parts.iter().position(|part| part.name == selection.part);
            let part = part.ok_or_else(|| {
                let names: Vec<&str> = collection.parts.iter().map(|part| &part.name[..]).collect();
                Error::option(option, format!("one of {}", names.join(", ")), &selection.part)
            })?;
            let images = collection.parts[part].labels.len();
            let to = selection.to.unwrap_or(images);
            if selection.from >= to || to > images {
                let found = format!("{}[{}:{to}]", selection.part, selection.from);
                return Err(Error::option(option, format!("a range within 0:{images}"), found));
            }
            for index in selection.from..to {
                let pick = Pick { part, index };
                if !taken.insert(pick) {
                    let found = format!("{}[{index}] again", selection.part);
                    return Err(Error::option(option, "each image at most once", found));
                }
                picks.push(pick);
            }
        }
        plan.push((name, picks));
    }
    Ok(plan)
}

/// Moves the share of each class from training to validation: the images whose names come first by the seed's
/// hash.
fn draw_validation(collection: &Collection, deal: &Deal, share: f64, plan: &mut Plan) -> Result<()> {
    if !(0.0..1.0).contains(&share) {
        return Err(Error::option("--val-share", "0 or more, below 1", share.to_string()));
    }
    if split(plan, "val").is_some_and(|picks| !picks.is_empty()) {
        return Err(Error::option(
            "--val-share",
            "no other validation images",
            "some already, given or in the source",
        ));
    }
    let train = std::mem::take(split(plan, "train").expect("always there"));
    let mut by_class: Vec<Vec<Pick>> = Vec::new();
    for &pick in &train {
        let label = collection.parts[pick.part].labels[pick.index] as usize;
        by_class.resize(by_class.len().max(label + 1), vec![]);
        by_class[label].push(pick);
    }
    let mut drawn = HashSet::new();
    for mut class in by_class.into_iter().filter(|class| class.len() > 1 && share > 0.0) {
        class.sort_by_cached_key(|&pick| draw(collection, deal.seed, pick));
        let count = (share * class.len() as f64).round() as usize;
        drawn.extend(class[..count.clamp(1, class.len() - 1)].iter().copied());
    }
    let (val, train) = train.into_iter().partition(|pick| drawn.contains(pick));
    *split(plan, "train").expect("always there") = train;
    *split(plan, "val").expect("always there") = val;
    Ok(())
}

/// An image's place in the seeded order; it depends on its own name only, so adding or removing other images
/// does not change it.
fn draw(collection: &Collection, seed: u64, pick: Pick) -> (u64, String) {
    let name = collection.parts[pick.part].images.name(pick.index);
    (XxHash3_64::oneshot_with_seed(seed, name.as_bytes()), name)
}

#[cfg(test)]
mod tests;
