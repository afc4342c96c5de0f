//! Compiled networks compared with a float64 interpreter of the same graph, and with themselves.

mod gradients;
mod reference;
mod tokens;
mod whole;

use networks::{Conv, Input, Network, Node, Op, Point};

use crate::{Compiled, Isa, Options};
use reference::{Random, interpret};

/// A chain of layers `0.`, `1.` … after the input.
fn chain(ops: Vec<Op>) -> Network {
    let mut nodes =
        vec![Node { name: String::new(), op: Op::Input(Input::Image { channels: 3 }), inputs: vec![] }];
    for (at, op) in ops.into_iter().enumerate() {
        nodes.push(Node { name: format!("layer{at}"), op, inputs: vec![at] });
    }
    network_of(nodes)
}

fn network_of(nodes: Vec<Node>) -> Network {
    let points = vec![Point { name: "end".into(), node: nodes.len() - 1 }];
    Network { name: "test", nodes, points, default_cut: "end" }
}

fn conv(inputs: usize, outputs: usize, kernel: usize, stride: usize, padding: usize) -> Op {
    Op::Conv(Conv { inputs, outputs, kernel, stride, padding, groups: 1, bias: true })
}

fn depthwise(channels: usize, kernel: usize, stride: usize) -> Op {
    let padding = kernel / 2;
    Op::Conv(Conv {
        inputs: channels,
        outputs: channels,
        kernel,
        stride,
        padding,
        groups: channels,
        bias: false,
    })
}

fn isas() -> Vec<Isa> {
    [Isa::Avx512, Isa::Avx2, Isa::Neon, Isa::Portable].into_iter().filter(|isa| isa.exists()).collect()
}

/// Largest error over the largest value, of all instruction sets, against float64. Instruction sets that
/// promise the same bits must return them.
fn error_of(network: &Network, size: (usize, usize), n: usize, seed: u64) -> f64 {
    let mut random = Random::new(seed);
    let weights = random.weights(network);
    let images = random.normal(n * size.0 * size.1 * 3, 1.0);
    let expected = interpret(network, &weights, size, &images);
    let run = |isa| {
        let options = Options { threads: 2, isa: Some(isa), ..Options::default() };
        let mut compiled = Compiled::new(network, size, &weights, options).expect("compiles");
        assert_eq!(compiled.features() * n, expected.len());
        let mut found = vec![f32::NAN; expected.len()];
        compiled.run(&images, n, &mut found).expect("runs");
        found
    };
    let error = |isa: Isa| {
        let found = run(isa);
        if isa != isa.rounding() {
            assert!(bits(&found) == bits(&run(isa.rounding())), "{isa:?} gives other bits, seed {seed}");
        }
        apart(found.iter().map(|x| f64::from(*x)), &expected)
    };
    isas().into_iter().map(error).fold(0.0, f64::max)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// The largest difference over the largest value.
fn apart(found: impl Iterator<Item = f64>, expected: &[f64]) -> f64 {
    let largest = expected.iter().fold(1e-30, |most: f64, x| most.max(x.abs()));
    found.zip(expected).fold(0.0, |most: f64, (x, y)| {
        let error = (x - y).abs();
        if error.is_nan() { f64::INFINITY } else { most.max(error) }
    }) / largest
}

#[track_caller]
fn close(what: &str, network: &Network, size: (usize, usize), n: usize, seed: u64) {
    let what = format!("{what} at {size:?}, {n} images, seed {seed}");
    within(1e-5, &what, error_of(network, size, n, seed));
}

#[track_caller]
fn within(most: f64, what: &str, error: f64) {
    println!("{what}: error {error:.1e} of the largest value");
    assert!(error < most, "{what}: error {error:.1e} of the largest value");
}

/// Every kernel at the smallest size that reaches its edges; the one test that is quick under Miri:
/// `cargo miri test -p frozen smallest` with
/// `MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-permissive-provenance -Zmiri-tree-borrows"`.
#[test]
fn smallest_of_every_kernel() {
    if cfg!(target_arch = "x86_64") && !Isa::Avx512.exists() {
        println!("SKIPPED: AVX-512: this CPU has none; tests/suites/avx512 emulates one that has");
    }
    let pool = |size| Op::MaxPool { size, stride: 2, padding: 0, ceil: false };
    let linear = Op::Linear { inputs: 16, outputs: 7 };
    close("winograd", &chain(vec![conv(3, 16, 2, 1, 0), conv(16, 40, 3, 1, 1), pool(2)]), (4, 5), 1, 1);
    close("direct", &chain(vec![conv(3, 5, 3, 2, 1), conv(5, 24, 2, 1, 0), pool(2)]), (6, 5), 1, 2);
    close(
        "separable",
        &chain(vec![depthwise(3, 3, 1), conv(3, 16, 1, 1, 0), depthwise(16, 3, 1)]),
        (2, 3),
        1,
        3,
    );
    let average = Op::AdaptiveAvgPool { height: 1, width: 1 };
    close("linear", &chain(vec![conv(3, 16, 1, 1, 0), average, Op::Flatten, linear]), (2, 2), 3, 4);
    close("residual blocks", &residual_blocks(40, 1), (2, 3), 1, 5);
}

#[test]
fn convolutions_of_odd_sizes() {
    let mut seed = 0;
    for (kernel, padding) in [(1, 0), (3, 1), (3, 0), (5, 2), (7, 3), (2, 0), (3, 2)] {
        for (inputs, outputs) in [(1, 3), (3, 16), (5, 5), (16, 16), (16, 65), (65, 16), (24, 40)] {
            for (height, width) in [(7, 7), (13, 14), (8, 5)] {
                seed += 1;
                let (stride, n) = (1 + seed as usize % 2, 1 + seed as usize % 3);
                let network = chain(vec![
                    conv(3, inputs, 1, 1, 0),
                    conv(inputs, outputs, kernel, stride, padding),
                    Op::Relu,
                ]);
                let what =
                    format!("{inputs} to {outputs}, kernel {kernel}, stride {stride}, padding {padding}");
                close(&what, &network, (height, width), n, seed);
            }
        }
    }
}

#[test]
fn winograd_at_every_edge() {
    for side in [1, 2, 3, 4, 5, 7, 13, 14, 28] {
        for padding in [0, 1, 2] {
            if side + 2 * padding < 3 {
                continue;
            }
            let network = chain(vec![conv(3, 24, 1, 1, 0), conv(24, 72, 3, 1, padding)]);
            close(&format!("padding {padding}"), &network, (side, side + 1), 3, side as u64);
        }
    }
}

#[test]
fn winograd_with_deep_sums() {
    let network = chain(vec![conv(3, 520, 1, 1, 0), conv(520, 136, 3, 1, 1), Op::Relu]);
    close("520 channels", &network, (14, 14), 9, 1);
}

#[test]
fn pooling_folded_into_winograd() {
    for (side, ceil) in [(8, false), (7, false), (14, true), (15, true), (28, false)] {
        let pool = Op::MaxPool { size: 2, stride: 2, padding: 0, ceil };
        let network = chain(vec![conv(3, 16, 3, 1, 1), Op::Relu, conv(16, 32, 3, 1, 1), Op::Relu, pool]);
        close("conv, relu, pool", &network, (side, side), 3, side as u64);
    }
}

/// Maps of many rows go a few rows at a time; the windows of the next rows read some of them again.
#[test]
fn pooling_behind_a_direct_convolution() {
    for (size, stride, padding, ceil) in
        [(3, 2, 0, true), (3, 2, 1, false), (2, 2, 0, false), (3, 1, 1, false), (2, 3, 0, true)]
    {
        for (height, width, outputs) in [(23, 100, 128), (31, 60, 120), (9, 20, 5)] {
            let pool = Op::MaxPool { size, stride, padding, ceil };
            let network = chain(vec![conv(3, outputs, 3, 1, 1), Op::Relu, pool]);
            let what = format!("{size}×{size}, stride {stride}, padding {padding} behind {outputs} channels");
            close(&what, &network, (height, width), 3, outputs as u64);
        }
    }
}

#[test]
fn grouped_and_depthwise() {
    for (channels, kernel, stride) in [(8, 3, 1), (8, 3, 2), (20, 3, 1), (96, 3, 2), (16, 5, 1), (16, 7, 2)] {
        for side in [5, 7, 14] {
            let ops = vec![conv(3, channels, 1, 1, 0), depthwise(channels, kernel, stride), Op::Relu6];
            close("depthwise", &chain(ops), (side, side + 2), 2, side as u64);
        }
    }
    let grouped = Conv { inputs: 12, outputs: 18, kernel: 3, stride: 1, padding: 1, groups: 3, bias: true };
    close("3 groups", &chain(vec![conv(3, 12, 1, 1, 0), Op::Conv(grouped)]), (9, 9), 2, 1);
}

/// Inverted residuals, which run a few rows at a time, and the same layers if they may not be joined.
#[test]
fn separable_blocks() {
    for (side, channels, wide, stride) in
        [(5, 8, 20, 1), (7, 16, 48, 2), (14, 24, 40, 1), (31, 8, 24, 2), (60, 8, 8, 1)]
    {
        let mut ops = vec![conv(3, channels, 1, 1, 0), conv(channels, wide, 1, 1, 0), Op::Relu6];
        ops.extend([depthwise(wide, 3, stride), Op::Relu6, conv(wide, channels + 3, 1, 1, 0)]);
        close("expanded", &chain(ops.clone()), (side, side + 1), 3, side as u64);
        let mut nodes = chain(ops).nodes;
        if stride == 1 {
            nodes[6].op = conv(wide, channels, 1, 1, 0);
            nodes.push(Node { name: String::new(), op: Op::Add, inputs: vec![6, 1] });
            close("with a residual", &network_of(nodes.clone()), (side, side + 1), 3, side as u64);
            nodes.push(Node { name: String::new(), op: Op::Concat, inputs: vec![5, 7] });
            close("with a second reader", &network_of(nodes), (side, side + 1), 2, side as u64);
        }
        let plain =
            vec![conv(3, wide, 3, 2, 1), depthwise(wide, 3, stride), conv(wide, 16, 1, 1, 0), Op::Relu];
        close("not expanded", &chain(plain), (side, side), 2, side as u64);
    }
}

#[test]
fn pools_norms_and_linear_layers() {
    for (size, stride, padding, ceil) in
        [(3, 2, 0, true), (3, 2, 1, false), (2, 2, 0, false), (3, 1, 1, false)]
    {
        let pool = Op::MaxPool { size, stride, padding, ceil };
        close("max pool", &chain(vec![pool.clone()]), (9, 12), 2, 1);
        close("max pool", &chain(vec![conv(3, 20, 1, 1, 0), pool]), (13, 10), 2, 1);
    }
    for grid in [1, 2, 7] {
        let average = Op::AdaptiveAvgPool { height: grid, width: grid };
        let ops = vec![
            conv(3, 9, 3, 1, 1),
            average,
            Op::Flatten,
            Op::Linear { inputs: 9 * grid * grid, outputs: 7 },
        ];
        close("average pool and linear", &chain(ops), (9, 10), 9, grid as u64);
    }
    let norm = |channels| Op::BatchNorm { channels };
    close("norm alone", &chain(vec![norm(3), Op::Relu, Op::Relu6]), (5, 5), 2, 1);
    close("folded norm", &chain(vec![conv(3, 16, 3, 2, 1), norm(16), Op::Relu, norm(16)]), (9, 9), 2, 1);
    let linear = |inputs, outputs| Op::Linear { inputs, outputs };
    let ops = vec![Op::Flatten, linear(3 * 30 * 30, 50), Op::Relu, Op::Dropout { rate: 0.5 }, linear(50, 11)];
    close("linear layers", &chain(ops), (30, 30), 5, 1);
    close("the input itself", &chain(vec![]), (5, 4), 2, 1);
    close("flattened input", &chain(vec![Op::Flatten]), (5, 4), 2, 1);
}

#[test]
fn more_images_than_ever_go_together() {
    let ops = vec![conv(3, 8, 3, 1, 1), Op::Relu, Op::Flatten, Op::Linear { inputs: 128, outputs: 5 }];
    close("maps, then a linear layer", &chain(ops), (4, 4), crate::choice::MOST_IMAGES * 2 + 6, 1);
}

fn node(name: &str, op: Op, inputs: &[usize]) -> Node {
    Node { name: name.into(), op, inputs: inputs.to_vec() }
}

fn stem() -> Vec<Node> {
    vec![
        node("", Op::Input(Input::Image { channels: 3 }), &[]),
        node("a", conv(3, 16, 1, 1, 0), &[0]),
        node("", Op::Relu, &[1]),
    ]
}

/// A residual block with a shortcut of its own, written after the branch, as torchvision has it,
/// and one without.
fn residual_blocks(channels: usize, kernel: usize) -> Network {
    let mut nodes = stem();
    nodes.extend([
        node("b", conv(16, channels, 3, 1, 1), &[2]),
        node("c", conv(16, channels, 1, 1, 0), &[2]),
        node("", Op::Add, &[3, 4]),
        node("", Op::Relu, &[5]),
        node("d", conv(channels, channels, kernel, 1, kernel / 2), &[6]),
        node("", Op::Add, &[7, 6]),
        node("", Op::Relu, &[8]),
        node("", Op::Add, &[9, 9]),
    ]);
    network_of(nodes)
}

#[test]
fn branches() {
    for (channels, kernel) in [(24, 3), (24, 1), (40, 3), (40, 1), (72, 1)] {
        let what = format!("residual blocks of {channels} channels, kernel {kernel}");
        close(&what, &residual_blocks(channels, kernel), (9, 10), 2, 1);
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
        close("concatenation", &network_of(nodes.clone()), (9, 10), 2, 1);
        nodes.pop();
        close("concatenation at the cut", &network_of(nodes), (9, 10), 2, 1);
    }
}
