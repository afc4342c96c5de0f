//! The vectors that every kernel is written in: eight f32 lanes, or sixteen if the CPU has them.

/// Lanes of most vectors; activations hold a multiple of it in channels.
pub(crate) const LANES: usize = 8;

/// A number of ±2²² plus this is whole, and its last bits are that whole number.
pub(crate) const WHOLE: f32 = 12_582_912.0;

/// Some f32 lanes on some instruction set.
///
/// # Safety
/// Every method may run only where the implementing type's instruction set exists. `load` reads and `store`
/// writes [`Vector::LANES`] floats at the pointer, which may be unaligned.
pub(crate) trait Vector: Copy {
    /// Its lanes: [`LANES`], or twice as many.
    const LANES: usize = LANES;
    /// Rows of the matrix multiply's register tile of two vectors a row.
    const ROWS: usize = 6;
    /// A vector of [`LANES`] lanes that rounds in the same way.
    type Narrow: Vector;
    unsafe fn splat(x: f32) -> Self;
    unsafe fn load(p: *const f32) -> Self;
    unsafe fn store(self, p: *mut f32);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    unsafe fn div(self, other: Self) -> Self;
    /// self · 2ⁿ, where `n` is [`WHOLE`] plus a whole number that leaves the result a normal one.
    unsafe fn raised(self, n: Self) -> Self;
    /// self + a * b
    unsafe fn fma(self, a: Self, b: Self) -> Self;
    /// The larger; NaN in `self` stays, so that a broken weight shows in the features.
    unsafe fn max(self, low: Self) -> Self;
    /// The smaller; NaN in `self` stays.
    unsafe fn min(self, high: Self) -> Self;
    /// A hint that the cache line at `p` is read soon; any address is allowed.
    unsafe fn prefetch(p: *const f32);
}

/// Carries out a part of a kernel for all channels, as many at a time as a vector has lanes. If sixteen no
/// longer fit, it continues with eight. Each channel is computed by itself, so the lanes do not change a
/// result.
macro_rules! by_vectors {
    ($vector:ident, $channels:expr, $part:ident $(::<$($size:ident),*>)? ($($argument:expr),*)) => {
        let mut c = 0;
        while c + $vector::LANES <= $channels {
            $part::<$vector $($(, $size)*)?>($($argument,)* c);
            c += $vector::LANES;
        }
        while c < $channels {
            $part::<$vector::Narrow $($(, $size)*)?>($($argument,)* c);
            c += LANES;
        }
    };
}
pub(super) use by_vectors;
