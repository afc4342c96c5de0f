//! `dataset.json` of a data set of ratings: users, items, splits, and every file with its checksum.

use super::{Side, Split};
use crate::{Kind, MANIFEST};
use protocol::FileRef;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::Path;
use storage::{Error, Result, check_file_name, read_whole, seal, unseal};

/// The schema that this version writes; a later one is refused by name.
pub const RATINGS_SCHEMA: u32 = 1;

/// The content of a data set of ratings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`RATINGS_SCHEMA`].
    pub schema: u32,
    /// Always "ratings".
    pub kind: String,
    /// The data set's name, which is its folder's.
    pub name: String,
    /// A hash that determines the ratings: the same command on the same source has the same hash.
    pub recipe: String,
    /// The users, those with the most training ratings first.
    pub users: Ids,
    /// The items, in the same order.
    pub items: Ids,
    /// The lowest and the highest rating that is possible.
    pub scale: [f64; 2],
    /// The mean of the training ratings.
    pub mean: f64,
    /// The number of training ratings.
    pub train: u64,
    /// The training ratings in the order of the users.
    pub by_user: Ordered,
    /// The same ratings in the order of the items.
    pub by_item: Ordered,
    /// The ratings by which the best state is chosen, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val: Option<Listed>,
    /// The ratings of the final test, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Listed>,
    /// Notes on how the source was read and what was left out.
    pub notes: Vec<String>,
}

/// The ids of one side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ids {
    /// How many there are.
    pub count: u64,
    /// A text with an id in each line, in the order of the numbers.
    pub file: FileRef,
}

/// Training ratings in the order of one side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ordered {
    /// `<i8` `[count + 1]`: where the ratings of each user or item begin, and at last their number.
    pub starts: FileRef,
    /// The ratings, in order.
    pub shards: Vec<ShardEntry>,
}

/// Some ratings that follow each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardEntry {
    /// How many.
    pub ratings: u64,
    /// `<i4` `[ratings]`: the numbers of the other side.
    pub others: FileRef,
    /// `<f4` `[ratings]`.
    pub values: FileRef,
}

/// A held-out split, in the order of the users and then of the items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// How many.
    pub ratings: u64,
    /// `<i4` `[ratings]`.
    pub users: FileRef,
    /// `<i4` `[ratings]`.
    pub items: FileRef,
    /// `<f4` `[ratings]`.
    pub values: FileRef,
}

impl Manifest {
    /// Reads and checks a folder's manifest.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Io`], [`Error::Schema`], [`Error::Damaged`]; [`Error::Array`] for a data
    /// set of another kind.
    pub fn read(folder: &Path) -> Result<Manifest> {
        let path = folder.join(MANIFEST);
        let bytes = unseal(&path, &read_whole(&path)?.0)?;
        let manifest: Manifest = Kind::Ratings.parse(&path, &bytes, RATINGS_SCHEMA)?;
        match manifest.contradiction() {
            Some(found) => Err(Error::damaged(&path, "a manifest that agrees with itself", found)),
            None => Ok(manifest),
        }
    }

    /// The manifest's text; the same data set always has the same bytes.
    pub fn to_json(&self) -> String {
        seal(&serde_json::to_string_pretty(self).expect("a manifest has only string keys"))
    }

    /// A hash of all ids, ratings and splits, 64 hexadecimal digits.
    pub fn key(&self) -> String {
        let bytes = serde_json::to_vec(&(RATINGS_SCHEMA, self.scale, self.files()));
        let digest = Sha256::digest(bytes.expect("a manifest has only string keys"));
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The ids of a side.
    pub fn ids(&self, side: Side) -> &Ids {
        match side {
            Side::Users => &self.users,
            Side::Items => &self.items,
        }
    }

    /// The training ratings in the order of a side.
    pub fn ordered(&self, side: Side) -> &Ordered {
        match side {
            Side::Users => &self.by_user,
            Side::Items => &self.by_item,
        }
    }

    /// A held-out split.
    pub fn listed(&self, split: Split) -> Option<&Listed> {
        match split {
            Split::Val => self.val.as_ref(),
            Split::Test => self.test.as_ref(),
        }
    }

    /// Every file but the manifest.
    pub fn files(&self) -> Vec<&FileRef> {
        let mut files = vec![&self.users.file, &self.items.file];
        for ordered in [&self.by_user, &self.by_item] {
            files.push(&ordered.starts);
            files.extend(ordered.shards.iter().flat_map(|shard| [&shard.others, &shard.values]));
        }
        let held_out = self.val.iter().chain(&self.test);
        files.extend(held_out.flat_map(|listed| [&listed.users, &listed.items, &listed.values]));
        files
    }

    fn contradiction(&self) -> Option<String> {
        for (name, ordered) in [("by_user", &self.by_user), ("by_item", &self.by_item)] {
            let sum = ordered.shards.iter().try_fold(0_u64, |sum, shard| sum.checked_add(shard.ratings));
            if sum != Some(self.train) || self.train == 0 {
                return Some(format!("{} training ratings, and another sum in {name}, or none", self.train));
            }
        }
        if [&self.users, &self.items].iter().any(|ids| !(1..=i32::MAX as u64).contains(&ids.count)) {
            return Some("no users or items, or too many".into());
        }
        let [low, high] = self.scale;
        if !(low.is_finite() && high.is_finite() && low <= high && self.mean.is_finite()) {
            return Some(format!("a scale from {low} to {high} and a mean of {}", self.mean));
        }
        let leaves = |file: &&&FileRef| file.name.contains('/') || check_file_name(&file.name).is_err();
        let files = self.files();
        files.iter().find(leaves).map(|file| format!("a file name {:?} that leaves the folder", file.name))
    }
}
