//! The moving average of the weights over rounds: what is scored and published, while training goes on from the weights.
//!
//! With p_k the weights after round k and d the job's decay it is Σ dʳ⁻ᵏ p_k / Σ dʳ⁻ᵏ after round r, over k from 1 to r: of
//! no bias towards the beginning, and after round 1 the weights themselves. It is had from that of the round before as
//! (1 - w) a + w p, with w = (1 - d) / (1 - dʳ), value by value.

use super::common::Common;
use super::round::Round;
use super::saved::PARAMETERS;
use crate::Result;
use crate::work::CombineOrder;
use protocol::Job;
use std::ops::Range;

/// Name of the array of averaged weights.
pub(super) const AVERAGED: &str = "averaged";

/// The array of a combined state that makes the model: it is scored and published.
pub(crate) fn model_array(job: &Job) -> &'static str {
    if job.average_decay.is_some() { AVERAGED } else { PARAMETERS }
}

/// How the average goes on in a round.
pub(super) struct Moving {
    /// What the weights after the round are worth in it.
    weight: f64,
    /// The state with the average of the round before; none in round 1.
    before: Option<Common>,
}

impl Moving {
    /// That of a round, if the job asks for it.
    ///
    /// # Errors
    /// Those of [`Common::open`].
    pub(super) fn open(order: &CombineOrder<'_>, round: &Round) -> Result<Option<Moving>> {
        let Some(decay) = round.job.average_decay else { return Ok(None) };
        let before = order.state.map(|file| round.common(order.root, order.run, file)).transpose()?;
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
            // In f64 and rounded once: what no round changes, as batch norm's statistics, stays to the last bit.
            let moved = (1.0 - self.weight) * f64::from(*average) + self.weight * f64::from(value);
            *average = moved as f32;
        }
        Ok(())
    }
}

/// What the weights after a round, from 1, are worth in the average.
fn weight(decay: f64, round: u32) -> f64 {
    (1.0 - decay) / (1.0 - decay.powf(f64::from(round)))
}

#[cfg(test)]
mod tests;
