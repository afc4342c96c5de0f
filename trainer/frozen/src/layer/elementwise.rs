//! Layers that move or combine single numbers: those that could not be folded into a convolution.
use super::{Layer, View, lanes_of};
use crate::fuse::{Clamp, clamped};
use crate::strips::{Crew, even};

/// Runs `work` on each image's part of `out`.
fn each_image(crew: &Crew, n: usize, output: View, out: &mut [f32], work: impl Fn(usize, &mut [f32]) + Sync) {
    crew.deal(
        out,
        even(n, 1, 1),
        |images| images.len() * output.image(),
        |images, part, _| work(images.start, part),
    );
}

/// `clamp(x * scale + shift)` by channel: a batch norm or an activation on its own.
pub(crate) struct Affine {
    scale: Vec<f32>,
    shift: Vec<f32>,
    input: View,
    output: View,
    clamp: Clamp,
}

impl Affine {
    /// Empty `scale` and `shift` change nothing.
    pub(crate) fn new(scale: &[f64], shift: &[f64], input: View, output: View, clamp: Clamp) -> Affine {
        let channels = input.size.channels;
        let rounded = |values: &[f64], otherwise: f32| {
            let values: Vec<f32> = values.iter().map(|&x| x as f32).collect();
            lanes_of(if values.is_empty() { vec![otherwise; channels] } else { values }.as_slice())
        };
        Affine { scale: rounded(scale, 1.0), shift: rounded(shift, 0.0), input, output, clamp }
    }
}

impl Layer for Affine {
    fn run(&self, crew: &Crew, n: usize, inputs: &[&[f32]], out: &mut [f32]) {
        let channels = self.input.size.channels;
        each_image(crew, n, self.output, out, |image, part| {
            let source = inputs[0][image * self.input.image()..].chunks(self.input.pitch);
            for (to, from) in part.chunks_mut(self.output.pitch).zip(source) {
                to[channels..self.output.columns()].fill(0.0);
                for c in 0..channels {
                    to[c] = clamped(from[c] * self.scale[c] + self.shift[c], self.clamp);
                }
            }
        });
    }

    fn algorithm(&self) -> &'static str {
        "affine"
    }
}

/// The sum of two values.
pub(crate) struct Sum {
    pub(crate) inputs: Vec<View>,
    pub(crate) output: View,
    pub(crate) clamp: Clamp,
}

impl Layer for Sum {
    fn run(&self, crew: &Crew, n: usize, inputs: &[&[f32]], out: &mut [f32]) {
        let channels = self.output.size.channels;
        each_image(crew, n, self.output, out, |image, part| {
            let pixels =
                |at: usize| inputs[at][image * self.inputs[at].image()..].chunks(self.inputs[at].pitch);
            for ((to, a), b) in part.chunks_mut(self.output.pitch).zip(pixels(0)).zip(pixels(1)) {
                to[channels..self.output.columns()].fill(0.0);
                for c in 0..channels {
                    to[c] = clamped(a[c] + b[c], self.clamp);
                }
            }
        });
    }

    fn algorithm(&self) -> &'static str {
        "sum"
    }
}

/// Values joined along the channels by copying.
pub(crate) struct Concat {
    pub(crate) inputs: Vec<View>,
    pub(crate) output: View,
}

impl Layer for Concat {
    fn run(&self, crew: &Crew, n: usize, inputs: &[&[f32]], out: &mut [f32]) {
        each_image(crew, n, self.output, out, |image, part| {
            for (pixel, to) in part.chunks_mut(self.output.pitch).enumerate() {
                let mut first = 0;
                for (view, input) in self.inputs.iter().zip(inputs) {
                    let from = &input[image * view.image() + pixel * view.pitch..][..view.size.channels];
                    to[first..first + from.len()].copy_from_slice(from);
                    first += from.len();
                }
                to[first..self.output.columns()].fill(0.0);
            }
        });
    }

    fn algorithm(&self) -> &'static str {
        "concat"
    }
}

/// Maps to vectors in torchvision's order.
pub(crate) struct Flatten {
    pub(crate) input: View,
    pub(crate) output: View,
}

impl Layer for Flatten {
    fn run(&self, crew: &Crew, n: usize, inputs: &[&[f32]], out: &mut [f32]) {
        each_image(crew, n, self.output, out, |image, part| {
            let (features, rest) = part.split_at_mut(self.output.size.channels);
            flattened(self.input, &inputs[0][image * self.input.image()..], features);
            rest.fill(0.0);
        });
    }

    fn algorithm(&self) -> &'static str {
        "flatten"
    }
}

/// The rows that a run returns: each image's map in torchvision's order, or its mean by channel.
pub(crate) fn rows_of_features(crew: &Crew, view: View, pool: bool, input: &[f32], out: &mut [f32]) {
    let features = if pool { view.size.channels } else { view.size.channels * view.size.pixels() };
    crew.deal(
        out,
        even(out.len() / features, 1, 1),
        |images| images.len() * features,
        |images, row, _| {
            let image = &input[images.start * view.image()..];
            if !pool {
                return flattened(view, image, row);
            }
            row.fill(0.0);
            for pixel in image.chunks(view.pitch).take(view.size.pixels()) {
                row.iter_mut().zip(pixel).for_each(|(sum, x)| *sum += x);
            }
            row.iter_mut().for_each(|sum| *sum /= view.size.pixels() as f32);
        },
    );
}

/// `[height, width, channels]` to `[channels, height, width]`,
/// some pixels at a time so that they stay in the cache.
fn flattened(view: View, image: &[f32], out: &mut [f32]) {
    const BLOCK: usize = 16;
    let pixels = view.size.pixels();
    for from in (0..pixels).step_by(BLOCK) {
        let block = from..pixels.min(from + BLOCK);
        for (channel, map) in out.chunks_exact_mut(pixels).enumerate() {
            for (pixel, to) in block.clone().zip(&mut map[block.clone()]) {
                *to = image[pixel * view.pitch + channel];
            }
        }
    }
}
