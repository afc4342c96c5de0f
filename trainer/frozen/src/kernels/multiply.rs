//! The matrix multiply: rows found by offset, weights in packed panels, with bias, residual and clamp at the end.
//!
//! A row may come in segments (the rows of a convolution's window). Each output is summed in one order that
//! depends only on `segments` and `depth`, so it is the same however the rows are dealt.
use super::vector::{LANES, Vector};

/// Columns of a packed panel: two vectors. A last panel of [`LANES`] columns is allowed.
pub(crate) const PANEL: usize = 2 * LANES;
/// Rows of a register tile: 6 × 2 accumulators leave room for the panel's two vectors and a broadcast.
const TILE: usize = 6;
/// Depth of a block of a panel: 256 × 16 floats are 16 KB, half of a level-1 cache.
const BLOCK: usize = 256;

/// `c[c_rows[m]..] = clamp(Σ a[rows[m]..] · b + bias + residual[m])`.
pub(crate) struct Multiply<'a> {
    /// Where the rows lie.
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
    /// What is done to a finished sum; nothing for the products inside a Winograd convolution.
    pub(crate) finish: Option<Finish<'a>>,
}

/// What follows the sum.
#[derive(Clone, Copy)]
pub(crate) struct Finish<'a> {
    /// `[columns]`
    pub(crate) bias: &'a [f32],
    pub(crate) low: f32,
    pub(crate) high: f32,
    /// Added before the clamp: the values, and floats from a row to the next.
    pub(crate) residual: Option<(&'a [f32], usize)>,
}

impl Multiply<'_> {
    /// Panics unless every access of the kernel lies inside its slice.
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
        if let Some(finish) = &self.finish {
            assert!(finish.bias.len() >= columns);
            if let Some((residual, pitch)) = finish.residual {
                assert!(residual.len() >= (rows - 1) * pitch + columns);
            }
        }
    }
}

/// One depth block of one panel.
struct Block {
    b: *const f32,
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
    let mut column = 0;
    while column < job.columns {
        let width = PANEL.min(job.columns - column);
        // SAFETY: `check` found segments * depth * columns floats in b, and the panels before take `column` of them.
        let mut b = unsafe { job.b.as_ptr().add(column * job.segments * job.depth) };
        let mut segment = 0;
        while segment < job.segments {
            let segments = group.min(job.segments - segment);
            for piece in 0..pieces {
                let (from, to) = (job.depth * piece / pieces, job.depth * (piece + 1) / pieces);
                let block = Block {
                    b,
                    segment,
                    segments,
                    from,
                    depth: to - from,
                    first: segment == 0 && piece == 0,
                    last: segment + segments == job.segments && piece + 1 == pieces,
                };
                // SAFETY: this function's contract; the block lies inside the panel.
                unsafe {
                    match width {
                        PANEL => rows::<V, 2>(job, column, &block),
                        _ => rows::<V, 1>(job, column, &block),
                    }
                    b = b.add(segments * block.depth * width);
                }
            }
            segment += segments;
        }
        column += width;
    }
}

/// Segments per block and pieces per segment, so that a block is at most about [`BLOCK`] deep.
fn blocking(segments: usize, depth: usize) -> (usize, usize) {
    if segments * depth <= BLOCK * 3 / 2 {
        (segments, 1)
    } else if depth > BLOCK {
        (1, depth.div_ceil(BLOCK))
    } else {
        ((BLOCK / depth).max(1), 1)
    }
}

/// All rows times one block of a panel of `N` vectors.
#[inline(always)]
unsafe fn rows<V: Vector, const N: usize>(job: &mut Multiply, column: usize, block: &Block) {
    let count = job.rows.len();
    let tiles = count.div_ceil(TILE);
    let lines = block.segments * block.depth * N * LANES / 16;
    let mut done = 0;
    for tile in 0..tiles {
        let end = count * (tile + 1) / tiles;
        // The next block follows this one in memory: fetch it while this one is used.
        let mut ahead = block.b.wrapping_add((lines + lines * tile / tiles) * 16);
        let ahead_end = block.b.wrapping_add((lines + lines * (tile + 1) / tiles) * 16);
        while ahead < ahead_end {
            // SAFETY: a prefetch may name any address.
            unsafe { V::prefetch(ahead) };
            ahead = ahead.wrapping_add(16);
        }
        // SAFETY: rows done..end exist; the contract of `run`.
        unsafe {
            match end - done {
                6 => tile_of::<V, 6, N>(job, column, block, done),
                5 => tile_of::<V, 5, N>(job, column, block, done),
                4 => tile_of::<V, 4, N>(job, column, block, done),
                3 => tile_of::<V, 3, N>(job, column, block, done),
                2 => tile_of::<V, 2, N>(job, column, block, done),
                _ => tile_of::<V, 1, N>(job, column, block, done),
            }
        }
        done = end;
    }
}

/// A register tile: `R` rows × `N` vectors.
#[inline(always)]
unsafe fn tile_of<V: Vector, const R: usize, const N: usize>(
    job: &mut Multiply,
    column: usize,
    block: &Block,
    row: usize,
) {
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
        let mut sum = [[V::splat(0.0); N]; R];
        if !block.first {
            for r in 0..R {
                for n in 0..N {
                    sum[r][n] = V::load(c[r].add(n * LANES));
                }
            }
        }
        let mut b = block.b;
        for segment in 0..block.segments {
            let at = segment * job.pitch;
            let mut k = 0;
            while k + 4 <= block.depth {
                for step in 0..4 {
                    sum = step_of::<V, R, N>(sum, &rows, at + k + step, b.add(step * N * LANES));
                }
                b = b.add(4 * N * LANES);
                k += 4;
            }
            while k < block.depth {
                sum = step_of::<V, R, N>(sum, &rows, at + k, b);
                b = b.add(N * LANES);
                k += 1;
            }
        }
        if let (true, Some(finish)) = (block.last, &job.finish) {
            sum = finished::<V, R, N>(sum, finish, column, row);
        }
        for r in 0..R {
            for n in 0..N {
                sum[r][n].store(c[r].add(n * LANES));
            }
        }
    }
}

/// One step of depth: a column of the rows times a row of the panel.
#[inline(always)]
unsafe fn step_of<V: Vector, const R: usize, const N: usize>(
    mut sum: [[V; N]; R],
    a: &[*const f32; R],
    at: usize,
    b: *const f32,
) -> [[V; N]; R] {
    // SAFETY: the caller's `at` and `b` lie inside the rows and the panel.
    unsafe {
        let mut panel = [V::splat(0.0); N];
        for n in 0..N {
            panel[n] = V::load(b.add(n * LANES));
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
    column: usize,
    row: usize,
) -> [[V; N]; R] {
    // SAFETY: `check` bounds bias by the columns and residual by rows and columns.
    unsafe {
        let (low, high) = (V::splat(finish.low), V::splat(finish.high));
        for n in 0..N {
            let bias = V::load(finish.bias.as_ptr().add(column + n * LANES));
            for r in 0..R {
                let mut x = sum[r][n].add(bias);
                if let Some((residual, pitch)) = finish.residual {
                    x = x.add(V::load(residual.as_ptr().add((row + r) * pitch + column + n * LANES)));
                }
                sum[r][n] = x.max(low).min(high);
            }
        }
        sum
    }
}
