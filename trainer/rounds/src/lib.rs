//! Rounds of training, of anything that is [`Trainable`]: each worker's share, and the combine that makes one
//! state from all results; and the rungs of a tuning, which are its rounds.

mod average;
mod chunked;
pub mod clip;
mod combine;
mod gradient;
pub mod keys;
mod layout;
mod merge;
mod moving;
mod optimizer;
mod order;
mod outer;
pub mod random;
mod reduce;
mod round;
mod saved;
mod schedule;
mod slices;
mod state;
mod trainable;
mod training;
pub mod tuning;

pub use keys::Training;
pub use layout::{Array, Layout};
pub use moving::model_parameters;
pub use optimizer::{Optimizer, Rule, State};
pub use order::Examples;
pub use round::result_bytes;
pub use schedule::rate;
pub use trainable::{Batch, BatchOf, Pass, Trainable};

use protocol::{At, FileRef};
use slices::SliceWork;
use std::sync::Arc;
use work::{Combined, Failed, Opened, Stage};

type Result<T, E = Failed> = std::result::Result<T, E>;

/// Opens a worker's stage of a round where its last leg left it.
///
/// # Errors
/// If a file is damaged, cannot be read or cannot be written.
pub fn open<T: Trainable>(at: &Stage<'_>, worker: u32, place: Option<&FileRef>, of: Arc<T>) -> Opened {
    match at.course.at(at.number) {
        At::Round { step: 1.., .. } => Ok(Box::new(SliceWork::open(at, worker, of)?)),
        _ if of.training().tune.is_some() => tuning::open(at, worker, place, of),
        _ => training::open(at, worker, place, of),
    }
}

/// Combines the results of the workers of a stage of a round, in worker order, and scores the state.
///
/// # Errors
/// If training has diverged; if a file is damaged, cannot be read or cannot be written.
pub fn combine<T: Trainable>(at: &Stage<'_>, results: &[FileRef], of: Arc<T>) -> Result<Combined> {
    match of.training().tune {
        Some(_) => tuning::combine(at, results, of),
        None => combine::combine(at, results, of),
    }
}

#[cfg(test)]
mod tests;
