//! A linear layer: its weights are read as they are stored, once a pass.

use std::ops::Range;

use super::layer::{Layer, Ports, Run, Taken, begun};
use crate::fuse::{Clamp, clamped};
use crate::layer::View;
use crate::{DealtLinear, Error};

pub(super) struct Linear {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// The places of weight and bias in the array of all parameters.
    pub(super) parameters: (Range<usize>, Range<usize>),
    pub(super) ports: Ports,
    pub(super) clamp: Clamp,
}

impl Linear {
    fn dealt<'a>(&self, run: &Run<'a>) -> DealtLinear<'a> {
        DealtLinear { inputs: self.inputs, outputs: self.outputs, pool: Some(run.pool) }
    }
}

/// The rows of a value, without the padding of their lanes.
fn rows(view: View, n: usize, values: &[f32]) -> Vec<f32> {
    values.chunks(view.pitch).take(n).flat_map(|row| &row[..view.size.channels]).copied().collect()
}

impl Layer for Linear {
    fn forward(&self, run: &Run, inputs: &[&[f32]], out: &mut [f32]) {
        let rows = rows(self.ports.inputs[0], run.n, inputs[0]);
        let (weight, bias) = &self.parameters;
        let scores = self.dealt(run).scores(&run.parameters[weight.clone()], &rows);
        let view = self.ports.output;
        for (out, scores) in out.chunks_mut(view.pitch).zip(scores.chunks_exact(self.outputs)) {
            out[self.outputs..view.columns()].fill(0.0);
            for ((out, score), bias) in out.iter_mut().zip(scores).zip(&run.parameters[bias.clone()]) {
                *out = clamped(score + bias, self.clamp);
            }
        }
    }

    fn weights(
        &self,
        run: &Run,
        inputs: &[&[f32]],
        delta: &[f32],
        gradient: &mut [f32],
    ) -> Result<(), Error> {
        let deltas = rows(self.ports.output, run.n, delta);
        let (weight, bias) = &self.parameters;
        let rows = rows(self.ports.inputs[0], run.n, inputs[0]);
        self.dealt(run).add_gradient(&rows, &deltas, begun(run, &mut gradient[weight.clone()]));
        let bias = begun(run, &mut gradient[bias.clone()]);
        for row in deltas.chunks_exact(self.outputs) {
            bias.iter_mut().zip(row).for_each(|(sum, delta)| *sum += delta);
        }
        Ok(())
    }

    fn input(
        &self,
        run: &Run,
        index: usize,
        _: &[&[f32]],
        delta: &[f32],
        into: &mut [f32],
    ) -> Result<(), Error> {
        let deltas = rows(self.ports.output, run.n, delta);
        let found = self.dealt(run).through(&run.parameters[self.parameters.0.clone()], &deltas);
        let (view, added) = (self.ports.inputs[index], self.ports.taken[index] == Taken::Added);
        for (into, found) in into.chunks_mut(view.pitch).zip(found.chunks_exact(self.inputs)) {
            if !added {
                into[..view.columns()].fill(0.0);
            }
            into.iter_mut().zip(found).for_each(|(into, found)| *into += found);
        }
        Ok(())
    }
}
