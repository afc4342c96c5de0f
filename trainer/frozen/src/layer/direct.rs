//! Any convolution as one matrix multiply on strips of output rows, without an im2col matrix.
//!
//! A window's row is contiguous in memory, so an output is a product of `kernel` segments. If the borders (or
//! the channels) are padded, a strip's input rows are first copied to scratch with their zeros.
use std::ops::Range;

use networks::Conv;
use rayon::prelude::*;

use super::{Activation, Addend, Layer, View, Wiring, lanes_of, no_memory};
use crate::Error;
use crate::choice;
use crate::kernels::{Buffer, Finish, Multiply, PANEL, Residual, Target};
use crate::parameters::{Affine, Kernels};
use crate::plan::padded;
use crate::strips::{Crew, inside_images};

pub(crate) struct Direct {
    input: View,
    output: View,
    kernel: usize,
    stride: usize,
    padding: usize,
    /// `[outputs / PANEL][kernel, kernel, inputs][PANEL]`
    weights: Buffer,
    bias: Vec<f32>,
    activation: Activation,
    /// Whether strips are copied to scratch first.
    copied: bool,
    /// Output rows of the largest strip.
    strip: usize,
    /// Where the pixels of the largest strip start.
    rows: Vec<usize>,
    /// Where their outputs start.
    out_rows: Vec<usize>,
}

impl Direct {
    pub(crate) fn new(conv: &Conv, affine: Affine, wiring: Wiring, threads: usize) -> Result<Direct, Error> {
        let Wiring { mut input, mut output, mut activation } = wiring;
        let &Conv { kernel, stride, padding, .. } = conv;
        if kernel == 1 && stride == 1 && padding == 0 {
            // Pixels need no rows here: they are treated as a column, so that a strip may have any length.
            let column = |view: &mut View| {
                view.size.height *= view.size.width;
                view.size.width = 1;
            };
            column(&mut input);
            column(&mut output);
            if let Some(Addend::Value(view)) = &mut activation.residual {
                column(view);
            }
        }
        let copied = padding > 0 || (kernel > 1 && input.pitch != conv.inputs);
        let pixel = if copied { conv.inputs } else { input.pitch };
        let line = (input.size.width + 2 * padding) * pixel;
        let width = output.size.width;
        let strip = (choice::strip_rows(kernel * conv.inputs * stride.min(kernel)) / width).max(1);
        let strip = strip.min(output.size.height.div_ceil(threads)).max(1);
        let out_rows = (0..strip * width).map(|m| m * output.pitch).collect();
        let rows = (0..strip * width).map(|m| (m / width * line + m % width * pixel) * stride).collect();
        let weights = pack(&Kernels::of(conv, &affine.weight)).map_err(no_memory)?;
        let bias = lanes_of(&affine.bias);
        Ok(Direct {
            input,
            output,
            kernel,
            stride,
            padding,
            weights,
            bias,
            activation,
            copied,
            strip,
            rows,
            out_rows,
        })
    }

    /// Channels that are read.
    fn inputs(&self) -> usize {
        self.input.size.channels
    }

    /// Pixels of a copied row.
    fn copied_width(&self) -> usize {
        self.input.size.width + 2 * self.padding
    }

    /// Output rows of the largest strip.
    pub(super) fn most_rows(&self) -> usize {
        self.strip
    }

    /// Output rows `rows` of the batch, at most a strip, into `out`; they are rows of one image, unless its
    /// pixels are a column.
    pub(super) fn run_strip(
        &self,
        crew: &Crew,
        rows: Range<usize>,
        inputs: &[&[f32]],
        out: &mut [f32],
        scratch: &mut [f32],
    ) {
        let (width, height) = (self.output.size.width, self.output.size.height);
        let (image, from) = (rows.start / height, rows.start % height);
        let source = &inputs[0][image * self.input.image()..];
        let (a, pitch) = if self.copied {
            self.copy(source, from, from + rows.len(), scratch);
            (&*scratch, self.copied_width() * self.inputs())
        } else {
            (&source[from * self.stride * self.input.row()..], self.input.row())
        };
        let residual = self.activation.residual.map(|addend| match addend {
            Addend::Value(view) => Residual::Values(&inputs[1][rows.start * view.row()..], view.pitch),
            Addend::There => Residual::There,
        });
        let clamp = self.activation.clamp;
        crew.target.multiply(&mut Multiply {
            a,
            rows: &self.rows[..rows.len() * width],
            segments: self.kernel,
            pitch,
            depth: self.kernel * self.inputs(),
            b: &self.weights,
            columns: self.output.columns(),
            c: out,
            c_rows: &self.out_rows[..rows.len() * width],
            residual,
            finish: Some(Finish { bias: &self.bias, low: clamp.low, high: clamp.high, addend: None }),
        });
    }

    /// Copies the input rows of output rows `from..to`, with zeros around.
    fn copy(&self, image: &[f32], from: usize, to: usize, scratch: &mut [f32]) {
        let (channels, padding) = (self.inputs(), self.padding);
        let line = self.copied_width() * channels;
        let first = from * self.stride;
        let count = (to - from - 1) * self.stride + self.kernel;
        for (row, copy) in (first..first + count).zip(scratch.chunks_exact_mut(line)) {
            if row < padding || row >= padding + self.input.size.height {
                copy.fill(0.0);
                continue;
            }
            let source = &image[(row - padding) * self.input.row()..];
            let (left, rest) = copy.split_at_mut(padding * channels);
            let (middle, right) = rest.split_at_mut(self.input.size.width * channels);
            left.fill(0.0);
            right.fill(0.0);
            if self.input.pitch == channels {
                middle.copy_from_slice(&source[..middle.len()]);
            } else {
                for (to, from) in middle.chunks_exact_mut(channels).zip(source.chunks(self.input.pitch)) {
                    to.copy_from_slice(&from[..channels]);
                }
            }
        }
    }
}

impl Layer for Direct {
    fn run(&self, crew: &Crew, n: usize, inputs: &[&[f32]], out: &mut [f32]) {
        let height = self.output.size.height;
        // Strips of a dense product cross from image to image; others stay inside one.
        let whole = self.kernel == 1 && self.stride == 1 && self.padding == 0;
        let (images, height) = if whole { (1, n * height) } else { (n, height) };
        let strips = inside_images(images, height, self.strip, crew.threads.div_ceil(images));
        let floats = |rows: &Range<usize>| rows.len() * self.output.row();
        crew.deal(out, strips, floats, |rows, strip, scratch| {
            self.run_strip(crew, rows, inputs, strip, scratch);
        });
    }

    fn load(&mut self, target: Target, kernels: &Kernels, bias: &[f32]) {
        pack_into(target, kernels, &mut self.weights);
        self.bias = lanes_of(bias);
    }

    fn scratch(&self) -> usize {
        let rows = (self.strip - 1) * self.stride + self.kernel;
        if self.copied { rows * self.copied_width() * self.inputs() } else { 0 }
    }

    fn algorithm(&self) -> &'static str {
        "direct"
    }
}

/// torchvision's weights to panels; a group's weights are placed among zeros.
pub(crate) fn pack(kernels: &Kernels) -> std::io::Result<Buffer> {
    let mut packed = Buffer::zeroed(kernels.window * kernels.inputs * padded(kernels.outputs))?;
    pack_into(Target::best(), kernels, &mut packed);
    Ok(packed)
}

/// The same into memory that such weights had before.
fn pack_into(target: Target, kernels: &Kernels, packed: &mut [f32]) {
    let depth = kernels.window * kernels.inputs;
    packed.par_chunks_mut(depth * PANEL).enumerate().for_each(|(panel, chunk)| {
        let width = chunk.len() / depth;
        let outputs = panel * PANEL..(panel * PANEL + width).min(kernels.outputs);
        if kernels.groups == 1 {
            return kernels.interleave(target, &outputs, 0..kernels.inputs, (chunk, width));
        }
        for (lane, output) in outputs.enumerate() {
            let (first, count) = kernels.reads(output);
            for (input, at) in (0..count).flat_map(|input| (0..kernels.window).map(move |at| (input, at))) {
                let k = at * kernels.inputs + first + input;
                chunk[k * width + lane] = kernels.tap(output, input, at);
            }
        }
    });
}
