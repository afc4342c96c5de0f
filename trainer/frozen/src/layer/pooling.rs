//! Maximum and average pooling.
use super::{Layer, View};
use crate::kernels::Window;
use crate::strips::{Crew, even};

pub(crate) struct MaxPool {
    pub(crate) size: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
    pub(crate) input: View,
    pub(crate) output: View,
}

impl MaxPool {
    /// The window of output `at` inside a map of `length`: first and one past the last.
    fn clipped(&self, at: usize, length: usize) -> (usize, usize) {
        let from = (at * self.stride).saturating_sub(self.padding);
        (from, (at * self.stride + self.size - self.padding).min(length))
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
                    let (top, bottom) = self.clipped(row, input.size.height);
                    for (column, out) in strip.chunks_mut(output.pitch).enumerate() {
                        let (left, right) = self.clipped(column, input.size.width);
                        out[input.size.channels..input.columns()].fill(0.0);
                        crew.target.maximum(&mut Window {
                            input: &inputs[0]
                                [image * input.image() + top * input.row() + left * input.pitch..],
                            row_pitch: input.row(),
                            pixel_pitch: input.pitch,
                            rows: bottom - top,
                            columns: right - left,
                            out,
                            channels: input.size.channels,
                        });
                    }
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
        // Window `at` of `count` over `length`: from the floor of its start to the ceiling of its end.
        let window =
            |at: usize, count: usize, length: usize| at * length / count..((at + 1) * length).div_ceil(count);
        crew.deal(
            out,
            even(n, 1, 1),
            |images| images.len() * output.image(),
            |images, strip, _| {
                let image = &inputs[0][images.start * input.image()..];
                for (at, out) in strip.chunks_mut(output.pitch).take(output.size.pixels()).enumerate() {
                    let (row, column) = (at / output.size.width, at % output.size.width);
                    let rows = window(row, output.size.height, input.size.height);
                    let across = window(column, output.size.width, input.size.width);
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
