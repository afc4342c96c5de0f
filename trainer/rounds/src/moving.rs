//! The moving average of the weights over rounds: it is scored and published, while training continues from
//! the weights.
//!
//! With p_k the weights after round k and d the job's decay it is Σ dʳ⁻ᵏ p_k / Σ dʳ⁻ᵏ after round r, over k
//! from 1 to r. It has no bias towards the beginning, and after round 1 it is the weights themselves. It is
//! computed from the average of the round before as (1 - w) a + w p, with w = (1 - d) / (1 - dʳ), value by
//! value.

use super::keys::Training;
use super::round::Round;
use super::saved::{AVERAGED, PARAMETERS};
use super::state::Common;
use super::trainable::Trainable;
use crate::Result;
use protocol::FileRef;
use std::ops::Range;
use std::path::Path;
use work::Stage;

/// The parameters of a combined state that make the model.
///
/// # Errors
/// Those of reading it; if there are not `length` of them.
pub fn model_parameters(
    folder: &Path,
    state: &FileRef,
    training: &Training,
    length: usize,
) -> Result<Vec<f32>> {
    Common::open(folder, state, length)?.array(model_array(training))
}

/// The array of a combined state that makes the model: it is scored and published.
pub(super) fn model_array(training: &Training) -> &'static str {
    if training.average_decay.is_some() { AVERAGED } else { PARAMETERS }
}

/// The average's step in a round.
pub(super) struct Moving {
    /// The share of the weights after the round.
    weight: f64,
    /// The state with the average of the round before; none in round 1.
    before: Option<Common>,
}

impl Moving {
    /// The average's step of a round, if the job wants it.
    ///
    /// # Errors
    /// Those of [`Common::open`].
    pub(super) fn open<T: Trainable>(at: &Stage<'_>, round: &Round<T>) -> Result<Option<Moving>> {
        let Some(decay) = round.training.average_decay else { return Ok(None) };
        let before = at.state.map(|file| round.common(at.root, at.run, file)).transpose()?;
        Ok(Some(Moving { weight: weight(decay, round.number), before }))
    }

    /// Fills a chunk of the average, zeros so far, from the weights after the round.
    ///
    /// # Errors
    /// Those of [`Common::read`].
    pub(super) fn fill(&self, chunk: &Range<usize>, weights: &[f32], averaged: &mut [f32]) -> Result<()> {
        if let Some(before) = &self.before {
            before.read(AVERAGED, chunk.start, averaged)?;
        }
        for (average, &value) in averaged.iter_mut().zip(weights) {
            // In f64 and rounded once: values that no round changes, such as batch norm's statistics, stay
            // the same to the last bit.
            let moved = (1.0 - self.weight) * f64::from(*average) + self.weight * f64::from(value);
            *average = moved as f32;
        }
        Ok(())
    }
}

/// The share in the average of the weights after a round, from 1.
fn weight(decay: f64, round: u32) -> f64 {
    (1.0 - decay) / (1.0 - decay.powf(f64::from(round)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_round_changes_stays_to_the_last_bit() {
        let values: Vec<f32> = (1..2_000).map(|n| (n as f32).sqrt() * 1.7e-3).collect();
        for decay in [0.1, 0.5, 0.9, 0.999] {
            let mut averaged = vec![0.0; values.len()];
            for round in 1..40 {
                Moving { weight: weight(decay, round), before: None }
                    .fill(&(0..0), &values, &mut averaged)
                    .unwrap();
                assert!(averaged == values, "decay {decay}, round {round}");
            }
        }
    }
}
