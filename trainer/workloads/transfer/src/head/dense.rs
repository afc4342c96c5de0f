//! Linear layers with ReLU between them: loss, gradient and optimizer step without autodiff, on any number of
//! threads.
//!
//! With z the scores, p their softmax and t the smoothed targets, the loss of a row is -Σ t log p and its
//! derivative by z is p - t, because the targets of a row sum to 1. Work is cut into blocks by the sizes of
//! the layers alone and every sum is made in one order, so that the number of threads does not change a
//! result. A step's gradient exists block by block only: each block of weights is changed while its gradient
//! is still in the cache.

use super::dropout::Masks;
use super::engine::Batch;
use super::shape::{HeadShape, Layer};
use crate::{Error, Result};
use frozen::{DealtLinear, deal};
use rayon::{ThreadPool, ThreadPoolBuilder};
use rounds::{Optimizer, State, clip};
use std::ops::Range;

/// Values of a block that is changed in one go: its gradient stays in the cache.
const VALUES: usize = 1 << 16;
/// Layers with fewer parameters are not worth a second thread.
const SMALL: usize = 1 << 20;

/// Computes losses, gradients and steps of a stack of layers.
#[derive(Debug)]
pub(super) struct Dense {
    layers: Vec<Layer>,
    classes: usize,
    smoothing: f64,
    pool: Option<ThreadPool>,
}

/// A block of a layer's weights: their outputs, and the optimizer's memory of them.
struct Block<'a> {
    outputs: Range<usize>,
    values: &'a mut [f32],
    memory: Vec<&'a mut [f32]>,
}

impl Dense {
    pub(super) fn new(shape: &HeadShape, smoothing: f64, threads: usize) -> Result<Dense> {
        let pool = || ThreadPoolBuilder::new().num_threads(threads).build();
        let many =
            threads > 1 && shape.layers().iter().map(|layer| layer.weight.len()).sum::<usize>() >= SMALL;
        let pool = many.then(pool).transpose().map_err(|_| Error::Thread("computes layers"))?;
        Ok(Dense { layers: shape.layers(), classes: shape.classes(), smoothing, pool })
    }

    /// The scores before softmax, `[rows, classes]`.
    pub(super) fn scores(&self, parameters: &[f32], features: &[f32]) -> Vec<f32> {
        self.forward(parameters, features, &Masks::default()).pop().unwrap_or_default()
    }

    /// Adds `scale` times the gradient of the batch's summed loss to `sum`; returns `scale` times the
    /// derivatives by each layer's output before its ReLU, and the summed loss. The batch's features are
    /// masked already.
    pub(super) fn add_gradient(
        &self,
        parameters: &[f32],
        batch: &Batch<'_>,
        masks: &Masks,
        scale: f32,
        sum: &mut [f32],
    ) -> (Vec<Vec<f32>>, f64) {
        let outputs = self.forward(parameters, batch.features, masks);
        let (deltas, loss) = self.deltas(parameters, batch.labels, &outputs, masks, scale);
        for (index, layer) in self.layers.iter().enumerate() {
            let (rows, deltas) = (rows(batch, &outputs, index), &deltas[index]);
            self.dealt(layer).add_gradient(rows, deltas, &mut sum[layer.weight.clone()]);
            add_rows(deltas, &mut sum[layer.bias.clone()]);
        }
        (deltas, loss)
    }

    /// The derivatives by the features, `[rows, inputs]`, from those by each layer's output.
    pub(super) fn through(&self, parameters: &[f32], deltas: &[Vec<f32>], masks: &Masks) -> Vec<f32> {
        let first = &self.layers[0];
        let mut delta = self.dealt(first).through(&parameters[first.weight.clone()], &deltas[0]);
        masks.apply(0, &mut delta);
        delta
    }

    /// One optimizer step along the gradient of the batch's mean loss, scaled down to the length that the
    /// optimizer allows; returns the summed loss. The batch's features are masked already.
    pub(super) fn step(
        &self,
        optimizer: &Optimizer,
        rate: f64,
        batch: &Batch<'_>,
        masks: &Masks,
        state: &mut State,
    ) -> f64 {
        let outputs = self.forward(&state.parameters, batch.features, masks);
        let scale = 1.0 / batch.labels.len() as f32;
        let (mut deltas, loss) = self.deltas(&state.parameters, batch.labels, &outputs, masks, scale);
        if let Some(longest) = optimizer.longest() {
            let squared = |(index, deltas): (usize, &Vec<f32>)| {
                clip::squared_of_layer(rows(batch, &outputs, index), deltas, batch.labels.len())
            };
            let factor = clip::factor(longest, deltas.iter().enumerate().map(squared).sum());
            deltas.iter_mut().flatten().for_each(|delta| *delta *= factor);
        }
        let rule = optimizer.next(rate, state);
        for (index, layer) in self.layers.iter().enumerate() {
            let (rows, deltas) = (rows(batch, &outputs, index), &deltas[index]);
            deal(self.pool.as_ref(), &mut blocks(layer, state), |block| {
                let mut gradient = vec![0.0; block.values.len()];
                self.dealt(layer).add_gradient_of(rows, deltas, block.outputs.clone(), &mut gradient);
                rule.apply(true, block.values, &gradient, &mut block.memory);
            });
            let mut gradient = vec![0.0; layer.outputs];
            add_rows(deltas, &mut gradient);
            let (values, mut memory) = state.part(&layer.bias);
            rule.apply(false, values, &gradient, &mut memory);
        }
        loss
    }

    /// Each layer's output after its ReLU and dropout: `[rows, outputs]`; the last one is the scores.
    fn forward(&self, parameters: &[f32], features: &[f32], masks: &Masks) -> Vec<Vec<f32>> {
        let mut outputs: Vec<Vec<f32>> = Vec::with_capacity(self.layers.len());
        for (index, layer) in self.layers.iter().enumerate() {
            let rows = outputs.last().map_or(features, Vec::as_slice);
            // [rows, outputs].
            let mut out = self.dealt(layer).scores(&parameters[layer.weight.clone()], rows);
            let least = if index + 1 < self.layers.len() { 0.0 } else { f32::NEG_INFINITY };
            for row in out.chunks_exact_mut(layer.outputs) {
                let biases = &parameters[layer.bias.clone()];
                // Not `max`: NaN must stay NaN, so that it is noticed.
                let activated = |sum: f32| if sum < least { least } else { sum };
                row.iter_mut().zip(biases).for_each(|(value, bias)| *value = activated(*value + bias));
            }
            masks.apply(index + 1, &mut out);
            outputs.push(out);
        }
        outputs
    }

    /// The derivatives of `scale` times the summed loss by each layer's output before its ReLU, and the
    /// summed loss.
    fn deltas(
        &self,
        parameters: &[f32],
        labels: &[u32],
        outputs: &[Vec<f32>],
        masks: &Masks,
        scale: f32,
    ) -> (Vec<Vec<f32>>, f64) {
        let mut last = outputs.last().cloned().unwrap_or_default(); // [rows, classes]
        let mut loss = 0.0;
        for (row, &label) in last.chunks_exact_mut(self.classes).zip(labels) {
            loss += self.differentiate(row, label as usize);
            row.iter_mut().for_each(|delta| *delta *= scale);
        }
        let mut deltas = vec![last]; // from the last layer down
        for (index, (layer, below)) in self.layers[1..].iter().zip(outputs).enumerate().rev() {
            let above = deltas.last().map_or(&[][..], Vec::as_slice);
            // [rows, inputs].
            let mut delta = self.dealt(layer).through(&parameters[layer.weight.clone()], above);
            let cut_off = |(delta, value): (&mut f32, &f32)| *delta *= f32::from(u8::from(*value > 0.0));
            delta.iter_mut().zip(below).for_each(cut_off);
            masks.apply(index + 1, &mut delta);
            deltas.push(delta);
        }
        deltas.reverse();
        (deltas, loss)
    }

    /// Turns a row of scores into the loss's derivatives by them, and returns its loss.
    fn differentiate(&self, row: &mut [f32], label: usize) -> f64 {
        let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let total: f64 = row.iter().map(|score| f64::from(score - most).exp()).sum();
        let every = self.smoothing / self.classes as f64;
        let mut loss = 0.0;
        for (class, score) in row.iter_mut().enumerate() {
            let target = if class == label { 1.0 - self.smoothing + every } else { every };
            let log = f64::from(*score - most) - total.ln();
            loss -= target * log;
            *score = (log.exp() - target) as f32;
        }
        loss
    }

    /// A layer's products, by its threads.
    fn dealt(&self, layer: &Layer) -> DealtLinear<'_> {
        DealtLinear { inputs: layer.inputs, outputs: layer.outputs, pool: self.pool.as_ref() }
    }
}

/// The inputs of a layer: the features, or the output of the layer below it.
fn rows<'a>(batch: &Batch<'a>, outputs: &'a [Vec<f32>], layer: usize) -> &'a [f32] {
    if layer == 0 { batch.features } else { &outputs[layer - 1] }
}

/// The blocks in which a layer's weights are changed.
fn blocks<'a>(layer: &Layer, state: &'a mut State) -> Vec<Block<'a>> {
    let outputs = VALUES.div_ceil(layer.inputs).next_multiple_of(3);
    let size = outputs * layer.inputs;
    let (values, memory) = state.part(&layer.weight);
    let mut memory: Vec<_> = memory.into_iter().map(|memory| memory.chunks_mut(size)).collect();
    let block = |(n, values): (usize, &'a mut [f32])| Block {
        outputs: n * outputs..n * outputs + values.len() / layer.inputs,
        values,
        memory: memory.iter_mut().filter_map(Iterator::next).collect(),
    };
    values.chunks_mut(size).enumerate().map(block).collect()
}

/// Adds every row to `sum`.
fn add_rows(rows: &[f32], sum: &mut [f32]) {
    for row in rows.chunks_exact(sum.len()) {
        sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
}
