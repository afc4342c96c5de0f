//! Rows of weights times rows of inputs, for linear layers.
//!
//! A linear layer of a small batch is limited by reading its weights. They are packed in the order in which
//! they are read, and read once, while a piece of the inputs stays in the cache. Each sum runs over the same
//! lanes in the same order whatever the batch.
use super::vector::{LANES, Vector};

/// Outputs of a group, whose weights are contiguous: six rows by two images are twelve sums in registers.
pub(crate) const GROUP: usize = 6;
/// Images of a register tile.
const IMAGES: usize = 2;
/// Depth of a piece: eight images' inputs and a group's weights of it fill 28 KB of the level-1 cache.
pub(crate) const PIECE: usize = 512;

/// `out[o][b] = weights[o] · inputs[b]` for a run of groups of outputs.
pub(crate) struct Dot<'a> {
    /// `[batch]` rows of `input_pitch` floats.
    pub(crate) inputs: &'a [f32],
    pub(crate) input_pitch: usize,
    pub(crate) batch: usize,
    /// `[depth / PIECE][groups][PIECE / LANES][GROUP][LANES]`; the last piece may be shorter.
    pub(crate) weights: &'a [f32],
    /// Groups of the layer.
    pub(crate) groups: usize,
    /// A multiple of [`LANES`].
    pub(crate) depth: usize,
    /// The first group of the run; `out` says how many follow.
    pub(crate) first: usize,
    /// Sums by lane `[groups of the run * GROUP, batch, LANES]`.
    pub(crate) sums: &'a mut [f32],
    /// `[groups of the run * GROUP, batch]`
    pub(crate) out: &'a mut [f32],
}

impl Dot<'_> {
    pub(super) fn check(&self) {
        let run = self.run_length();
        assert!(self.batch > 0 && self.depth > 0 && self.depth.is_multiple_of(LANES));
        assert!(self.inputs.len() >= (self.batch - 1) * self.input_pitch + self.depth);
        assert!(self.first + run <= self.groups && self.out.len() == run * GROUP * self.batch);
        assert!(self.weights.len() >= self.groups * GROUP * self.depth);
        assert!(self.sums.len() >= self.out.len() * LANES);
    }

    fn run_length(&self) -> usize {
        self.out.len() / (GROUP * self.batch)
    }
}

/// # Safety
/// `job.check()` has passed and `V`'s instruction set exists.
#[inline(always)]
pub(super) unsafe fn run<V: Vector>(job: &mut Dot) {
    job.sums[..job.out.len() * LANES].fill(0.0);
    let mut from = 0;
    while from < job.depth {
        let length = PIECE.min(job.depth - from);
        for group in 0..job.run_length() {
            let mut image = 0;
            while image < job.batch {
                let images = IMAGES.min(job.batch - image);
                // SAFETY: this function's contract; the group, the piece and the images exist.
                unsafe {
                    match images {
                        IMAGES => piece::<V, IMAGES>(job, group, image, from, length),
                        _ => piece::<V, 1>(job, group, image, from, length),
                    }
                }
                image += images;
            }
        }
        from += length;
    }
    for (out, lanes) in job.out.iter_mut().zip(job.sums.chunks_exact(LANES)) {
        *out = lanes.iter().sum();
    }
}

/// One group by `N` images over one piece.
#[inline(always)]
unsafe fn piece<V: Vector, const N: usize>(
    job: &mut Dot,
    group: usize,
    image: usize,
    from: usize,
    length: usize,
) {
    // SAFETY: `check` bounds weights by groups and depth, inputs by images,
    // and sums by the run and the batch.
    unsafe {
        let before = from * job.groups * GROUP + (job.first + group) * GROUP * length;
        let weights = job.weights.as_ptr().add(before);
        let inputs = job.inputs.as_ptr().add(image * job.input_pitch + from);
        let sums = job.sums.as_mut_ptr().add((group * GROUP * job.batch + image) * LANES);
        let mut sum = [[V::splat(0.0); N]; GROUP];
        for r in 0..GROUP {
            for n in 0..N {
                sum[r][n] = V::load(sums.add((r * job.batch + n) * LANES));
            }
        }
        for k in (0..length).step_by(LANES) {
            let mut x = [V::splat(0.0); N];
            for n in 0..N {
                x[n] = V::load(inputs.add(n * job.input_pitch + k));
            }
            for r in 0..GROUP {
                let w = V::load(weights.add(k * GROUP + r * LANES));
                for n in 0..N {
                    sum[r][n] = sum[r][n].fma(w, x[n]);
                }
            }
        }
        for r in 0..GROUP {
            for n in 0..N {
                sum[r][n].store(sums.add((r * job.batch + n) * LANES));
            }
        }
    }
}
