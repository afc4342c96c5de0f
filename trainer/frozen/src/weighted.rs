//! Weighted sums over arrays, for the reduction of workers' results.

use crate::kernels::{Target, Weighted};

/// Adds to each total its value of every part times the part's weight, part by part, by this CPU's kernels;
/// every CPU computes the same bits.
///
/// Shapes: `totals` and the values of each part `[n]`.
///
/// # Panics
/// When the lengths differ.
pub fn add_weighted(totals: &mut [f64], parts: &[(f64, &[f32])]) {
    Target::best().weighted(&mut Weighted { totals, parts });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;

    #[test]
    fn every_instruction_set_gives_the_bits_of_a_plain_loop() {
        for (length, parts) in [(0, 1), (1, 2), (7, 4), (16, 5), (16_384, 3), (1_003, 11)] {
            let values = |part: usize| (0..length).map(move |n| ((n * 7 + part) as f32 * 0.37).sin() * 1e-3);
            let values: Vec<Vec<f32>> = (0..parts).map(|part| values(part).collect()).collect();
            let parts: Vec<(f64, &[f32])> =
                (1..).zip(&values).map(|(n, values)| (1.0 / f64::from(n), &values[..])).collect();
            let before: Vec<f64> = (0..length).map(|n| (n as f64 * 0.11).cos()).collect();
            let mut wanted = before.clone();
            for (weight, values) in &parts {
                wanted
                    .iter_mut()
                    .zip(*values)
                    .for_each(|(total, value)| *total += weight * f64::from(*value));
            }
            for isa in [Isa::Avx512, Isa::Avx2, Isa::Neon, Isa::Portable] {
                let Some(target) = Target::new(isa) else { continue };
                let mut totals = before.clone();
                target.weighted(&mut Weighted { totals: &mut totals, parts: &parts });
                assert!(totals == wanted, "{isa:?}, {} parts of {length} values", parts.len());
            }
        }
    }
}
