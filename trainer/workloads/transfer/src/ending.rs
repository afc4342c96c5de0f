//! The end of a run: its best state is scored on the splits that are held out, in legs, and then published.

use crate::publish::publish;
use crate::score::Tally;
use crate::training::TrainedHead;
use crate::{Error, Result};
use protocol::FileRef;
use rounds::{model_parameters, tuning};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use work::{Failed, Fate, Last, Progress, Stage, Work};

/// The splits that are scored.
const SPLITS: [&str; 2] = ["val", "test"];
/// Key of the images that are scored, in a place's text.
const DONE: &str = "done";

/// Scores, then publishes.
pub(crate) struct Ending<'a> {
    stage: Stage<'a>,
    last: Last<'a>,
    head: TrainedHead,
    parameters: Vec<f32>,
    folder: PathBuf,
    tallies: Vec<Scored>,
    done: usize,
}

/// A split, as far as it is scored.
struct Scored {
    split: &'static str,
    images: usize,
    tally: Tally,
}

impl<'a> Ending<'a> {
    /// Opens the end where its last leg left it, or from its start if that place is damaged.
    ///
    /// # Errors
    /// Those of reading the best state and the features.
    pub(crate) fn open(stage: Stage<'a>, last: Last<'a>) -> Result<Ending<'a>, Failed> {
        let head = TrainedHead::open(&stage)?;
        let combined = stage.root.run(stage.run).combined();
        let parameters =
            model_parameters(&combined, last.best, &head.job().training, head.shape().parameters())?;
        let folder = stage.root.run(stage.run).create_stage(stage.number)?;
        let classes = head.store().classes();
        let splits = SPLITS.into_iter().filter(|_| last.unscored.is_none());
        let scored = |split| {
            let images = head.store().split(split)?.len();
            Some(Scored { split, images, tally: Tally::new(classes) })
        };
        let tallies = splits.filter_map(scored).collect();
        let mut ending = Ending { stage, last, head, parameters, folder, tallies, done: 0 };
        match last.place.map(|place| ending.resume(place)) {
            Some(Err(error)) if error.fate() == Fate::Retry => Err(error.into()),
            _ => Ok(ending),
        }
    }

    fn resume(&mut self, place: &FileRef) -> Result<()> {
        let mut saved = storage::read_tensors(&self.folder, place)?;
        let damaged = || Error::damaged(&self.folder.join(&place.name), "a place of the end", "another file");
        let number = |text: Option<&String>| text.and_then(|text| text.parse().ok()).ok_or_else(damaged);
        let done: usize = number(saved.metadata.get(DONE))?;
        let mut tallies = Vec::new();
        for (Scored { split, images, .. }, rows) in self.tallies.iter().zip(self.rows(0..done)) {
            let text = saved.metadata.get(*split).cloned().ok_or_else(damaged)?;
            let labels = &self.head.store().need(split)?.labels()[rows];
            let predicted = saved.take_i64(&format!("{split}.predicted"), &[labels.len()])?;
            let probability = saved.take_f32(&format!("{split}.probability"), &[labels.len()])?;
            let classes = self.head.store().classes();
            let tally =
                Tally::resume(classes, &text, labels, (predicted, probability)).ok_or_else(damaged)?;
            tallies.push(Scored { split, images: *images, tally });
        }
        (self.tallies, self.done) = (tallies, done);
        Ok(())
    }

    /// The rows in each split of a range of all images.
    fn rows(&self, images: Range<usize>) -> Vec<Range<usize>> {
        let mut first = 0;
        let rows = |scored: &Scored| {
            let within = |at: usize| at.saturating_sub(first).min(scored.images);
            let rows = within(images.start)..within(images.end);
            first += scored.images;
            rows
        };
        self.tallies.iter().map(rows).collect()
    }
}

impl Work for Ending<'_> {
    fn step(&mut self) -> Result<(), Failed> {
        let end = self.done + self.head.rows_at_a_time();
        let rows = self.rows(self.done..end);
        let at = rows.iter().position(|rows| !rows.is_empty()).unwrap_or(0);
        let Scored { split, tally, .. } = &mut self.tallies[at];
        self.done += rows[at].len();
        self.head.score_rows(self.head.store().need(split)?, rows[at].clone(), &self.parameters, tally)?;
        Ok(())
    }

    fn progress(&self) -> Progress {
        let of = self.tallies.iter().map(|scored| scored.images as u64).sum();
        Progress { done: self.done as u64, of }
    }

    fn save(&mut self) -> Result<FileRef, Failed> {
        let mut tensors = Vec::new();
        let mut text = BTreeMap::from([(DONE.to_owned(), self.done.to_string())]);
        for Scored { split, tally, .. } in &self.tallies {
            let (sums, (predicted, probability)) = tally.saved();
            let rows = [predicted.len()];
            tensors.push(storage::Tensor::i64(format!("{split}.predicted"), &rows, predicted));
            tensors.push(storage::Tensor::f32(format!("{split}.probability"), &rows, probability));
            text.insert((*split).to_owned(), sums);
        }
        Ok(storage::write_tensors(&self.folder, "end", &tensors, &text)?)
    }

    fn publish(&mut self) -> Result<FileRef, Failed> {
        let Stage { root, run, .. } = self.stage;
        tuning::publish(root, run, &self.head.job().training, self.last.best)?;
        let evaluations =
            self.tallies.iter().map(|scored| (scored.split, scored.tally.clone().scored().into()));
        let evaluations = evaluations.collect();
        let parameters = std::mem::take(&mut self.parameters);
        Ok(publish(&self.stage, &self.head, parameters, (evaluations, self.last.unscored))?)
    }
}
