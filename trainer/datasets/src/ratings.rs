//! Dataset folders of ratings: who rated what, and how. Training ratings are stored twice, in the order of
//! the users and in the order of the items, so that a worker reads only those of its own users or items.
//!
//! `data-prep` writes a folder once, and nothing changes it afterwards. numpy opens every array.

mod manifest;
mod write;

pub use manifest::{Ids, Listed, Manifest, Ordered, RATINGS_SCHEMA, ShardEntry};
pub use write::{About, Content, Rating, write};

use protocol::FileRef;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;
use storage::arrays::{Element, Npy};
use storage::{Error, Result, open_within};

/// The longest id of a user or an item, in bytes.
pub const MAX_ID_BYTES: usize = 256;

/// The time to wait for a file that is not visible. It is short: data sets are complete long before they are
/// used.
const PATIENCE: Duration = Duration::from_secs(2);

/// One of the two sides of a rating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Those who rate.
    Users,
    /// Those that are rated.
    Items,
}

impl Side {
    /// The opposite side.
    pub fn other(self) -> Side {
        match self {
            Side::Users => Side::Items,
            Side::Items => Side::Users,
        }
    }

    /// Its name in files: "users", "items".
    pub fn name(self) -> &'static str {
        match self {
            Side::Users => "users",
            Side::Items => "items",
        }
    }
}

/// A held-out split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// It decides which state of a run is the best.
    Val,
    /// It is scored once, at the end.
    Test,
}

impl Split {
    /// Its name: "val", "test".
    pub fn name(self) -> &'static str {
        match self {
            Split::Val => "val",
            Split::Test => "test",
        }
    }
}

/// Ratings in the order of one side: the other sides' numbers, and the values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rated {
    /// The number of the other side of each rating.
    pub others: Vec<u32>,
    /// The ratings themselves.
    pub values: Vec<f32>,
}

/// Ratings of a held-out split, in the order of the users and then of the items.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeldOut {
    /// Each rating's user.
    pub users: Vec<u32>,
    /// Each rating's item.
    pub items: Vec<u32>,
    /// The ratings themselves.
    pub values: Vec<f32>,
}

/// An open data set of ratings.
#[derive(Clone, Debug)]
pub struct Ratings {
    folder: PathBuf,
    manifest: Manifest,
    key: String,
}

impl Ratings {
    /// Opens a data set: reads its manifest and no rating.
    ///
    /// # Errors
    /// [`Error::Missing`] and [`Error::Io`] if the manifest is not visible or cannot be read,
    /// [`Error::Damaged`], [`Error::Schema`] if a later version wrote it, [`Error::Array`] for a data set of
    /// another kind.
    pub fn open(folder: &Path) -> Result<Ratings> {
        let manifest = Manifest::read(folder)?;
        let key = manifest.key();
        Ok(Ratings { folder: folder.to_owned(), manifest, key })
    }

    /// The content of `dataset.json`.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A hash of all ids, ratings and splits, 64 hexadecimal digits: equal keys mean equal data.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The number of users or items. They are numbered from 0, those with the most training ratings first.
    pub fn count(&self, side: Side) -> usize {
        self.manifest.ids(side).count as usize
    }

    /// The place of each user's or item's first training rating in the order of this side, and at the end the
    /// number of all, `[count + 1]`.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Io`], [`Error::Damaged`].
    pub fn starts(&self, side: Side) -> Result<Vec<u64>> {
        let file = &self.manifest.ordered(side).starts;
        let found: Vec<i64> = self.array(file, self.count(side) + 1)?;
        let starts: Vec<u64> = found.iter().map(|&start| start as u64).collect();
        if starts[0] != 0 || !starts.is_sorted() || starts[starts.len() - 1] != self.manifest.train {
            let expected = format!("starts that rise from 0 to {}", self.manifest.train);
            return Err(Error::damaged(&self.folder.join(&file.name), expected, "others"));
        }
        Ok(starts)
    }

    /// The training ratings at these places in the order of a side. Only their shards are read, each of them
    /// verified.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Io`], [`Error::Damaged`]; [`Error::Unfit`] for places outside the data
    /// set.
    pub fn rated(&self, side: Side, places: Range<u64>) -> Result<Rated> {
        if places.start > places.end || places.end > self.manifest.train {
            let expected = format!("places within 0..{}", self.manifest.train);
            return Err(Error::unfit("ratings to read", expected, format!("{places:?}")));
        }
        let mut rated = Rated::default();
        let mut first = 0;
        for shard in &self.manifest.ordered(side).shards {
            let (begin, end) = (places.start.max(first), places.end.min(first + shard.ratings));
            if begin < end {
                let rows = (begin - first) as usize..(end - first) as usize;
                let length = shard.ratings as usize;
                self.append(&shard.others, length, rows.clone(), &mut rated.others)?;
                self.append(&shard.values, length, rows, &mut rated.values)?;
            }
            first += shard.ratings;
        }
        Ok(rated)
    }

    /// A held-out split.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Io`], [`Error::Damaged`].
    pub fn held_out(&self, split: Split) -> Result<HeldOut> {
        let mut held_out = HeldOut::default();
        let Some(listed) = self.manifest.listed(split) else { return Ok(held_out) };
        let length = listed.ratings as usize;
        self.append(&listed.users, length, 0..length, &mut held_out.users)?;
        self.append(&listed.items, length, 0..length, &mut held_out.items)?;
        self.append(&listed.values, length, 0..length, &mut held_out.values)?;
        for (side, numbers) in [(Side::Users, &held_out.users), (Side::Items, &held_out.items)] {
            self.within(side, numbers, &listed.users)?;
        }
        Ok(held_out)
    }

    /// That numbers are those of users or items of this data set.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn within(&self, side: Side, numbers: &[u32], file: &FileRef) -> Result<()> {
        let count = self.count(side);
        match numbers.iter().find(|number| **number as usize >= count) {
            None => Ok(()),
            Some(number) => {
                let expected = format!("numbers of {count} {}", side.name());
                Err(Error::damaged(&self.folder.join(&file.name), expected, number.to_string()))
            }
        }
    }

    /// The ids of the users or the items, in the order of their numbers.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Io`], [`Error::Damaged`].
    pub fn ids(&self, side: Side) -> Result<Vec<String>> {
        let ids = self.manifest.ids(side);
        read_ids(&self.folder, &ids.file, ids.count)
    }

    /// The files of the data set except `dataset.json`.
    pub fn files(&self) -> Vec<FileRef> {
        self.manifest.files().into_iter().cloned().collect()
    }

    /// Reads every file once and checks it.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Io`], [`Error::Damaged`].
    pub fn verify(&self) -> Result<()> {
        self.files().iter().try_for_each(|file| open_within(&self.folder, file, PATIENCE)?.verify())
    }

    /// A whole array of a known length.
    fn array<T: Stored>(&self, file: &FileRef, length: usize) -> Result<Vec<T>> {
        let mut values = Vec::new();
        self.append(file, length, 0..length, &mut values)?;
        Ok(values)
    }

    /// Appends rows of an array, which is verified first.
    fn append<T: Stored>(
        &self,
        file: &FileRef,
        length: usize,
        rows: Range<usize>,
        values: &mut Vec<T>,
    ) -> Result<()> {
        let opened = open_within(&self.folder, file, PATIENCE)?;
        opened.verify()?;
        let npy: Npy = opened.into_npy()?;
        npy.expect(T::In::DTYPE, &[Some(length)])?;
        let mut read = vec![T::In::default(); rows.len()];
        npy.read_rows(rows, &mut read)?;
        values.reserve(read.len());
        for value in read {
            let value = T::of(value);
            values.push(value.ok_or_else(|| {
                Error::damaged(npy.path(), "whole numbers from 0, or finite ratings", "others")
            })?);
        }
        Ok(())
    }
}

/// A value in memory, and its type in a file.
trait Stored: Copy {
    type In: Element;
    fn of(value: Self::In) -> Option<Self>;
}

impl Stored for u32 {
    type In = i32;
    fn of(value: i32) -> Option<u32> {
        u32::try_from(value).ok()
    }
}

impl Stored for f32 {
    type In = f32;
    fn of(value: f32) -> Option<f32> {
        value.is_finite().then_some(value)
    }
}

impl Stored for i64 {
    type In = i64;
    fn of(value: i64) -> Option<i64> {
        Some(value)
    }
}

/// Reads a list of ids: one in each line.
///
/// # Errors
/// [`Error::Missing`], [`Error::Io`], [`Error::Damaged`].
pub fn read_ids(folder: &Path, file: &FileRef, count: u64) -> Result<Vec<String>> {
    let text = open_within(folder, file, PATIENCE)?.read()?;
    let damaged = |found: String| Error::damaged(&folder.join(&file.name), format!("{count} ids"), found);
    let text = String::from_utf8(text).map_err(|error| damaged(error.to_string()))?;
    let ids: Vec<String> = text.lines().map(str::to_owned).collect();
    if ids.len() as u64 == count { Ok(ids) } else { Err(damaged(ids.len().to_string())) }
}

#[cfg(test)]
mod tests;
