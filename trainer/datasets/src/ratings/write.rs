//! Writes a data set of ratings: numbers users and items, and sorts the ratings by each of them.

use super::{Ids, Listed, Manifest, Ordered, RATINGS_SCHEMA, ShardEntry, Side};
use protocol::FileRef;
use std::io::Write;
use std::path::Path;
use storage::arrays::{Element, write_npy};
use storage::{Error, Publication, Result};

/// Ratings in a shard: two files of 2 MiB.
const SHARD: usize = 1 << 19;

/// One rating.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rating {
    /// The user's place in [`Content::users`].
    pub user: u32,
    /// The item's place in [`Content::items`].
    pub item: u32,
    /// The rating.
    pub value: f32,
}

/// Ratings in splits; each pair of a user and an item has at most one.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// The users' ids, in any order: texts without line ends.
    pub users: Vec<String>,
    /// The items' ids.
    pub items: Vec<String>,
    /// The training ratings, in any order.
    pub train: Vec<Rating>,
    /// The ratings that choose the best state.
    pub val: Vec<Rating>,
    /// The ratings of the final test.
    pub test: Vec<Rating>,
}

/// The manifest's entries besides its files.
#[derive(Clone, Debug)]
pub struct About {
    /// The data set's name.
    pub name: String,
    /// A hash of everything that determines its ratings.
    pub recipe: String,
    /// The lowest and the highest rating that is possible.
    pub scale: [f64; 2],
    /// Notes on how the source was read and what was left out.
    pub notes: Vec<String>,
}

/// Writes the files of a data set into a folder that exists and has no other writer. The folder is a data set
/// once the manifest is written into it under the name [`crate::MANIFEST`].
///
/// The same ratings give the same files, whatever their order.
///
/// # Errors
/// [`Error::Unfit`] without a training rating; [`Error::Io`].
pub fn write(folder: &Path, mut content: Content, about: About) -> Result<Manifest> {
    if content.train.is_empty() {
        return Err(Error::unfit("a data set of ratings", "one training rating or more", "none"));
    }
    renumber(&mut content);
    let Content { users, items, mut train, val, test } = content;
    let user_ids = write_ids(folder, Side::Users, &users)?;
    let item_ids = write_ids(folder, Side::Items, &items)?;
    sort(&mut train, users.len(), Side::Users);
    let sum: f64 = train.iter().map(|rating| f64::from(rating.value)).sum();
    let mean = sum / train.len() as f64;
    let by_user = write_ordered(folder, Side::Users, &train, users.len())?;
    sort(&mut train, items.len(), Side::Items);
    let by_item = write_ordered(folder, Side::Items, &train, items.len())?;
    let listed = |name: &str, mut ratings: Vec<Rating>| -> Result<Option<Listed>> {
        sort(&mut ratings, users.len(), Side::Users);
        (!ratings.is_empty()).then(|| write_listed(folder, name, &ratings)).transpose()
    };
    let (val, test) = (listed("val", val)?, listed("test", test)?);
    let (schema, kind, train) = (RATINGS_SCHEMA, "ratings".to_owned(), train.len() as u64);
    let About { name, recipe, scale, notes } = about;
    let (users, items) = (user_ids, item_ids);
    Ok(Manifest {
        schema,
        kind,
        name,
        recipe,
        users,
        items,
        scale,
        mean,
        train,
        by_user,
        by_item,
        val,
        test,
        notes,
    })
}

/// Numbers users and items by their training ratings, those with the most first, and then by their ids.
fn renumber(content: &mut Content) {
    let Content { users, items, train, val, test } = content;
    for (side, ids) in [(Side::Users, users), (Side::Items, items)] {
        let mut counts = vec![0_u32; ids.len()];
        train.iter().for_each(|rating| counts[rating.number(side) as usize] += 1);
        let mut order: Vec<u32> = (0..ids.len() as u32).collect();
        order.sort_by(|&a, &b| {
            let (a, b) = (a as usize, b as usize);
            counts[b].cmp(&counts[a]).then_with(|| ids[a].cmp(&ids[b]))
        });
        let mut numbers = vec![0; ids.len()];
        for (number, &place) in (0..).zip(&order) {
            numbers[place as usize] = number;
        }
        *ids = order.iter().map(|&place| std::mem::take(&mut ids[place as usize])).collect();
        for ratings in [&mut *train, &mut *val, &mut *test] {
            for rating in ratings.iter_mut() {
                let number = numbers[rating.number(side) as usize];
                match side {
                    Side::Users => rating.user = number,
                    Side::Items => rating.item = number,
                }
            }
        }
    }
}

impl Rating {
    /// The number of its user or its item.
    fn number(&self, side: Side) -> u32 {
        match side {
            Side::Users => self.user,
            Side::Items => self.item,
        }
    }
}

/// Sorts ratings by one side, of which there are this many, and then by the other side.
fn sort(ratings: &mut [Rating], count: usize, side: Side) {
    let starts = starts_of(ratings, count, side);
    let mut next = starts.clone();
    let mut sorted = ratings.to_vec();
    for rating in ratings.iter() {
        let place = &mut next[rating.number(side) as usize];
        sorted[*place as usize] = *rating;
        *place += 1;
    }
    for row in starts.windows(2) {
        sorted[row[0] as usize..row[1] as usize].sort_unstable_by_key(|rating| rating.number(side.other()));
    }
    ratings.copy_from_slice(&sorted);
}

/// Where the ratings of each user or item begin, once they are sorted, and at last their number.
fn starts_of(ratings: &[Rating], count: usize, side: Side) -> Vec<u64> {
    let mut starts = vec![0_u64; count + 1];
    ratings.iter().for_each(|rating| starts[rating.number(side) as usize + 1] += 1);
    for at in 1..starts.len() {
        starts[at] += starts[at - 1];
    }
    starts
}

fn write_ids(folder: &Path, side: Side, ids: &[String]) -> Result<Ids> {
    let name = format!("{}.txt", side.name());
    let mut file = Publication::begin_named(folder, name.clone())?;
    let written = ids.iter().try_for_each(|id| writeln!(file, "{id}"));
    written.map_err(Error::io("write", &folder.join(name)))?;
    Ok(Ids { count: ids.len() as u64, file: file.finish()? })
}

fn write_ordered(folder: &Path, side: Side, sorted: &[Rating], count: usize) -> Result<Ordered> {
    let name = |number: usize, what: &str| format!("train-{}-{number:05}-{what}.npy", side.name());
    let starts: Vec<i64> = starts_of(sorted, count, side).into_iter().map(|start| start as i64).collect();
    let starts = write_array(folder, format!("train-{}-starts.npy", side.name()), &starts)?;
    let shard = |(number, ratings): (usize, &[Rating])| -> Result<ShardEntry> {
        let others: Vec<i32> = ratings.iter().map(|rating| rating.number(side.other()) as i32).collect();
        let values: Vec<f32> = ratings.iter().map(|rating| rating.value).collect();
        Ok(ShardEntry {
            ratings: ratings.len() as u64,
            others: write_array(folder, name(number, side.other().name()), &others)?,
            values: write_array(folder, name(number, "values"), &values)?,
        })
    };
    let shards = sorted.chunks(SHARD).enumerate().map(shard).collect::<Result<_>>()?;
    Ok(Ordered { starts, shards })
}

fn write_listed(folder: &Path, split: &str, ratings: &[Rating]) -> Result<Listed> {
    let numbers = |side: Side| -> Result<FileRef> {
        let numbers: Vec<i32> = ratings.iter().map(|rating| rating.number(side) as i32).collect();
        write_array(folder, format!("{split}-{}.npy", side.name()), &numbers)
    };
    let values: Vec<f32> = ratings.iter().map(|rating| rating.value).collect();
    Ok(Listed {
        ratings: ratings.len() as u64,
        users: numbers(Side::Users)?,
        items: numbers(Side::Items)?,
        values: write_array(folder, format!("{split}-values.npy"), &values)?,
    })
}

fn write_array<T: Element>(folder: &Path, name: String, values: &[T]) -> Result<FileRef> {
    let mut file = Publication::begin_named(folder, name.clone())?;
    write_npy(&mut file, &[values.len() as u64], values).map_err(Error::io("write", &folder.join(name)))?;
    file.finish()
}
