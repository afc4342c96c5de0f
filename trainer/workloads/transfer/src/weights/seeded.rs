//! Weights for tests, from a formula that PyTorch's side can follow to the last bit.

use super::{BoxError, Parameters};
use crate::Result;
use std::borrow::Cow;

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Generated weights, the same here and in PyTorch.
///
/// Value number i of a tensor is made of `u(i) = (splitmix64(fnv1a64(name) + seed · g + (i + 1) · g) >> 40) /
/// 2²³ − 1` with g = 0x9e3779b97f4a7c15: matrices and kernels are u·√(6 / fan in), everything else is u / 8,
/// about 1 for what batch norm multiplies and divides by. `tests/reference/make_reference.py` has the same
/// formula.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seeded {
    /// Seed of all tensors.
    pub(crate) seed: u64,
}

impl Seeded {
    /// Values uniform in [-1, 1), of which each has 24 random bits.
    pub(crate) fn uniform(self, name: &str, count: usize) -> Vec<f32> {
        self.words(name).take(count).map(|word| (word >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    /// Uniform bytes.
    pub(crate) fn bytes(self, name: &str, count: usize) -> Vec<u8> {
        self.words(name).take(count).map(|word| (word >> 56) as u8).collect()
    }

    fn words(self, name: &str) -> impl Iterator<Item = u64> {
        let fnv1a = |key: u64, byte: u8| (key ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let key =
            name.bytes().fold(0xcbf2_9ce4_8422_2325, fnv1a).wrapping_add(self.seed.wrapping_mul(GOLDEN));
        (1u64..).map(move |i| {
            let z = key.wrapping_add(i.wrapping_mul(GOLDEN));
            let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        })
    }
}

impl Parameters for Seeded {
    fn get(&self, name: &str, shape: &[usize]) -> Result<Cow<'_, [f32]>, BoxError> {
        let mut values = self.uniform(name, shape.iter().product());
        if shape.len() > 1 {
            let fan_in: usize = shape[1..].iter().product();
            let bound = (6.0 / fan_in as f64).sqrt() as f32;
            values.iter_mut().for_each(|value| *value *= bound);
        } else {
            let about = if name.ends_with("weight") || name.ends_with("running_var") { 1.0 } else { 0.0 };
            values.iter_mut().for_each(|value| *value = *value / 8.0 + about);
        }
        Ok(Cow::Owned(values))
    }
}
