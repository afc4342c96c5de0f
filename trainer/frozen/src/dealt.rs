//! A linear layer for training. Its products are dealt to threads in blocks whose sizes depend only on the
//! layer's, so the number of threads does not change a result.

use crate::Linear;
use rayon::ThreadPool;
use rayon::iter::{IntoParallelRefMutIterator, ParallelIterator};
use std::ops::Range;

/// Outputs of a block, of scores and of a sum of gradients.
const OUTPUTS: usize = 48;
/// Outputs whose derivatives are summed in one piece.
const PART: usize = 256;

/// The products of a linear layer of any size, `[outputs, inputs]`, as torchvision has its weights.
#[derive(Clone, Copy, Debug)]
pub struct DealtLinear<'a> {
    /// Columns of an input row.
    pub inputs: usize,
    /// Columns of an output row.
    pub outputs: usize,
    /// The threads; without any the caller's own thread computes everything.
    pub pool: Option<&'a ThreadPool>,
}

impl DealtLinear<'_> {
    /// `rows · weightsᵀ`: `[n, inputs]` to `[n, outputs]`.
    ///
    /// # Panics
    /// When a length contradicts the shapes.
    pub fn scores(&self, weights: &[f32], rows: &[f32]) -> Vec<f32> {
        let count = rows.len() / self.inputs;
        let blocks = weights.chunks(OUTPUTS * self.inputs).map(|block| (block, Vec::new()));
        let mut blocks: Vec<(&[f32], Vec<f32>)> = blocks.collect();
        deal(self.pool, &mut blocks, |(weights, products)| {
            let outputs = weights.len() / self.inputs;
            products.resize(count * outputs, 0.0);
            Linear::new(self.inputs, outputs).scores(rows, weights, products);
        });
        let mut all = vec![0.0; count * self.outputs];
        let mut first = 0;
        for (weights, products) in blocks {
            let outputs = weights.len() / self.inputs;
            for (row, products) in all.chunks_exact_mut(self.outputs).zip(products.chunks_exact(outputs)) {
                row[first..first + outputs].copy_from_slice(products);
            }
            first += outputs;
        }
        all
    }

    /// `deltas · weights`, `[n, outputs]` to `[n, inputs]`: the derivatives by the layer's inputs.
    ///
    /// # Panics
    /// When a length contradicts the shapes.
    pub fn through(&self, weights: &[f32], deltas: &[f32]) -> Vec<f32> {
        let rows = deltas.len() / self.outputs;
        let parts = weights.chunks(PART * self.inputs).enumerate();
        let mut parts: Vec<(usize, &[f32], Vec<f32>)> =
            parts.map(|(n, part)| (n * PART, part, Vec::new())).collect();
        deal(self.pool, &mut parts, |(first, weights, sum)| {
            let outputs = *first..*first + weights.len() / self.inputs;
            let across = |output| (0..rows).map(move |row| deltas[row * self.outputs + output]);
            let turned: Vec<f32> = outputs.flat_map(across).collect(); // [outputs, rows]
            sum.resize(rows * self.inputs, 0.0);
            Linear::new(self.inputs, rows).add_gradient(weights, &turned, sum);
        });
        let mut sum = vec![0.0; rows * self.inputs];
        for (_, _, part) in parts {
            sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
        sum
    }

    /// Adds the derivatives by the weights, `deltasᵀ · rows`, to `sum`.
    ///
    /// # Panics
    /// When a length contradicts the shapes.
    pub fn add_gradient(&self, rows: &[f32], deltas: &[f32], sum: &mut [f32]) {
        let blocks = sum.chunks_mut(OUTPUTS * self.inputs).enumerate();
        let mut blocks: Vec<_> = blocks.map(|(n, block)| (n * OUTPUTS, block)).collect();
        deal(self.pool, &mut blocks, |(first, sum)| {
            let outputs = *first..*first + sum.len() / self.inputs;
            self.add_gradient_of(rows, deltas, outputs, sum);
        });
    }

    /// The same for some of the outputs, in the caller's own thread.
    ///
    /// # Panics
    /// When a length contradicts the shapes.
    pub fn add_gradient_of(&self, rows: &[f32], deltas: &[f32], outputs: Range<usize>, sum: &mut [f32]) {
        let deltas = deltas.chunks_exact(self.outputs).flat_map(|row| &row[outputs.clone()]);
        let deltas: Vec<f32> = deltas.copied().collect(); // [n, those outputs]
        Linear::new(self.inputs, outputs.len()).add_gradient(rows, &deltas, sum);
    }
}

/// Runs `work` on each block.
pub fn deal<T: Send>(pool: Option<&ThreadPool>, blocks: &mut [T], work: impl Fn(&mut T) + Send + Sync) {
    match pool {
        None => blocks.iter_mut().for_each(work),
        Some(pool) => pool.install(|| blocks.par_iter_mut().for_each(work)),
    }
}
