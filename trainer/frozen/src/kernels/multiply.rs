//! The matrix multiply: rows found by offset, weights in packed panels, with bias, addend and clamp at the
//! end.
//!
//! A row may consist of segments (the rows of a convolution's window). Each output is summed in one order
//! that depends only on `segments` and `depth`, so it is the same however the rows are dealt.
use super::Residual;
use super::vector::{LANES, Vector};

/// Columns of a packed panel: two vectors, or a wide one. A last panel of [`LANES`] columns is allowed.
pub(crate) const PANEL: usize = 2 * LANES;
/// Depth of a block of a panel: 256 × 16 floats are 16 KB, half of a level-1 cache.
const BLOCK: usize = 256;

/// `c[c_rows[m]..] = clamp(residual[m] + Σ a[rows[m]..] · b + bias)`.
pub(crate) struct Multiply<'a> {
    /// The array of the rows.
    pub(crate) a: &'a [f32],
    /// Offset in `a` of each row's first segment.
    pub(crate) rows: &'a [usize],
    /// Segments of a row.
    pub(crate) segments: usize,
    /// Floats from a segment to the next.
    pub(crate) pitch: usize,
    /// Floats of a segment.
    pub(crate) depth: usize,
    /// Weights `[columns / PANEL][segments * depth][PANEL]`.
    pub(crate) b: &'a [f32],
    /// Columns, a multiple of [`LANES`].
    pub(crate) columns: usize,
    pub(crate) c: &'a mut [f32],
    /// Offset in `c` of each row.
    pub(crate) c_rows: &'a [usize],
    /// The start values of the sums, with rows this many floats apart; zeros if there are none.
    pub(crate) residual: Option<Residual<'a, usize>>,
    /// The operations on a finished sum; none for the products inside a Winograd convolution.
    pub(crate) finish: Option<Finish<'a>>,
}

/// The operations after the sum.
#[derive(Clone, Copy)]
pub(crate) struct Finish<'a> {
    /// `[columns]`
    pub(crate) bias: &'a [f32],
    pub(crate) low: f32,
    pub(crate) high: f32,
    /// The values that are added between bias and clamp, with rows this many floats apart.
    pub(crate) addend: Option<(&'a [f32], usize)>,
}

impl Multiply<'_> {
    /// Panics unless every access of the kernel is inside its slice.
    pub(super) fn check(&self) {
        let (rows, columns) = (self.rows.len(), self.columns);
        assert!(rows > 0 && columns > 0 && columns.is_multiple_of(LANES) && self.segments > 0);
        let reach = (self.segments - 1) * self.pitch + self.depth;
        assert!(
            self.rows.iter().all(|r| r + reach <= self.a.len()),
            "rows of a multiply lie outside its input"
        );
        assert!(self.b.len() >= self.segments * self.depth * columns);
        let fits = |r: &usize| r + columns <= self.c.len();
        assert!(
            self.c_rows.len() == rows && self.c_rows.iter().all(fits),
            "rows of a multiply lie outside its output"
        );
        if let Some(Residual::Values(residual, pitch)) = self.residual {
            assert!(residual.len() >= (rows - 1) * pitch + columns);
        }
        assert!(self.finish.is_none_or(|finish| finish.bias.len() >= columns));
        if let Some((addend, pitch)) = self.finish.and_then(|finish| finish.addend) {
            assert!(addend.len() >= (rows - 1) * pitch + columns);
        }
    }
}

/// One depth block of a panel, or of two side by side.
struct Block {
    b: *const f32,
    /// Floats of a whole panel: from the block to that of the next panel.
    panel: usize,
    segment: usize,
    segments: usize,
    from: usize,
    depth: usize,
    first: bool,
    last: bool,
}

/// # Safety
/// `job.check()` has passed and `V`'s instruction set exists.
#[inline(always)]
pub(super) unsafe fn run<V: Vector>(job: &mut Multiply) {
    let (group, pieces) = blocking(job.segments, job.depth);
    let panel = job.segments * job.depth * PANEL;
    let mut column = 0;
    while column < job.columns {
        let left = job.columns - column;
        // Two vectors a row, as far as there are columns.
        let width = if left >= 2 * V::LANES { 2 * V::LANES } else { PANEL.min(left) };
        let step = PANEL.min(width);
        // SAFETY: `check` found segments * depth * columns floats in b,
        // and the panels before take `column` of them.
        let mut b = unsafe { job.b.as_ptr().add(column * job.segments * job.depth) };
        let mut segment = 0;
        while segment < job.segments {
            let segments = group.min(job.segments - segment);
            for piece in 0..pieces {
                let (from, to) = (job.depth * piece / pieces, job.depth * (piece + 1) / pieces);
                let block = Block {
                    b,
                    panel,
                    segment,
                    segments,
                    from,
                    depth: to - from,
                    first: segment == 0 && piece == 0,
                    last: segment + segments == job.segments && piece + 1 == pieces,
                };
                // SAFETY: this function's contract; the block lies inside the panel.
                unsafe {
                    if width == 2 * V::LANES {
                        rows::<V, 2, PANEL>(job, column, &block);
                    } else if width == V::LANES && V::LANES == PANEL {
                        rows::<V, 1, PANEL>(job, column, &block);
                    } else {
                        rows::<V::Narrow, 1, LANES>(job, column, &block);
                    }
                    b = b.add(segments * block.depth * step);
                }
            }
            segment += segments;
        }
        column += width;
    }
}

/// Segments per block and pieces per segment, so that a block is at most about [`BLOCK`] deep.
pub(super) fn blocking(segments: usize, depth: usize) -> (usize, usize) {
    if segments * depth <= BLOCK * 3 / 2 {
        (segments, 1)
    } else if depth > BLOCK {
        (1, depth.div_ceil(BLOCK))
    } else {
        ((BLOCK / depth).max(1), 1)
    }
}

/// All rows times one block, of `N` vectors; a panel has `P` columns.
#[inline(always)]
unsafe fn rows<V: Vector, const N: usize, const P: usize>(job: &mut Multiply, column: usize, block: &Block) {
    let count = job.rows.len();
    let tiles = count.div_ceil(V::ROWS);
    let mut done = 0;
    for tile in 0..tiles {
        let end = count * (tile + 1) / tiles;
        for panel in 0..N * V::LANES / P {
            // SAFETY: a prefetch may name any address.
            unsafe { fetch_ahead::<V, P>(block, panel, (tile, tiles)) };
        }
        // SAFETY: rows done..end exist; the contract of `run`.
        unsafe {
            match end - done {
                12 if V::ROWS == 12 => tile_of::<V, 12, N, P>(job, column, block, done),
                11 if V::ROWS == 12 => tile_of::<V, 11, N, P>(job, column, block, done),
                10 if V::ROWS == 12 => tile_of::<V, 10, N, P>(job, column, block, done),
                9 if V::ROWS == 12 => tile_of::<V, 9, N, P>(job, column, block, done),
                8 if V::ROWS == 12 => tile_of::<V, 8, N, P>(job, column, block, done),
                7 if V::ROWS == 12 => tile_of::<V, 7, N, P>(job, column, block, done),
                6 => tile_of::<V, 6, N, P>(job, column, block, done),
                5 => tile_of::<V, 5, N, P>(job, column, block, done),
                4 => tile_of::<V, 4, N, P>(job, column, block, done),
                3 => tile_of::<V, 3, N, P>(job, column, block, done),
                2 => tile_of::<V, 2, N, P>(job, column, block, done),
                _ => tile_of::<V, 1, N, P>(job, column, block, done),
            }
        }
        done = end;
    }
}

/// The next block of a panel follows this one in memory: a part of it is fetched with each tile of this one.
#[inline(always)]
unsafe fn fetch_ahead<V: Vector, const P: usize>(block: &Block, panel: usize, (tile, tiles): (usize, usize)) {
    let lines = block.segments * block.depth * P / 16;
    let line = |at: usize| block.b.wrapping_add(panel * block.panel + (lines + at) * 16);
    let (mut ahead, end) = (line(lines * tile / tiles), line(lines * (tile + 1) / tiles));
    while ahead < end {
        // SAFETY: a prefetch may name any address.
        unsafe { V::prefetch(ahead) };
        ahead = ahead.wrapping_add(16);
    }
}

/// A register tile: `R` rows × `N` vectors.
#[inline(always)]
unsafe fn tile_of<V: Vector, const R: usize, const N: usize, const P: usize>(
    job: &mut Multiply,
    column: usize,
    block: &Block,
    row: usize,
) {
    // Both vectors of a row are in one panel, or each in its own.
    let apart = if P == N * V::LANES { V::LANES } else { block.panel };
    // SAFETY: `check` bounds a by rows and segments, b by columns, c, bias and residual by rows and columns.
    unsafe {
        let a = job.a.as_ptr().add(block.segment * job.pitch + block.from);
        let mut rows = [a; R];
        for r in 0..R {
            rows[r] = a.add(*job.rows.get_unchecked(row + r));
        }
        let mut c = [job.c.as_mut_ptr().add(column); R];
        for r in 0..R {
            c[r] = c[r].add(*job.c_rows.get_unchecked(row + r));
        }
        for r in 0..R {
            // The outputs should be in the cache by the time they are stored.
            for line in (0..N * V::LANES).step_by(PANEL) {
                V::prefetch(c[r].add(line));
            }
        }
        let so_far = match (block.first, &job.residual) {
            (true, None) => None,
            (true, &Some(Residual::Values(values, pitch))) => {
                Some(std::array::from_fn(|r| values.as_ptr().wrapping_add((row + r) * pitch + column)))
            }
            (true, Some(Residual::There)) | (false, _) => Some(c.map(|row| row.cast_const())),
        };
        let mut sum = begun::<V, R, N>(so_far);
        let mut b = block.b;
        for segment in 0..block.segments {
            let at = segment * job.pitch;
            let mut k = 0;
            while k + 4 <= block.depth {
                for step in 0..4 {
                    sum = step_of::<V, R, N>(sum, &rows, at + k + step, b.add(step * P), apart);
                }
                b = b.add(4 * P);
                k += 4;
            }
            while k < block.depth {
                sum = step_of::<V, R, N>(sum, &rows, at + k, b, apart);
                b = b.add(P);
                k += 1;
            }
        }
        if let (true, Some(finish)) = (block.last, &job.finish) {
            sum = finished::<V, R, N>(sum, finish, row, column);
        }
        for r in 0..R {
            for n in 0..N {
                sum[r][n].store(c[r].add(n * V::LANES));
            }
        }
    }
}

/// The sums of a tile before its block: those of the blocks before, the residual's values, or zeros.
#[inline(always)]
unsafe fn begun<V: Vector, const R: usize, const N: usize>(so_far: Option<[*const f32; R]>) -> [[V; N]; R] {
    // SAFETY: each pointer is the place of a row's values in c or in the residual.
    unsafe {
        let mut sum = [[V::splat(0.0); N]; R];
        if let Some(so_far) = so_far {
            for r in 0..R {
                for n in 0..N {
                    sum[r][n] = V::load(so_far[r].add(n * V::LANES));
                }
            }
        }
        sum
    }
}

/// One step of depth: a column of the rows times a row of the panel.
#[inline(always)]
unsafe fn step_of<V: Vector, const R: usize, const N: usize>(
    mut sum: [[V; N]; R],
    a: &[*const f32; R],
    at: usize,
    b: *const f32,
    apart: usize,
) -> [[V; N]; R] {
    // SAFETY: the caller's `at` lies inside the rows, `b` and what is `apart` from it inside the panels.
    unsafe {
        let mut panel = [V::splat(0.0); N];
        for n in 0..N {
            panel[n] = V::load(b.add(n * apart));
        }
        for r in 0..R {
            let x = V::splat(*a[r].add(at));
            for n in 0..N {
                sum[r][n] = sum[r][n].fma(x, panel[n]);
            }
        }
        sum
    }
}

#[inline(always)]
unsafe fn finished<V: Vector, const R: usize, const N: usize>(
    mut sum: [[V; N]; R],
    finish: &Finish,
    row: usize,
    column: usize,
) -> [[V; N]; R] {
    // SAFETY: `check` bounds bias by the columns, and the addend by rows and columns.
    unsafe {
        let (low, high) = (V::splat(finish.low), V::splat(finish.high));
        for n in 0..N {
            let bias = V::load(finish.bias.as_ptr().add(column + n * V::LANES));
            for r in 0..R {
                sum[r][n] = sum[r][n].add(bias);
            }
        }
        if let Some((addend, pitch)) = finish.addend {
            let addend = addend.as_ptr().add(row * pitch + column);
            for r in 0..R {
                for n in 0..N {
                    sum[r][n] = sum[r][n].add(V::load(addend.add(r * pitch + n * V::LANES)));
                }
            }
        }
        for n in 0..N {
            for r in 0..R {
                sum[r][n] = sum[r][n].max(low).min(high);
            }
        }
        sum
    }
}
