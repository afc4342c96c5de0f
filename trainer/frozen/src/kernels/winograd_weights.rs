//! The weights' side of a Winograd F(4×4, 3×3) convolution: the transform of the weights, and the transforms
//! for their derivatives.
//!
//! The output is Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A, so with derivatives δ by it those
//! by g are Gᵀ[(A δ Aᵀ) ⊙ (Bᵀ d B)]G, summed over all tiles.
use super::multiply::PANEL;
use super::vector::{LANES, Vector, by_vectors};
use super::winograd::{FAR, FAR2, NEAR, NEAR2, OUTPUTS, POINTS, WEIGHT_TRANSFORM, across};

/// Products of a tile.
const PRODUCTS: usize = POINTS * POINTS;

/// Taps of a 3×3 kernel, of some outputs.
pub(crate) type Taps = [[f32; PANEL]; 9];

/// G g Gᵀ of the kernels of some outputs, in f64.
pub(crate) struct WeightTile<'a> {
    /// Tap i is `taps[i * taps_pitch..][..PANEL]`.
    pub(crate) taps: &'a [f32],
    pub(crate) taps_pitch: usize,
    /// Point i goes to `out[i * pitch..][..lanes]`.
    pub(crate) out: &'a mut [f32],
    pub(crate) pitch: usize,
    /// Outputs.
    pub(crate) lanes: usize,
}

impl WeightTile<'_> {
    pub(super) fn check(&self) {
        assert!(self.taps.len() >= 8 * self.taps_pitch + PANEL);
        assert!(self.lanes <= PANEL && self.out.len() >= (PRODUCTS - 1) * self.pitch + self.lanes);
    }
}

/// Lanes are independent, so the compiler makes the vectors.
///
/// # Safety
/// `V`'s instruction set exists.
#[inline(always)]
pub(super) unsafe fn weights<V: Vector>(job: &mut WeightTile) {
    let taps: [&[f32; PANEL]; 9] =
        std::array::from_fn(|at| job.taps[at * job.taps_pitch..].first_chunk().expect("whole lanes"));
    let mut half = [[[0f64; PANEL]; 3]; POINTS];
    for (row, g) in WEIGHT_TRANSFORM.iter().enumerate() {
        for column in 0..3 {
            for lane in 0..PANEL {
                let tap = |k: usize| g[k] * f64::from(taps[k * 3 + column][lane]);
                half[row][column][lane] = tap(0) + tap(1) + tap(2);
            }
        }
    }
    for row in 0..POINTS {
        for (column, g) in WEIGHT_TRANSFORM.iter().enumerate() {
            let mut point = [0f32; PANEL];
            for lane in 0..PANEL {
                let part = |k: usize| half[row][k][lane] * g[k];
                point[lane] = (part(0) + part(1) + part(2)) as f32;
            }
            let out = &mut job.out[(row * POINTS + column) * job.pitch..];
            if job.lanes == PANEL {
                out[..PANEL].copy_from_slice(&point); // a vector or two, not a call
            } else {
                out[..job.lanes].copy_from_slice(&point[..job.lanes]);
            }
        }
    }
}

/// Gᵀ s G of the sums of some outputs: the derivatives by their taps.
pub(crate) struct WeightSums<'a> {
    /// Point i is `sums[i * pitch..][..lanes]`.
    pub(crate) sums: &'a [f32],
    pub(crate) pitch: usize,
    /// Outputs.
    pub(crate) lanes: usize,
    pub(crate) taps: &'a mut Taps,
}

impl WeightSums<'_> {
    pub(super) fn check(&self) {
        assert!(self.lanes <= PANEL && self.sums.len() >= (PRODUCTS - 1) * self.pitch + self.lanes);
    }
}

/// Lanes are independent, so the compiler makes the vectors.
///
/// # Safety
/// `V`'s instruction set exists.
#[inline(always)]
pub(super) unsafe fn sums<V: Vector>(job: &mut WeightSums) {
    let mut half = [[[0f32; PANEL]; POINTS]; 3];
    for row in 0..POINTS {
        for column in 0..POINTS {
            let mut point = [0f32; PANEL];
            let sums = &job.sums[(row * POINTS + column) * job.pitch..];
            if job.lanes == PANEL {
                point.copy_from_slice(&sums[..PANEL]); // a vector or two, not a call
            } else {
                point[..job.lanes].copy_from_slice(&sums[..job.lanes]);
            }
            for tap in 0..3 {
                let g = WEIGHT_TRANSFORM[row][tap] as f32;
                for lane in 0..PANEL {
                    half[tap][column][lane] += g * point[lane];
                }
            }
        }
    }
    for row in 0..3 {
        for column in 0..3 {
            let mut sum = [0f32; PANEL];
            for (point, g) in WEIGHT_TRANSFORM.iter().enumerate() {
                let g = g[column] as f32;
                for lane in 0..PANEL {
                    sum[lane] += g * half[row][point][lane];
                }
            }
            job.taps[row * 3 + column] = sum;
        }
    }
}

/// A δ Aᵀ of one 4×4 tile of derivatives.
pub(crate) struct DeltaTile<'a> {
    /// From the tile's first pixel, with these pitches of rows and pixels.
    pub(crate) delta: &'a [f32],
    pub(crate) row_pitch: usize,
    pub(crate) pixel_pitch: usize,
    /// Rows and columns of the 4×4 that exist; the others are zero.
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Channels, a multiple of [`LANES`].
    pub(crate) channels: usize,
    /// Point i of the tile goes to `m[i * m_pitch..][..channels]`.
    pub(crate) m: &'a mut [f32],
    pub(crate) m_pitch: usize,
}

impl DeltaTile<'_> {
    pub(super) fn check(&self) {
        let inside = |count: usize| count > 0 && count <= OUTPUTS;
        assert!(self.channels > 0 && self.channels.is_multiple_of(LANES));
        assert!(inside(self.rows) && inside(self.columns));
        let last = (self.rows - 1) * self.row_pitch + (self.columns - 1) * self.pixel_pitch;
        assert!(self.delta.len() >= last + self.channels);
        assert!(self.m.len() >= (PRODUCTS - 1) * self.m_pitch + self.channels);
    }
}

/// # Safety
/// `job.check()` has passed and `V`'s instruction set exists.
#[inline(always)]
pub(super) unsafe fn delta<V: Vector>(job: &mut DeltaTile) {
    // SAFETY: this function's contract.
    unsafe {
        by_vectors!(V, job.channels, delta_of(job));
    }
}

/// The transform of a vector of channels, from channel `c` on.
#[inline(always)]
unsafe fn delta_of<V: Vector>(job: &mut DeltaTile, c: usize) {
    // SAFETY: `check` bounds delta by rows, columns and channels, and m by the points.
    unsafe {
        let zero = V::splat(0.0);
        let mut half = [[zero; POINTS]; OUTPUTS]; // [column][point]
        for column in 0..job.columns {
            let mut line = [zero; OUTPUTS];
            for row in 0..job.rows {
                let at = row * job.row_pitch + column * job.pixel_pitch + c;
                line[row] = V::load(job.delta.as_ptr().add(at));
            }
            half[column] = a(line);
        }
        for row in 0..POINTS {
            let full = a(across(&half, row));
            for column in 0..POINTS {
                full[column].store(job.m.as_mut_ptr().add((row * POINTS + column) * job.m_pitch + c));
            }
        }
    }
}

/// One side of A δ Aᵀ.
#[inline(always)]
unsafe fn a<V: Vector>(d: [V; OUTPUTS]) -> [V; POINTS] {
    // SAFETY: arithmetic only; the caller has V's instruction set.
    unsafe {
        let pair = |point: f32, square: f32| {
            let even = d[0].fma(V::splat(square), d[2]);
            let odd = V::splat(0.0).fma(V::splat(point), d[1]).fma(V::splat(point * square), d[3]);
            [even.add(odd), even.sub(odd)]
        };
        let ([one, two], [three, four]) = (pair(NEAR, NEAR2), pair(FAR, FAR2));
        [d[0], one, two, three, four, d[3]]
    }
}
