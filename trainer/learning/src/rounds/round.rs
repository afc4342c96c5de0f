//! What a worker and a combine of a round share: the store, the head's shape, the optimizer, the state to begin with.

use super::saved::read_state;
use crate::features::{Rows, Store};
use crate::head::{HeadShape, Optimizer, State, Trainer, first_parameters};
use crate::{Error, Result};
use protocol::{FeatureStore, FileRef, Job, RunId};
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
}

impl Round {
    pub(super) fn open(
        root: &Root,
        job: &Job,
        number: u32,
        features: &FeatureStore,
        threads: usize,
    ) -> Result<Round> {
        let store = Store::open(root, job, features)?;
        let shape = HeadShape::new(job, store.columns(), store.classes())?;
        Ok(Round {
            optimizer: Optimizer::new(job, &shape),
            trainer: Trainer::new(job, &shape, threads)?,
            number,
            shape,
            store,
            job: job.clone(),
        })
    }

    /// The state that the round begins with: what the last round gave, or a new head.
    pub(super) fn state(&self, root: &Root, run: &RunId, state: Option<&FileRef>) -> Result<State> {
        match state {
            Some(file) => read_state(&root.run(run).combined(), file, &self.shape, &self.optimizer),
            None if self.number == 1 => {
                Ok(self.optimizer.start(first_parameters(root, &self.job, &self.shape)?))
            }
            None => {
                let expected = format!("the combined state of round {}", self.number - 1);
                Err(Error::argument(format!("round {}", self.number), expected, "none"))
            }
        }
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
