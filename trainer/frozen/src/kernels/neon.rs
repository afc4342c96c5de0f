//! NEON: aarch64, Graviton. A vector is two registers of four lanes.
use std::arch::aarch64::*;

use super::vector::Vector;

#[derive(Clone, Copy)]
pub(crate) struct Neon(float32x4_t, float32x4_t);

// SAFETY: NEON is part of aarch64's base; the trait's contract asks the caller for valid pointers.
impl Vector for Neon {
    type Narrow = Neon;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        unsafe { Neon(vdupq_n_f32(x), vdupq_n_f32(x)) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        unsafe { Neon(vld1q_f32(p), vld1q_f32(p.add(4))) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        unsafe {
            vst1q_f32(p, self.0);
            vst1q_f32(p.add(4), self.1);
        }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        unsafe { Neon(vaddq_f32(self.0, other.0), vaddq_f32(self.1, other.1)) }
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        unsafe { Neon(vsubq_f32(self.0, other.0), vsubq_f32(self.1, other.1)) }
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        unsafe { Neon(vmulq_f32(self.0, other.0), vmulq_f32(self.1, other.1)) }
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        unsafe { Neon(vdivq_f32(self.0, other.0), vdivq_f32(self.1, other.1)) }
    }
    #[inline(always)]
    unsafe fn raised(self, n: Self) -> Self {
        let half = |x, n| unsafe {
            let n = vshlq_n_s32::<23>(vreinterpretq_s32_f32(n));
            vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(x), n))
        };
        Neon(half(self.0, n.0), half(self.1, n.1))
    }
    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        unsafe { Neon(vfmaq_f32(self.0, a.0, b.0), vfmaq_f32(self.1, a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn max(self, low: Self) -> Self {
        unsafe { Neon(vmaxq_f32(self.0, low.0), vmaxq_f32(self.1, low.1)) }
    }
    #[inline(always)]
    unsafe fn min(self, high: Self) -> Self {
        unsafe { Neon(vminq_f32(self.0, high.0), vminq_f32(self.1, high.1)) }
    }
    #[inline(always)]
    unsafe fn prefetch(_: *const f32) {} // stable Rust has no prefetch for aarch64 yet
}

super::entry_points!(Neon, #[target_feature(enable = "neon")]);
