//! Gradients compared with the differences of a float64 interpreter of the same graph.

use std::collections::BTreeMap;

use networks::{Network, Op, network};

use super::reference::{Random, Weights, interpret};
use super::{chain, conv, depthwise, isas, network_of, node, residual_blocks, stem};
use crate::{Error, Trained, TrainedOptions};

/// The change of a value for a difference: so small that hardly a ReLU or a maximum changes sides.
const STEP: f32 = 1.0 / (1 << 18) as f32;

/// A network with parameters, images `[n, height, width, 3]` and the derivatives of a loss by its output.
struct Case {
    network: Network,
    side: (usize, usize),
    n: usize,
    weights: Weights,
    images: Vec<f32>,
    deltas: Vec<f32>,
}

impl Case {
    fn new(network: &Network, side: (usize, usize), n: usize, seed: u64) -> Case {
        let mut random = Random::new(seed);
        let (weights, images) = (random.weights(network), random.normal(n * side.0 * side.1 * 3, 1.0));
        let outputs = interpret(network, &weights, side, &images[..side.0 * side.1 * 3]).len();
        let deltas = random.normal(n * outputs, 1.0);
        Case { network: network.clone(), side, n, weights, images, deltas }
    }

    fn parameters(&self) -> Vec<f32> {
        self.network.parameters().iter().flat_map(|p| self.weights.of(&p.name).to_vec()).collect()
    }

    /// The images as the layers read them.
    fn features(&self) -> Vec<f32> {
        let pixels = self.side.0 * self.side.1;
        let value = |at: usize| {
            let (image, at) = (at / (3 * pixels), at % (3 * pixels));
            self.images[(image * pixels + at % pixels) * 3 + at / pixels]
        };
        (0..self.n * 3 * pixels).map(value).collect()
    }

    /// The layers' output, and the gradient.
    fn found(&self, options: &TrainedOptions) -> (Vec<f32>, Vec<f32>) {
        let mut trained = Trained::new(&self.network, self.side, options).expect("has gradients");
        let parameters = self.parameters();
        let mut gradient = vec![0.0; parameters.len()];
        // An earlier pass with other weights must not change the result.
        let others: Vec<f32> = parameters.iter().map(|w| w * 0.5).collect();
        let mut pass = |parameters: &[f32]| {
            let mut layers = trained.load(parameters, true).expect("fits");
            let rows = layers.forward(&self.features(), self.n, true).expect("runs");
            layers.backward(&self.deltas, &mut gradient, false).expect("runs");
            assert_eq!(layers.forward(&self.features(), self.n, false).expect("runs"), rows);
            rows
        };
        pass(&others);
        let rows = pass(&parameters);
        let mut twice = gradient.clone();
        let mut layers = trained.load(&parameters, true).expect("fits");
        layers.forward(&self.features(), self.n, true).expect("runs");
        layers.backward(&self.deltas, &mut twice, true).expect("runs");
        let pairs = || twice.iter().zip(&gradient);
        let largest = gradient.iter().fold(0f32, |most, x| most.max(x.abs()));
        assert!(pairs().all(|(twice, once)| (twice - 2.0 * once).abs() < 1e-5 * largest), "it adds");
        (rows, gradient)
    }

    fn loss(&self, weights: &Weights) -> f64 {
        let rows = interpret(&self.network, weights, self.side, &self.images);
        rows.iter().zip(&self.deltas).map(|(x, delta)| x * f64::from(*delta)).sum()
    }

    /// The derivatives by some of each parameter's values: their places in the array of all,
    /// with the parameter's number.
    fn differences(&self, random: &mut Random) -> BTreeMap<usize, (usize, f64)> {
        let (mut first, mut found) = (0, BTreeMap::new());
        for (number, parameter) in self.network.parameters().into_iter().enumerate() {
            let count: usize = parameter.shape.iter().product();
            for _ in 0..if parameter.buffer { 0 } else { 9 } {
                let at = random.below(count);
                let mut weights = self.weights.clone();
                let value = weights.of(&parameter.name)[at];
                let mut loss = |step: f32| {
                    weights.set(&parameter.name, at, value + step);
                    (self.loss(&weights), f64::from(value + step))
                };
                let ((high, above), (low, below)) = (loss(STEP), loss(-STEP));
                found.insert(first + at, (number, (high - low) / (above - below)));
            }
            first += count;
        }
        found
    }
}

/// Every instruction set's gradient within `most` of the largest difference of each parameter.
#[track_caller]
fn right(what: &str, network: &Network, side: (usize, usize), n: usize, most: f64) {
    let seed = 7;
    let case = Case::new(network, side, n, seed);
    let wanted = case.differences(&mut Random::new(seed + 1));
    let mut largest: BTreeMap<usize, f64> = BTreeMap::new();
    for (number, value) in wanted.values() {
        let largest = largest.entry(*number).or_insert(1e-30);
        *largest = largest.max(value.abs());
    }
    let mut bits: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for isa in isas() {
        let options = TrainedOptions { threads: 2, isa: Some(isa), ..TrainedOptions::default() };
        let (_, gradient) = case.found(&options);
        let mut worst = 0f64;
        for (at, (number, wanted)) in &wanted {
            let error = (f64::from(gradient[*at]) - wanted).abs() / largest[number];
            let name = &network.parameters()[*number].name;
            assert!(
                error < most,
                "{what}, {isa:?}: {name}, value {at}: {} for {wanted}, seed {seed}",
                gradient[*at]
            );
            worst = worst.max(error);
        }
        println!("{what}, {isa:?}: error {worst:.1e} of the largest difference");
        let found: Vec<u32> = gradient.iter().map(|x| x.to_bits()).collect();
        let same = bits.entry(format!("{:?}", isa.rounding())).or_insert_with(|| found.clone());
        assert!(*same == found, "{what}: {isa:?} gives other bits");
    }
}

fn norm(channels: usize) -> Op {
    Op::BatchNorm { channels }
}

/// Every kernel of the gradients at the smallest size that reaches its edges, compared with the other
/// instruction sets only: quick under Miri and in an emulator, see [`super::smallest_of_every_kernel`].
#[test]
fn smallest_of_every_gradient() {
    let pool = |size| Op::MaxPool { size, stride: 2, padding: 0, ceil: false };
    for (what, ops, side) in [
        ("winograd", vec![conv(3, 16, 1, 1, 0), conv(16, 24, 3, 1, 1), Op::Relu, pool(2)], (29, 33)),
        ("direct", vec![conv(3, 5, 3, 2, 1), Op::Relu, conv(5, 24, 2, 1, 0)], (6, 5)),
        ("depthwise", vec![conv(3, 8, 1, 1, 0), norm(8), depthwise(8, 3, 2), Op::Relu6], (4, 3)),
    ] {
        let case = Case::new(&chain(ops), side, 1, 3);
        let gradients = isas().into_iter().map(|isa| {
            let options = TrainedOptions { threads: 1, isa: Some(isa), ..TrainedOptions::default() };
            case.found(&options).1
        });
        let gradients: Vec<Vec<f32>> = gradients.collect();
        let largest = gradients[0].iter().fold(0f32, |most, x| most.max(x.abs()));
        for other in &gradients[1..] {
            let apart = gradients[0].iter().zip(other).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
            assert!(apart < 1e-5 * largest, "{what}: {apart} of {largest}");
        }
    }
}

#[test]
fn convolutions() {
    for (kernel, stride, padding) in
        [(1, 1, 0), (1, 2, 0), (3, 1, 1), (3, 1, 0), (3, 2, 1), (3, 1, 2), (5, 2, 2), (7, 2, 3), (2, 1, 0)]
    {
        for (inputs, outputs) in [(3, 5), (16, 24), (24, 72)] {
            let ops = vec![
                conv(3, inputs, 1, 1, 0),
                Op::Relu,
                conv(inputs, outputs, kernel, stride, padding),
                Op::Relu,
                conv(outputs, 8, 1, 1, 0),
            ];
            let what = format!("{inputs} to {outputs}, kernel {kernel}, stride {stride}, padding {padding}");
            right(&what, &chain(ops), (9, 10), 3, 1e-3);
        }
    }
}

/// Maps with enough tiles for weights' gradients from Winograd's points.
#[test]
fn convolutions_of_many_tiles() {
    for (inputs, outputs, padding, side, n) in
        [(16, 24, 1, (30, 33), 2), (24, 40, 0, (13, 18), 5), (20, 17, 2, (32, 31), 1)]
    {
        let ops =
            vec![conv(3, inputs, 1, 1, 0), Op::Relu, conv(inputs, outputs, 3, 1, padding), norm(outputs)];
        right(&format!("{inputs} to {outputs}, padding {padding}"), &chain(ops), side, n, 1e-3);
    }
}

#[test]
fn norms_and_depthwise() {
    for (channels, kernel, stride) in [(8, 3, 1), (20, 3, 2), (16, 5, 1)] {
        let ops = vec![
            conv(3, channels, 3, 1, 1),
            norm(channels),
            Op::Relu6,
            depthwise(channels, kernel, stride),
            norm(channels),
            Op::Relu6,
            conv(channels, 16, 1, 1, 0),
            norm(16),
        ];
        right(&format!("depthwise, stride {stride}"), &chain(ops), (9, 8), 2, 1e-3);
    }
}

#[test]
fn poolings_and_linear_layers() {
    for (size, stride, padding, ceil) in [(3, 2, 0, true), (3, 2, 1, false), (2, 2, 0, false)] {
        let pool = Op::MaxPool { size, stride, padding, ceil };
        let ops = vec![conv(3, 20, 3, 1, 1), Op::Relu, pool.clone(), conv(20, 16, 3, 1, 1)];
        right(&format!("max pool {size}"), &chain(ops), (12, 9), 2, 1e-3);
        let ops = vec![conv(3, 20, 3, 1, 1), pool, Op::Relu, conv(20, 16, 3, 1, 1)];
        right(&format!("max pool {size}, an activation on its own"), &chain(ops), (12, 9), 2, 1e-3);
    }
    for grid in [1, 2, 7] {
        let average = Op::AdaptiveAvgPool { height: grid, width: grid };
        let linear = |inputs, outputs| Op::Linear { inputs, outputs };
        let ops = vec![
            conv(3, 9, 3, 1, 1),
            Op::Relu,
            average,
            Op::Flatten,
            linear(9 * grid * grid, 50),
            Op::Relu,
            Op::Dropout { rate: 0.5 },
            linear(50, 7),
        ];
        right(&format!("average pool of {grid}, linear"), &chain(ops), (9, 10), 5, 1e-3);
    }
}

#[test]
fn branches() {
    for (channels, kernel) in [(24, 3), (40, 1)] {
        right("residual blocks", &residual_blocks(channels, kernel), (9, 10), 2, 1e-3);
    }
    for (one, other) in [(16, 24), (5, 11)] {
        let mut nodes = stem();
        nodes.extend([
            node("b", conv(16, one, 3, 1, 1), &[2]),
            node("", Op::Relu, &[3]),
            node("c", conv(16, other, 1, 1, 0), &[2]),
            node("", Op::Relu, &[5]),
            node("", Op::Concat, &[4, 6]),
            node("d", conv(one + other, 8, 3, 1, 1), &[7]),
        ]);
        right("concatenation", &network_of(nodes.clone()), (9, 10), 2, 1e-3);
        nodes.pop();
        right("concatenation at the end", &network_of(nodes), (9, 10), 2, 1e-3);
    }
    let mut nodes = stem();
    nodes.extend([node("b", depthwise(16, 3, 1), &[2]), node("", Op::Add, &[3, 2])]);
    right("depthwise with a second reader", &network_of(nodes), (6, 7), 2, 1e-3);
}

/// Values that are computed again, more threads, other images in the batch: none of them changes a bit.
#[test]
fn the_same_bits_however_computed() {
    for (name, point, side) in
        [("squeezenet1_1", "fire9", 64), ("resnet18", "layer4", 64), ("mobilenet_v2", "features", 64)]
    {
        let network = network(name).and_then(|whole| whole.up_to(point)).expect("known");
        let case = Case::new(&network, (side, side), 3, 5);
        let found = |threads, values| {
            let options = TrainedOptions { threads, values, pool: false, isa: None };
            let (rows, gradient) = case.found(&options);
            rows.iter().chain(&gradient).map(|x| x.to_bits()).collect::<Vec<u32>>()
        };
        let plain = found(1, usize::MAX);
        assert!(found(2, usize::MAX) == plain, "{name}: two threads");
        assert!(found(3, 1) == plain, "{name}: three threads, computed again");
    }
}

/// As in PyTorch.
#[test]
fn of_equal_values_the_first_has_the_maximums_derivative() {
    let pool = Op::MaxPool { size: 2, stride: 2, padding: 0, ceil: false };
    let mut case = Case::new(&chain(vec![conv(3, 8, 1, 1, 0), pool]), (2, 2), 1, 1);
    for at in 0..24 {
        case.weights.set("layer0.weight", at, 0.0); // all pixels give the bias
    }
    let (_, gradient) = case.found(&TrainedOptions::default());
    let first = |at: usize| case.deltas[at / 3] * case.images[at % 3];
    assert_eq!(gradient[..24], Vec::from_iter((0..24).map(first)));
}

#[test]
fn what_has_no_gradient_is_named() {
    let alone = chain(vec![conv(3, 8, 3, 1, 1), Op::Relu, norm(8)]);
    let error = Trained::new(&alone, (9, 9), &TrainedOptions::default()).expect_err("no gradient");
    assert!(error.to_string().contains("layer2"), "{error}");
    let mut trained =
        Trained::new(&chain(vec![conv(3, 8, 1, 1, 0)]), (2, 2), &TrainedOptions::default()).unwrap();
    assert!(matches!(trained.load(&[0.0; 31], true), Err(Error::Numbers { expected: 32, found: 31, .. })));
    let forward = trained.load(&[0.0; 32], true).unwrap().forward(&[0.0; 13], 1, true);
    assert!(matches!(forward, Err(Error::Numbers { what: "features", .. })));
    let parameters = [0.0; 32];
    let mut layers = trained.load(&parameters, true).unwrap();
    layers.forward(&[0.0; 12], 1, false).unwrap();
    let backward = layers.backward(&[0.0; 32], &mut [0.0; 32], false);
    assert!(
        matches!(backward, Err(Error::Numbers { what: "derivatives", expected: 0, .. })),
        "nothing was kept"
    );
}
