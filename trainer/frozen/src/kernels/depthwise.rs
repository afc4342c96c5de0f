//! A depthwise convolution's row, each channel with its own window; and the derivatives by its weights.
use std::ops::Range;

use super::vector::{LANES, Vector, by_vectors};

/// Outputs worked on together: each weight is loaded once for four of them.
const TOGETHER: usize = 4;

/// One row of outputs from input rows that already have their padding.
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

/// The derivatives by a depthwise convolution's weights, of one image: each channel's taps times `delta`,
/// summed over the pixels in their order.
pub(crate) struct DepthwiseProducts<'a> {
    /// `[height, width, pixel_pitch]`; values outside count as zero.
    pub(crate) input: &'a [f32],
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) pixel_pitch: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
    /// `[delta_height, delta_width, delta_pitch]`
    pub(crate) delta: &'a [f32],
    pub(crate) delta_height: usize,
    pub(crate) delta_width: usize,
    pub(crate) delta_pitch: usize,
    /// Channels, a multiple of [`LANES`].
    pub(crate) channels: usize,
    /// `[kernel, kernel, channels]`
    pub(crate) sums: &'a mut [f32],
}

impl DepthwiseProducts<'_> {
    pub(super) fn check(&self) {
        let reach = |height: usize, width: usize, pitch: usize| (height * width - 1) * pitch + self.channels;
        assert!(self.channels > 0 && self.channels.is_multiple_of(LANES));
        assert!(self.height * self.width > 0 && self.delta_height * self.delta_width > 0 && self.stride > 0);
        assert!(self.input.len() >= reach(self.height, self.width, self.pixel_pitch));
        assert!(self.delta.len() >= reach(self.delta_height, self.delta_width, self.delta_pitch));
        assert!(self.sums.len() >= self.kernel * self.kernel * self.channels);
    }

    /// The outputs of a line of `count` whose tap `tap` lies inside a line of `length` inputs.
    fn inside(&self, tap: usize, count: usize, length: usize) -> Range<usize> {
        let from = self.padding.saturating_sub(tap).div_ceil(self.stride);
        let to = (length + self.padding).saturating_sub(tap).div_ceil(self.stride).min(count);
        from.min(to)..to
    }
}

/// # Safety
/// `job.check()` has passed and `V`'s instruction set exists.
#[inline(always)]
pub(super) unsafe fn products<V: Vector>(job: &mut DepthwiseProducts) {
    for tap in 0..job.kernel * job.kernel {
        // SAFETY: this function's contract.
        unsafe {
            by_vectors!(V, job.channels, products_of(job, tap));
        }
    }
}

/// The sum of a tap for a vector of channels, from channel `c` on.
#[inline(always)]
unsafe fn products_of<V: Vector>(job: &mut DepthwiseProducts, tap: usize, c: usize) {
    let (row, column) = (tap / job.kernel, tap % job.kernel);
    let down = job.inside(row, job.delta_height, job.height);
    let across = job.inside(column, job.delta_width, job.width);
    // SAFETY: `inside` keeps the tap's pixels inside the input, and `check` bounds input, delta and sums.
    unsafe {
        let mut sum = V::splat(0.0);
        for y in down {
            let line = (y * job.stride + row - job.padding) * job.width + column;
            for x in across.clone() {
                let pixel = line + x * job.stride - job.padding;
                let input = V::load(job.input.as_ptr().add(pixel * job.pixel_pitch + c));
                let delta = job.delta.as_ptr().add((y * job.delta_width + x) * job.delta_pitch + c);
                sum = sum.fma(input, V::load(delta));
            }
        }
        sum.store(job.sums.as_mut_ptr().add(tap * job.channels + c));
    }
}
