//! A linear layer: its weights are packed in the order in which they are read, and read once for a batch.
use rayon::prelude::*;

use super::{Layer, View, no_memory};
use crate::Error;
use crate::choice;
use crate::fuse::{Clamp, clamped};
use crate::kernels::{Buffer, Dot, GROUP, LANES, PIECE};
use crate::parameters::Affine;
use crate::plan::padded;
use crate::strips::{Crew, even};

/// Groups of a strip: with eight images the sums of its outputs fill half a level-1 cache.
const STRIP: usize = 11;

pub(crate) struct Linear {
    input: View,
    output: View,
    /// As [`Dot`] reads them.
    weights: Buffer,
    depth: usize,
    bias: Vec<f32>,
    clamp: Clamp,
}

impl Linear {
    pub(crate) fn new(affine: Affine, input: View, output: View, clamp: Clamp) -> Result<Linear, Error> {
        let inputs = affine.weight.len() / affine.bias.len();
        let weights = pack(&affine.weight, inputs, affine.bias.len()).map_err(no_memory)?;
        Ok(Linear { input, output, weights, depth: padded(inputs), bias: affine.bias, clamp })
    }

    fn groups(&self) -> usize {
        self.bias.len().div_ceil(GROUP)
    }
}

impl Layer for Linear {
    fn run(&self, crew: &Crew, n: usize, inputs: &[&[f32]], out: &mut [f32]) {
        let group = GROUP * n;
        let mut columns = vec![0.0; self.groups() * group]; // [outputs, n]
        let strips = even(self.groups(), STRIP, crew.threads);
        crew.deal(
            &mut columns,
            strips,
            |strip| strip.len() * group,
            |strip, part, scratch| {
                crew.target.dot(&mut Dot {
                    inputs: inputs[0],
                    input_pitch: self.input.pitch,
                    batch: n,
                    weights: &self.weights,
                    groups: self.groups(),
                    depth: self.depth,
                    first: strip.start,
                    sums: scratch,
                    out: part,
                });
            },
        );
        let outputs = self.bias.len();
        for (image, row) in out.chunks_mut(self.output.pitch).take(n).enumerate() {
            row[outputs..padded(outputs)].fill(0.0);
            for (output, (value, bias)) in row.iter_mut().zip(&self.bias).enumerate() {
                *value = clamped(columns[output * n + image] + bias, self.clamp);
            }
        }
    }

    fn scratch(&self) -> usize {
        STRIP * GROUP * choice::MOST_IMAGES * LANES
    }

    fn algorithm(&self) -> &'static str {
        "linear"
    }
}

/// torchvision's `[outputs, inputs]` to pieces of groups.
fn pack(weight: &[f32], inputs: usize, outputs: usize) -> std::io::Result<Buffer> {
    let (depth, groups) = (padded(inputs), outputs.div_ceil(GROUP));
    let mut packed = Buffer::zeroed(groups * GROUP * depth)?;
    packed.par_chunks_mut(groups * GROUP * PIECE).enumerate().for_each(|(piece, chunk)| {
        let (from, length) = (piece * PIECE, chunk.len() / (groups * GROUP));
        for (group, chunk) in chunk.chunks_exact_mut(GROUP * length).enumerate() {
            for (row, output) in (group * GROUP..outputs.min(group * GROUP + GROUP)).enumerate() {
                let weights = &weight[output * inputs..][from..inputs.min(from + length)];
                for (at, lanes) in weights.chunks(LANES).enumerate() {
                    chunk[(at * GROUP + row) * LANES..][..lanes.len()].copy_from_slice(lanes);
                }
            }
        }
    });
    Ok(packed)
}
