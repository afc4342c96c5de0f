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
pub use saved::train_loss;
pub use schedule::rate;
pub use trainable::{Batch, BatchOf, Pass, Trainable};

use frozen::Buffer;
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
    let (mut combined, parameters) = merge(at, results, of.clone())?;
    if let Some(parameters) = parameters {
        combined.score = Some(of.score(&parameters)?.ok_or_else(|| not_finite(at, of.training()))?);
    }
    Ok(combined)
}

/// The same without the score, for whoever scores in steps; gives the parameters that are to be scored,
/// if they are.
///
/// # Errors
/// When training has diverged; when a file is damaged, cannot be read or cannot be written.
pub fn merge<T: Trainable>(
    at: &Stage<'_>,
    results: &[FileRef],
    of: Arc<T>,
) -> Result<(Combined, Option<Buffer>)> {
    match of.training().tune {
        Some(_) => Ok((tuning::combine(at, results, of)?, None)),
        None => combine::merge_stage(at, results, of),
    }
}

/// That the score of a round is not finite, and what to do.
pub fn not_finite(at: &Stage<'_>, training: &Training) -> Failed {
    round::not_finite(training, at.course.rounds_in(at.number), "a score on the validation split", None)
}

#[cfg(test)]
mod tests;
