//! The head: the layers that are trained on the features, a softmax layer, a small MLP, the network's
//! classifier, or the network's last layers, convolutions too.

mod autodiff;
mod block;
mod deep;
mod dense;
mod dropout;
mod engine;
mod linear;
mod shape;
mod start;

pub(crate) use engine::{Batch, Engine};
pub(crate) use shape::{HeadShape, Layer};
pub(crate) use start::{check_start, first_parameters};

use crate::Result;
use crate::job::{Head, Job};
use autodiff::Autodiff;
use deep::Deep;
use linear::Linear;

/// The engine of a job's head: burn's autodiff for an MLP, our own products for everything else.
///
/// # Errors
/// [`crate::Error::Frozen`] for a layer that has no gradient; those of starting threads.
pub(crate) fn engine(job: &Job, shape: &HeadShape, threads: usize) -> Result<Box<dyn Engine>> {
    Ok(match (&job.head, shape.block()) {
        (Head::Mlp { .. }, _) => Box::new(Autodiff::new(job, shape)?),
        (_, None) => Box::new(Linear::new(job, shape, threads)?),
        (_, Some(block)) => Box::new(Deep::new(job, shape, block, threads)?),
    })
}

#[cfg(test)]
mod tests;
