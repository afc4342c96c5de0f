//! The head: the layers that are trained on the features, a softmax layer or a small MLP.

mod gradient;
mod optimizer;
mod schedule;
mod softmax;

pub(crate) use gradient::{Batch, Trainer};
pub(crate) use optimizer::{Optimizer, State};
pub(crate) use schedule::rate;

use crate::random::{Purpose, Stream};
use protocol::{Head, Job};
use std::ops::Range;

/// The sizes of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadShape {
    /// Features of an image.
    pub(crate) inputs: usize,
    /// Width of the hidden layer, if there is one.
    pub(crate) hidden: Option<usize>,
    /// Classes.
    pub(crate) classes: usize,
}

/// One linear layer: where its parameters lie in the array of all parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    /// Columns of a row that it reads.
    pub(crate) inputs: usize,
    /// Columns of a row that it gives.
    pub(crate) outputs: usize,
    /// `[outputs, inputs]`, row by row.
    pub(crate) weight: Range<usize>,
    /// `[outputs]`.
    pub(crate) bias: Range<usize>,
}

impl HeadShape {
    pub(crate) fn new(job: &Job, inputs: usize, classes: usize) -> HeadShape {
        let hidden = match job.head {
            Head::Softmax => None,
            Head::Mlp { hidden } => Some(hidden as usize),
        };
        HeadShape { inputs, hidden, classes }
    }

    /// Its linear layers, with a ReLU between two of them.
    pub(crate) fn layers(&self) -> Vec<Layer> {
        let widths: Vec<usize> = [self.inputs].into_iter().chain(self.hidden).chain([self.classes]).collect();
        let mut at = 0;
        let mut range = |length: usize| {
            at += length;
            at - length..at
        };
        let layer = |pair: &[usize]| {
            let (inputs, outputs) = (pair[0], pair[1]);
            Layer { inputs, outputs, weight: range(inputs * outputs), bias: range(outputs) }
        };
        widths.windows(2).map(layer).collect()
    }

    /// How many parameters it has.
    pub(crate) fn parameters(&self) -> usize {
        self.layers().last().map_or(0, |layer| layer.bias.end)
    }

    /// The first parameters, uniform within ±1/√inputs of each layer, as PyTorch's `Linear` draws them.
    pub(crate) fn initial(&self, seed: u64) -> Vec<f32> {
        let mut parameters = vec![0.0; self.parameters()];
        for (index, layer) in self.layers().into_iter().enumerate() {
            let bound = 1.0 / (layer.inputs as f32).sqrt();
            let mut stream = Stream::new(seed, Purpose::Initial, index as u32, 0);
            parameters[layer.weight.start..layer.bias.end].fill_with(|| stream.symmetric(bound));
        }
        parameters
    }
}

#[cfg(test)]
mod tests;
