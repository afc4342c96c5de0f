//! Passes through layers for training, forward and backward.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use networks::NodeId;
use rayon::prelude::*;

use super::Trained;
use super::joins::unflattened;
use super::layer::{Run, Taken};
use super::plan::Planned;
use crate::Error;
use crate::fuse::Clamp;
use crate::kernels::Buffer;
use crate::layer::rows_of_features;

/// Layers with parameters.
pub struct Loaded<'a> {
    pub(super) layers: &'a mut Trained,
    pub(super) parameters: &'a [f32],
}

impl Loaded<'_> {
    /// The layers' output for `n` images, `[n, outputs]`, a map in torchvision's order; with `keep` all
    /// values that [`Loaded::backward`] needs are kept.
    ///
    /// Shapes: `features` `[n, channels, height, width]`.
    /// Errors: `features` has another length, no memory.
    pub fn forward(&mut self, features: &[f32], n: usize, keep: bool) -> Result<Vec<f32>, Error> {
        let view = self.layers.plan.view(0);
        let image = view.size.channels * view.size.pixels();
        self.layers.right("features", n * image, features.len())?;
        self.layers.empty();
        self.layers.pass.n = n;
        let mut given = self.layers.memory.take(n * view.image())?;
        self.layers.threads.install(|| {
            let images = given.par_chunks_mut(view.image()).zip(features.par_chunks(image));
            images.for_each(|(to, from)| unflattened(view, from, to, false));
        });
        self.layers.pass.values[0] = Some(given);
        let steps = self.layers.plan.steps.len();
        let each = || (0..steps).map(|at| at..at + 1).collect();
        for segment in if keep { self.layers.plan.segments.clone() } else { each() } {
            self.compute(segment.clone())?;
            if !keep || segment.end < steps {
                self.layers.forget(if keep { segment } else { 0..segment.end });
            }
        }
        let view = self.layers.plan.view(self.layers.plan.output);
        let mut rows = vec![0.0; n * self.layers.outputs()];
        let values = self.layers.values(self.layers.plan.output);
        self.layers
            .threads
            .install(|| rows_of_features(&self.layers.crew, view, self.layers.pool, values, &mut rows));
        if !keep {
            self.layers.empty();
        }
        Ok(rows)
    }

    /// Writes the derivatives by all parameters but statistics to `gradient`, or adds them if `add`; `deltas`
    /// are the derivatives by the output of the pass before.
    ///
    /// Shapes: `deltas` `[n, outputs]`; `gradient` as the parameters.
    /// Errors: a length is wrong, nothing was kept, no memory.
    pub fn backward(&mut self, deltas: &[f32], gradient: &mut [f32], add: bool) -> Result<(), Error> {
        let n = self.layers.pass.n;
        self.layers.right("derivatives", n * self.layers.outputs(), deltas.len())?;
        self.layers.right("gradients", self.layers.layout.len, gradient.len())?;
        let (view, outputs) = (self.layers.plan.view(self.layers.plan.output), self.layers.outputs());
        let mut last = self.layers.memory.take(n * view.image())?;
        for (to, from) in last.chunks_mut(view.image()).zip(deltas.chunks_exact(outputs)) {
            if self.layers.pool {
                let share = 1.0 / view.size.pixels() as f32;
                for to in to.chunks_mut(view.pitch) {
                    to.iter_mut().zip(from).for_each(|(to, from)| *to = from * share);
                }
            } else {
                unflattened(view, from, to, false);
            }
        }
        self.layers.pass.deltas[self.layers.plan.output] = Some(last);
        for segment in self.layers.plan.segments.clone().into_iter().rev() {
            if segment.end < self.layers.plan.steps.len() {
                self.compute(segment.clone())?;
            }
            segment.rev().try_for_each(|at| self.differentiate(at, gradient, add))?;
        }
        self.layers.empty();
        Ok(())
    }

    fn run(&self) -> Run<'_> {
        Run {
            crew: &self.layers.crew,
            pool: &self.layers.threads,
            memory: &self.layers.memory,
            parameters: self.parameters,
            n: self.layers.pass.n,
            add: false,
        }
    }

    /// Some steps, forward.
    fn compute(&mut self, steps: Range<usize>) -> Result<(), Error> {
        for at in steps {
            let step = &self.layers.plan.steps[at].step;
            let (home, first) = self.layers.plan.home(step.output);
            let mut out = match self.layers.pass.values[home].take() {
                Some(begun) => begun,
                None => self.layers.memory.take(self.layers.pass.n * self.layers.plan.view(home).image())?,
            };
            let inputs: Vec<&[f32]> = step.inputs.iter().map(|&value| self.layers.values(value)).collect();
            self.layers
                .threads
                .install(|| self.layers.layers[at].forward(&self.run(), &inputs, &mut out[first..]));
            self.layers.pass.values[home] = Some(out);
        }
        Ok(())
    }

    /// One step, backward; its output is not needed any more afterwards.
    fn differentiate(&mut self, at: usize, gradient: &mut [f32], add: bool) -> Result<(), Error> {
        let Planned { step, taken, begins } = &self.layers.plan.steps[at];
        let (home, first) = self.layers.plan.home(step.output);
        let mut delta = self.layers.pass.deltas[home].take().expect("what reads it was before");
        if step.clamp != Clamp::NONE {
            self.layers.threads.install(|| self.layers.cut_off(step.output, step.clamp, &mut delta));
        }
        let mut found: BTreeMap<NodeId, Buffer> = BTreeMap::new();
        for &value in step.inputs.iter().zip(taken).filter(|(_, taken)| **taken != Taken::Not).map(|(v, _)| v)
        {
            if let Entry::Vacant(place) = found.entry(value) {
                place.insert(match self.layers.pass.deltas[value].take() {
                    Some(begun) => begun,
                    None => {
                        self.layers.memory.take(self.layers.pass.n * self.layers.plan.view(value).image())?
                    }
                });
            }
        }
        let inputs: Vec<&[f32]> = step.inputs.iter().map(|&value| self.layers.values(value)).collect();
        let (layer, run, delta_here) = (&self.layers.layers[at], Run { add, ..self.run() }, &delta[first..]);
        self.layers.threads.install(|| {
            layer.weights(&run, &inputs, delta_here, gradient)?;
            for (index, value) in step.inputs.iter().enumerate() {
                if let Some(into) = found.get_mut(value) {
                    layer.input(&run, index, &inputs, delta_here, into)?;
                }
            }
            Ok::<_, Error>(())
        })?;
        let begins = *begins;
        for (value, into) in found {
            self.layers.pass.deltas[value] = Some(into);
        }
        if begins {
            let value = self.layers.pass.values[home].take();
            [Some(delta), value].into_iter().flatten().for_each(|buffer| self.layers.memory.give(buffer));
        } else {
            self.layers.pass.deltas[home] = Some(delta);
        }
        Ok(())
    }
}
