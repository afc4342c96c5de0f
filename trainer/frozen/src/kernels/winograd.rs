//! The two transforms around a Winograd F(4×4, 3×3) product, points 0, ±√½, ±√2, ∞.
//!
//! Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2015), with points 0, ±1, ±2,
//! ∞. Those multiply by up to 8, these by at most 2√2; the error with those is about twice as large.
use super::Residual;
use super::vector::{LANES, Vector, by_vectors};

/// The inner pair of points, √½, and its square.
pub(super) const NEAR: f32 = std::f32::consts::FRAC_1_SQRT_2;
pub(super) const NEAR2: f32 = 0.5;
/// The outer pair of points, √2, and its square; NEAR2 * FAR2 is 1.
pub(super) const FAR: f32 = std::f32::consts::SQRT_2;
pub(super) const FAR2: f32 = 2.0;

/// G, the weights' side of the transform, in f64: it is done once.
pub(crate) const WEIGHT_TRANSFORM: [[f64; 3]; POINTS] = {
    let (near, far) = (std::f64::consts::FRAC_1_SQRT_2, std::f64::consts::SQRT_2);
    [
        [1.0, 0.0, 0.0],
        [-1.0 / 1.5, -near / 1.5, -0.5 / 1.5],
        [-1.0 / 1.5, near / 1.5, -0.5 / 1.5],
        [1.0 / 6.0, far / 6.0, 2.0 / 6.0],
        [1.0 / 6.0, -far / 6.0, 2.0 / 6.0],
        [0.0, 0.0, 1.0],
    ]
};

/// Rows and columns of a transformed tile.
pub(crate) const POINTS: usize = 6;
/// Rows and columns of the outputs of a tile.
pub(crate) const OUTPUTS: usize = 4;

/// Bᵀ d B of one 6×6 tile of an image.
pub(crate) struct InputTile<'a> {
    /// One image `[height, width, pitch]`.
    pub(crate) image: &'a [f32],
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) pitch: usize,
    /// The tile's first row and column; pixels outside the image are zero.
    pub(crate) y: isize,
    pub(crate) x: isize,
    /// Channels, a multiple of [`LANES`].
    pub(crate) channels: usize,
    /// `[channels]` zeros.
    pub(crate) zeros: &'a [f32],
    /// Point i of the tile goes to `v[i * v_pitch..][..channels]`.
    pub(crate) v: &'a mut [f32],
    pub(crate) v_pitch: usize,
}

impl InputTile<'_> {
    pub(super) fn check(&self) {
        assert!(self.channels > 0 && self.channels.is_multiple_of(LANES) && self.channels <= self.pitch);
        assert!(self.image.len() >= (self.height * self.width - 1) * self.pitch + self.channels);
        assert!(self.zeros.len() >= self.channels);
        assert!(self.v.len() >= (POINTS * POINTS - 1) * self.v_pitch + self.channels);
    }

    /// The pixel's channels, or the zeros outside of the image.
    fn pixel(&self, row: usize, column: usize) -> *const f32 {
        let (y, x) = (self.y + row as isize, self.x + column as isize);
        if y >= 0 && x >= 0 && (y as usize) < self.height && (x as usize) < self.width {
            self.image[(y as usize * self.width + x as usize) * self.pitch..].as_ptr()
        } else {
            self.zeros.as_ptr()
        }
    }
}

/// # Safety
/// `job.check()` has passed and `V`'s instruction set exists.
#[inline(always)]
pub(super) unsafe fn input<V: Vector>(job: &mut InputTile) {
    let pixels: [[*const f32; POINTS]; POINTS] =
        std::array::from_fn(|column| std::array::from_fn(|row| job.pixel(row, column)));
    // SAFETY: this function's contract.
    unsafe {
        by_vectors!(V, job.channels, input_of(job, &pixels));
    }
}

/// The input transform of a vector of channels, from channel `c` on.
#[inline(always)]
unsafe fn input_of<V: Vector>(job: &mut InputTile, pixels: &[[*const f32; POINTS]; POINTS], c: usize) {
    // SAFETY: every pixel has `channels` floats and v room for 36 rows of them, by `check`.
    unsafe {
        let mut half = [[V::splat(0.0); POINTS]; POINTS]; // [column][point]
        for column in 0..POINTS {
            let mut line = [V::splat(0.0); POINTS];
            for row in 0..POINTS {
                line[row] = V::load(pixels[column][row].add(c));
            }
            half[column] = bt(line);
        }
        for row in 0..POINTS {
            let full = bt(across(&half, row));
            for column in 0..POINTS {
                full[column].store(job.v.as_mut_ptr().add((row * POINTS + column) * job.v_pitch + c));
            }
        }
    }
}

/// A row across the columns.
#[inline(always)]
pub(super) fn across<V: Vector, const N: usize, const C: usize>(columns: &[[V; N]; C], row: usize) -> [V; C] {
    let mut line = [columns[0][row]; C];
    for column in 1..C {
        line[column] = columns[column][row];
    }
    line
}

/// One side of Bᵀ d B.
#[inline(always)]
unsafe fn bt<V: Vector>(d: [V; 6]) -> [V; 6] {
    // SAFETY: arithmetic only; the caller has V's instruction set.
    unsafe {
        let (near, far) = (V::splat(NEAR), V::splat(FAR));
        let (minus_near, minus_far) = (V::splat(-NEAR), V::splat(-FAR));
        let (minus_near2, minus_far2) = (V::splat(-NEAR2), V::splat(-FAR2));
        let minus_both = V::splat(-(NEAR2 + FAR2));
        let (even_near, odd_near) = (d[4].fma(minus_far2, d[2]), d[3].fma(minus_far2, d[1]));
        let (even_far, odd_far) = (d[4].fma(minus_near2, d[2]), d[3].fma(minus_near2, d[1]));
        [
            d[0].add(d[4]).fma(minus_both, d[2]),
            even_near.fma(near, odd_near),
            even_near.fma(minus_near, odd_near),
            even_far.fma(far, odd_far),
            even_far.fma(minus_far, odd_far),
            d[1].add(d[5]).fma(minus_both, d[3]),
        ]
    }
}

/// Aᵀ m A of one tile, then bias, residual, clamp and, if asked, the maximum of each 2×2.
pub(crate) struct OutputTile<'a> {
    /// Point i of the tile is `m[i * m_pitch..][..channels]`.
    pub(crate) m: &'a [f32],
    pub(crate) m_pitch: usize,
    /// Channels, a multiple of [`LANES`].
    pub(crate) channels: usize,
    /// `[channels]`
    pub(crate) bias: &'a [f32],
    pub(crate) low: f32,
    pub(crate) high: f32,
    /// Values added before the clamp, from the tile's first pixel; nothing is pooled then.
    pub(crate) residual: Option<Residual<'a, Pitches>>,
    /// From the tile's first output.
    pub(crate) out: &'a mut [f32],
    pub(crate) pitches: Pitches,
    /// Rows and columns of the 4×4 before pooling that exist.
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) pool: bool,
}

/// Floats from an image's row and pixel to the next.
#[derive(Clone, Copy)]
pub(crate) struct Pitches {
    pub(crate) row: usize,
    pub(crate) pixel: usize,
}

impl Pitches {
    fn reach(&self, rows: usize, columns: usize, channels: usize) -> usize {
        if rows == 0 || columns == 0 {
            0
        } else {
            (rows - 1) * self.row + (columns - 1) * self.pixel + channels
        }
    }
}

impl OutputTile<'_> {
    pub(super) fn check(&self) {
        assert!(self.channels > 0 && self.channels.is_multiple_of(LANES));
        assert!(self.m.len() >= (POINTS * POINTS - 1) * self.m_pitch + self.channels);
        assert!(self.bias.len() >= self.channels && self.rows <= OUTPUTS && self.columns <= OUTPUTS);
        let scale = if self.pool { 2 } else { 1 };
        let reach = self.pitches.reach(self.rows / scale, self.columns / scale, self.channels);
        assert!(self.out.len() >= reach, "a tile's outputs lie outside its strip");
        assert!(self.residual.is_none() || !self.pool);
        if let Some(Residual::Values(residual, pitches)) = &self.residual {
            assert!(residual.len() >= pitches.reach(self.rows, self.columns, self.channels));
        }
    }
}

/// # Safety
/// `job.check()` has passed and `V`'s instruction set exists.
#[inline(always)]
pub(super) unsafe fn output<V: Vector>(job: &mut OutputTile) {
    // SAFETY: this function's contract.
    unsafe {
        by_vectors!(V, job.channels, output_of(job));
    }
}

/// The output transform of a vector of channels, from channel `c` on.
#[inline(always)]
unsafe fn output_of<V: Vector>(job: &mut OutputTile, c: usize) {
    // SAFETY: `check` bounds m, bias, residual and out by the tile's rows, columns and channels.
    unsafe {
        let m = job.m.as_ptr().add(c);
        let mut half = [[V::splat(0.0); OUTPUTS]; POINTS]; // [column][output row]
        for column in 0..POINTS {
            let mut line = [V::splat(0.0); POINTS];
            for row in 0..POINTS {
                line[row] = V::load(m.add((row * POINTS + column) * job.m_pitch));
            }
            half[column] = at(line);
        }
        let bias = V::load(job.bias.as_ptr().add(c));
        let (low, high) = (V::splat(job.low), V::splat(job.high));
        let mut full = [[bias; OUTPUTS]; OUTPUTS];
        for row in 0..OUTPUTS {
            let line = at(across(&half, row));
            for column in 0..OUTPUTS {
                full[row][column] = line[column].add(bias);
            }
        }
        let out = job.out.as_mut_ptr().add(c);
        let residual = match &job.residual {
            None => None,
            Some(Residual::Values(values, pitches)) => Some((values.as_ptr().add(c), *pitches)),
            Some(Residual::There) => Some((out.cast_const(), job.pitches)),
        };
        if let Some((residual, pitches)) = residual {
            for row in 0..job.rows {
                for column in 0..job.columns {
                    let p = residual.add(row * pitches.row + column * pitches.pixel);
                    full[row][column] = full[row][column].add(V::load(p));
                }
            }
        }
        let place = |row: usize, column: usize| out.add(row * job.pitches.row + column * job.pitches.pixel);
        if job.pool {
            for row in 0..job.rows / 2 {
                for column in 0..job.columns / 2 {
                    let (y, x) = (2 * row, 2 * column);
                    let upper = full[y][x].max(full[y][x + 1]);
                    let lower = full[y + 1][x].max(full[y + 1][x + 1]);
                    upper.max(lower).max(low).min(high).store(place(row, column));
                }
            }
        } else {
            for row in 0..job.rows {
                for column in 0..job.columns {
                    full[row][column].max(low).min(high).store(place(row, column));
                }
            }
        }
    }
}

/// One side of Aᵀ m A.
#[inline(always)]
unsafe fn at<V: Vector>(m: [V; 6]) -> [V; 4] {
    // SAFETY: arithmetic only; the caller has V's instruction set.
    unsafe {
        let (near, near2, near3) = (V::splat(NEAR), V::splat(NEAR2), V::splat(NEAR * NEAR2));
        let (far, far2, far3) = (V::splat(FAR), V::splat(FAR2), V::splat(FAR * FAR2));
        let (a, b) = (m[1].add(m[2]), m[1].sub(m[2]));
        let (c, d) = (m[3].add(m[4]), m[3].sub(m[4]));
        let zero = V::splat(0.0);
        [
            m[0].add(a).add(c),
            zero.fma(near, b).fma(far, d),
            zero.fma(near2, a).fma(far2, c),
            m[5].fma(near3, b).fma(far3, d),
        ]
    }
}
