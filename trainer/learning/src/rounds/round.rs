//! What a worker and a combine of a round share: the store, the head's shape, the optimizer, the state to begin with.

use super::averaged::AVERAGED;
use super::common::Common;
use super::outer::{VELOCITY, outer};
use super::saved::PARAMETERS;
use crate::features::{Rows, Store};
use crate::head::{HeadShape, Optimizer, State, Trainer, first_parameters};
use crate::{Error, Result};
use protocol::{FeatureStore, FileRef, Job, Outer, Part, RunId};
use std::sync::Arc;
use storage::Root;

/// One round of a run.
pub(super) struct Round {
    pub(super) job: Job,
    /// From 1.
    pub(super) number: u32,
    pub(super) store: Arc<Store>,
    pub(super) shape: HeadShape,
    pub(super) optimizer: Optimizer,
    pub(super) trainer: Trainer,
    /// How the mean change moves the parameters, if workers publish changes.
    pub(super) outer: Option<Outer>,
}

/// Where a worker's round begins.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) root: Root,
    pub(super) run: RunId,
    /// The combined state of the round before; none in round 1.
    pub(super) state: Option<FileRef>,
    pub(super) worker: u32,
}

impl Round {
    pub(super) fn open(
        root: &Root,
        job: &Job,
        part: Part,
        features: &FeatureStore,
        threads: usize,
    ) -> Result<Round> {
        let store = Store::open(root, job, features)?;
        let shape = HeadShape::new(job, store.columns(), store.classes())?;
        Ok(Round {
            optimizer: Optimizer::new(job, &shape),
            trainer: Trainer::new(job, &shape, threads)?,
            number: part.round(),
            shape,
            store,
            outer: outer(job),
            job: job.clone(),
        })
    }

    /// The arrays of a combined state: those that training goes on from, and the average that is published.
    pub(super) fn combined_arrays(&self) -> Vec<&'static str> {
        self.arrays().into_iter().chain(self.job.average_decay.map(|_| AVERAGED)).collect()
    }

    /// The arrays that training goes on from, the parameters first.
    pub(super) fn arrays(&self) -> Vec<&'static str> {
        let memory: &[&str] = match self.outer {
            None => self.optimizer.memory_names(),
            Some(Outer { momentum, .. }) if momentum > 0.0 => &[VELOCITY],
            Some(_) => &[],
        };
        [&[PARAMETERS], memory].concat()
    }

    /// The parameters that the round begins with: what the last round gave, or a new head.
    pub(super) fn parameters(&self, root: &Root, run: &RunId, state: Option<&FileRef>) -> Result<Vec<f32>> {
        match state {
            Some(file) => self.common(root, run, file)?.array(PARAMETERS),
            None if self.number == 1 => first_parameters(root, &self.job, &self.shape),
            None => {
                let expected = format!("the combined state of round {}", self.number - 1);
                Err(Error::argument(format!("round {}", self.number), expected, "none"))
            }
        }
    }

    /// The state that the round begins with; what workers keep to themselves is still empty.
    pub(super) fn state(&self, root: &Root, run: &RunId, file: Option<&FileRef>) -> Result<State> {
        let mut state = self.optimizer.start(self.parameters(root, run, file)?);
        if let Some(file) = file.filter(|_| self.outer.is_none()) {
            let common = self.common(root, run, file)?;
            for (name, memory) in self.optimizer.memory_names().iter().zip(&mut state.memory) {
                *memory = common.array(name)?;
            }
            state.steps = common.number("steps")?;
        }
        Ok(state)
    }

    /// A combined state of this run.
    pub(super) fn common(&self, root: &Root, run: &RunId, file: &FileRef) -> Result<Common> {
        Common::open(&root.run(run).combined(), file, self.shape.parameters())
    }

    /// The pass over the images that it is of, and which part of that; both from 0. A round of several passes counts as one.
    pub(super) fn epoch(&self) -> (u32, u32) {
        let parts = self.job.rounds_per_epoch;
        ((self.number - 1) / parts, (self.number - 1) % parts)
    }

    /// The images to train on.
    pub(super) fn train(&self) -> Result<&Rows> {
        self.store.need("train")
    }

    /// What has left the finite numbers, and where.
    pub(super) fn not_finite(&self, what: &'static str, worker: Option<u32>) -> Error {
        Error::NotFinite { what, round: self.number, worker, learning_rate: self.job.learning_rate }
    }
}
