//! Plain Rust, for any CPU: slower, and rounded differently from those that fuse multiply and add.
use super::vector::{LANES, Vector};

#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; LANES]);

impl Portable {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Portable(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

// SAFETY: no instruction set is needed; the trait's contract asks the caller for valid pointers.
impl Vector for Portable {
    type Narrow = Portable;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Portable([x; LANES])
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        unsafe { Portable(p.cast::<[f32; LANES]>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        unsafe { p.cast::<[f32; LANES]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.zip(other, |x, y| x + y)
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self.zip(other, |x, y| x - y)
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.zip(other, |x, y| x * y)
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        self.zip(other, |x, y| x / y)
    }
    #[inline(always)]
    unsafe fn raised(self, n: Self) -> Self {
        self.zip(n, |x, n| f32::from_bits(x.to_bits().wrapping_add(n.to_bits() << 23)))
    }
    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        Portable(std::array::from_fn(|i| self.0[i] + a.0[i] * b.0[i]))
    }
    #[inline(always)]
    unsafe fn max(self, low: Self) -> Self {
        self.zip(low, |x, y| if x < y { y } else { x })
    }
    #[inline(always)]
    unsafe fn min(self, high: Self) -> Self {
        self.zip(high, |x, y| if x > y { y } else { x })
    }
    #[inline(always)]
    unsafe fn prefetch(_: *const f32) {}
}

super::entry_points!(Portable, #[inline(never)]);
