//! What a step of tokens is once it is ready to run, and what it runs on.

use std::ops::Range;

use super::place::View;
use crate::kernels::{Normalise, Target};
use crate::strips::Crew;

/// Some images or sentences, the tokens of each behind those of the one before.
pub(crate) struct Batch<'a> {
    /// Where each one's tokens begin, and where the last one's end.
    pub(crate) starts: &'a [usize],
    /// Each token's id; none for images.
    pub(crate) ids: &'a [u32],
    /// Each token's segment; all 0 if there are none.
    pub(crate) segments: &'a [u8],
    /// The images, one behind the other; none for sentences.
    pub(crate) images: &'a [f32],
}

impl Batch<'_> {
    pub(crate) fn sequences(&self) -> usize {
        self.starts.len() - 1
    }

    pub(crate) fn tokens(&self) -> usize {
        self.starts[self.sequences()]
    }

    /// The tokens of an image or a sentence.
    pub(super) fn of(&self, sequence: usize) -> Range<usize> {
        self.starts[sequence]..self.starts[sequence + 1]
    }
}

/// A step that is ready to run.
pub(super) trait Layer: Send + Sync {
    /// Computes a batch. The slices start at the values' first rows.
    fn run(&self, crew: &Crew, batch: &Batch, inputs: &[&[f32]], out: &mut [f32]);

    /// Floats of scratch memory that a thread needs.
    fn scratch(&self) -> usize {
        0
    }

    /// The algorithm, for profiles.
    fn algorithm(&self) -> &'static str;
}

/// A layer norm behind a step's rows.
pub(super) struct Norm {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) epsilon: f64,
    /// How far behind a row's first number the normed ones go: 0 if nobody reads what is normed.
    pub(super) to: usize,
}

impl Norm {
    /// Norms some rows of a value.
    pub(super) fn apply(&self, target: Target, view: View, rows: usize, values: &mut [f32]) {
        target.normalise(&mut Normalise {
            values,
            rows,
            pitch: view.pitch,
            to: self.to,
            weight: &self.weight,
            bias: &self.bias,
            epsilon: self.epsilon,
        });
    }
}
