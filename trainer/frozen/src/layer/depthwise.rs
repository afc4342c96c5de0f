//! A depthwise convolution: strips of output rows from input rows copied with their padding.
use networks::Conv;

use super::{Layer, View, lanes_of, no_memory};
use crate::Error;
use crate::fuse::Clamp;
use crate::kernels::{Buffer, DepthwiseRow, Target};
use crate::parameters::{Affine, Kernels};
use crate::plan::padded;
use crate::strips::{Crew, even};

/// Output rows of a strip: few rows are copied by two strips, and the copies stay in the level-2 cache.
const STRIP: usize = 8;

pub(crate) struct Depthwise {
    input: View,
    output: View,
    kernel: usize,
    stride: usize,
    padding: usize,
    /// `[kernel, kernel, columns]`
    weights: Buffer,
    bias: Vec<f32>,
    clamp: Clamp,
}

impl Depthwise {
    pub(crate) fn new(
        conv: &Conv,
        affine: Affine,
        input: View,
        output: View,
        clamp: Clamp,
    ) -> Result<Self, Error> {
        let &Conv { kernel, stride, padding, .. } = conv;
        let weights = pack(&Kernels::of(conv, &affine.weight)).map_err(no_memory)?;
        Ok(Depthwise { input, output, kernel, stride, padding, weights, bias: lanes_of(&affine.bias), clamp })
    }

    /// Floats of a copied row.
    fn line(&self) -> usize {
        (self.input.size.width + 2 * self.padding) * self.input.columns()
    }

    /// Copies one input row, counted from the top padding, with zeros left and right.
    fn copy_row(&self, image: &[f32], row: usize, copy: &mut [f32]) {
        if row < self.padding || row >= self.padding + self.input.size.height {
            return copy.fill(0.0);
        }
        let edge = self.padding * self.input.columns();
        let length = self.input.row();
        copy[..edge].fill(0.0);
        copy[edge..edge + length].copy_from_slice(&image[(row - self.padding) * length..][..length]);
        copy[edge + length..].fill(0.0);
    }
}

impl Layer for Depthwise {
    fn run(&self, crew: &Crew, n: usize, inputs: &[&[f32]], out: &mut [f32]) {
        let height = self.output.size.height;
        let per_image = even(height, STRIP, crew.threads.div_ceil(n));
        let strips = (0..n)
            .flat_map(|i| per_image.clone().map(move |rows| i * height + rows.start..i * height + rows.end));
        let (line, row_floats) = (self.line(), self.output.row());
        crew.deal(
            out,
            strips,
            |rows| rows.len() * row_floats,
            |rows, strip, scratch| {
                let (image, from) = (rows.start / height, rows.start % height);
                let source = &inputs[0][image * self.input.image()..];
                let count = (rows.len() - 1) * self.stride + self.kernel;
                for (row, copy) in scratch.chunks_exact_mut(line).take(count).enumerate() {
                    self.copy_row(source, from * self.stride + row, copy);
                }
                for (row, out) in strip.chunks_mut(row_floats).enumerate() {
                    crew.target.depthwise_row(&mut DepthwiseRow {
                        input: &scratch[row * self.stride * line..],
                        pitch: line,
                        kernel: self.kernel,
                        stride: self.stride,
                        channels: self.input.columns(),
                        weights: &self.weights,
                        bias: &self.bias,
                        low: self.clamp.low,
                        high: self.clamp.high,
                        count: self.output.size.width,
                        out,
                        out_pitch: self.output.pitch,
                    });
                }
            },
        );
    }

    fn load(&mut self, _: Target, kernels: &Kernels, bias: &[f32]) {
        pack_into(kernels, &mut self.weights);
        self.bias = lanes_of(bias);
    }

    fn scratch(&self) -> usize {
        ((STRIP - 1) * self.stride + self.kernel) * self.line()
    }

    fn algorithm(&self) -> &'static str {
        "depthwise"
    }
}

/// torchvision's `[channels, 1, kernel, kernel]` to `[kernel, kernel, columns]`.
pub(super) fn pack(kernels: &Kernels) -> std::io::Result<Buffer> {
    let mut packed = Buffer::zeroed(kernels.window * padded(kernels.outputs))?;
    pack_into(kernels, &mut packed);
    Ok(packed)
}

/// The same into memory that such weights had before.
fn pack_into(kernels: &Kernels, packed: &mut [f32]) {
    for (at, row) in packed.chunks_exact_mut(padded(kernels.outputs)).enumerate() {
        for (channel, weight) in row.iter_mut().take(kernels.outputs).enumerate() {
            *weight = kernels.tap(channel, 0, at);
        }
    }
}
