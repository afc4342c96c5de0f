//! AVX-512: convolutions and poolings on vectors of sixteen lanes; the sums of linear layers,
//! which run over lanes, are AVX2's.
//!
//! Each output is summed in the order of AVX2, so the two compute the same bits: a model must not depend on
//! the CPU of the function.
use std::arch::x86_64::*;

use super::avx2::Avx2;
pub(super) use super::avx2::{dot, gradient, scores};
use super::vector::Vector;

#[derive(Clone, Copy)]
pub(crate) struct Avx512(__m512);

// SAFETY: all bodies are instructions of AVX-512F; the trait's contract asks the caller for it and for
// valid pointers.
impl Vector for Avx512 {
    const LANES: usize = 16;
    // 24 sums of 32 registers leave room for the panels' two vectors and a broadcast.
    const ROWS: usize = 12;
    type Narrow = Avx2;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        unsafe { Avx512(_mm512_set1_ps(x)) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        unsafe { Avx512(_mm512_loadu_ps(p)) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        unsafe { _mm512_storeu_ps(p, self.0) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        unsafe { Avx512(_mm512_add_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        unsafe { Avx512(_mm512_sub_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        unsafe { Avx512(_mm512_mul_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        unsafe { Avx512(_mm512_div_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn raised(self, n: Self) -> Self {
        unsafe {
            let n = _mm512_slli_epi32::<23>(_mm512_castps_si512(n.0));
            Avx512(_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(self.0), n)))
        }
    }
    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        unsafe { Avx512(_mm512_fmadd_ps(a.0, b.0, self.0)) }
    }
    // The instruction returns its second operand if one is NaN.
    #[inline(always)]
    unsafe fn max(self, low: Self) -> Self {
        unsafe { Avx512(_mm512_max_ps(low.0, self.0)) }
    }
    #[inline(always)]
    unsafe fn min(self, high: Self) -> Self {
        unsafe { Avx512(_mm512_min_ps(high.0, self.0)) }
    }
    #[inline(always)]
    unsafe fn prefetch(p: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }
    }
}

super::entry_points!(Avx512, #[target_feature(enable = "avx512f,avx2,fma")],
    multiply(Multiply) = multiply::run;
    input_tile(InputTile) = winograd::input;
    output_tile(OutputTile) = winograd::output;
    weight_tile(WeightTile) = winograd_weights::weights;
    weight_sums(WeightSums) = winograd_weights::sums;
    delta_tile(DeltaTile) = winograd_weights::delta;
    depthwise_row(DepthwiseRow) = depthwise::run;
    depthwise_products(DepthwiseProducts) = depthwise::products;
    maximum(Window) = maximum::run;
    outer(Outer) = outer::run;
    interleave(Interleave) = interleave::run;
    deposit(Deposit) = interleave::deposit;
    weighted(Weighted) = weighted::run;
    cut_off(CutOff) = backward::cut_off;
    channel_sums(ChannelSums) = backward::sums;
    window_back(WindowBack) = backward::window_back;
    gelu(GeluRows) = activation::gelu;
    normalise(Normalise) = normalise::run;
    softmax(Softmax) = attention::softmax;
    scale_rows(ScaleRows) = attention::scale_rows;
    peak(Peak) = peak::run;);
