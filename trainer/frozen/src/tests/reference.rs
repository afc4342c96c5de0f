//! A float64 interpreter of the graph, as plain as possible, and random weights.

use std::borrow::Cow;
use std::collections::HashMap;

use networks::{Conv, Network, Op, Shape};

mod tokens;

pub(super) use tokens::gelu;

use crate::{BoxError, Parameters};

/// splitmix64.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number below `count`.
    pub(super) fn below(&mut self, count: usize) -> usize {
        (self.next() * count as f64) as usize
    }

    /// Nearly normal numbers.
    pub(super) fn normal(&mut self, count: usize, deviation: f32) -> Vec<f32> {
        (0..count)
            .map(|_| ((0..4).map(|_| self.next()).sum::<f64>() - 2.0) as f32 * 1.7 * deviation)
            .collect()
    }

    /// He's initialisation, so that activations keep their size through a deep network.
    pub(super) fn weights(&mut self, network: &Network) -> Weights {
        let mut weights = Weights::default();
        for parameter in network.parameters() {
            let count: usize = parameter.shape.iter().product();
            let values = match (parameter.name.rsplit('.').next(), parameter.shape.len()) {
                (Some("running_var"), _) => self.normal(count, 0.3).iter().map(|x| x.abs() + 0.5).collect(),
                (Some("weight" | "gamma" | "lambda1"), 1) => {
                    self.normal(count, 0.1).iter().map(|x| x + 1.0).collect()
                }
                (Some("weight"), _) => self.normal(count, (2.0 / (count / parameter.shape[0]) as f32).sqrt()),
                _ => self.normal(count, 0.1),
            };
            weights.0.insert(parameter.name, values);
        }
        weights
    }
}

#[derive(Clone, Default)]
pub(super) struct Weights(HashMap<String, Vec<f32>>);

impl Weights {
    pub(super) fn of(&self, name: &str) -> &[f32] {
        &self.0[name]
    }

    pub(super) fn set(&mut self, name: &str, at: usize, value: f32) {
        self.0.get_mut(name).expect("a parameter")[at] = value;
    }
}

impl Parameters for Weights {
    fn get(&self, name: &str, shape: &[usize]) -> Result<Cow<'_, [f32]>, BoxError> {
        let values = self.0.get(name).ok_or_else(|| format!("no `{name}`"))?;
        if values.len() != shape.iter().product::<usize>() {
            return Err(format!("`{name}` is not of shape {shape:?}").into());
        }
        Ok(Cow::Borrowed(values))
    }
}

/// The output of each image in torchvision's order; `images` are `[n, height, width, 3]`.
pub(super) fn interpret(
    network: &Network,
    weights: &Weights,
    size: (usize, usize),
    images: &[f32],
) -> Vec<f64> {
    interpret_rounded(network, weights, size, images, |x| x)
}

/// The same with every product and every sum of the convolutions rounded.
pub(super) fn interpret_rounded(
    network: &Network,
    weights: &Weights,
    size: (usize, usize),
    images: &[f32],
    round: impl Fn(f64) -> f64,
) -> Vec<f64> {
    let shapes = network.shapes(size.0, size.1).expect("fits");
    let pixels = size.0 * size.1;
    let image = |image: &[f32]| (0..3 * pixels).map(|i| image[i % pixels * 3 + i / pixels] as f64).collect();
    let images = images.chunks_exact(pixels * 3).map(image);
    images.flat_map(|image| evaluate(network, weights, &shapes, image, &round)).collect()
}

/// The output for one sentence, token after token; the input node's value has ids and segments in one number.
pub(super) fn interpret_text(network: &Network, weights: &Weights, ids: &[u32], segments: &[u8]) -> Vec<f64> {
    let shapes = network.token_shapes(ids.len()).expect("fits");
    let given = (0..ids.len()).map(|at| f64::from(ids[at]) + tokens::SEGMENT * f64::from(segments[at]));
    evaluate(network, weights, &shapes, given.collect(), |x| x)
}

/// The output for a value of the input's node.
fn evaluate(
    network: &Network,
    weights: &Weights,
    shapes: &[Shape],
    input: Vec<f64>,
    round: impl Fn(f64) -> f64,
) -> Vec<f64> {
    let mut values: Vec<Vec<f64>> = Vec::new();
    for (id, node) in network.nodes.iter().enumerate() {
        let inputs: Vec<&[f64]> = node.inputs.iter().map(|&input| values[input].as_slice()).collect();
        let get = |suffix: &str| weights.0[&node.named(suffix)].as_slice();
        let from = node.inputs.first().map_or(shapes[id], |&input| shapes[input]);
        let value = match &node.op {
            Op::Input(_) => input.clone(),
            Op::Conv(conv) => {
                let input = Map { values: inputs[0], shape: from };
                convolution(conv, get, &input, shapes[id], &round)
            }
            Op::BatchNorm { channels } => {
                let per = inputs[0].len() / channels;
                let of = |(i, x): (usize, &f64)| {
                    let at = |suffix| get(suffix)[i / per] as f64;
                    (x - at("running_mean")) / (at("running_var") + 1e-5).sqrt() * at("weight") + at("bias")
                };
                inputs[0].iter().enumerate().map(of).collect()
            }
            Op::Relu => inputs[0].iter().map(|x| x.max(0.0)).collect(),
            Op::Relu6 => inputs[0].iter().map(|x| x.clamp(0.0, 6.0)).collect(),
            Op::Add => inputs[0].iter().zip(inputs[1]).map(|(x, y)| x + y).collect(),
            Op::Concat => inputs.concat(),
            Op::Flatten | Op::Dropout { .. } => inputs[0].to_vec(),
            &Op::MaxPool { size, stride, padding, .. } => {
                let most = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::NEG_INFINITY, f64::max);
                windows(inputs[0], from, shapes[id], most, |at, length| {
                    let from = (at * stride).saturating_sub(padding);
                    (from, (at * stride + size - padding).min(length))
                })
            }
            &Op::AdaptiveAvgPool { height, .. } => {
                let mean = |values: &mut dyn Iterator<Item = f64>| {
                    let values: Vec<f64> = values.collect();
                    values.iter().sum::<f64>() / values.len() as f64
                };
                windows(inputs[0], from, shapes[id], mean, |at, length| {
                    (at * length / height, ((at + 1) * length).div_ceil(height))
                })
            }
            Op::Linear { inputs: depth, .. } => {
                let dot = |x: &[f64], (row, bias): (&[f32], &f32)| {
                    row.iter().zip(x).map(|(w, x)| *w as f64 * x).sum::<f64>() + *bias as f64
                };
                let outputs = |x| get("weight").chunks_exact(*depth).zip(get("bias")).map(move |o| dot(x, o));
                inputs[0].chunks_exact(*depth).flat_map(outputs).collect()
            }
            op => tokens::evaluate(op, &inputs, from, get, values.first().expect("the input")),
        };
        values.push(value);
    }
    values.pop().expect("at least the input")
}

fn map_of(shape: Shape) -> (usize, usize, usize) {
    match shape {
        Shape::Map { channels, height, width } => (channels, height, width),
        Shape::Tokens { count, width } => (width, count, 1),
        Shape::Vector { n } => (n, 1, 1),
    }
}

/// A value with its shape.
struct Map<'a> {
    values: &'a [f64],
    shape: Shape,
}

fn convolution<'a>(
    conv: &Conv,
    get: impl Fn(&str) -> &'a [f32],
    input: &Map<'_>,
    to: Shape,
    round: impl Fn(f64) -> f64,
) -> Vec<f64> {
    let weight = get("weight");
    let bias = if conv.bias { get("bias").to_vec() } else { vec![0.0; conv.outputs] };
    let ((_, height, width), (channels, rows, columns)) = (map_of(input.shape), map_of(to));
    let (depth, kernel) = (conv.inputs / conv.groups, conv.kernel);
    let padded = (width + 2 * conv.padding).max((columns - 1) * conv.stride + kernel);
    let mut out = vec![0.0; channels * rows * columns];
    let mut line = vec![0.0; padded];
    for (at, sums) in out.chunks_exact_mut(columns).enumerate() {
        let (channel, row) = (at / rows, at % rows);
        let first = channel / (conv.outputs / conv.groups) * depth;
        sums.fill(bias[channel] as f64);
        for (c, ky) in (0..depth).flat_map(|c| (0..kernel).map(move |ky| (c, ky))) {
            let y = row * conv.stride + ky;
            if y < conv.padding || y >= conv.padding + height {
                continue;
            }
            let source = &input.values[((first + c) * height + y - conv.padding) * width..][..width];
            line[conv.padding..conv.padding + width].copy_from_slice(source);
            for kx in 0..kernel {
                let weight = weight[((channel * depth + c) * kernel + ky) * kernel + kx] as f64;
                let pixels = line[kx..].iter().step_by(conv.stride);
                sums.iter_mut().zip(pixels).for_each(|(sum, x)| *sum = round(*sum + round(x * weight)));
            }
        }
    }
    out
}

fn windows(
    input: &[f64],
    from: Shape,
    to: Shape,
    of: impl Fn(&mut dyn Iterator<Item = f64>) -> f64,
    window: impl Fn(usize, usize) -> (usize, usize),
) -> Vec<f64> {
    let ((_, height, width), (channels, rows, columns)) = (map_of(from), map_of(to));
    let mut out = Vec::new();
    for channel in 0..channels {
        let map = &input[channel * height * width..];
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
            let ((top, bottom), (left, right)) = (window(row, height), window(column, width));
            out.push(of(&mut (top..bottom).flat_map(|y| (left..right).map(move |x| map[y * width + x]))));
        }
    }
    out
}
