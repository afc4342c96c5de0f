//! The two products of training a thin linear layer: rows of features times weights,
//! and the weights' gradient.
//!
//! Each sum runs over the same values in the same order, whatever the batch and its tile.
use super::vector::{LANES, Vector};

/// Rows and outputs of a register tile of [`Scores`]: twelve sums.
const ROWS: usize = 4;
const OUTPUTS: usize = 3;
/// Vectors of columns in a register tile of [`Gradient`], by [`OUTPUTS`].
const VECTORS: usize = 4;

/// `scores[r][o] = features[r] · weights[o]` over the columns up to the last multiple of [`LANES`].
pub(crate) struct Scores<'a> {
    pub(crate) rows: usize,
    pub(crate) outputs: usize,
    /// Floats from one row of features or of weights to the next.
    pub(crate) columns: usize,
    /// `[rows, columns]`
    pub(crate) features: &'a [f32],
    /// `[outputs, columns]`
    pub(crate) weights: &'a [f32],
    /// `[rows, outputs]`
    pub(crate) scores: &'a mut [f32],
}

/// `sum[o] += deltas[r][o] * features[r]` over all rows,
/// over the columns up to the last multiple of [`LANES`].
pub(crate) struct Gradient<'a> {
    pub(crate) rows: usize,
    pub(crate) outputs: usize,
    pub(crate) columns: usize,
    /// `[rows, columns]`
    pub(crate) features: &'a [f32],
    /// `[rows, outputs]`
    pub(crate) deltas: &'a [f32],
    /// `[outputs, columns]`
    pub(crate) sum: &'a mut [f32],
}

impl Scores<'_> {
    pub(super) fn check(&self) {
        assert_eq!(self.features.len(), self.rows * self.columns);
        assert_eq!(self.weights.len(), self.outputs * self.columns);
        assert_eq!(self.scores.len(), self.rows * self.outputs);
    }
}

impl Gradient<'_> {
    pub(super) fn check(&self) {
        assert_eq!(self.features.len(), self.rows * self.columns);
        assert_eq!(self.deltas.len(), self.rows * self.outputs);
        assert_eq!(self.sum.len(), self.outputs * self.columns);
    }
}

/// # Safety
/// `job.check()` has passed and `V`'s instruction set exists.
#[inline(always)]
pub(super) unsafe fn scores<V: Vector>(job: &mut Scores) {
    let mut row = 0;
    while row < job.rows {
        let rows = if job.rows - row >= ROWS { ROWS } else { 1 };
        let mut output = 0;
        while output < job.outputs {
            let outputs = if job.outputs - output >= OUTPUTS { OUTPUTS } else { 1 };
            // SAFETY: this function's contract; the rows and the outputs exist.
            unsafe {
                match (rows, outputs) {
                    (ROWS, OUTPUTS) => scores_tile::<V, ROWS, OUTPUTS>(job, row, output),
                    (ROWS, _) => scores_tile::<V, ROWS, 1>(job, row, output),
                    (_, OUTPUTS) => scores_tile::<V, 1, OUTPUTS>(job, row, output),
                    _ => scores_tile::<V, 1, 1>(job, row, output),
                }
            }
            output += outputs;
        }
        row += rows;
    }
}

#[inline(always)]
unsafe fn scores_tile<V: Vector, const R: usize, const O: usize>(
    job: &mut Scores,
    row: usize,
    output: usize,
) {
    // SAFETY: `check` bounds features by rows, weights by outputs and scores by both.
    unsafe {
        let features = job.features.as_ptr().add(row * job.columns);
        let weights = job.weights.as_ptr().add(output * job.columns);
        let mut sum = [[V::splat(0.0); O]; R];
        for k in (0..job.columns / LANES * LANES).step_by(LANES) {
            let mut w = [V::splat(0.0); O];
            for o in 0..O {
                w[o] = V::load(weights.add(o * job.columns + k));
            }
            for r in 0..R {
                let x = V::load(features.add(r * job.columns + k));
                for o in 0..O {
                    sum[r][o] = sum[r][o].fma(x, w[o]);
                }
            }
        }
        for r in 0..R {
            for o in 0..O {
                let mut lanes = [0.0; LANES];
                sum[r][o].store(lanes.as_mut_ptr());
                job.scores[(row + r) * job.outputs + output + o] = lanes.iter().sum();
            }
        }
    }
}

/// # Safety
/// `job.check()` has passed and `V`'s instruction set exists.
#[inline(always)]
pub(super) unsafe fn gradient<V: Vector>(job: &mut Gradient) {
    let whole = job.columns / LANES;
    let mut vector = 0;
    while vector < whole {
        let vectors = if whole - vector >= VECTORS { VECTORS } else { 1 };
        let mut output = 0;
        while output < job.outputs {
            let outputs = if job.outputs - output >= OUTPUTS { OUTPUTS } else { 1 };
            // SAFETY: this function's contract; the columns and the outputs exist.
            unsafe {
                match (vectors, outputs) {
                    (VECTORS, OUTPUTS) => gradient_tile::<V, VECTORS, OUTPUTS>(job, vector * LANES, output),
                    (VECTORS, _) => gradient_tile::<V, VECTORS, 1>(job, vector * LANES, output),
                    (_, OUTPUTS) => gradient_tile::<V, 1, OUTPUTS>(job, vector * LANES, output),
                    _ => gradient_tile::<V, 1, 1>(job, vector * LANES, output),
                }
            }
            output += outputs;
        }
        vector += vectors;
    }
}

#[inline(always)]
unsafe fn gradient_tile<V: Vector, const K: usize, const O: usize>(
    job: &mut Gradient,
    column: usize,
    output: usize,
) {
    // SAFETY: `check` bounds features by rows, deltas by rows and outputs, sum by outputs.
    unsafe {
        let features = job.features.as_ptr().add(column);
        let deltas = job.deltas.as_ptr().add(output);
        let place = job.sum.as_mut_ptr().add(output * job.columns + column);
        let mut sum = [[V::splat(0.0); K]; O];
        for o in 0..O {
            for k in 0..K {
                sum[o][k] = V::load(place.add(o * job.columns + k * LANES));
            }
        }
        for r in 0..job.rows {
            let mut x = [V::splat(0.0); K];
            for k in 0..K {
                x[k] = V::load(features.add(r * job.columns + k * LANES));
            }
            for o in 0..O {
                let delta = V::splat(*deltas.add(r * job.outputs + o));
                for k in 0..K {
                    sum[o][k] = sum[o][k].fma(delta, x[k]);
                }
            }
        }
        for o in 0..O {
            for k in 0..K {
                sum[o][k].store(place.add(o * job.columns + k * LANES));
            }
        }
    }
}
