//! A step of tokens that is ready to run, and the batch that it runs on.

use std::ops::Range;

use super::place::View;
use crate::kernels::{Normalise, Target};
use crate::strips::Crew;

/// Several images or sentences, whose tokens follow each other.
pub(crate) struct Batch<'a> {
    /// Where each one's tokens begin, and where the last one's end.
    pub(crate) starts: &'a [usize],
    /// Each token's id; none for images.
    pub(crate) ids: &'a [u32],
    /// Each token's segment; all 0 if there are none.
    pub(crate) segments: &'a [u8],
    /// The images, one after the other; none for sentences.
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

/// A layer norm after a step's rows.
pub(super) struct Norm {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) epsilon: f64,
    /// The offset from a row's first number to the normed ones: 0 if nobody reads the row itself.
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
