//! Whole networks: compared with float64, and the same bits however the images are dealt.

use networks::network;

use super::reference::{Random, interpret, interpret_rounded};
use super::{apart, chain, conv, depthwise, error_of, within};
use crate::{Compiled, Options};

#[test]
fn every_network_is_right() {
    for (name, point, side) in [
        ("vgg11_bn", "pool5", 32),
        ("vgg19", "pool5", 32),
        ("squeezenet1_0", "fire4", 35),
        ("squeezenet1_1", "logits", 32),
        ("resnet18", "avgpool", 40),
        ("resnet50", "avgpool", 33),
        ("mobilenet_v2", "logits", 33),
    ] {
        let whole = network(name).expect("known");
        let cut = whole.up_to(point).unwrap_or(whole.clone());
        // Fifty layers of batch norms with random statistics add up their rounding errors.
        within(4e-5, &format!("{name} up to {point}"), error_of(&cut, (side, side), 1, 7));
    }
}

/// Each shape of VGG19's convolutions, and all of them one after the other, compared with f32 sums made one
/// product after the other, as in a direct convolution without vectors.
#[test]
fn winograd_stays_near_plain_f32_sums() {
    let layers = [(64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512)];
    let layer = |(inputs, outputs)| {
        let ops = vec![conv(3, inputs, 1, 1, 0), networks::Op::Relu, conv(inputs, outputs, 3, 1, 1)];
        (format!("{inputs} to {outputs} channels"), chain(ops), 14)
    };
    let vgg19 = network("vgg19").and_then(|whole| whole.up_to("pool5")).expect("known");
    for (what, network, side) in layers.map(layer).into_iter().chain([("vgg19".into(), vgg19, 64)]) {
        let (size, seed) = ((side, side), 11);
        let mut random = Random::new(seed);
        let (weights, images) = (random.weights(&network), random.normal(side * side * 3, 1.0));
        let exact = interpret(&network, &weights, size, &images);
        let plain = interpret_rounded(&network, &weights, size, &images, |x| f64::from(x as f32));
        let (plain, ours) = (apart(plain.into_iter(), &exact), error_of(&network, size, 1, seed));
        println!("{what}: Winograd {ours:.1e}, plain f32 sums {plain:.1e} of the largest value");
        assert!(ours < 4.0 * plain, "{what}: {ours:.1e} and {plain:.1e}");
    }
}

/// Deals nine images in many ways; the bits must equal those of one at a time on one thread.
#[test]
fn the_same_bits_however_dealt() {
    let small = chain(vec![
        conv(3, 16, 7, 2, 3),
        conv(16, 40, 3, 1, 1),
        depthwise(40, 3, 2),
        conv(40, 300, 1, 1, 0),
        conv(300, 72, 3, 1, 1),
        networks::Op::Flatten,
        networks::Op::Linear { inputs: 72 * 81, outputs: 70 },
    ]);
    let squeezenet = network("squeezenet1_1").expect("known");
    let resnet = network("resnet18").expect("known");
    let mobilenet = network("mobilenet_v2").expect("known");
    for (network, side) in [(&small, 36), (&squeezenet, 40), (&resnet, 36), (&mobilenet, 36)] {
        let mut random = Random::new(3);
        let weights = random.weights(network);
        let images = random.normal(9 * side * side * 3, 1.0);
        let run = |threads, batch: usize, cuts: &[usize]| {
            let options = Options { threads, batch: Some(batch), ..Options::default() };
            let mut compiled = Compiled::new(network, (side, side), &weights, options).expect("compiles");
            let (image, features) = (side * side * 3, compiled.features());
            let mut out = vec![0.0; 9 * features];
            let mut from = 0;
            for &n in cuts {
                let to = from + n;
                let images = &images[from * image..to * image];
                compiled.run(images, n, &mut out[from * features..to * features]).expect("runs");
                from = to;
            }
            out.iter().map(|x| x.to_bits()).collect::<Vec<u32>>()
        };
        let one_by_one = run(1, 1, &[1; 9]);
        for (threads, batch, cuts) in
            [(1, 9, &[9][..]), (2, 4, &[9]), (3, 64, &[2, 7]), (2, 3, &[1, 5, 3]), (3, 1, &[4, 5])]
        {
            let dealt = run(threads, batch, cuts);
            assert!(
                dealt == one_by_one,
                "{}: {threads} threads, batches of {batch}, cuts {cuts:?}",
                network.name
            );
        }
    }
}
