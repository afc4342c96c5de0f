//! Poolings.

use rayon::prelude::*;

use super::layer::{Layer, Ports, Run, Taken};
use crate::Error;
use crate::fuse::Pool;
use crate::kernels::WindowBack;
use crate::layer::{self, Layer as _, average_window};

/// The maximum over windows; its derivative goes to the first of the largest.
pub(super) struct MaxPool {
    pub(super) window: Pool,
    pub(super) ports: Ports,
}

impl Layer for MaxPool {
    fn forward(&self, run: &Run, inputs: &[&[f32]], out: &mut [f32]) {
        let Ports { inputs: views, output, .. } = &self.ports;
        layer::MaxPool { window: self.window, input: views[0], output: *output }
            .run(run.crew, run.n, inputs, out);
    }

    fn input(
        &self,
        run: &Run,
        index: usize,
        inputs: &[&[f32]],
        delta: &[f32],
        into: &mut [f32],
    ) -> Result<(), Error> {
        let (from, to) = (self.ports.output, self.ports.inputs[index]);
        let first = self.ports.taken[index] == Taken::First;
        let values = inputs[index];
        into.par_chunks_mut(to.image()).take(run.n).enumerate().for_each(|(image, into)| {
            if first {
                into.fill(0.0);
            }
            let (values, delta) = (&values[image * to.image()..], &delta[image * from.image()..]);
            for (at, delta) in delta.chunks(from.pitch).take(from.size.pixels()).enumerate() {
                let rows = self.window.clipped(at / from.size.width, to.size.height);
                let across = self.window.clipped(at % from.size.width, to.size.width);
                let first = rows.start * to.row() + across.start * to.pitch;
                run.crew.target.window_back(&mut WindowBack {
                    values: &values[first..],
                    into: &mut into[first..],
                    row_pitch: to.row(),
                    pixel_pitch: to.pitch,
                    rows: rows.len(),
                    columns: across.len(),
                    delta,
                    channels: to.columns(),
                });
            }
        });
        Ok(())
    }
}

/// The mean over a grid of windows.
pub(super) struct AvgPool {
    pub(super) ports: Ports,
}

impl Layer for AvgPool {
    fn forward(&self, run: &Run, inputs: &[&[f32]], out: &mut [f32]) {
        let Ports { inputs: views, output, .. } = &self.ports;
        layer::AvgPool { input: views[0], output: *output }.run(run.crew, run.n, inputs, out);
    }

    fn input(
        &self,
        run: &Run,
        index: usize,
        _: &[&[f32]],
        delta: &[f32],
        into: &mut [f32],
    ) -> Result<(), Error> {
        let (from, to) = (self.ports.output, self.ports.inputs[index]);
        let first = self.ports.taken[index] == Taken::First;
        into.par_chunks_mut(to.image()).take(run.n).enumerate().for_each(|(image, into)| {
            if first {
                into.fill(0.0);
            }
            let delta = delta[image * from.image()..].chunks(from.pitch).take(from.size.pixels());
            for (at, delta) in delta.enumerate() {
                let (row, column) = (at / from.size.width, at % from.size.width);
                let rows = average_window(row, from.size.height, to.size.height);
                let across = average_window(column, from.size.width, to.size.width);
                let share = 1.0 / (rows.len() * across.len()) as f32;
                for y in rows {
                    for x in across.clone() {
                        let into = &mut into[y * to.row() + x * to.pitch..][..to.size.channels];
                        into.iter_mut().zip(delta).for_each(|(into, delta)| *into += delta * share);
                    }
                }
            }
        });
        Ok(())
    }
}
