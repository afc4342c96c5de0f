//! A depthwise convolution's row: each channel with its own window.
use super::vector::{LANES, Vector, by_vectors};

/// Outputs worked on together: each weight is loaded once for four of them.
const TOGETHER: usize = 4;

/// One row of outputs from input rows that already hold their padding.
pub(crate) struct DepthwiseRow<'a> {
    /// From the window of the first output: rows of `pitch` floats, pixels of `channels`.
    pub(crate) input: &'a [f32],
    pub(crate) pitch: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    /// Channels, a multiple of [`LANES`].
    pub(crate) channels: usize,
    /// `[kernel, kernel, channels]`
    pub(crate) weights: &'a [f32],
    /// `[channels]`
    pub(crate) bias: &'a [f32],
    pub(crate) low: f32,
    pub(crate) high: f32,
    /// Outputs of the row.
    pub(crate) count: usize,
    pub(crate) out: &'a mut [f32],
    pub(crate) out_pitch: usize,
}

impl DepthwiseRow<'_> {
    pub(super) fn check(&self) {
        let (channels, kernel) = (self.channels, self.kernel);
        assert!(channels > 0 && channels.is_multiple_of(LANES) && self.count > 0 && kernel > 0);
        let pixels = (self.count - 1) * self.stride + kernel;
        assert!(self.input.len() >= (kernel - 1) * self.pitch + pixels * channels);
        assert!(self.weights.len() >= kernel * kernel * channels && self.bias.len() >= channels);
        assert!(self.out.len() >= (self.count - 1) * self.out_pitch + channels);
    }
}

/// # Safety
/// `job.check()` has passed and `V`'s instruction set exists.
#[inline(always)]
pub(super) unsafe fn run<V: Vector>(job: &mut DepthwiseRow) {
    let mut x = 0;
    while x < job.count {
        // SAFETY: this function's contract; outputs x.. exist.
        unsafe {
            match (job.count - x, job.kernel) {
                (TOGETHER.., 3) => outputs::<V, TOGETHER, 3>(job, x),
                (TOGETHER.., _) => outputs::<V, TOGETHER, 0>(job, x),
                (_, 3) => outputs::<V, 1, 3>(job, x),
                _ => outputs::<V, 1, 0>(job, x),
            }
        }
        x += if job.count - x >= TOGETHER { TOGETHER } else { 1 };
    }
}

/// `N` neighbouring outputs; `K` is the kernel's size, or 0 when it is known only at run time.
#[inline(always)]
unsafe fn outputs<V: Vector, const N: usize, const K: usize>(job: &mut DepthwiseRow, x: usize) {
    // SAFETY: the contract of `run`.
    unsafe {
        by_vectors!(V, job.channels, outputs_of::<N, K>(job, x));
    }
}

/// The same of a vector of channels, from channel `c` on.
#[inline(always)]
unsafe fn outputs_of<V: Vector, const N: usize, const K: usize>(job: &mut DepthwiseRow, x: usize, c: usize) {
    let kernel = if K == 0 { job.kernel } else { K };
    let step = job.stride * job.channels;
    // SAFETY: `check` bounds input, weights, bias and out by the row's outputs and channels.
    unsafe {
        let input = job.input.as_ptr().add(x * step + c);
        let weights = job.weights.as_ptr().add(c);
        let mut sum = [V::load(job.bias.as_ptr().add(c)); N];
        for row in 0..kernel {
            for column in 0..kernel {
                let weight = V::load(weights.add((row * kernel + column) * job.channels));
                let pixel = input.add(row * job.pitch + column * job.channels);
                for n in 0..N {
                    sum[n] = sum[n].fma(V::load(pixel.add(n * step)), weight);
                }
            }
        }
        let (low, high) = (V::splat(job.low), V::splat(job.high));
        for n in 0..N {
            sum[n].max(low).min(high).store(job.out.as_mut_ptr().add((x + n) * job.out_pitch + c));
        }
    }
}
