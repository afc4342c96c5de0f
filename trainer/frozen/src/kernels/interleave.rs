//! Rows to panels and back: torchvision stores weights output by output, the kernels read [`PANEL`] outputs
//! side by side.
use super::multiply::PANEL;
use super::vector::Vector;

/// Values that are taken from a row before the next row: rows that are a power of two apart would evict each
/// other's cache lines.
const TOGETHER: usize = 16;

/// Row r's tap t of value i, `from[r * pitch + i * step + t]`, goes to `to[(t * count + i) * to_pitch + r]`;
/// `turned`, the last tap is t = 0.
pub(crate) struct Interleave<'a> {
    pub(crate) from: &'a [f32],
    /// Floats from a row to the next.
    pub(crate) pitch: usize,
    /// Floats from a value of a row to the next.
    pub(crate) step: usize,
    pub(crate) taps: usize,
    pub(crate) turned: bool,
    /// At most [`PANEL`].
    pub(crate) rows: usize,
    /// Values of a row.
    pub(crate) count: usize,
    pub(crate) scales: Scales<'a>,
    pub(crate) to: &'a mut [f32],
    pub(crate) to_pitch: usize,
}

/// The factors of the values, in f64.
#[derive(Clone, Copy)]
pub(crate) enum Scales<'a> {
    None,
    /// A factor for each row.
    Rows(&'a [f64]),
    /// A factor for each value of a row.
    Values(&'a [f64]),
}

/// A weight with a batch norm's factor.
pub(crate) fn scaled(weight: f32, scale: f64) -> f32 {
    (f64::from(weight) * scale) as f32
}

impl Interleave<'_> {
    pub(super) fn check(&self) {
        assert!(self.rows > 0 && self.rows <= PANEL && self.count > 0 && self.taps > 0);
        let last = (self.rows - 1) * self.pitch + (self.count - 1) * self.step + self.taps - 1;
        assert!(self.from.len() > last);
        assert!(self.to.len() >= (self.taps * self.count - 1) * self.to_pitch + self.rows);
        assert!(match self.scales {
            Scales::None => true,
            Scales::Rows(scales) => scales.len() >= self.rows,
            Scales::Values(scales) => scales.len() >= self.count,
        });
    }
}

/// # Safety
/// `job.check()` has passed and `V`'s instruction set exists.
#[inline(always)]
pub(super) unsafe fn run<V: Vector>(job: &mut Interleave) {
    // The usual kernels are known to the compiler.
    // SAFETY: this function's contract.
    unsafe {
        match (job.taps, job.scales) {
            (1, Scales::None) => blocks(job, 1, |weight, _, _| weight),
            (9, Scales::None) => blocks(job, 9, |weight, _, _| weight),
            (taps, Scales::None) => blocks(job, taps, |weight, _, _| weight),
            (taps, Scales::Rows(scales)) => blocks(job, taps, |weight, r, _| scaled(weight, scales[r])),
            (taps, Scales::Values(scales)) => blocks(job, taps, |weight, _, i| scaled(weight, scales[i])),
        }
    }
}

#[inline(always)]
unsafe fn blocks(job: &mut Interleave, taps: usize, of: impl Fn(f32, usize, usize) -> f32) {
    for first in (0..job.count).step_by(TOGETHER) {
        for r in 0..job.rows {
            for i in first..job.count.min(first + TOGETHER) {
                for tap in 0..taps {
                    let at = if job.turned { taps - 1 - tap } else { tap };
                    // SAFETY: `check` bounds both sides by rows, values and taps.
                    unsafe {
                        let value = *job.from.as_ptr().add(r * job.pitch + i * job.step + at);
                        *job.to.as_mut_ptr().add((tap * job.count + i) * job.to_pitch + r) = of(value, r, i);
                    }
                }
            }
        }
    }
}

/// `to[r * pitch + i] (+)= scales[r] * from[i][r]`; and the products of `from` with values laid out like
/// `to`, summed for each row.
pub(crate) struct Deposit<'a> {
    pub(crate) from: &'a [[f32; PANEL]],
    pub(crate) scales: &'a [f32; PANEL],
    pub(crate) to: &'a mut [f32],
    /// Floats from a row to the next.
    pub(crate) pitch: usize,
    /// At most [`PANEL`].
    pub(crate) rows: usize,
    /// Whether `to` has sums already.
    pub(crate) add: bool,
    /// The values to multiply with, and the sums.
    pub(crate) inner: Option<(&'a [f32], &'a mut [f64; PANEL])>,
}

impl Deposit<'_> {
    pub(super) fn check(&self) {
        assert!(self.rows > 0 && self.rows <= PANEL);
        let reach = (self.rows - 1) * self.pitch + self.from.len();
        assert!(self.to.len() >= reach && self.inner.as_ref().is_none_or(|(with, _)| with.len() >= reach));
    }
}

/// # Safety
/// `job.check()` has passed and `V`'s instruction set exists.
#[inline(always)]
pub(super) unsafe fn deposit<V: Vector>(job: &mut Deposit) {
    for r in 0..job.rows {
        // SAFETY: `check` bounds the rows.
        unsafe {
            let to = job.to.as_mut_ptr().add(r * job.pitch);
            for (i, values) in job.from.iter().enumerate() {
                let before = if job.add { *to.add(i) } else { 0.0 };
                *to.add(i) = before + job.scales[r] * values[r];
            }
            let Some((with, sums)) = &mut job.inner else { continue };
            let with = with.as_ptr().add(r * job.pitch);
            for (i, values) in job.from.iter().enumerate() {
                sums[r] += f64::from(*with.add(i)) * f64::from(values[r]);
            }
        }
    }
}
