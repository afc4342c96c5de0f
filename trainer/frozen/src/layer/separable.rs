//! A depthwise 3×3 convolution with the 1×1 convolutions before and after it, a few rows at a time.
//!
//! Only a few rows of the wide maps between the three are in scratch memory at a time: an inverted residual
//! reads its narrow input and writes its narrow output, and nothing else leaves the cache.
use std::ops::Range;

use super::depthwise::pack as pack_windows;
use super::direct::pack as pack_panels;
use super::{Layer, View, lanes_of, no_memory};
use crate::Error;
use crate::choice;
use crate::fuse::{Clamp, Kind, Step};
use crate::kernels::{Buffer, DepthwiseRow, Finish, Multiply, Residual};
use crate::parameters::{Kernels, Source};
use crate::plan::padded;
use crate::strips::{Crew, slide, whole_images};

const KERNEL: usize = 3;

pub(crate) struct Separable {
    input: View,
    output: View,
    residual: Option<View>,
    /// None if the depthwise convolution reads the input itself.
    expand: Option<Part>,
    depthwise: Part,
    project: Part,
    stride: usize,
    /// Channels of the rows in between, as they are in memory.
    channels: usize,
    /// Output rows of a chunk.
    chunk: usize,
    /// Where the pixels of a chunk are: in the input, in the lines, in the middle, in the output.
    pixels: Pixels,
}

/// One convolution's weights, packed.
struct Part {
    /// Channels that it reads.
    inputs: usize,
    weights: Buffer,
    bias: Vec<f32>,
    clamp: Clamp,
}

/// Offsets of consecutive pixels, the padding of lines left out.
struct Pixels {
    input: Vec<usize>,
    lines: Vec<usize>,
    middle: Vec<usize>,
    output: Vec<usize>,
}

impl Separable {
    pub(crate) fn new(parts: &[Step], source: &Source, inputs: &[View], output: View) -> Result<Self, Error> {
        let input = inputs[0];
        let (mut packed, mut stride, mut channels) = (Vec::new(), 1, input.columns());
        for part in parts {
            let Kind::Conv { conv, norm, .. } = &part.kind else {
                unreachable!("only convolutions are joined")
            };
            let shape = [conv.outputs, conv.inputs / conv.groups, conv.kernel, conv.kernel];
            let affine = source.affine(part.node, &shape, conv.bias, *norm)?;
            let kernels = Kernels::of(conv, &affine.weight);
            let weights = if conv.kernel == KERNEL {
                (stride, channels) = (conv.stride, padded(conv.outputs));
                pack_windows(&kernels)
            } else {
                pack_panels(&kernels)
            };
            let weights = weights.map_err(no_memory)?;
            packed.push(Part {
                inputs: conv.inputs,
                weights,
                bias: lanes_of(&affine.bias),
                clamp: part.clamp,
            });
        }
        let (project, depthwise) = (packed.pop(), packed.pop());
        let chunk = choice::separable_rows(output.size.width).min(output.size.height);
        let (width, out_width) = (input.size.width, output.size.width);
        let lines = (chunk - 1) * stride + KERNEL;
        let run = |count: usize, pitch: usize| (0..count).map(|at| at * pitch).collect();
        let pixels = Pixels {
            input: run(lines * width, input.pitch),
            lines: (0..lines * width)
                .map(|at| (at / width * (width + 2) + at % width + 1) * channels)
                .collect(),
            middle: run(chunk * out_width, channels),
            output: run(chunk * out_width, output.pitch),
        };
        Ok(Separable {
            input,
            output,
            residual: inputs.get(1).copied(),
            expand: packed.pop(),
            depthwise: depthwise.expect("two or three parts"),
            project: project.expect("two or three parts"),
            stride,
            channels,
            chunk,
            pixels,
        })
    }

    /// Floats of a line: a row of the wide map with a pixel of padding on each side.
    fn line(&self) -> usize {
        (self.input.size.width + 2) * self.channels
    }

    /// Lines that a chunk of output rows reads.
    fn lines_of(&self, rows: usize) -> usize {
        (rows - 1) * self.stride + KERNEL
    }

    /// Computes wide rows `rows` of an image, counted from the padding above it,
    /// into lines that follow each other.
    fn fill(&self, crew: &Crew, image: &[f32], rows: Range<usize>, lines: &mut [f32]) {
        let (height, width) = (self.input.size.height, self.input.size.width);
        let inside = rows.start.max(1)..rows.end.min(height + 1);
        for (row, line) in rows.clone().zip(lines.chunks_exact_mut(self.line())) {
            if !inside.contains(&row) {
                line.fill(0.0);
            }
        }
        if inside.is_empty() {
            return;
        }
        let source = &image[(inside.start - 1) * self.input.row()..];
        let lines = &mut lines[(inside.start - rows.start) * self.line()..];
        let count = inside.len() * width;
        match &self.expand {
            Some(expand) => crew.target.multiply(&mut Multiply {
                a: source,
                rows: &self.pixels.input[..count],
                segments: 1,
                pitch: 0,
                depth: expand.inputs,
                b: &expand.weights,
                columns: self.channels,
                c: lines,
                c_rows: &self.pixels.lines[..count],
                residual: None,
                finish: Some(expand.finish()),
            }),
            None => {
                let sources = source.chunks(self.input.row());
                for (from, line) in sources.zip(lines.chunks_exact_mut(self.line())).take(inside.len()) {
                    line[self.channels..][..width * self.channels]
                        .copy_from_slice(&from[..width * self.channels]);
                }
            }
        }
    }

    /// Output rows `rows` of the batch, which are in one image.
    fn run_strip(
        &self,
        crew: &Crew,
        rows: Range<usize>,
        inputs: &[&[f32]],
        strip: &mut [f32],
        scratch: &mut [f32],
    ) {
        let (height, width) = (self.output.size.height, self.output.size.width);
        let (image, mut from, end) = (rows.start / height, rows.start % height, (rows.end - 1) % height + 1);
        let source = &inputs[0][image * self.input.image()..];
        let (lines, middle) = scratch.split_at_mut(self.lines_of(self.chunk) * self.line());
        for line in lines.chunks_exact_mut(self.line()) {
            line[..self.channels].fill(0.0);
            line[self.line() - self.channels..].fill(0.0);
        }
        let start = from;
        let mut there = 0..0; // lines of the image, counted from the padding, that the chunk before left
        while from < end {
            let to = (from + self.chunk).min(end);
            let reads = from * self.stride..from * self.stride + self.lines_of(to - from);
            let missing = slide(lines, self.line(), &there, &reads);
            self.fill(
                crew,
                source,
                missing.clone(),
                &mut lines[(missing.start - reads.start) * self.line()..],
            );
            for (row, middle) in (0..to - from).zip(middle.chunks_mut(width * self.channels)) {
                self.depthwise_row(crew, &lines[row * self.stride * self.line()..], middle);
            }
            let first = (image * height + from) * width;
            let values = |view: View| Residual::Values(&inputs[1][first * view.pitch..], view.pitch);
            crew.target.multiply(&mut Multiply {
                a: middle,
                rows: &self.pixels.middle[..(to - from) * width],
                segments: 1,
                pitch: 0,
                depth: self.project.inputs,
                b: &self.project.weights,
                columns: self.output.columns(),
                c: &mut strip[(from - start) * self.output.row()..],
                c_rows: &self.pixels.output[..(to - from) * width],
                residual: self.residual.map(values),
                finish: Some(self.project.finish()),
            });
            (from, there) = (to, reads);
        }
    }

    fn depthwise_row(&self, crew: &Crew, lines: &[f32], out: &mut [f32]) {
        crew.target.depthwise_row(&mut DepthwiseRow {
            input: lines,
            pitch: self.line(),
            kernel: KERNEL,
            stride: self.stride,
            channels: self.channels,
            weights: &self.depthwise.weights,
            bias: &self.depthwise.bias,
            low: self.depthwise.clamp.low,
            high: self.depthwise.clamp.high,
            count: self.output.size.width,
            out,
            out_pitch: self.channels,
        });
    }
}

impl Part {
    fn finish(&self) -> Finish<'_> {
        Finish { bias: &self.bias, low: self.clamp.low, high: self.clamp.high, addend: None }
    }
}

impl Layer for Separable {
    fn run(&self, crew: &Crew, n: usize, inputs: &[&[f32]], out: &mut [f32]) {
        let strips = whole_images(n, self.output.size.height, crew.threads);
        let floats = |rows: &Range<usize>| rows.len() * self.output.row();
        crew.deal(out, strips, floats, |rows, strip, scratch| {
            self.run_strip(crew, rows, inputs, strip, scratch);
        });
    }

    fn scratch(&self) -> usize {
        self.lines_of(self.chunk) * self.line() + self.chunk * self.output.size.width * self.channels
    }

    fn algorithm(&self) -> &'static str {
        "separable"
    }
}
