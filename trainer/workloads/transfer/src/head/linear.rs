//! Linear layers on the features themselves, by our own products.

use super::dense::Dense;
use super::dropout::Dropout;
use super::engine::{Batch, Engine};
use super::shape::HeadShape;
use crate::Result;
use crate::job::Job;
use rounds::{Optimizer, State};

/// Computes a head of linear layers.
#[derive(Debug)]
pub(super) struct Linear {
    dense: Dense,
    dropout: Dropout,
}

impl Linear {
    pub(super) fn new(job: &Job, shape: &HeadShape, threads: usize) -> Result<Linear> {
        let dense = Dense::new(shape, job.training.label_smoothing, threads)?;
        Ok(Linear { dense, dropout: Dropout::of(job, shape) })
    }
}

impl Engine for Linear {
    fn add_gradient(&self, parameters: &[f32], batch: Batch<'_>, sum: &mut [f32]) -> Result<f64> {
        let masks = self.dropout.masks(&batch);
        let features = masks.features(batch.features);
        let batch = Batch { features: &features, ..batch };
        Ok(self.dense.add_gradient(parameters, &batch, &masks, 1.0, sum).1)
    }

    fn step(&self, optimizer: &Optimizer, rate: f64, batch: Batch<'_>, state: &mut State) -> Result<f64> {
        let masks = self.dropout.masks(&batch);
        let features = masks.features(batch.features);
        let batch = Batch { features: &features, ..batch };
        Ok(self.dense.step(optimizer, rate, &batch, &masks, state))
    }

    fn scores(&self, parameters: &[f32], features: Vec<f32>) -> Result<Vec<f32>> {
        Ok(self.dense.scores(parameters, &features))
    }
}
