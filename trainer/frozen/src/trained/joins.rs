//! Steps that move or combine single numbers.

use rayon::prelude::*;

use super::layer::{Layer, Ports, Run, Taken};
use crate::Error;
use crate::fuse::Clamp;
use crate::layer::{self, Layer as _, View};

/// Writes or adds, pixel by pixel, some channels of `delta` to some of `into`.
fn move_channels(
    run: &Run,
    (from, delta): (View, &[f32]),
    first: usize,
    (to, into): (View, &mut [f32]),
    taken: Taken,
) {
    let channels = to.size.channels;
    into.par_chunks_mut(to.image()).take(run.n).enumerate().for_each(|(image, into)| {
        let pixels = delta[image * from.image()..].chunks(from.pitch);
        for (into, delta) in into.chunks_mut(to.pitch).zip(pixels) {
            let delta = &delta[first..first + channels];
            match taken {
                Taken::Added => into.iter_mut().zip(delta).for_each(|(into, delta)| *into += delta),
                _ => {
                    into[..channels].copy_from_slice(delta);
                    into[channels..to.columns()].fill(0.0);
                }
            }
        }
    });
}

/// An activation that follows nothing it could be folded into.
pub(super) struct Activation {
    pub(super) ports: Ports,
    pub(super) clamp: Clamp,
}

impl Layer for Activation {
    fn forward(&self, run: &Run, inputs: &[&[f32]], out: &mut [f32]) {
        let Ports { inputs: views, output, .. } = &self.ports;
        layer::affine(views[0], *output, self.clamp).run(run.crew, run.n, inputs, out);
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
        move_channels(run, (*output, delta), 0, (inputs[index], into), taken[index]);
        Ok(())
    }
}

/// The sum of two values.
pub(super) struct Sum {
    pub(super) ports: Ports,
    pub(super) clamp: Clamp,
}

impl Layer for Sum {
    fn forward(&self, run: &Run, inputs: &[&[f32]], out: &mut [f32]) {
        let Ports { inputs: views, output, .. } = &self.ports;
        layer::Sum { inputs: views.clone(), output: *output, clamp: self.clamp }
            .run(run.crew, run.n, inputs, out);
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
        move_channels(run, (*output, delta), 0, (inputs[index], into), taken[index]);
        Ok(())
    }
}

/// Values joined along the channels by copying.
pub(super) struct Concat {
    pub(super) ports: Ports,
}

impl Layer for Concat {
    fn forward(&self, run: &Run, inputs: &[&[f32]], out: &mut [f32]) {
        let Ports { inputs: views, output, .. } = &self.ports;
        layer::Concat { inputs: views.clone(), output: *output }.run(run.crew, run.n, inputs, out);
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
        let first = inputs[..index].iter().map(|view| view.size.channels).sum();
        move_channels(run, (*output, delta), first, (inputs[index], into), taken[index]);
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
