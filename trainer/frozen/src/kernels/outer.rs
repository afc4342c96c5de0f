//! Sums of outer products: the gradient of a convolution's weights is made of them.
//!
//! Both operands are in panels of [`PANEL`] channels, pixel after pixel. Each sum is one chain of
//! multiply-adds over the pixels in their order, so it is the same however rows and columns are dealt.
use super::multiply::{PANEL, blocking};
use super::vector::{LANES, Vector};

/// `c[m][n] (+)= Σ a[.., m] · b[.., n]` over the pixels of all segments.
pub(crate) struct Outer<'a> {
    /// Row m at pixel d of segment s is `a[m / PANEL * a_panel + s * a_pitch + d * a_step + m % PANEL]`.
    pub(crate) a: &'a [f32],
    pub(crate) a_panel: usize,
    pub(crate) a_pitch: usize,
    pub(crate) a_step: usize,
    /// Column n at pixel d of segment s is `b[n / PANEL * b_panel + (s * depth + d) * PANEL + n % PANEL]`.
    pub(crate) b: &'a [f32],
    pub(crate) b_panel: usize,
    pub(crate) segments: usize,
    /// Pixels of a segment.
    pub(crate) depth: usize,
    /// A multiple of [`LANES`].
    pub(crate) rows: usize,
    /// A multiple of [`LANES`].
    pub(crate) columns: usize,
    /// `[rows][c_pitch]`
    pub(crate) c: &'a mut [f32],
    pub(crate) c_pitch: usize,
    /// Whether `c` has sums already.
    pub(crate) add: bool,
}

impl Outer<'_> {
    /// Panics unless every access of the kernel is inside its slice.
    pub(super) fn check(&self) {
        let Outer { segments, depth, rows, columns, .. } = *self;
        assert!(segments > 0 && depth > 0 && rows > 0 && columns > 0);
        assert!(rows.is_multiple_of(LANES) && columns.is_multiple_of(LANES) && columns <= self.c_pitch);
        let last = |count: usize| ((count - 1) / PANEL, (count - 1) % PANEL);
        let (panel, lane) = last(rows);
        let reach = panel * self.a_panel + (segments - 1) * self.a_pitch + (depth - 1) * self.a_step + lane;
        assert!(reach < self.a.len(), "rows of an outer product lie outside its input");
        let (panel, lane) = last(columns);
        let reach = panel * self.b_panel + (segments * depth - 1) * PANEL + lane;
        assert!(reach < self.b.len(), "columns of an outer product lie outside its input");
        assert!(self.c.len() >= (rows - 1) * self.c_pitch + columns);
    }
}

/// Some segments, or a piece of one, for which the columns' panels stay in the level-1 cache.
struct Block {
    segment: usize,
    segments: usize,
    from: usize,
    depth: usize,
    first: bool,
}

/// # Safety
/// `job.check()` has passed and `V`'s instruction set exists.
#[inline(always)]
pub(super) unsafe fn run<V: Vector>(job: &mut Outer) {
    let (group, pieces) = blocking(job.segments, job.depth);
    let mut column = 0;
    while column < job.columns {
        let left = job.columns - column;
        let width = if left >= 2 * V::LANES { 2 * V::LANES } else { PANEL.min(left) };
        for segment in (0..job.segments).step_by(group) {
            for piece in 0..pieces {
                let (from, to) = (job.depth * piece / pieces, job.depth * (piece + 1) / pieces);
                let segments = group.min(job.segments - segment);
                let first = segment == 0 && piece == 0 && !job.add;
                let block = Block { segment, segments, from, depth: to - from, first };
                // SAFETY: this function's contract; the block lies inside the panels.
                unsafe {
                    if width == 2 * V::LANES {
                        rows::<V, 2>(job, column, &block);
                    } else if width == V::LANES {
                        rows::<V, 1>(job, column, &block);
                    } else {
                        rows::<V::Narrow, 1>(job, column, &block);
                    }
                }
            }
        }
        column += width;
    }
}

/// All rows of a block, of `N` vectors.
#[inline(always)]
unsafe fn rows<V: Vector, const N: usize>(job: &mut Outer, column: usize, block: &Block) {
    let mut row = 0;
    while row < job.rows {
        // SAFETY: rows and columns come in whole lanes; the contract of `run`.
        unsafe {
            if V::ROWS == 12 {
                tile_of::<V, 8, N>(job, column, block, row);
                row += 8;
            } else {
                tile_of::<V, 4, N>(job, column, block, row);
                row += 4;
            }
        }
    }
}

/// A register tile: `R` rows × `N` vectors.
#[inline(always)]
unsafe fn tile_of<V: Vector, const R: usize, const N: usize>(
    job: &mut Outer,
    column: usize,
    block: &Block,
    row: usize,
) {
    // SAFETY: `check` bounds a by rows and pixels, b by columns and pixels, c by rows and columns.
    unsafe {
        let a = job.a.as_ptr().add(row / PANEL * job.a_panel + row % PANEL + block.from * job.a_step);
        let at = |n: usize| (column + n * V::LANES) / PANEL * job.b_panel + (column + n * V::LANES) % PANEL;
        let first = (block.segment * job.depth + block.from) * PANEL;
        let b: [*const f32; N] = std::array::from_fn(|n| job.b.as_ptr().add(first + at(n)));
        let c = job.c.as_mut_ptr().add(row * job.c_pitch + column);
        let mut sum = [[V::splat(0.0); N]; R];
        if !block.first {
            for r in 0..R {
                for n in 0..N {
                    sum[r][n] = V::load(c.add(r * job.c_pitch + n * V::LANES));
                }
            }
        }
        let mut pixel = 0;
        for segment in block.segment..block.segment + block.segments {
            let mut a = a.add(segment * job.a_pitch);
            for _ in 0..block.depth {
                let mut columns = [V::splat(0.0); N];
                for n in 0..N {
                    columns[n] = V::load(b[n].add(pixel));
                }
                for r in 0..R {
                    let x = V::splat(*a.add(r));
                    for n in 0..N {
                        sum[r][n] = sum[r][n].fma(x, columns[n]);
                    }
                }
                a = a.wrapping_add(job.a_step);
                pixel += PANEL;
            }
        }
        for r in 0..R {
            for n in 0..N {
                sum[r][n].store(c.add(r * job.c_pitch + n * V::LANES));
            }
        }
    }
}
