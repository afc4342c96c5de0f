//! Layer norm: each row minus its mean, over its deviation, times a weight and plus a bias by column.
//!
//! Sums run over sixteen lanes on every instruction set, of one vector or of two, so the bits are the same.
use super::attention::total;
use super::multiply::PANEL;
use super::vector::Vector;

/// Rows to normed rows, in place or beside them.
pub(crate) struct Normalise<'a> {
    pub(crate) values: &'a mut [f32],
    pub(crate) rows: usize,
    /// Floats from a row to the next.
    pub(crate) pitch: usize,
    /// The offset from a row's first number to its normed ones; 0 for in place.
    pub(crate) to: usize,
    /// `[columns]` each; columns are a multiple of [`PANEL`].
    pub(crate) weight: &'a [f32],
    pub(crate) bias: &'a [f32],
    pub(crate) epsilon: f64,
}

impl Normalise<'_> {
    pub(super) fn check(&self) {
        let columns = self.weight.len();
        assert!(self.rows > 0 && columns > 0 && columns.is_multiple_of(PANEL) && self.bias.len() == columns);
        assert!(self.values.len() >= (self.rows - 1) * self.pitch + self.to + columns);
    }
}

/// # Safety
/// `job.check()` has passed and `V`'s instruction set exists.
#[inline(always)]
pub(super) unsafe fn run<V: Vector>(job: &mut Normalise) {
    let columns = job.weight.len();
    for row in 0..job.rows {
        // SAFETY: `check` bounds values by rows, weight and bias by the columns.
        unsafe {
            let values = job.values.as_mut_ptr().add(row * job.pitch);
            let mut sums = [V::splat(0.0); 2];
            for c in (0..columns).step_by(PANEL) {
                for n in 0..PANEL / V::LANES {
                    sums[n] = sums[n].add(V::load(values.add(c + n * V::LANES)));
                }
            }
            let mean = V::splat((f64::from(total(&sums)) / columns as f64) as f32);
            let mut squares = [V::splat(0.0); 2];
            for c in (0..columns).step_by(PANEL) {
                for n in 0..PANEL / V::LANES {
                    let apart = V::load(values.add(c + n * V::LANES)).sub(mean);
                    squares[n] = squares[n].fma(apart, apart);
                }
            }
            let variance = f64::from(total(&squares)) / columns as f64;
            let factor = V::splat((1.0 / (variance + job.epsilon).sqrt()) as f32);
            for c in (0..columns).step_by(V::LANES) {
                let normed = V::load(values.add(c)).sub(mean).mul(factor);
                let (weight, bias) = (job.weight.as_ptr().add(c), job.bias.as_ptr().add(c));
                V::load(bias).fma(normed, V::load(weight)).store(values.add(job.to + c));
            }
        }
    }
}
