//! Rounds of training: each worker's share, and the combine that makes one state of what all of them published.

mod average;
mod gradient;
mod merge;
mod order;
mod pass;
mod round;
mod saved;

pub(crate) use average::AverageWork;
pub(crate) use gradient::GradientWork;
pub(crate) use merge::combine;
pub(crate) use saved::read_state;

use std::ops::Range;

/// The part of `length` things that worker `worker` of `workers` gets: parts differ by one at the most.
fn share(length: usize, workers: u32, worker: u32) -> Range<usize> {
    let cut = |n: u32| (length as u64 * u64::from(n) / u64::from(workers)) as usize;
    cut(worker)..cut(worker + 1)
}

#[cfg(test)]
mod tests;
