//! Powers of two and GELU: polynomials, the same ones on every instruction set.
//!
//! 2ˣ is 2ⁿ·2ʳ with the nearest whole n, so r is in ±½ and a polynomial of degree 6 is within a bit of it.
//! The error function is computed by Φ(x) - ½ = x·N(x²)/D(x²) of degree 5 each, within 1.1e-8 on ±5.6; beyond
//! these, Φ is 0 or 1 to that precision. All coefficients were fitted for this crate by reweighted least
//! squares.
use networks::Gelu;

use super::multiply::PANEL;
use super::vector::{Vector, WHOLE};

/// 2ʳ by powers of r; the first is 1.
const POWER: [f32; 6] =
    [std::f32::consts::LN_2, 0.240_226_46, 0.055_503_286, 0.009_618_489, 0.001_339_993_1, 0.000_153_458_11];
/// N and D, by powers of x²; D begins with 1.
const NUMERATOR: [f32; 6] =
    [0.398_942_26, 0.033_936_87, 0.004_677_873, 0.000_169_015_01, 6.290_895_7e-6, 2.229_449_3e-8];
const DENOMINATOR: [f32; 6] =
    [1.0, 0.251_733_42, 0.028_682_154, 0.001_885_972_4, 7.337_455_5e-5, 1.179_655_1e-6];
/// Where Φ is 1 within the precision of the fraction.
const FAR: f32 = 5.6;

/// Smaller exponents of two are replaced by this one: the smallest whose result is a normal number.
const LEAST: f32 = -126.0;

/// 2ˣ for x up to 126; NaN stays NaN.
///
/// # Safety
/// `V`'s instruction set exists.
#[inline(always)]
pub(super) unsafe fn power_of_two<V: Vector>(x: V) -> V {
    // SAFETY: arithmetic only.
    unsafe {
        let x = x.max(V::splat(LEAST));
        let whole = x.add(V::splat(WHOLE));
        let r = x.sub(whole.sub(V::splat(WHOLE)));
        let power = polynomial(r, &POWER);
        // Adding to a NaN may change its bits.
        V::splat(1.0).fma(r, power).raised(whole).fma(x, V::splat(0.0))
    }
}

/// A polynomial by its coefficients, the constant's first.
#[inline(always)]
unsafe fn polynomial<V: Vector>(x: V, coefficients: &[f32; 6]) -> V {
    // SAFETY: arithmetic only; the caller has V's instruction set.
    unsafe {
        let mut sum = V::splat(coefficients[5]);
        for k in (0..5).rev() {
            sum = V::splat(coefficients[k]).fma(sum, x);
        }
        sum
    }
}

/// GELU of rows in their place.
pub(crate) struct GeluRows<'a> {
    pub(crate) values: &'a mut [f32],
    pub(crate) rows: usize,
    /// Floats from a row to the next.
    pub(crate) pitch: usize,
    /// A multiple of eight.
    pub(crate) columns: usize,
    pub(crate) form: Gelu,
}

impl GeluRows<'_> {
    pub(super) fn check(&self) {
        assert!(self.rows > 0 && self.columns > 0 && self.columns.is_multiple_of(PANEL / 2));
        assert!(self.values.len() >= (self.rows - 1) * self.pitch + self.columns);
    }
}

/// # Safety
/// `job.check()` has passed and `V`'s instruction set exists.
#[inline(always)]
pub(super) unsafe fn gelu<V: Vector>(job: &mut GeluRows) {
    // SAFETY: this function's contract.
    unsafe {
        match job.form {
            Gelu::Erf => each::<V>(job, &Erf),
            Gelu::Tanh => each::<V>(job, &Tanh),
            Gelu::Quick => each::<V>(job, &Quick),
        }
    }
}

/// A form of GELU on vectors.
trait Form {
    /// # Safety
    /// `V`'s instruction set exists.
    unsafe fn of<V: Vector>(&self, x: V) -> V;
}

struct Erf;
struct Tanh;
struct Quick;

impl Form for Erf {
    #[inline(always)]
    unsafe fn of<V: Vector>(&self, x: V) -> V {
        // SAFETY: this function's contract.
        unsafe {
            let near = x.max(V::splat(-FAR)).min(V::splat(FAR));
            let square = near.mul(near);
            let (n, d) = (polynomial(square, &NUMERATOR), polynomial(square, &DENOMINATOR));
            x.mul(V::splat(0.5).add(near.mul(n).div(d)))
        }
    }
}

impl Form for Tanh {
    #[inline(always)]
    unsafe fn of<V: Vector>(&self, x: V) -> V {
        // (1 + tanh(u))/2 is 1/(1 + exp(-2u)), with 2·√(2/π)·log₂e and that times 0.044715.
        // SAFETY: this function's contract.
        unsafe {
            let (first, third) = (V::splat(2.302_208_2), V::splat(0.102_943_24));
            sigmoid(x, x.mul(first.fma(third, x.mul(x))))
        }
    }
}

impl Form for Quick {
    #[inline(always)]
    unsafe fn of<V: Vector>(&self, x: V) -> V {
        // 1.702·log₂e.
        // SAFETY: this function's contract.
        unsafe { sigmoid(x, x.mul(V::splat(2.455_467))) }
    }
}

/// x / (1 + 2⁻ᵗ).
#[inline(always)]
unsafe fn sigmoid<V: Vector>(x: V, t: V) -> V {
    // SAFETY: arithmetic only; the caller has V's instruction set.
    unsafe {
        let power = power_of_two(V::splat(0.0).sub(t).min(V::splat(-LEAST)));
        x.div(V::splat(1.0).add(power))
    }
}

#[inline(always)]
unsafe fn each<V: Vector>(job: &mut GeluRows, form: &impl Form) {
    for row in 0..job.rows {
        // SAFETY: `check` bounds values by rows and columns.
        unsafe {
            let values = job.values.as_mut_ptr().add(row * job.pitch);
            let mut c = 0;
            while c + V::LANES <= job.columns {
                form.of(V::load(values.add(c))).store(values.add(c));
                c += V::LANES;
            }
            while c < job.columns {
                form.of(V::Narrow::load(values.add(c))).store(values.add(c));
                c += V::Narrow::LANES;
            }
        }
    }
}
