//! A softmax layer's loss and gradient without autodiff: two products by this CPU's kernels, and what lies between.
//!
//! With z the scores, p their softmax and t the smoothed targets, the loss of a row is -Σ t log p and its derivative by
//! z is p - t, since the targets of a row sum to 1.

use super::{Batch, HeadShape};
use frozen::Linear;

/// Computes losses and gradients of a softmax layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Softmax {
    linear: Linear,
    classes: usize,
    smoothing: f64,
}

impl Softmax {
    pub(super) fn new(shape: HeadShape, smoothing: f64) -> Softmax {
        Softmax { linear: Linear::new(shape.inputs, shape.classes), classes: shape.classes, smoothing }
    }

    /// Adds the gradient of the batch's summed loss to `sum`, and gives the summed loss.
    ///
    /// Shapes: `parameters` and `sum` are `[classes, inputs]` and then `[classes]`, as [`HeadShape::layers`] has them.
    pub(super) fn add_gradient(&self, parameters: &[f32], batch: &Batch<'_>, sum: &mut [f32]) -> f64 {
        let split = parameters.len() - self.classes;
        let (weights, bias) = parameters.split_at(split);
        let (weight_sum, bias_sum) = sum.split_at_mut(split);
        let mut scores = vec![0.0; batch.labels.len() * self.classes]; // [rows, classes]
        self.linear.scores(batch.features, weights, &mut scores);
        let mut loss = 0.0;
        for (row, &label) in scores.chunks_exact_mut(self.classes).zip(batch.labels) {
            loss += self.differentiate(row, bias, label as usize);
            bias_sum.iter_mut().zip(&*row).for_each(|(sum, delta)| *sum += delta);
        }
        self.linear.add_gradient(batch.features, &scores, weight_sum);
        loss
    }

    /// Turns a row of scores, still without the bias, into the loss's derivatives by them, and gives its loss.
    fn differentiate(&self, row: &mut [f32], bias: &[f32], label: usize) -> f64 {
        row.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
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
}
