//! Scoring on splits that are held out, some rows at a time, with a place to go on from.

use crate::score::{self, Tally};
use crate::training::TrainedHead;
use crate::{Error, Result};
use protocol::FileRef;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use storage::Tensor;
use work::Progress;

/// Key of the images that are scored, in a place's text.
const DONE: &str = "done";

/// A place's text beside its sums.
pub(crate) type Notes = BTreeMap<String, String>;

/// Splits, as far as they are scored.
pub(crate) struct Scoring {
    splits: Vec<Scored>,
    done: usize,
}

struct Scored {
    split: &'static str,
    images: usize,
    tally: Tally,
}

impl Scoring {
    /// Of these splits those that the head's store has; nothing is scored yet.
    pub(crate) fn new(head: &TrainedHead, splits: &[&'static str]) -> Scoring {
        let scored = |&split: &&'static str| {
            let images = head.store().split(split)?.len();
            Some(Scored { split, images, tally: Tally::new(head.store().classes()) })
        };
        Scoring { splits: splits.iter().filter_map(scored).collect(), done: 0 }
    }

    /// The same splits where a place was saved, and what its text says beside the sums.
    ///
    /// # Errors
    /// Those of reading the place.
    pub(crate) fn resumed(
        self,
        head: &TrainedHead,
        folder: &Path,
        place: &FileRef,
    ) -> Result<(Scoring, Notes)> {
        let mut saved = storage::read_tensors(folder, place)?;
        let damaged = || Error::damaged(&folder.join(&place.name), "a place of scoring", "another file");
        let text = |key: &str| saved.metadata.get(key).cloned().ok_or_else(damaged);
        let done: usize = text(DONE)?.parse().map_err(|_| damaged())?;
        let sums = self.splits.iter().map(|scored| text(scored.split)).collect::<Result<Vec<_>>>()?;
        let mut splits = Vec::new();
        for ((rows, sums), Scored { split, images, .. }) in
            self.rows(0..done).into_iter().zip(sums).zip(self.splits)
        {
            let labels = &head.store().need(split)?.labels()[rows];
            let predicted = saved.take_i64(&format!("{split}.predicted"), &[labels.len()])?;
            let probability = saved.take_f32(&format!("{split}.probability"), &[labels.len()])?;
            let tally = Tally::resume(head.store().classes(), &sums, labels, (predicted, probability));
            splits.push(Scored { split, images, tally: tally.ok_or_else(damaged)? });
        }
        Ok((Scoring { splits, done }, saved.metadata))
    }

    /// The rows of each split that images of all of them are.
    fn rows(&self, images: Range<usize>) -> Vec<Range<usize>> {
        let mut first = 0;
        let rows = |scored: &Scored| {
            let within = |at: usize| at.saturating_sub(first).min(scored.images);
            let rows = within(images.start)..within(images.end);
            first += scored.images;
            rows
        };
        self.splits.iter().map(rows).collect()
    }

    /// Scores the next rows.
    ///
    /// # Errors
    /// Those of reading them; [`Error::Argument`] when a score is not finite.
    pub(crate) fn step(&mut self, head: &TrainedHead, parameters: &[f32]) -> Result<()> {
        let rows = self.rows(self.done..self.done + head.rows_at_a_time());
        let at = rows.iter().position(|rows| !rows.is_empty()).unwrap_or(0);
        let Scored { split, tally, .. } = &mut self.splits[at];
        self.done += rows[at].len();
        head.score_rows(head.store().need(split)?, rows[at].clone(), parameters, tally)
    }

    /// Images scored, of all.
    pub(crate) fn progress(&self) -> Progress {
        let of = self.splits.iter().map(|scored| scored.images as u64).sum();
        Progress { done: self.done as u64, of }
    }

    /// Saves the place, with some text.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub(crate) fn save(&self, folder: &Path, stem: &str, mut text: Notes) -> Result<FileRef> {
        let mut tensors = Vec::new();
        text.insert(DONE.into(), self.done.to_string());
        for Scored { split, tally, .. } in &self.splits {
            let (sums, (predicted, probability)) = tally.saved();
            let rows = [predicted.len()];
            tensors.push(Tensor::i64(format!("{split}.predicted"), &rows, predicted));
            tensors.push(Tensor::f32(format!("{split}.probability"), &rows, probability));
            text.insert((*split).to_owned(), sums);
        }
        Ok(storage::write_tensors(folder, stem, &tensors, &text)?)
    }

    /// How good the parameters are on each split.
    pub(crate) fn scored(&self) -> impl Iterator<Item = (&'static str, score::Scored)> + '_ {
        self.splits.iter().map(|scored| (scored.split, scored.tally.clone().scored()))
    }
}
