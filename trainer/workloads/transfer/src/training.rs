//! A job's head on its features, as rounds train it.

use crate::features::{self, FeatureBatch, FeaturePass, Rows, Store};
use crate::head::{Batch, Engine, HeadShape, engine, first_parameters};
use crate::job::Job;
use crate::score::{Scored, Tally};
use crate::{Error, Result};
use protocol::Score;
use rounds::{Examples, Layout, Optimizer, State, Trainable, Training};
use std::ops::Range;
use std::sync::Arc;
use storage::Root;
use work::{Failed, Stage};

/// Rows that are scored at a time: fixed, so that sums are made in one order.
const ROWS: usize = 256;
/// The same where layers of the network itself are trained.
const DEEP_ROWS: usize = 8;

/// A head on a feature store.
pub(crate) struct TrainedHead {
    root: Root,
    job: Job,
    threads: usize,
    store: Arc<Store>,
    examples: Examples,
    shape: HeadShape,
    layout: Layout,
    engine: Box<dyn Engine>,
}

impl TrainedHead {
    /// The head of a job, on its complete feature store.
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::Damaged`] name a file of the store; [`Error::Job`]; those of the head's
    /// layers.
    pub(crate) fn open(stage: &Stage<'_>) -> Result<TrainedHead> {
        let Stage { root, job, features, threads, .. } = *stage;
        let job = Job::of(job)?;
        TrainedHead::on(features::open(root, &job, features)?, root, &job, threads)
    }

    fn on(store: Arc<Store>, root: &Root, job: &Job, threads: usize) -> Result<TrainedHead> {
        let shape = HeadShape::new(job, store.columns(), store.classes())?;
        let (train, val) = (store.need("train")?, store.need("val")?);
        Ok(TrainedHead {
            engine: engine(job, &shape, threads)?,
            layout: shape.layout(),
            examples: Examples {
                count: train.images(),
                copies: train.copies(),
                bytes: train.columns() * 4,
                held_out: val.images(),
            },
            root: root.clone(),
            job: job.clone(),
            threads,
            store,
            shape,
        })
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn job(&self) -> &Job {
        &self.job
    }

    pub(crate) fn shape(&self) -> &HeadShape {
        &self.shape
    }

    /// The score of parameters on a split of the store.
    ///
    /// # Errors
    /// Those of reading it; [`Error::Argument`] when a score is not finite.
    pub(crate) fn scored(&self, rows: &Rows, parameters: &[f32]) -> Result<Scored> {
        let mut tally = Tally::new(self.store.classes());
        let at_a_time = self.rows_at_a_time();
        for first in (0..rows.len()).step_by(at_a_time) {
            self.score_rows(rows, first..rows.len().min(first + at_a_time), parameters, &mut tally)?;
        }
        Ok(tally.scored())
    }

    /// Adds the scores of some rows of a split to a tally.
    ///
    /// # Errors
    /// As [`TrainedHead::scored`].
    pub(crate) fn score_rows(
        &self,
        rows: &Rows,
        range: Range<usize>,
        parameters: &[f32],
        tally: &mut Tally,
    ) -> Result<()> {
        let features = rows.read(range.clone())?; // [rows, columns]
        tally.add(&self.engine.scores(parameters, features)?, &rows.labels()[range])
    }

    /// Rows that are scored in a step: layers of the network itself take long for each.
    pub(crate) fn rows_at_a_time(&self) -> usize {
        if self.shape.block().is_some() { DEEP_ROWS } else { ROWS }
    }
}

/// The same batch in the head's form.
fn of(batch: &FeatureBatch) -> Batch<'_> {
    let FeatureBatch { features, labels, images, pass } = batch;
    Batch { features, labels, images, pass: *pass }
}

impl Trainable for TrainedHead {
    type Pass = FeaturePass;

    fn training(&self) -> &Training {
        &self.job.training
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn first(&self) -> Result<Vec<f32>, Failed> {
        Ok(first_parameters(&self.root, &self.job, &self.shape)?)
    }

    fn examples(&self) -> Examples {
        self.examples
    }

    fn pass(&self, number: u64, rows: Vec<u32>, batch: usize) -> FeaturePass {
        FeaturePass::new(self.store.clone(), number, rows, batch)
    }

    fn add_gradient(&self, parameters: &[f32], batch: &FeatureBatch, sum: &mut [f32]) -> Result<f64, Failed> {
        Ok(self.engine.add_gradient(parameters, of(batch), sum)?)
    }

    fn step(
        &self,
        optimizer: &Optimizer,
        rate: f64,
        batch: &FeatureBatch,
        state: &mut State,
    ) -> Result<f64, Failed> {
        Ok(self.engine.step(optimizer, rate, of(batch), state)?)
    }

    fn score(&self, parameters: &[f32]) -> Result<Option<Score>, Failed> {
        match self.scored(self.store.need("val")?, parameters) {
            Err(Error::Argument { .. }) => Ok(None), // a class's score is not finite
            scored => Ok(Some(scored?.score.into())),
        }
    }

    fn smoothed(&self, label_smoothing: f64) -> Result<TrainedHead, Failed> {
        let mut job = self.job.clone();
        job.training.label_smoothing = label_smoothing;
        Ok(TrainedHead::on(self.store.clone(), &self.root, &job, self.threads)?)
    }
}

#[cfg(test)]
mod tests;
