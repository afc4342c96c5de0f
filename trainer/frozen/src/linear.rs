//! A linear layer for training on features: its scores and its weights' gradient, by this CPU's kernels.
//!
//! Both are plain f32 sums in a fixed order, so a row's scores never depend on the rows beside it.

use crate::kernels::{Gradient, Isa, LANES, Scores, Target};

/// The products of a linear layer of few outputs.
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    target: Target,
    /// Values of a row of features.
    columns: usize,
    /// Scores of a row.
    outputs: usize,
}

impl Linear {
    /// A layer of this size on the best instruction set here.
    ///
    /// # Panics
    /// Never: the portable kernels run everywhere.
    pub fn new(columns: usize, outputs: usize) -> Linear {
        Linear::on(Isa::best(), columns, outputs).expect("the best instruction set is one that exists")
    }

    /// The same on a given instruction set; none if this CPU does not have it.
    pub fn on(isa: Isa, columns: usize, outputs: usize) -> Option<Linear> {
        Some(Linear { target: Target::new(isa)?, columns, outputs })
    }

    /// Sets `scores[r][o]` to `features[r] · weights[o]`.
    ///
    /// Shapes: `features` `[rows, columns]`, `weights` `[outputs, columns]`, `scores` `[rows, outputs]`.
    ///
    /// # Panics
    /// When a length contradicts the shapes.
    pub fn scores(&self, features: &[f32], weights: &[f32], scores: &mut [f32]) {
        let Linear { columns, outputs, .. } = *self;
        let rows = scores.len() / outputs;
        self.target.scores(&mut Scores { rows, outputs, columns, features, weights, scores });
        let rest = columns / LANES * LANES..columns;
        for (row, scores) in features.chunks_exact(columns).zip(scores.chunks_exact_mut(outputs)) {
            for (score, weights) in scores.iter_mut().zip(weights.chunks_exact(columns)) {
                *score +=
                    row[rest.clone()].iter().zip(&weights[rest.clone()]).map(|(x, w)| x * w).sum::<f32>();
            }
        }
    }

    /// Adds `deltas[r][o] * features[r]`, summed over the rows, to `sum[o]`.
    ///
    /// Shapes: `features` `[rows, columns]`, `deltas` `[rows, outputs]`, `sum` `[outputs, columns]`.
    ///
    /// # Panics
    /// When a length contradicts the shapes.
    pub fn add_gradient(&self, features: &[f32], deltas: &[f32], sum: &mut [f32]) {
        let Linear { columns, outputs, .. } = *self;
        let rows = deltas.len() / outputs;
        self.target.gradient(&mut Gradient { rows, outputs, columns, features, deltas, sum });
        let rest = columns / LANES * LANES..columns;
        for (row, deltas) in features.chunks_exact(columns).zip(deltas.chunks_exact(outputs)) {
            for (sum, delta) in sum.chunks_exact_mut(columns).zip(deltas) {
                sum[rest.clone()].iter_mut().zip(&row[rest.clone()]).for_each(|(sum, x)| *sum += delta * x);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values in ±1 from a counter.
    fn noise(count: usize, seed: u32) -> Vec<f32> {
        let value = |n: u32| (n.wrapping_mul(2_654_435_761) ^ seed).wrapping_mul(0x9E37_79B9) >> 8;
        (0..count as u32).map(|n| value(n) as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    #[test]
    fn both_products_equal_those_in_float64_on_every_instruction_set() {
        for isa in [Isa::Avx512, Isa::Avx2, Isa::Neon, Isa::Portable] {
            for (rows, columns, outputs) in [(1, 8, 1), (3, 5, 2), (4, 16, 3), (9, 107, 10), (5, 64, 7)] {
                let Some(linear) = Linear::on(isa, columns, outputs) else { continue };
                let (x, w, d) =
                    (noise(rows * columns, 1), noise(outputs * columns, 2), noise(rows * outputs, 3));
                let mut scores = vec![7.0; rows * outputs];
                linear.scores(&x, &w, &mut scores);
                let mut sum = noise(outputs * columns, 4);
                let before = sum.clone();
                linear.add_gradient(&x, &d, &mut sum);
                for o in 0..outputs {
                    for r in 0..rows {
                        let dot = |k| f64::from(x[r * columns + k]) * f64::from(w[o * columns + k]);
                        let wanted: f64 = (0..columns).map(dot).sum();
                        assert!((f64::from(scores[r * outputs + o]) - wanted).abs() < 1e-5, "{isa:?}");
                    }
                    for k in 0..columns {
                        let part = |r| f64::from(d[r * outputs + o]) * f64::from(x[r * columns + k]);
                        let wanted = f64::from(before[o * columns + k]) + (0..rows).map(part).sum::<f64>();
                        assert!((f64::from(sum[o * columns + k]) - wanted).abs() < 1e-5, "{isa:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_scores_the_same_whatever_is_beside_it() {
        let (columns, outputs) = (107, 10);
        let linear = Linear::new(columns, outputs);
        let (x, w) = (noise(9 * columns, 1), noise(outputs * columns, 2));
        let mut together = vec![0.0; 9 * outputs];
        linear.scores(&x, &w, &mut together);
        for (row, wanted) in x.chunks_exact(columns).zip(together.chunks_exact(outputs)) {
            let mut alone = vec![0.0; outputs];
            linear.scores(row, &w, &mut alone);
            assert_eq!(alone, wanted);
        }
    }
}
