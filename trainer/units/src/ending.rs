//! The end of a run of units: its results are checked, joined in the order of the units, and published with
//! an index and the dead letters, in legs.

use crate::combine::cut_short;
use crate::index::{Counts, DEAD, INDEX, Index};
use crate::merge::Merge;
use crate::state::{self, State, read, results};
use crate::{Dealing, Numbers};
use protocol::FileRef;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use work::{Failed, Last, Progress, Stage, Work};

/// Units whose results are in one file of the product. It is fixed, so that the files depend only on the
/// units.
const UNITS: u64 = 16_384;

/// Publishes the product of a run of units.
pub struct Ending {
    /// The folders of the place, the results and the product.
    folders: [PathBuf; 3],
    numbers: Numbers,
    dealing: Dealing,
    state: State,
    made_of: Value,
    /// Whether it is done in one step: then no place is saved.
    at_once: bool,
    merge: Option<Merge>,
    place: Place,
}

/// The progress of the end.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    /// The number of files whose checksums are right.
    checked: u64,
    /// Files of the product.
    shards: Vec<FileRef>,
}

impl Ending {
    /// Continues the end where its last leg stopped. `made_of` names the sources of the results.
    ///
    /// # Errors
    /// [`Failed`], when the last state or the place is damaged or cannot be read.
    pub fn open(at: &Stage<'_>, last: Last<'_>, numbers: Numbers, made_of: Value) -> Result<Ending, Failed> {
        let folder = at.root.run(at.run);
        let (stage, product) = (folder.create_stage(at.number)?, folder.model());
        storage::create_folder(&product)?;
        let place = match last.place.filter(|_| last.unscored.is_none()) {
            Some(place) => read(&stage, place, "a place of the end")?,
            None => Place::default(),
        };
        let state = match last.cut_short {
            Some(cut) => cut_short(at, cut, &numbers)?,
            None => State::read(&folder.combined(), last.state()?)?,
        };
        Ok(Ending {
            dealing: Dealing::new(numbers.count(), at.workers),
            state,
            folders: [stage, results(at), product],
            numbers,
            made_of,
            at_once: last.unscored.is_some(),
            merge: None,
            place,
        })
    }

    fn files(&self) -> impl Iterator<Item = &FileRef> {
        self.state.files.iter().flatten().chain(&self.state.again)
    }

    fn shards(&self) -> u64 {
        self.numbers.count().div_ceil(UNITS)
    }

    /// Checks one file of results, or publishes one file of the product.
    fn advance(&mut self) -> Result<(), Failed> {
        let [_, results, product] = &self.folders;
        let next = self.files().nth(self.place.checked as usize).cloned();
        if let Some(file) = next {
            storage::open(results, &file)?.verify()?;
            self.place.checked += 1;
            return Ok(());
        }
        let merge = match &mut self.merge {
            Some(merge) => merge,
            None => {
                let dealt = (&self.dealing, &self.numbers);
                self.merge.insert(Merge::new(results, dealt, &self.state.files, &self.state.again)?)
            }
        };
        let number = self.place.shards.len() as u64;
        let number_at = |place| if place < self.numbers.count() { self.numbers.at(place) } else { u64::MAX };
        // A leg that continues skips the results that are published.
        merge.below(number_at(number * UNITS))?;
        let lines = merge.below(number_at((number + 1) * UNITS))?;
        let name = format!("results-{number:05}.jsonl");
        let write =
            |file: &mut storage::Publication| lines.values().try_for_each(|line| file.write_all(line));
        self.place.shards.push(storage::publish_same(product, &name, write)?);
        Ok(())
    }
}

impl Work for Ending {
    fn step(&mut self) -> Result<(), Failed> {
        self.advance()?;
        while self.at_once && !self.progress().finished() {
            self.advance()?;
        }
        Ok(())
    }

    fn progress(&self) -> Progress {
        let of = self.files().count() as u64 + self.shards();
        Progress { done: self.place.checked + self.place.shards.len() as u64, of }
    }

    fn save(&mut self) -> Result<FileRef, Failed> {
        Ok(state::write(&self.folders[0], "end", &self.place)?)
    }

    fn publish(&mut self) -> Result<FileRef, Failed> {
        let product = &self.folders[2];
        let lost = &self.state.lost;
        let counts = Counts { units: self.numbers.count(), done: self.state.done, dead: lost.len() as u64 };
        if counts.done + counts.dead != counts.units {
            return Err(Failed::argument("units with an outcome", counts.units, counts.done + counts.dead));
        }
        let encoding = |error: serde_json::Error| storage::Error::io("write to", product)(error.into());
        let letters: Result<Vec<Vec<u8>>, _> = lost.iter().map(serde_json::to_vec).collect();
        let letters = letters.map_err(encoding)?;
        let dead = (!letters.is_empty()).then(|| {
            storage::publish_same(product, DEAD, |file| {
                letters.iter().try_for_each(|line| {
                    file.write_all(line)?;
                    file.write_all(b"\n")
                })
            })
        });
        let shards = std::mem::take(&mut self.place.shards);
        let index = Index::new(self.made_of.clone(), counts, shards, dead.transpose()?);
        let text = storage::seal(&serde_json::to_string_pretty(&index).map_err(encoding)?);
        Ok(storage::publish_same(product, INDEX, |file| file.write_all(text.as_bytes()))?)
    }
}
