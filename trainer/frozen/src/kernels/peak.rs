//! The measure of all kernels: multiply-adds on registers alone.
use super::vector::Vector;

/// Independent sums: enough to hide an FMA's latency on two units.
const SUMS: usize = 12;
/// Lanes of the widest vector.
const MOST_LANES: usize = 16;

/// `rounds` multiply-adds on each of twelve vectors.
pub(crate) struct Peak {
    pub(crate) rounds: usize,
    /// Lanes of the vectors, once it has run.
    pub(crate) lanes: usize,
    /// Keeps the sums from being optimised away.
    pub(crate) result: f32,
}

impl Peak {
    pub(super) fn check(&self) {}

    /// Floating-point operations of the job.
    pub(crate) fn operations(&self) -> usize {
        2 * SUMS * self.lanes * self.rounds
    }
}

/// # Safety
/// `V`'s instruction set exists.
#[inline(always)]
pub(super) unsafe fn run<V: Vector>(job: &mut Peak) {
    const { assert!(V::LANES <= MOST_LANES) };
    // SAFETY: registers only, but for the last store, which fits its array.
    unsafe {
        let mut sums = [V::splat(job.result); SUMS];
        let (a, b) = (V::splat(1.0 + job.result), V::splat(1e-9));
        for _ in 0..job.rounds {
            for sum in &mut sums {
                *sum = b.fma(*sum, a);
            }
        }
        let mut lanes = [0.0; MOST_LANES];
        for sum in sums {
            sum.store(lanes.as_mut_ptr());
            job.result += lanes[0];
        }
        job.lanes = V::LANES;
    }
}
