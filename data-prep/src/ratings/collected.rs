//! All ratings of a text in memory: ids are numbered as they come, and each pair keeps one rating.

use super::split::{By, Split};
use super::table::{self, Row};
use super::{Options, Twice};
use crate::{Error, Result};
use datasets::ratings::{Content, MAX_ID_BYTES, Rating};
use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

/// The ratings of a text, in the order of its lines.
pub(super) struct Collected {
    users: Interned,
    items: Interned,
    ratings: Vec<Rating>,
    /// The time of each rating, if ratings are held out by it.
    times: Vec<f64>,
    /// The line of each rating, if a second one of a pair is an error.
    lines: Vec<u64>,
    blank: u64,
}

impl Collected {
    /// Reads a text.
    pub(super) fn read(path: &Path, text: impl Read, options: &Options) -> Result<Collected> {
        let timed = options.deal.by == By::Time;
        let (mut users, mut items) = (Interned::default(), Interned::default());
        let (mut ratings, mut times, mut lines) = (Vec::new(), Vec::new(), Vec::new());
        let mut take = |row: Row| {
            let refused = |(expected, found): (String, String)| {
                Error::input(path, expected, format!("{found} in line {}", row.line))
            };
            if let Some([low, high]) = options.scale
                && !(low..=high).contains(&f64::from(row.value))
            {
                let expected = format!("ratings from {low} to {high}, as --scale says");
                return Err(refused((expected, row.value.to_string())));
            }
            let user = users.number(row.user).map_err(refused)?;
            let item = items.number(row.item).map_err(refused)?;
            if ratings.len() == i32::MAX as usize {
                return Err(refused((format!("at most {} ratings", i32::MAX), "more".into())));
            }
            ratings.push(Rating { user, item, value: row.value });
            if timed {
                times.push(row.time);
            }
            if options.twice == Twice::Refuse {
                lines.push(row.line);
            }
            Ok(())
        };
        let blank = table::read(path, text, (&options.columns, timed), &mut take)?;
        if ratings.is_empty() {
            return Err(Error::input(path, "a line for each rating", "a heading and nothing else"));
        }
        Ok(Collected { users, items, ratings, times, lines, blank })
    }

    /// The ratings in their splits, the scale, and notes for the user.
    pub(super) fn dealt(
        mut self,
        path: &Path,
        options: &Options,
    ) -> Result<(Content, [f64; 2], Vec<String>)> {
        let order = self.pairs(path, options.twice)?;
        let mut notes = Vec::new();
        let several = |count: u64, one: &str, more: &str| {
            if count == 1 { format!("1 {one}") } else { format!("{count} {more}") }
        };
        if self.blank > 0 {
            notes.push(format!("left out {}", several(self.blank, "blank line", "blank lines")));
        }
        let twice = (self.ratings.len() - order.len()) as u64;
        if twice > 0 {
            let which = if options.twice == Twice::First { "first" } else { "last" };
            let left_out = several(twice, "rating", "ratings");
            notes.push(format!(
                "left out {left_out} of an item that its user has rated again: the {which} line counts"
            ));
        }
        let scale = options.scale.unwrap_or_else(|| {
            let values = order.iter().map(|&at| f64::from(self.ratings[at as usize].value));
            values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], value| {
                [low.min(value), high.max(value)]
            })
        });
        let (users, user_hashes) = self.users.ids();
        let (items, item_hashes) = self.items.ids();
        let split = Split {
            deal: &options.deal,
            ratings: &self.ratings,
            times: &self.times,
            hashes: [&user_hashes, &item_hashes],
        };
        let [train, val, test] = split.deal(order);
        let mut content = Content { users, items, train, val, test };
        if content.train.is_empty() {
            let found = format!("{} ratings, all of them held out", self.ratings.len());
            return Err(Error::input(path, "enough ratings to train on", found));
        }
        notes.extend(unseen(&mut content));
        Ok((content, scale, notes))
    }

    /// The places of the ratings that count, in the order of the users: one for each pair.
    fn pairs(&mut self, path: &Path, twice: Twice) -> Result<Vec<u32>> {
        let of = |at: &u32| self.ratings[*at as usize];
        let mut starts = vec![0_u32; self.users.count + 1];
        self.ratings.iter().for_each(|rating| starts[rating.user as usize + 1] += 1);
        (1..starts.len()).for_each(|at| starts[at] += starts[at - 1]);
        let mut order = vec![0_u32; self.ratings.len()];
        let mut next = starts.clone();
        for (at, rating) in (0..).zip(&self.ratings) {
            let place = &mut next[rating.user as usize];
            order[*place as usize] = at;
            *place += 1;
        }
        for row in starts.windows(2) {
            order[row[0] as usize..row[1] as usize].sort_unstable_by_key(|at| (of(at).item, *at));
        }
        let same = |a: &u32, b: &u32| (of(a).user, of(a).item) == (of(b).user, of(b).item);
        if twice == Twice::Refuse
            && let Some([a, b]) = order.array_windows().find(|[a, b]| same(a, b))
        {
            let [first, second] = [a, b].map(|at| self.lines[*at as usize]);
            let expected = "one rating of an item by a user; --twice last takes the last one";
            return Err(Error::input(
                path,
                expected,
                format!("another in line {second}, after line {first}"),
            ));
        }
        if twice == Twice::Last {
            order.reverse();
        }
        order.dedup_by(|later, earlier| same(later, earlier));
        if twice == Twice::Last {
            order.reverse();
        }
        Ok(order)
    }
}

/// A note on held-out ratings whose user or item has no training rating.
fn unseen(content: &mut Content) -> Option<String> {
    let (mut users, mut items) = (vec![false; content.users.len()], vec![false; content.items.len()]);
    for rating in &content.train {
        users[rating.user as usize] = true;
        items[rating.item as usize] = true;
    }
    let held_out = content.val.iter().chain(&content.test);
    let unseen =
        held_out.filter(|rating| !users[rating.user as usize] || !items[rating.item as usize]).count();
    (unseen > 0).then(|| {
        format!(
            "{unseen} held-out ratings are of users or items without a training rating: they count as average"
        )
    })
}

/// Ids and their numbers, in the order in which they come.
#[derive(Default)]
struct Interned {
    numbers: HashMap<Box<[u8]>, u32>,
    count: usize,
    /// The id of the last row and its number: rows of one user often follow each other.
    last: (Vec<u8>, u32),
}

impl Interned {
    /// The number of an id; otherwise the expected and the found thing.
    fn number(&mut self, id: &[u8]) -> Result<u32, (String, String)> {
        if self.last.0 == id && !id.is_empty() {
            return Ok(self.last.1);
        }
        let number = match self.numbers.get(id) {
            Some(number) => *number,
            None => self.add(id)?,
        };
        self.last.0.clear();
        self.last.0.extend_from_slice(id);
        self.last.1 = number;
        Ok(number)
    }

    fn add(&mut self, id: &[u8]) -> Result<u32, (String, String)> {
        let refused = |found: String| Err((format!("an id of 1 to {MAX_ID_BYTES} bytes"), found));
        if id.is_empty() || id.len() > MAX_ID_BYTES {
            return refused(format!("{} bytes", id.len()));
        }
        match std::str::from_utf8(id) {
            Err(_) => return refused("bytes that are no UTF-8; save the text as UTF-8".into()),
            Ok(text) if text.chars().any(char::is_control) => return refused("a control character".into()),
            Ok(_) => {}
        }
        let number = self.count as u32;
        self.numbers.insert(id.into(), number);
        self.count += 1;
        Ok(number)
    }

    /// The ids in the order of their numbers, and a hash of each; nothing is left.
    fn ids(&mut self) -> (Vec<String>, Vec<u64>) {
        let mut ids = vec![String::new(); self.count];
        for (id, number) in self.numbers.drain() {
            ids[number as usize] = String::from_utf8_lossy(&id).into_owned();
        }
        let hashes = ids.iter().map(|id| twox_hash::XxHash3_64::oneshot(id.as_bytes())).collect();
        (ids, hashes)
    }
}
