//! An untrained network: the start of pretraining, and a baseline of the demo.

use crate::weights::{BoxError, Parameters};
use rounds::random::{Purpose, Stream};
use std::borrow::Cow;

/// The parameters of an untrained network, each a function of the seed and its name.
///
/// Weights are uniform within ±√(6 / inputs of one output), which keeps the size of activations through
/// ReLUs; biases are 0 and batch norms change nothing. Source: He, Zhang, Ren, Sun 2015.
#[derive(Clone, Copy, Debug)]
pub struct Untrained {
    /// Seed of every weight.
    pub seed: u64,
}

impl Parameters for Untrained {
    fn get(&self, name: &str, shape: &[usize]) -> Result<Cow<'_, [f32]>, BoxError> {
        let length = shape.iter().product();
        if let [_, inputs @ ..] = shape
            && !inputs.is_empty()
        {
            let bound = (6.0 / inputs.iter().product::<usize>() as f32).sqrt();
            let mut stream = Stream::new(self.seed, Purpose::Untrained, hash(name), 0);
            return Ok((0..length).map(|_| stream.symmetric(bound)).collect());
        }
        // Among the rows only batch norm's two scales are 1; a bias after a convolution is 0 like batch
        // norm's own.
        let scale = name.ends_with(".running_var") || name.ends_with(".weight");
        Ok(Cow::Owned(vec![if scale { 1.0 } else { 0.0 }; length]))
    }
}

/// FNV-1a in 32 bits.
fn hash(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_keep_the_size_of_activations_and_differ_by_name_and_seed() {
        let weights = |seed, name| Untrained { seed }.get(name, &[64, 32, 3, 3]).unwrap().into_owned();
        let first = weights(1, "features.0.weight");
        let variance = first.iter().map(|w| f64::from(w * w)).sum::<f64>() / first.len() as f64;
        assert!((variance * 288.0 - 2.0).abs() < 0.05, "{variance}, seed 1");
        assert_eq!(first, weights(1, "features.0.weight"));
        assert_ne!(first, weights(2, "features.0.weight"));
        assert_ne!(first, weights(1, "features.2.weight"));
    }

    #[test]
    fn a_batch_norm_changes_nothing() {
        let row = |name| Untrained { seed: 1 }.get(name, &[2]).unwrap().into_owned();
        let names = ["bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"];
        assert_eq!(names.map(row), [vec![1.0; 2], vec![0.0; 2], vec![0.0; 2], vec![1.0; 2]]);
    }
}
