//! Rounds of training: each worker's share, and the combine that makes one state of what all of them published; and the
//! rungs of a tuning, which are its rounds.

mod average;
mod averaged;
mod combine;
mod common;
mod gradient;
mod merge;
mod order;
mod outer;
mod pass;
mod round;
mod saved;
mod tuning;

pub(crate) use average::AverageWork;
pub(crate) use averaged::model_array;
pub(crate) use combine::{SliceWork, combine};
pub(crate) use common::Common;
pub(crate) use gradient::GradientWork;
pub(crate) use tuning::{combine_rung, open_rung, table_of};

use crate::head::{HeadShape, Optimizer};
use protocol::{Agreement, Job, Precision};
use std::ops::Range;

/// Bytes that a worker publishes in a round, about.
pub(crate) fn result_bytes(job: &Job, shape: &HeadShape) -> u64 {
    let arrays = match (outer::outer(job), job.agree) {
        (None, Agreement::Average) => 1 + Optimizer::new(job, shape).memory_names().len(),
        _ => 1,
    };
    let each = match job.precision {
        Precision::F32 => 4,
        Precision::Bf16 => 2,
        Precision::Int8 => 1,
    };
    (shape.parameters() * arrays * each) as u64
}

/// The part of `length` things that worker `worker` of `workers` gets: parts differ by one at the most.
fn share(length: usize, workers: u32, worker: u32) -> Range<usize> {
    let cut = |n: u32| (length as u64 * u64::from(n) / u64::from(workers)) as usize;
    cut(worker)..cut(worker + 1)
}

#[cfg(test)]
mod tests;
