//! The part of attention between its two products: softmax, and the factor that is applied at the end.
//!
//! Sums run over sixteen lanes on every instruction set, of one vector or of two, so the bits are the same.
use super::activation::power_of_two;
use super::multiply::PANEL;
use super::vector::Vector;

/// Rows of scores to powers of two: `scores[r][c] = 2^(scores[r][c] - the row's largest)`, and one over each
/// row's sum.
pub(crate) struct Softmax<'a> {
    pub(crate) scores: &'a mut [f32],
    pub(crate) rows: usize,
    /// Floats from a row to the next, a multiple of [`PANEL`].
    pub(crate) pitch: usize,
    /// Scores of a row; values after them up to a whole panel are overwritten.
    pub(crate) count: usize,
    pub(crate) factors: &'a mut [f32],
}

impl Softmax<'_> {
    pub(super) fn check(&self) {
        assert!(self.rows > 0 && self.count > 0 && self.count <= self.pitch);
        assert!(self.pitch.is_multiple_of(PANEL) && self.scores.len() >= self.rows * self.pitch);
        assert!(self.factors.len() >= self.rows);
    }
}

/// # Safety
/// `job.check()` has passed and `V`'s instruction set exists.
#[inline(always)]
pub(super) unsafe fn softmax<V: Vector>(job: &mut Softmax) {
    let whole = job.count.next_multiple_of(PANEL);
    for row in 0..job.rows {
        let scores = &mut job.scores[row * job.pitch..][..whole];
        scores[job.count..].fill(f32::NEG_INFINITY);
        let scores = scores.as_mut_ptr();
        // SAFETY: the row has `whole` floats, a whole number of panels.
        unsafe {
            let mut most = V::splat(f32::NEG_INFINITY);
            for c in (0..whole).step_by(V::LANES) {
                most = V::load(scores.add(c)).max(most);
            }
            let mut lanes = [f32::NEG_INFINITY; PANEL];
            most.store(lanes.as_mut_ptr());
            // A NaN among the scores is lost here and returns with its own power.
            let most = V::splat(lanes.into_iter().fold(f32::NEG_INFINITY, f32::max));
            let mut sums = [V::splat(0.0); 2];
            for c in (0..whole).step_by(PANEL) {
                for n in 0..PANEL / V::LANES {
                    let at = scores.add(c + n * V::LANES);
                    let power = power_of_two(V::load(at).sub(most));
                    power.store(at);
                    sums[n] = sums[n].add(power);
                }
            }
            job.factors[row] = 1.0 / total(&sums);
        }
    }
}

/// The sum of sixteen lanes, of one vector or of two.
///
/// # Safety
/// `V`'s instruction set exists.
#[inline(always)]
pub(super) unsafe fn total<V: Vector>(sums: &[V; 2]) -> f32 {
    let mut lanes = [0.0; PANEL];
    for n in 0..PANEL / V::LANES {
        // SAFETY: the vectors fill the lanes.
        unsafe { sums[n].store(lanes.as_mut_ptr().add(n * V::LANES)) };
    }
    let mut width = PANEL / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// Each row multiplied by its number, in place.
pub(crate) struct ScaleRows<'a> {
    pub(crate) values: &'a mut [f32],
    /// Floats of a row.
    pub(crate) columns: usize,
    /// As many as rows.
    pub(crate) factors: &'a [f32],
}

impl ScaleRows<'_> {
    pub(super) fn check(&self) {
        assert!(self.columns.is_multiple_of(PANEL));
        assert!(self.values.len() >= self.columns * self.factors.len());
    }
}

/// # Safety
/// `job.check()` has passed and `V`'s instruction set exists.
#[inline(always)]
pub(super) unsafe fn scale_rows<V: Vector>(job: &mut ScaleRows) {
    for (row, &factor) in job.values.chunks_exact_mut(job.columns).zip(job.factors) {
        // SAFETY: the row has `columns` floats, a whole number of panels.
        unsafe {
            let factor = V::splat(factor);
            for c in (0..job.columns).step_by(V::LANES) {
                let at = row.as_mut_ptr().add(c);
                V::load(at).mul(factor).store(at);
            }
        }
    }
}
