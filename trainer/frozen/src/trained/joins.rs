//! Steps that move or combine single numbers.

use rayon::prelude::*;

use super::layer::{Layer, Map, Ports, Run, Sink, Taken};
use crate::Error;
use crate::layer::{self, Layer as _, View};

/// Writes or adds the channels from `first` on, as many as `to` has, to every `stride`-th pixel; the pixels
/// in between become zero if these are the first.
pub(super) fn spread(run: &Run, stride: usize, first: usize, from: Map, to: Sink) {
    let Map { view: from, values } = from;
    let Sink { view: to, into, taken } = to;
    let channels = to.size.channels;
    into.par_chunks_mut(to.image()).take(run.n).enumerate().for_each(|(image, into)| {
        if taken != Taken::Added {
            into.fill(0.0);
        }
        let values = &values[image * from.image()..];
        for (y, row) in values.chunks(from.row()).take(from.size.height).enumerate() {
            for (x, pixel) in row.chunks(from.pitch).take(from.size.width).enumerate() {
                let into = &mut into[y * stride * to.row() + x * stride * to.pitch..][..channels];
                into.iter_mut().zip(&pixel[first..]).for_each(|(into, value)| *into += value);
            }
        }
    });
}

/// A step that only combines values, number by number: an activation, a sum, a concatenation.
pub(super) struct Join {
    pub(super) forward: Box<dyn layer::Layer>,
    pub(super) ports: Ports,
    /// Whether the inputs are side by side, instead of at the same place.
    pub(super) beside: bool,
}

impl Layer for Join {
    fn forward(&self, run: &Run, inputs: &[&[f32]], out: &mut [f32]) {
        self.forward.run(run.crew, run.n, inputs, out);
    }

    fn input(
        &self,
        run: &Run,
        index: usize,
        _: &[&[f32]],
        delta: &[f32],
        into: &mut [f32],
    ) -> Result<(), Error> {
        let Ports { inputs, taken, output } = &self.ports;
        let before = if self.beside { &inputs[..index] } else { &[] };
        let first = before.iter().map(|view| view.size.channels).sum();
        let to = Sink { view: inputs[index], into, taken: taken[index] };
        spread(run, 1, first, Map { view: *output, values: delta }, to);
        Ok(())
    }
}

/// Maps to vectors in torchvision's order.
pub(super) struct Flatten {
    pub(super) ports: Ports,
}

impl Layer for Flatten {
    fn forward(&self, run: &Run, inputs: &[&[f32]], out: &mut [f32]) {
        let Ports { inputs: views, output, .. } = &self.ports;
        layer::Flatten { input: views[0], output: *output }.run(run.crew, run.n, inputs, out);
    }

    fn input(
        &self,
        run: &Run,
        index: usize,
        _: &[&[f32]],
        delta: &[f32],
        into: &mut [f32],
    ) -> Result<(), Error> {
        let (to, from) = (self.ports.inputs[index], self.ports.output);
        let added = self.ports.taken[index] == Taken::Added;
        into.par_chunks_mut(to.image()).take(run.n).enumerate().for_each(|(image, into)| {
            unflattened(to, &delta[image * from.image()..], into, added);
        });
        Ok(())
    }
}

/// `[channels, height, width]` to `[height, width, pitch]`.
pub(super) fn unflattened(to: View, values: &[f32], into: &mut [f32], added: bool) {
    let (pixels, channels) = (to.size.pixels(), to.size.channels);
    for (pixel, into) in into.chunks_mut(to.pitch).take(pixels).enumerate() {
        for (channel, into) in into[..channels].iter_mut().enumerate() {
            let value = values[channel * pixels + pixel];
            *into = if added { *into + value } else { value };
        }
        if !added {
            into[channels..to.columns()].fill(0.0);
        }
    }
}
