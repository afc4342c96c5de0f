//! Rows of weights times rows of inputs, for linear layers: the weights stay as the file has them.
//!
//! A linear layer of a small batch is bound by reading its weights. They are read once, in order, while a piece of
//! the inputs stays in the cache; each sum runs over the same lanes in the same order whatever the batch.
use super::vector::{LANES, Vector};

/// Depth of a piece: eight rows of inputs of it fill 64 KB of the level-2 cache.
const PIECE: usize = 2048;

/// `out[o][b] = clamp(weights[o] · inputs[b] + bias[o])` for a run of outputs.
pub(crate) struct Dot<'a> {
    /// `[batch]` rows of `input_pitch` floats, zero past `depth` up to a multiple of [`LANES`].
    pub(crate) inputs: &'a [f32],
    pub(crate) input_pitch: usize,
    pub(crate) batch: usize,
    /// `[outputs]` rows of `depth` floats, a multiple of [`LANES`].
    pub(crate) weights: &'a [f32],
    pub(crate) depth: usize,
    /// `[outputs]`
    pub(crate) bias: &'a [f32],
    pub(crate) low: f32,
    pub(crate) high: f32,
    /// `[outputs, batch]`
    pub(crate) out: &'a mut [f32],
    /// Partial sums `[outputs, batch, LANES]`.
    pub(crate) sums: &'a mut [f32],
}

impl Dot<'_> {
    pub(super) fn check(&self) {
        let outputs = self.bias.len();
        assert!(self.batch > 0 && self.depth > 0 && self.depth.is_multiple_of(LANES));
        assert!(self.inputs.len() >= (self.batch - 1) * self.input_pitch + self.depth);
        assert!(self.weights.len() >= outputs * self.depth);
        assert!(self.out.len() >= outputs * self.batch && self.sums.len() >= outputs * self.batch * LANES);
    }
}

/// # Safety
/// `job.check()` has passed and `V`'s instruction set exists.
#[inline(always)]
pub(super) unsafe fn run<V: Vector>(job: &mut Dot) {
    let outputs = job.bias.len();
    job.sums[..outputs * job.batch * LANES].fill(0.0);
    let mut from = 0;
    while from < job.depth {
        let to = (from + PIECE).min(job.depth);
        let mut output = 0;
        while output < outputs {
            let rows = if outputs - output >= 3 { 3 } else { 1 };
            let mut image = 0;
            while image < job.batch {
                let images = if job.batch - image >= 4 { 4 } else { 1 };
                // SAFETY: this function's contract; the rows and images exist.
                unsafe {
                    match (rows, images) {
                        (3, 4) => piece::<V, 3, 4>(job, output, image, from, to),
                        (3, _) => piece::<V, 3, 1>(job, output, image, from, to),
                        (_, 4) => piece::<V, 1, 4>(job, output, image, from, to),
                        _ => piece::<V, 1, 1>(job, output, image, from, to),
                    }
                }
                image += images;
            }
            output += rows;
        }
        from = to;
    }
    for (output, bias) in job.bias.iter().enumerate() {
        for image in 0..job.batch {
            let at = output * job.batch + image;
            let sum: f32 = job.sums[at * LANES..][..LANES].iter().sum::<f32>() + bias;
            // Comparisons, not `clamp`: NaN stays NaN.
            job.out[at] = if sum < job.low {
                job.low
            } else if sum > job.high {
                job.high
            } else {
                sum
            };
        }
    }
}

/// `R` rows of weights by `N` images over depth `from..to`.
#[inline(always)]
unsafe fn piece<V: Vector, const R: usize, const N: usize>(
    job: &mut Dot,
    output: usize,
    image: usize,
    from: usize,
    to: usize,
) {
    // SAFETY: `check` bounds weights by outputs, inputs by images, and sums by both.
    unsafe {
        let weights = job.weights.as_ptr().add(output * job.depth);
        let inputs = job.inputs.as_ptr().add(image * job.input_pitch);
        let sums = job.sums.as_mut_ptr().add((output * job.batch + image) * LANES);
        let mut sum = [[V::splat(0.0); N]; R];
        for r in 0..R {
            for n in 0..N {
                sum[r][n] = V::load(sums.add((r * job.batch + n) * LANES));
            }
        }
        let mut k = from;
        while k < to {
            let mut x = [V::splat(0.0); N];
            for n in 0..N {
                x[n] = V::load(inputs.add(n * job.input_pitch + k));
            }
            for r in 0..R {
                let w = V::load(weights.add(r * job.depth + k));
                for n in 0..N {
                    sum[r][n] = sum[r][n].fma(w, x[n]);
                }
            }
            k += LANES;
        }
        for r in 0..R {
            for n in 0..N {
                sum[r][n].store(sums.add((r * job.batch + n) * LANES));
            }
        }
    }
}
