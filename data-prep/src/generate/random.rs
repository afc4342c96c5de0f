//! Random numbers of one image: a counter hashed with the image's key, so that any image is made alone.

/// SplitMix64 (Steele, Lea and Flood 2014) on a counter that starts at a key.
pub(super) struct Random {
    state: u64,
}

impl Random {
    /// The stream of one image of one class.
    pub(super) fn new(seed: u64, class: u64, image: u64) -> Random {
        Random { state: mix(mix(mix(seed ^ GOLDEN) ^ class) ^ image) }
    }

    fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// Uniform in 0..1.
    pub(super) fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Uniform in `low..high`.
    pub(super) fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// A whole number in `0..end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(end)) >> 64) as u64
    }

    /// About normal, mean 0 and deviation 1: the sum of twelve 16-bit uniforms.
    pub(super) fn normal(&mut self) -> f32 {
        let sixteens = |word: u64| (0..4).map(|i| (word >> (16 * i)) & 0xffff).sum::<u64>();
        let sum = (0..3).map(|_| sixteens(self.bits())).sum::<u64>();
        sum as f32 / 65535.0 - 6.0
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix_test_vector() {
        let mut random = Random { state: 1_234_567 };
        let found = [random.bits(), random.bits(), random.bits()];
        assert_eq!(found, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn normal_has_mean_0_and_deviation_1() {
        let mut random = Random::new(7, 0, 0);
        let values: Vec<f64> = (0..20_000).map(|_| f64::from(random.normal())).collect();
        let mean = values.iter().sum::<f64>() / 20_000.0;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!(
            mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05,
            "mean {mean}, variance {variance}, seed 7"
        );
    }
}
