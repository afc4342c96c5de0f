//! A linear layer: its weights stay as they came and are read once for a batch.
use super::{Layer, View};
use crate::fuse::Clamp;
use crate::kernels::{Dot, LANES};
use crate::parameters::Affine;
use crate::plan::padded;
use crate::strips::{Crew, even};

/// Outputs of a strip: with eight images their partial sums fill half a level-1 cache.
const STRIP: usize = 64;

pub(crate) struct Linear {
    input: View,
    output: View,
    /// `[outputs, padded inputs]`
    weights: Vec<f32>,
    depth: usize,
    bias: Vec<f32>,
    clamp: Clamp,
}

impl Linear {
    pub(crate) fn new(affine: Affine, inputs: usize, input: View, output: View, clamp: Clamp) -> Linear {
        let depth = padded(inputs);
        let weights = if depth == inputs {
            affine.weight.into_owned()
        } else {
            let mut weights = vec![0.0; affine.bias.len() * depth];
            for (to, from) in weights.chunks_exact_mut(depth).zip(affine.weight.chunks_exact(inputs)) {
                to[..inputs].copy_from_slice(from);
            }
            weights
        };
        Linear { input, output, weights, depth, bias: affine.bias, clamp }
    }
}

impl Layer for Linear {
    fn run(&self, crew: &Crew, n: usize, inputs: &[&[f32]], out: &mut [f32]) {
        let outputs = self.bias.len();
        let mut columns = vec![0.0; outputs * n]; // [outputs, n]
        let strips = even(outputs, STRIP, crew.threads);
        crew.deal(
            &mut columns,
            strips,
            |strip| strip.len() * n,
            |strip, part, scratch| {
                crew.target.dot(&mut Dot {
                    inputs: inputs[0],
                    input_pitch: self.input.pitch,
                    batch: n,
                    weights: &self.weights[strip.start * self.depth..],
                    depth: self.depth,
                    bias: &self.bias[strip],
                    low: self.clamp.low,
                    high: self.clamp.high,
                    out: part,
                    sums: scratch,
                });
            },
        );
        for (image, row) in out.chunks_mut(self.output.pitch).take(n).enumerate() {
            row[..padded(outputs)].fill(0.0);
            for (output, value) in row[..outputs].iter_mut().enumerate() {
                *value = columns[output * n + image];
            }
        }
    }

    fn scratch(&self) -> usize {
        STRIP * crate::choice::MOST_IMAGES * LANES
    }

    fn algorithm(&self) -> &'static str {
        "linear"
    }
}
