//! The end of a run: its best state is scored on the splits that are held out, in legs, and then published.

use crate::publish::publish;
use crate::scoring::{Notes, Scoring};
use crate::training::TrainedHead;
use protocol::FileRef;
use rounds::{model_parameters, tuning};
use std::path::PathBuf;
use work::{Failed, Fate, Last, Progress, Stage, Work};

/// The splits that are scored.
const SPLITS: [&str; 2] = ["val", "test"];

/// Scores, then publishes.
pub(crate) struct Ending<'a> {
    stage: Stage<'a>,
    last: Last<'a>,
    head: TrainedHead,
    parameters: Vec<f32>,
    folder: PathBuf,
    scoring: Scoring,
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
            model_parameters(&combined, last.state()?, &head.job().training, head.shape().parameters())?;
        let folder = stage.root.run(stage.run).create_stage(stage.number)?;
        let splits = if last.unscored.is_none() { &SPLITS[..] } else { &[] };
        let fresh = Scoring::new(&head, splits);
        let scoring = match last.place.map(|place| Scoring::new(&head, splits).resumed(&head, &folder, place))
        {
            None => fresh,
            Some(Ok((scoring, _))) => scoring,
            Some(Err(error)) if error.fate() == Fate::Retry => return Err(error.into()),
            Some(Err(_)) => fresh,
        };
        Ok(Ending { stage, last, head, parameters, folder, scoring })
    }
}

impl Work for Ending<'_> {
    fn step(&mut self) -> Result<(), Failed> {
        Ok(self.scoring.step(&self.head, &self.parameters)?)
    }

    fn progress(&self) -> Progress {
        self.scoring.progress()
    }

    fn save(&mut self) -> Result<FileRef, Failed> {
        Ok(self.scoring.save(&self.folder, "end", Notes::new())?)
    }

    fn publish(&mut self) -> Result<FileRef, Failed> {
        let Stage { root, run, .. } = self.stage;
        tuning::publish(root, run, &self.head.job().training, self.last.state()?)?;
        let evaluations = self.scoring.scored().map(|(split, scored)| (split, scored.into())).collect();
        let parameters = std::mem::take(&mut self.parameters);
        Ok(publish(&self.stage, &self.head, parameters, (evaluations, self.last.unscored))?)
    }
}
