//! Compares a weights file with a network, name by name and shape by shape.

use super::Weights;
use crate::{Error, Result};
use networks::{Network, Parameter};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// How many names an error lists.
const LISTED: usize = 4;

impl Weights {
    /// Checks that the file has every parameter of a network, or of its part below a cut.
    ///
    /// Further tensors are fine: a file of the whole network covers any part of it.
    ///
    /// # Errors
    /// [`Error::WrongWeights`] says which names are missing, which shapes differ, and which network the file
    /// fits.
    pub fn check(&self, network: &Network) -> Result<()> {
        let needed = network.parameters();
        let missing: Vec<String> = needed
            .iter()
            .filter(|needed| self.shape(&needed.name).is_none())
            .map(|needed| needed.name.clone())
            .collect();
        let differing: Vec<String> = needed
            .iter()
            .filter_map(|needed| self.shape(&needed.name).map(|found| (needed, found)))
            .filter(|(needed, found)| needed.shape != *found)
            .map(|(needed, found)| format!("{} (expected {:?}, found {found:?})", needed.name, needed.shape))
            .collect();
        if missing.is_empty() && differing.is_empty() {
            return Ok(());
        }
        let mut detail = Vec::new();
        if !missing.is_empty() {
            detail.push(format!("of {} tensors {} missing: {}", needed.len(), are(&missing), list(&missing)));
        }
        if !differing.is_empty() {
            detail.push(format!("{} of another shape: {}", are(&differing), list(&differing)));
        }
        detail.push(self.advice(network));
        Err(Error::WrongWeights {
            file: self.path().to_owned(),
            network: network.name.to_owned(),
            detail: detail.join("; "),
        })
    }

    /// Whether the file has every parameter of a network, or of its part below a cut.
    pub(crate) fn cover(&self, network: &Network) -> bool {
        network.parameters().iter().all(|needed| self.has(needed))
    }

    /// The last named point up to which the file covers the network; none if it does not reach the first.
    pub fn reaches(&self, network: &Network) -> Option<String> {
        let filled =
            |point: &&networks::Point| network.up_to(&point.name).is_ok_and(|part| self.cover(&part));
        network.points.iter().rev().find(filled).map(|point| point.name.clone())
    }

    fn has(&self, needed: &Parameter) -> bool {
        self.shape(&needed.name) == Some(needed.shape.as_slice())
    }

    /// The network that the file is of: it covers its first point at least. None if it is of no known one.
    pub fn network(&self) -> Option<Network> {
        self.best().filter(|network| self.reaches(network).is_some())
    }

    /// How many parameters of a network the file has.
    fn fits(&self, network: &Network) -> usize {
        network.parameters().iter().filter(|needed| self.has(needed)).count()
    }

    /// The known network that the file fits best. Among those that fit equally well, it is the one with the
    /// fewest tensors that the file lacks.
    fn best(&self) -> Option<Network> {
        let known = networks::names().iter().filter_map(|name| networks::network(name).ok());
        known.max_by_key(|network| (self.fits(network), Reverse(network.parameters().len())))
    }

    /// Advice about weights that do not fit.
    fn advice(&self, wanted: &Network) -> String {
        let whole = networks::network(wanted.name).unwrap_or_else(|_| wanted.clone());
        match self.best() {
            Some(other) if self.fits(&other) > self.fits(&whole) && other.name != wanted.name => {
                let part = match self.reaches(&other) {
                    Some(point) if point != "logits" => format!(" up to `{point}`"),
                    _ => String::new(),
                };
                format!("the file looks like `{}`{part}", other.name)
            }
            _ => match self.reaches(&whole) {
                Some(point) => {
                    format!("the file fills `{}` up to `{point}`: cut there or earlier", wanted.name)
                }
                None => "the file is of no network that Baton knows".into(),
            },
        }
    }
}

/// The prefix of torchvision's names in a file: mostly empty.
pub fn known_prefix(names: &[String]) -> &'static str {
    const PREFIXES: [&str; 7] =
        ["", "module.", "state_dict.", "state_dict.module.", "model.", "model_state_dict.", "net."];
    let known: BTreeSet<String> = networks::names()
        .iter()
        .filter_map(|name| networks::network(name).ok())
        .flat_map(|network| network.parameters())
        .map(|parameter| parameter.name)
        .collect();
    let fits = |prefix: &&&str| {
        names
            .iter()
            .filter(|name| name.strip_prefix(**prefix).is_some_and(|rest| known.contains(rest)))
            .count()
    };
    // Among equals the first: a file of an unknown network keeps its names.
    PREFIXES.iter().rev().max_by_key(fits).copied().unwrap_or("")
}

fn are(names: &[String]) -> String {
    format!("{} {}", names.len(), if names.len() == 1 { "is" } else { "are" })
}

fn list(names: &[String]) -> String {
    let first = names.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > LISTED { format!("{first}, …") } else { first }
}
