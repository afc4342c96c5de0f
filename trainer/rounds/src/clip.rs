//! Gradient clipping: a step's gradient that is longer than the job allows is scaled down to that length.
//!
//! The formula is that of `torch.nn.utils.clip_grad_norm_`. A linear layer's gradient by its weights is a sum
//! of outer products of the rows' derivatives δ and their inputs x. Its squared length is Σᵢⱼ (δᵢ·δⱼ)(xᵢ·xⱼ),
//! which can be computed without the gradient itself.

/// The factor for a gradient of this squared length, if its length may be at most `most`.
pub fn factor(most: f64, squared: f64) -> f32 {
    (most / (squared.sqrt() + 1e-6)).min(1.0) as f32
}

/// The squared length of an array.
pub fn squared(values: &[f32]) -> f64 {
    dot(values, values)
}

/// The squared length of a linear layer's gradient, by weights and biases together.
///
/// Shapes: `rows` `[n, inputs]`, its inputs; `deltas` `[n, outputs]`, the derivatives by its outputs.
pub fn squared_of_layer(rows: &[f32], deltas: &[f32], n: usize) -> f64 {
    if n == 0 {
        return 0.0;
    }
    let (x, d) = (rows.len() / n, deltas.len() / n);
    let (x, d) = (|row: usize| &rows[row * x..][..x], |row: usize| &deltas[row * d..][..d]);
    let mut sum = 0.0;
    for i in 0..n {
        for j in 0..=i {
            // 1 for the bias's input.
            let both = dot(d(i), d(j)) * (dot(x(i), x(j)) + 1.0);
            sum += if i == j { both } else { 2.0 * both };
        }
    }
    sum
}

/// In f64, eight sums at a time, which are always added in the same order.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0_f64; 8];
    for (a, b) in a.chunks(8).zip(b.chunks(8)) {
        a.iter().zip(b).zip(&mut sums).for_each(|((a, b), sum)| *sum += f64::from(*a) * f64::from(*b));
    }
    sums.iter().sum()
}
