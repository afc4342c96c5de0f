//! A layer for training: its forward pass, and the gradients by its parameters and by its inputs.

use std::collections::BTreeMap;
use std::ops::Range;

use networks::{Network, NodeId};
use rayon::ThreadPool;
use rayon::prelude::*;

use super::memory::Memory;
use crate::kernels::Target;
use crate::layer::View;
use crate::parameters::{Parameters, Source};
use crate::size::Size;
use crate::strips::Crew;
use crate::{BoxError, Error};
use std::borrow::Cow;

/// The resources of a layer's run.
pub(super) struct Run<'a> {
    pub(super) crew: &'a Crew,
    pub(super) pool: &'a ThreadPool,
    pub(super) memory: &'a Memory,
    /// All parameters, in the network's order.
    pub(super) parameters: &'a [f32],
    /// Images.
    pub(super) n: usize,
    /// Whether there are gradients to add to.
    pub(super) add: bool,
}

/// A gradient that can be added to.
pub(super) fn begun<'a>(run: &Run, gradient: &'a mut [f32]) -> &'a mut [f32] {
    if !run.add {
        gradient.par_chunks_mut(1 << 16).for_each(|part| part.fill(0.0));
    }
    gradient
}

/// A step of the network. The slices start at the values' first channels, as in [`crate::layer::Layer`];
/// `delta` is the derivative of the loss by the step's output, with 0 where its clamp has cut it off.
pub(super) trait Layer: Send + Sync {
    /// Packs new parameters; for `gradients`, too.
    ///
    /// Errors: no memory.
    fn load(&mut self, _target: Target, _source: &Source, _gradients: bool) -> Result<(), Error> {
        Ok(())
    }

    /// Computes `run.n` images.
    fn forward(&self, run: &Run, inputs: &[&[f32]], out: &mut [f32]);

    /// Writes the derivatives by its parameters to `gradient`, which has all of the network's,
    /// or adds them if `run.add`.
    ///
    /// Errors: no memory.
    fn weights(
        &self,
        _run: &Run,
        _inputs: &[&[f32]],
        _delta: &[f32],
        _gradient: &mut [f32],
    ) -> Result<(), Error> {
        Ok(())
    }

    /// Writes the derivatives by input `index` to `into`, or adds them if another step has written there.
    ///
    /// Errors: no memory.
    fn input(
        &self,
        run: &Run,
        index: usize,
        inputs: &[&[f32]],
        delta: &[f32],
        into: &mut [f32],
    ) -> Result<(), Error>;

    /// Floats of scratch memory that a thread needs.
    fn scratch(&self) -> usize {
        0
    }
}

/// How a value that a step reads takes its derivatives.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Taken {
    /// Not at all: it is the network's input.
    Not,
    /// This step is the first to write them.
    First,
    /// A step has written there before.
    Added,
}

/// A value of all images, or the derivatives by one.
#[derive(Clone, Copy)]
pub(super) struct Map<'a> {
    pub(super) view: View,
    pub(super) values: &'a [f32],
}

/// The place of the derivatives by a value.
pub(super) struct Sink<'a> {
    pub(super) view: View,
    pub(super) into: &'a mut [f32],
    pub(super) taken: Taken,
}

/// The inputs and the output of a step, and how its inputs take derivatives.
pub(super) struct Ports {
    pub(super) inputs: Vec<View>,
    pub(super) taken: Vec<Taken>,
    pub(super) output: View,
}

/// The place of each parameter in the array of all.
pub(super) struct Layout {
    ranges: BTreeMap<String, Range<usize>>,
    pub(super) len: usize,
}

impl Layout {
    pub(super) fn of(network: &Network) -> Layout {
        let (mut ranges, mut len) = (BTreeMap::new(), 0);
        for parameter in network.parameters() {
            let end = len + parameter.shape.iter().product::<usize>();
            ranges.insert(parameter.name, len..end);
            len = end;
        }
        Layout { ranges, len }
    }

    /// A node's parameter.
    pub(super) fn range(&self, network: &Network, node: NodeId, suffix: &str) -> Range<usize> {
        self.ranges[&network.nodes[node].named(suffix)].clone()
    }
}

/// The array of all parameters, by their names.
pub(super) struct Values<'a> {
    pub(super) layout: &'a Layout,
    pub(super) values: &'a [f32],
}

impl Parameters for Values<'_> {
    fn get(&self, name: &str, _: &[usize]) -> Result<Cow<'_, [f32]>, BoxError> {
        let range = self.layout.ranges.get(name).ok_or_else(|| format!("no parameter {name:?}"))?;
        Ok(Cow::Borrowed(&self.values[range.clone()]))
    }
}

/// Floats of an image of that size, with whole lanes of channels.
pub(super) fn floats(size: Size) -> usize {
    size.pixels() * crate::plan::padded(size.channels)
}
