//! The maximum of some pixels, channel by channel: one output of a max pooling.
use super::vector::{LANES, Vector, by_vectors};

/// One output: the window's rows × columns of an image, clipped to it.
pub(crate) struct Window<'a> {
    /// From the window's first pixel.
    pub(crate) input: &'a [f32],
    pub(crate) row_pitch: usize,
    pub(crate) pixel_pitch: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) out: &'a mut [f32],
    pub(crate) channels: usize,
}

impl Window<'_> {
    pub(super) fn check(&self) {
        assert!(self.rows > 0 && self.columns > 0 && self.channels > 0);
        let reach = (self.rows - 1) * self.row_pitch + (self.columns - 1) * self.pixel_pitch + self.channels;
        assert!(self.input.len() >= reach && self.out.len() >= self.channels);
    }
}

/// # Safety
/// `job.check()` has passed and `V`'s instruction set exists.
#[inline(always)]
pub(super) unsafe fn run<V: Vector>(job: &mut Window) {
    // The windows that networks have are known to the compiler, which unrolls them.
    // SAFETY: this function's contract.
    let done = unsafe {
        match (job.rows, job.columns) {
            (3, 3) => whole_lanes::<V>(job, 3, 3),
            (2, 2) => whole_lanes::<V>(job, 2, 2),
            (rows, columns) => whole_lanes::<V>(job, rows, columns),
        }
    };
    for c in done..job.channels {
        let pixel = |row: usize, column: usize| job.input[row * job.row_pitch + column * job.pixel_pitch + c];
        let pixels = (0..job.rows).flat_map(|row| (0..job.columns).map(move |column| (row, column)));
        // Comparisons, not `max`: NaN stays NaN.
        job.out[c] = pixels
            .map(|(row, column)| pixel(row, column))
            .fold(f32::NEG_INFINITY, |most, x| if x <= most { most } else { x });
    }
}

/// The channels that fill whole vectors of [`LANES`]; returns their number.
///
/// # Safety
/// As [`run`], of a job of `rows` and `columns`.
#[inline(always)]
unsafe fn whole_lanes<V: Vector>(job: &mut Window, rows: usize, columns: usize) -> usize {
    let whole = job.channels / LANES * LANES;
    // SAFETY: this function's contract.
    unsafe {
        by_vectors!(V, whole, maximum_of(job, rows, columns));
    }
    whole
}

/// The maximum in a vector of channels, from channel `c` on.
#[inline(always)]
unsafe fn maximum_of<V: Vector>(job: &mut Window, rows: usize, columns: usize, c: usize) {
    // SAFETY: `check` bounds input by rows, columns and channels, and out by channels.
    unsafe {
        let input = job.input.as_ptr().add(c);
        let mut most = V::load(input);
        for row in 0..rows {
            for column in 0..columns {
                most = V::load(input.add(row * job.row_pitch + column * job.pixel_pitch)).max(most);
            }
        }
        most.store(job.out.as_mut_ptr().add(c));
    }
}
