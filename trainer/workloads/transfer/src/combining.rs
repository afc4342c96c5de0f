//! The combine of a stage: what its workers published becomes one state, in one step;
//! that is scored, in legs.

use crate::features;
use crate::scoring::{Notes, Scoring};
use crate::training::TrainedHead;
use crate::{Error, Result};
use protocol::FileRef;
use rounds::{model_parameters, train_loss};
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use work::{Combined, Failed, Fate, Opened, Progress, Stage, Work, on_results};

/// Key of the state that is made, in a place's text.
const STATE: &str = "state";
/// The split that is scored.
const SPLIT: &str = "val";

/// Takes up a worker's share of a stage.
pub(crate) type Open = fn(&Stage<'_>, u32, Option<&FileRef>) -> Opened;

/// Merges, then scores.
pub(crate) struct Combining<'a> {
    stage: Stage<'a>,
    results: &'a [FileRef],
    open: Open,
    folder: PathBuf,
    merged: Option<Merged>,
}

/// The result of merging.
struct Merged {
    combined: Combined,
    unscored: Option<Unscored>,
}

/// A state that is to be scored.
struct Unscored {
    head: Arc<TrainedHead>,
    parameters: Box<dyn Deref<Target = [f32]>>,
    scoring: Scoring,
}

impl<'a> Combining<'a> {
    /// Takes up a combine where its last leg left it; from its start when that place is damaged. A worker
    /// whose result is damaged has its share, as `open` takes it up, computed again here.
    ///
    /// # Errors
    /// Those of reading the place, and the state that it names.
    pub(crate) fn open(
        stage: Stage<'a>,
        results: &'a [FileRef],
        place: Option<&FileRef>,
        open: Open,
    ) -> Result<Combining<'a>, Failed> {
        let folder = stage.root.run(stage.run).create_stage(stage.number)?;
        let mut combining = Combining { stage, results, open, folder, merged: None };
        match place.map(|place| combining.resumed(place)).transpose() {
            Ok(merged) => combining.merged = merged,
            Err(failed) if failed.fate == Fate::Retry => return Err(failed),
            Err(_) => {}
        }
        Ok(combining)
    }

    fn resumed(&self, place: &FileRef) -> Result<Merged, Failed> {
        let head = Arc::new(TrainedHead::open(&self.stage)?);
        let (scoring, text) = Scoring::new(&head, &[SPLIT]).resumed(&head, &self.folder, place)?;
        let damaged =
            || Error::damaged(&self.folder.join(&place.name), "a place of a combine", "another file");
        let state = text.get(STATE).and_then(|state| serde_json::from_str::<FileRef>(state).ok());
        let state = state.ok_or_else(damaged)?;
        let combined = self.stage.root.run(self.stage.run).combined();
        let parameters =
            model_parameters(&combined, &state, &head.job().training, head.shape().parameters())?;
        let unscored = Some(Unscored { head, parameters: Box::new(parameters), scoring });
        Ok(Merged { combined: Combined { state: Some(state), ..Combined::default() }, unscored })
    }

    fn merged(&self) -> Result<Merged, Failed> {
        let stage = &self.stage;
        let again = |worker| (self.open)(stage, worker, None);
        on_results(stage, self.results, again, |results| {
            if stage.number == 0 {
                return Ok(Merged { combined: features::combine(stage, results)?, unscored: None });
            }
            let head = Arc::new(TrainedHead::open(stage)?);
            let (combined, parameters) = rounds::merge(stage, results, head.clone())?;
            let unscored = parameters.map(|parameters| {
                let scoring = Scoring::new(&head, &[SPLIT]);
                Unscored { head, parameters: Box::new(parameters), scoring }
            });
            Ok(Merged { combined, unscored })
        })
    }
}

impl Work<Combined> for Combining<'_> {
    fn step(&mut self) -> Result<(), Failed> {
        let Some(merged) = &mut self.merged else {
            self.merged = Some(self.merged()?);
            return Ok(());
        };
        let Some(Unscored { head, parameters, scoring }) = &mut merged.unscored else { return Ok(()) };
        scoring.step(head, parameters).map_err(|error| match error {
            // A class's score is not finite.
            Error::Argument { .. } => rounds::not_finite(&self.stage, &head.job().training),
            error => error.into(),
        })
    }

    fn progress(&self) -> Progress {
        let Some(Merged { unscored, .. }) = &self.merged else { return Progress { done: 0, of: 1 } };
        let scoring = unscored.as_ref().map(|unscored| unscored.scoring.progress());
        let Progress { done, of } = scoring.unwrap_or(Progress { done: 0, of: 0 });
        Progress { done: 1 + done, of: 1 + of }
    }

    fn save(&mut self) -> Result<FileRef, Failed> {
        let made = self
            .merged
            .as_ref()
            .and_then(|merged| merged.combined.state.as_ref().zip(merged.unscored.as_ref()));
        let Some((state, unscored)) = made else {
            return Err(Failed::halt("a combine has a place to save only while it scores a state"));
        };
        let state = serde_json::to_string(state).map_err(|error| Failed::halt(error.to_string()))?;
        Ok(unscored.scoring.save(&self.folder, "combine", Notes::from([(STATE.to_owned(), state)]))?)
    }

    fn publish(&mut self) -> Result<Combined, Failed> {
        let Some(Merged { mut combined, unscored }) = self.merged.take() else {
            return Err(Failed::halt("a combine was published before it was done"));
        };
        if let Some((_, scored)) = unscored.as_ref().and_then(|unscored| unscored.scoring.scored().next()) {
            let mut score = protocol::Score::from(scored.score);
            if let Some(state) = &combined.state {
                score.values.push(train_loss(&self.stage.root.run(self.stage.run).combined(), state)?);
            }
            combined.score = Some(score);
        }
        Ok(combined)
    }
}
