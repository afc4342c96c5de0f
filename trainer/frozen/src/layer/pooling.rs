//! Maximum and average pooling.
use std::ops::Range;

use super::{Layer, View};
use crate::fuse::Pool;
use crate::kernels::Window;
use crate::strips::{Crew, even};

pub(crate) struct MaxPool {
    pub(crate) window: Pool,
    pub(crate) input: View,
    pub(crate) output: View,
}

impl MaxPool {
    /// The input rows that output rows `rows` of an image read.
    pub(super) fn reads(&self, rows: Range<usize>) -> Range<usize> {
        let height = self.input.size.height;
        self.window.clipped(rows.start, height).start..self.window.clipped(rows.end - 1, height).end
    }

    /// A row of outputs from the input rows that it reads, which are one after the other in `lines`.
    pub(super) fn run_row(&self, crew: &Crew, rows: usize, lines: &[f32], out: &mut [f32]) {
        let input = self.input;
        for (column, out) in out.chunks_mut(self.output.pitch).enumerate() {
            let across = self.window.clipped(column, input.size.width);
            out[input.size.channels..input.columns()].fill(0.0);
            crew.target.maximum(&mut Window {
                input: &lines[across.start * input.pitch..],
                row_pitch: input.row(),
                pixel_pitch: input.pitch,
                rows,
                columns: across.len(),
                out,
                channels: input.size.channels,
            });
        }
    }
}

impl Layer for MaxPool {
    fn run(&self, crew: &Crew, n: usize, inputs: &[&[f32]], out: &mut [f32]) {
        let (input, output) = (self.input, self.output);
        let rows = even(n * output.size.height, 8, crew.threads);
        crew.deal(
            out,
            rows,
            |rows| rows.len() * output.row(),
            |rows, strip, _| {
                for (row, strip) in rows.zip(strip.chunks_mut(output.row())) {
                    let (image, row) = (row / output.size.height, row % output.size.height);
                    let reads = self.reads(row..row + 1);
                    let lines = &inputs[0][image * input.image() + reads.start * input.row()..];
                    self.run_row(crew, reads.len(), lines, strip);
                }
            },
        );
    }

    fn algorithm(&self) -> &'static str {
        "max pool"
    }
}

/// Mean over a grid of windows, as torchvision's adaptive average pooling.
pub(crate) struct AvgPool {
    pub(crate) input: View,
    pub(crate) output: View,
}

impl Layer for AvgPool {
    fn run(&self, crew: &Crew, n: usize, inputs: &[&[f32]], out: &mut [f32]) {
        let (input, output) = (self.input, self.output);
        let channels = input.size.channels;
        crew.deal(
            out,
            even(n, 1, 1),
            |images| images.len() * output.image(),
            |images, strip, _| {
                let image = &inputs[0][images.start * input.image()..];
                for (at, out) in strip.chunks_mut(output.pitch).take(output.size.pixels()).enumerate() {
                    let (row, column) = (at / output.size.width, at % output.size.width);
                    let rows = average_window(row, output.size.height, input.size.height);
                    let across = average_window(column, output.size.width, input.size.width);
                    out[..input.columns()].fill(0.0);
                    let out = &mut out[..channels];
                    for y in rows.clone() {
                        for x in across.clone() {
                            let pixel = &image[y * input.row() + x * input.pitch..][..channels];
                            out.iter_mut().zip(pixel).for_each(|(sum, x)| *sum += x);
                        }
                    }
                    let count = (rows.len() * across.len()) as f32;
                    out.iter_mut().for_each(|sum| *sum /= count);
                }
            },
        );
    }

    fn algorithm(&self) -> &'static str {
        "average pool"
    }
}

/// Window `at` of `count` over `length`: from the floor of its start to the ceiling of its end.
pub(crate) fn average_window(at: usize, count: usize, length: usize) -> Range<usize> {
    at * length / count..((at + 1) * length).div_ceil(count)
}
