//! AVX2 with FMA: AWS Lambda promises these on x86-64.
use std::arch::x86_64::*;

use super::vector::Vector;

#[derive(Clone, Copy)]
pub(crate) struct Avx2(__m256);

// SAFETY: all bodies are instructions of AVX2/FMA; the trait's contract asks the caller for both and for
// valid pointers.
impl Vector for Avx2 {
    type Narrow = Avx2;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        unsafe { Avx2(_mm256_set1_ps(x)) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        unsafe { Avx2(_mm256_loadu_ps(p)) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        unsafe { _mm256_storeu_ps(p, self.0) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        unsafe { Avx2(_mm256_add_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        unsafe { Avx2(_mm256_sub_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        unsafe { Avx2(_mm256_mul_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        unsafe { Avx2(_mm256_div_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn raised(self, n: Self) -> Self {
        unsafe {
            let n = _mm256_slli_epi32::<23>(_mm256_castps_si256(n.0));
            Avx2(_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(self.0), n)))
        }
    }
    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        unsafe { Avx2(_mm256_fmadd_ps(a.0, b.0, self.0)) }
    }
    // The instruction returns its second operand if one is NaN.
    #[inline(always)]
    unsafe fn max(self, low: Self) -> Self {
        unsafe { Avx2(_mm256_max_ps(low.0, self.0)) }
    }
    #[inline(always)]
    unsafe fn min(self, high: Self) -> Self {
        unsafe { Avx2(_mm256_min_ps(high.0, self.0)) }
    }
    #[inline(always)]
    unsafe fn prefetch(p: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }
    }
}

super::entry_points!(Avx2, #[target_feature(enable = "avx2,fma")]);
