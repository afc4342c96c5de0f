//! The layers of tokens in float64, as plain as possible.

use networks::{Gelu, Op, Positions, Resize, Shape};

/// Added to a token's id for its segment when both are one number.
pub(super) const SEGMENT: f64 = 1e6;

/// The output of a layer for rows of tokens; `input` has the ids, `get` returns a parameter.
pub(super) fn evaluate<'a>(
    op: &Op,
    inputs: &[&[f64]],
    from: Shape,
    get: impl Fn(&str) -> &'a [f32],
    input: &[f64],
) -> Vec<f64> {
    let table = || get("weight").iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
    let x = inputs[0];
    let width = match from {
        Shape::Tokens { width, .. } => width,
        _ => 1,
    };
    let row = |table: &[f64], at: usize, width: usize| table[at * width..][..width].to_vec();
    let plus = |added: Vec<f64>| x.iter().zip(added).map(|(x, y)| x + y).collect();
    match *op {
        Op::Embed { width, .. } => {
            let table = table();
            x.iter().flat_map(|id| row(&table, (id % SEGMENT) as usize, width)).collect()
        }
        Op::Segments { width, .. } => {
            let table = table();
            plus(input.iter().flat_map(|id| row(&table, (id / SEGMENT) as usize, width)).collect())
        }
        Op::Positions(Positions::Text { first, width, .. }) => plus(table().split_off(first * width)),
        Op::Positions(Positions::Grid { side, resize, .. }) => {
            plus(grid(&table(), width, side, x.len() / width - 1, resize))
        }
        // `[channels, pixels]` to `[pixels, channels]`.
        Op::Patches => {
            let Shape::Map { height, width, .. } = from else { panic!("patches are a map's") };
            let pixels = height * width;
            (0..x.len()).map(|at| x[at % (x.len() / pixels) * pixels + at / (x.len() / pixels)]).collect()
        }
        Op::ClassToken { .. } => [table(), x.to_vec()].concat(),
        Op::LayerNorm { width, epsilon } => {
            x.chunks_exact(width).flat_map(|row| norm(row, get("weight"), get("bias"), epsilon)).collect()
        }
        Op::Gelu(form) => x.iter().map(|&x| gelu(form, x)).collect(),
        Op::LayerScale { width } => {
            x.iter().enumerate().map(|(at, x)| x * f64::from(get("weight")[at % width])).collect()
        }
        Op::Attention { heads } => attention(inputs, width, heads),
        Op::Token { at } => row(x, at, width),
        Op::MeanTokens => {
            let count = (x.len() / width) as f64;
            (0..width).map(|c| x.iter().skip(c).step_by(width).sum::<f64>() / count).collect()
        }
        ref op => panic!("{op:?} is no layer of tokens"),
    }
}

fn norm(row: &[f64], weight: &[f32], bias: &[f32], epsilon: f64) -> Vec<f64> {
    let mean = row.iter().sum::<f64>() / row.len() as f64;
    let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / row.len() as f64;
    let one = |((x, w), b): ((&f64, &f32), &f32)| {
        (x - mean) / (variance + epsilon).sqrt() * f64::from(*w) + f64::from(*b)
    };
    row.iter().zip(weight).zip(bias).map(one).collect()
}

pub(in crate::tests) fn gelu(form: Gelu, x: f64) -> f64 {
    match form {
        Gelu::Erf => x * normal_distribution(x),
        Gelu::Tanh => {
            let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
            0.5 * x * (1.0 + u.tanh())
        }
        Gelu::Quick => x / (1.0 + (-1.702 * x).exp()),
    }
}

/// Φ, by the series Σ xᵏ/(1·3·5…) times the density, or by the continued fraction far out.
fn normal_distribution(x: f64) -> f64 {
    let density = (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if x.abs() < 3.0 {
        let (mut term, mut sum, mut k) = (x, x, 1.0);
        while f64::abs(term) > 1e-18 {
            k += 2.0;
            term *= x * x / k;
            sum += term;
        }
        return 0.5 + density * sum;
    }
    let fraction = (1..60).rev().fold(x.abs(), |rest, k| x.abs() + f64::from(k) / rest);
    if x < 0.0 { density / fraction } else { 1.0 - density / fraction }
}

/// Attention of queries, keys and values, side by side or apart.
fn attention(inputs: &[&[f64]], width: usize, heads: usize) -> Vec<f64> {
    let packed = inputs.len() == 1;
    let (count, all) = (inputs[0].len() / width, if packed { width / 3 } else { width });
    let head = all / heads;
    let of = |which: usize, token: usize, at: usize| match packed {
        true => inputs[0][token * width + which * all + at],
        false => inputs[which][token * width + at],
    };
    let mut out = vec![0.0; count * all];
    for (token, h) in (0..count).flat_map(|token| (0..heads).map(move |h| (token, h))) {
        let columns = h * head..(h + 1) * head;
        let score = |key: usize| {
            let products = columns.clone().map(|c| of(0, token, c) * of(1, key, c));
            (products.sum::<f64>() / (head as f64).sqrt()).exp()
        };
        let scores: Vec<f64> = (0..count).map(score).collect();
        let sum: f64 = scores.iter().sum();
        for c in columns {
            out[token * all + c] = (0..count).map(|key| scores[key] / sum * of(2, key, c)).sum();
        }
    }
    out
}

/// The class token's row and the grid's, for as many patches of a square.
fn grid(table: &[f64], width: usize, side: usize, patches: usize, resize: Resize) -> Vec<f64> {
    let to = patches.isqrt();
    assert_eq!(to * to, patches, "the interpreter knows squares only");
    let mut rows = table[..width].to_vec();
    // Keys' cubic convolution with a = -3/4, by its definition.
    let kernel = |x: f64| match x.abs() {
        x if x < 1.0 => 1.25 * x * x * x - 2.25 * x * x + 1.0,
        x if x < 2.0 => -0.75 * x * x * x + 3.75 * x * x - 6.0 * x + 3.0,
        _ => 0.0,
    };
    let place = |at: usize| match resize {
        _ if side == to => at as f64,
        Resize::Corners => at as f64 * (side as f64 - 1.0) / (to as f64 - 1.0),
        Resize::Borders => (at as f64 + 0.5) * side as f64 / to as f64 - 0.5,
    };
    for (y, x) in (0..to).flat_map(|y| (0..to).map(move |x| (y, x))) {
        for c in 0..width {
            let mut sum = 0.0;
            for (j, i) in (-3..side as i64 + 3).flat_map(|j| (-3..side as i64 + 3).map(move |i| (j, i))) {
                let share = kernel(place(y) - j as f64) * kernel(place(x) - i as f64);
                let near = |at: i64| at.clamp(0, side as i64 - 1) as usize;
                sum += share * table[(1 + near(j) * side + near(i)) * width + c];
            }
            rows.push(sum);
        }
    }
    rows
}
