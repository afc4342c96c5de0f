//! Where a row has its user, its item, its rating and its time: by the heading's names, or by position.

use crate::{Error, Result};
use serde::Serialize;
use std::path::Path;

/// The columns that a user names; none is found by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Columns {
    /// The user's column: its name in the heading, or its number from 1.
    pub user: Option<String>,
    /// The item's.
    pub item: Option<String>,
    /// The rating's.
    pub rating: Option<String>,
    /// The time's.
    pub time: Option<String>,
}

/// Usual names, in lower case and without marks: of users, items, ratings and times.
const USUAL: [&[&str]; 4] = [
    &["user", "userid", "uid", "username", "customer", "customerid", "reviewer", "reviewerid"],
    &[
        "item",
        "itemid",
        "iid",
        "movie",
        "movieid",
        "film",
        "product",
        "productid",
        "book",
        "bookid",
        "isbn",
        "asin",
    ],
    &["rating", "rate", "score", "stars", "value", "overall", "bookrating"],
    &["timestamp", "time", "date", "tstamp", "ts", "unixreviewtime"],
];
const OPTIONS: [&str; 4] = ["--user", "--item", "--rating", "--time"];

/// The columns' places from 0, and whether the first line is a heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) heading: bool,
    pub(super) user: usize,
    pub(super) item: usize,
    pub(super) rating: usize,
    pub(super) time: Option<usize>,
}

impl Columns {
    /// The places in a table that begins with this line.
    pub(super) fn places(&self, path: &Path, first: &[String], timed: bool) -> Result<Places> {
        let asked = [&self.user, &self.item, &self.rating, &self.time];
        let mut found = [None; 4];
        let mut heading = false;
        for role in 0..4 {
            let by_number = asked[role].as_ref().and_then(|name| number(name));
            let by_name = match asked[role] {
                Some(name) => first.iter().position(|field| field == name),
                None => first.iter().position(|field| USUAL[role].contains(&&plain(field)[..])),
            };
            heading |= by_number.is_none() && by_name.is_some();
            found[role] = by_number.or(by_name);
            if let (Some(name), None) = (asked[role], found[role]) {
                let expected = format!("a name in the first line, {}, or a number from 1", first.join(", "));
                return Err(Error::option(OPTIONS[role], expected, format!("{name:?}")));
            }
        }
        for role in 0..if timed { 4 } else { 3 } {
            if heading && found[role].is_none() {
                let told = first.join(", ");
                let expected = format!("a heading with {}", USUAL[role][0]);
                return Err(Error::input(path, expected, format!("{told}; name it with {}", OPTIONS[role])));
            }
            let place = *found[role].get_or_insert(role);
            if place >= first.len() {
                let expected = format!("{} columns or more", place + 1);
                let found = format!("{} in the first line; {} names another", first.len(), OPTIONS[role]);
                return Err(Error::input(path, expected, found));
            }
        }
        let [user, item, rating, time] = found.map(|place| place.unwrap_or(0));
        Ok(Places { heading, user, item, rating, time: timed.then_some(time) })
    }
}

/// A heading in lower case, without marks.
fn plain(heading: &str) -> String {
    heading.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// A column's number, from 1, as a place from 0.
fn number(text: &str) -> Option<usize> {
    text.parse::<usize>().ok()?.checked_sub(1)
}
