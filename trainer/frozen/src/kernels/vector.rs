//! The vectors that every kernel is written in: eight f32 lanes, and for the matrix multiply sixteen where a CPU has them.

/// Lanes of most vectors; activations hold a multiple of it in channels.
pub(crate) const LANES: usize = 8;

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
    /// A vector of [`LANES`] lanes that rounds alike.
    type Narrow: Vector;
    unsafe fn splat(x: f32) -> Self;
    unsafe fn load(p: *const f32) -> Self;
    unsafe fn store(self, p: *mut f32);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    /// self + a * b
    unsafe fn fma(self, a: Self, b: Self) -> Self;
    /// The larger; NaN in `self` stays, so that a broken weight shows in the features.
    unsafe fn max(self, low: Self) -> Self;
    /// The smaller; NaN in `self` stays.
    unsafe fn min(self, high: Self) -> Self;
    /// A hint that the cache line at `p` is read soon; any address is allowed.
    unsafe fn prefetch(p: *const f32);
}
