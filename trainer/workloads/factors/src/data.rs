//! The ratings of a run. Some of them stay in memory from one leg of a process to the next.

use crate::job::Job;
use datasets::ratings::{HeldOut, Rated, Ratings, Side, Split};
use protocol::FeatureStore;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use storage::Root;
use work::{Failed, Stage};

/// Bytes of ratings that stay in memory at most.
const MOST_BYTES: usize = 256 << 20;
/// Bytes of a rating: a number and a value.
const BYTES: usize = 8;

/// Ratings that were read: found by the content of the data set, the side and the places.
#[derive(Default)]
pub(crate) struct Cache {
    rated: Mutex<Vec<(Place, Arc<Rated>)>>,
    /// The split that was read last, with its data set's key.
    held_out: Mutex<Option<(String, Split, Arc<HeldOut>)>>,
}

/// The key of a data set, the side by which its ratings are ordered, and the first and last place.
type Place = (String, Side, Range<u64>);

/// An open data set.
pub(crate) struct Data {
    pub(crate) ratings: Ratings,
    starts: Mutex<[Option<Arc<Vec<u64>>>; 2]>,
    cache: Arc<Cache>,
}

impl Data {
    /// Opens the data set of a job.
    pub(crate) fn open(root: &Root, job: &Job, cache: &Arc<Cache>) -> Result<Data, Failed> {
        let ratings = Ratings::open(&root.dataset(&job.dataset)?)?;
        Ok(Data { ratings, starts: Mutex::default(), cache: cache.clone() })
    }

    /// The data set of a stage, which must be the same as at the start of the run.
    pub(crate) fn of(stage: &Stage<'_>, job: &Job, cache: &Arc<Cache>) -> Result<Data, Failed> {
        let data = Data::open(stage.root, job, cache)?;
        let (found, FeatureStore { key, .. }) = (data.ratings.key(), stage.features);
        if found == key {
            return Ok(data);
        }
        let expected = format!("the ratings that the run was started with, key {key}");
        Err(Failed::argument(format!("data set {:?}", job.dataset), expected, format!("others, key {found}")))
    }

    /// Where the ratings of each row begin.
    pub(crate) fn starts(&self, side: Side) -> Result<Arc<Vec<u64>>, Failed> {
        let mut starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
        let of_side = &mut starts[side as usize];
        if let Some(known) = of_side {
            return Ok(known.clone());
        }
        Ok(of_side.insert(Arc::new(self.ratings.starts(side)?)).clone())
    }

    /// The number of rows of a side, and of those that have ratings, which come first.
    pub(crate) fn rows(&self, side: Side) -> Result<(usize, usize), Failed> {
        let starts = self.starts(side)?;
        let rated = starts.windows(2).take_while(|row| row[0] < row[1]).count();
        Ok((self.ratings.count(side), rated))
    }

    /// The ratings at these places in the order of a side.
    pub(crate) fn rated(&self, side: Side, places: Range<u64>) -> Result<Arc<Rated>, Failed> {
        let place = (self.ratings.key().to_owned(), side, places.clone());
        let lock = || self.cache.rated.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = lock().iter().find(|(known, _)| *known == place) {
            return Ok(known.clone());
        }
        let read = self.ratings.rated(side, places)?;
        let count = self.ratings.count(side.other());
        if let Some(number) = read.others.iter().find(|number| **number as usize >= count) {
            let expected = format!("numbers of {count} {}", side.other().name());
            return Err(Failed::damaged(self.ratings.folder(), expected, number));
        }
        let read = Arc::new(read);
        let mut known = lock();
        known.push((place, read.clone()));
        let bytes = |known: &[(Place, Arc<Rated>)]| {
            known.iter().map(|(_, rated)| rated.values.len() * BYTES).sum::<usize>()
        };
        while bytes(&known) > MOST_BYTES {
            known.remove(0);
        }
        Ok(read)
    }

    /// A held-out split.
    pub(crate) fn held_out(&self, split: Split) -> Result<Arc<HeldOut>, Failed> {
        let mut last = self.cache.held_out.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((key, of, known)) = &*last
            && (&key[..], *of) == (self.ratings.key(), split)
        {
            return Ok(known.clone());
        }
        let read = Arc::new(self.ratings.held_out(split)?);
        *last = Some((self.ratings.key().to_owned(), split, read.clone()));
        Ok(read)
    }
}
