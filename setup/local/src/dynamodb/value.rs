//! Attribute values and items, in the JSON forms of DynamoDB.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use serde::{Deserialize, Serialize};

use super::number::Number;

/// One item: its attributes by name.
pub(crate) type Item = BTreeMap<String, Attribute>;

/// One attribute value; binary stays in its base64 text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Attribute {
    S(String),
    N(Number),
    B(String),
    #[serde(rename = "BOOL")]
    Bool(bool),
    #[serde(rename = "NULL")]
    Null(bool),
    M(BTreeMap<String, Attribute>),
    L(Vec<Attribute>),
    SS(BTreeSet<String>),
    NS(BTreeSet<Number>),
}

impl Attribute {
    /// The order of two strings or two numbers; none for anything else.
    pub(crate) fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::S(a), Self::S(b)) => Some(a.cmp(b)),
            (Self::N(a), Self::N(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    /// The letter of its type.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::S(_) => "S",
            Self::N(_) => "N",
            Self::B(_) => "B",
            Self::Bool(_) => "BOOL",
            Self::Null(_) => "NULL",
            Self::M(_) => "M",
            Self::L(_) => "L",
            Self::SS(_) => "SS",
            Self::NS(_) => "NS",
        }
    }

    /// How many levels it has: one, and those of the deepest attribute in it. JSON is read to a depth of 128
    /// at most.
    pub(crate) fn depth(&self) -> usize {
        let deepest = match self {
            Self::M(map) => map.values().map(Self::depth).max(),
            Self::L(list) => list.iter().map(Self::depth).max(),
            _ => None,
        };
        1 + deepest.unwrap_or(0)
    }

    /// Its approximate size in bytes as DynamoDB counts.
    fn size(&self) -> usize {
        match self {
            Self::S(text) => text.len(),
            Self::B(base64) => base64.len() / 4 * 3,
            Self::N(_) => 21,
            Self::Bool(_) | Self::Null(_) => 1,
            Self::M(map) => 3 + map.len() + item_size(map),
            Self::L(list) => 3 + list.len() + list.iter().map(Self::size).sum::<usize>(),
            Self::SS(set) => set.iter().map(String::len).sum(),
            Self::NS(set) => set.len() * 21,
        }
    }
}

/// The size of an item in bytes: names and values.
pub(crate) fn item_size(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + value.size()).sum()
}
