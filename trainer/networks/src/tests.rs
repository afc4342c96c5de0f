//! The networks compared with known facts about torchvision's: parameter counts, names, shapes,
//! multiply-adds.

mod transformers;

use crate::{Error, IMAGES, Input, LastLayerForm, Network, Op, Shape, names, network};

fn known(name: &str) -> Network {
    network(name).unwrap()
}

fn parameter_count(network: &Network) -> usize {
    let counted = network.parameters().into_iter().filter(|parameter| !parameter.buffer);
    counted.map(|parameter| parameter.shape.iter().product::<usize>()).sum()
}

#[test]
fn parameter_counts_are_torchvisions() {
    let expected = [
        ("vgg11", 132_863_336),
        ("vgg11_bn", 132_868_840),
        ("vgg13", 133_047_848),
        ("vgg13_bn", 133_053_736),
        ("vgg16", 138_357_544),
        ("vgg16_bn", 138_365_992),
        ("vgg19", 143_667_240),
        ("vgg19_bn", 143_678_248),
        ("squeezenet1_0", 1_248_424),
        ("squeezenet1_1", 1_235_496),
        ("resnet18", 11_689_512),
        ("resnet34", 21_797_672),
        ("resnet50", 25_557_032),
        ("mobilenet_v2", 3_504_872),
        ("baton_small", 218_924),
    ];
    for (name, count) in expected {
        assert_eq!(parameter_count(&known(name)), count, "{name}");
    }
    assert_eq!(expected.map(|(name, _)| name), names());
}

#[test]
fn multiply_adds_are_the_published_ones() {
    // torchvision's own "GFLOPS" of the weights' pages, which count one multiply-add as one and leave out
    // only element-wise layers.
    for (name, giga) in [
        ("vgg11", 7.61),
        ("vgg16", 15.47),
        ("vgg19", 19.63),
        ("squeezenet1_0", 0.82),
        ("squeezenet1_1", 0.35),
        ("resnet18", 1.81),
        ("resnet34", 3.66),
        ("resnet50", 4.09),
        ("mobilenet_v2", 0.30),
    ] {
        let found = known(name).multiply_adds(224, 224).unwrap() as f64 / 1e9;
        assert!((found - giga).abs() < 0.0055, "{name}: {found} against {giga}");
    }
}

#[test]
fn every_network_has_its_points() {
    let maps = |channels, side| Shape::Map { channels, height: side, width: side };
    let vector = |n| Shape::Vector { n };
    for (name, point, expected) in [
        ("vgg19", "pool1", maps(64, 112)),
        ("vgg19", "pool4", maps(512, 14)),
        ("vgg16_bn", "pool5", maps(512, 7)),
        ("vgg11", "flatten", vector(25088)),
        ("vgg11", "fc1", vector(4096)),
        ("vgg13", "fc2", vector(4096)),
        ("squeezenet1_0", "pool1", maps(96, 54)),
        ("squeezenet1_0", "pool2", maps(256, 27)),
        ("squeezenet1_0", "fire2", maps(128, 54)),
        ("squeezenet1_0", "fire9", maps(512, 13)),
        ("squeezenet1_1", "pool1", maps(64, 55)),
        ("squeezenet1_1", "pool3", maps(256, 13)),
        ("squeezenet1_1", "fire9", maps(512, 13)),
        ("resnet18", "layer1", maps(64, 56)),
        ("resnet34", "layer4", maps(512, 7)),
        ("resnet50", "layer3", maps(1024, 14)),
        ("resnet50", "avgpool", vector(2048)),
        ("mobilenet_v2", "block1", maps(16, 112)),
        ("mobilenet_v2", "block17", maps(320, 7)),
        ("mobilenet_v2", "features", maps(1280, 7)),
        ("mobilenet_v2", "avgpool", vector(1280)),
        ("baton_small", "block3", maps(128, 28)),
    ] {
        let cut = known(name).up_to(point).unwrap();
        assert_eq!(cut.shapes(224, 224).unwrap().last(), Some(&expected), "{name} up to {point}");
    }
    for name in names() {
        let whole = known(name);
        let classes = if *name == "baton_small" { 28 } else { 1000 };
        assert_eq!(whole.shapes(224, 224).unwrap().last(), Some(&vector(classes)), "{name}");
        assert_eq!(whole.point("logits"), Ok(whole.output()), "{name}");
        assert!(whole.point(whole.default_cut).is_ok(), "{name}");
    }
}

#[test]
fn the_fully_connected_layers_are_those_above_the_cut() {
    for (name, below, layers) in [
        ("vgg19", "flatten", vec!["classifier.0", "classifier.3"]),
        ("squeezenet1_0", "fire9", vec![]),
        ("resnet50", "avgpool", vec![]),
        ("mobilenet_v2", "avgpool", vec![]),
    ] {
        let whole = known(name);
        assert_eq!(whole.below_classifier(), Ok(below), "{name}");
        let hidden = whole.hidden_above(below).unwrap().unwrap();
        assert_eq!(hidden.iter().map(|layer| layer.name.as_str()).collect::<Vec<_>>(), layers, "{name}");
    }
    let vgg = known("vgg16");
    let fc2 = vgg.hidden_above("fc1").unwrap().unwrap();
    assert_eq!(fc2.iter().map(|layer| (layer.inputs, layer.outputs)).collect::<Vec<_>>(), [(4096, 4096)]);
    assert_eq!(vgg.hidden_above("pool4"), Ok(None), "convolutions are above it");
}

#[test]
fn a_part_between_two_points_goes_on_where_the_lower_ends() {
    for name in names() {
        let whole = known(name);
        let shapes = whole.shapes(64, 64).unwrap();
        for point in &whole.points {
            let found = whole.between(&point.name, "logits", (64, 64));
            let Shape::Map { channels, height, width } = shapes[point.node] else {
                assert!(found.is_err(), "{name} {} gives no maps", point.name);
                continue;
            };
            let (part, map) = found.unwrap();
            assert_eq!(map, shapes[point.node]);
            assert_eq!(part.nodes[0].op, Op::Input(Input::Image { channels }));
            let below = whole.up_to(&point.name).unwrap();
            assert_eq!([below.parameters(), part.parameters()].concat(), whole.parameters(), "{name}");
            assert_eq!(part.shapes(height, width).unwrap()[1..], shapes[point.node + 1..], "{name}");
            assert_eq!(part.point("logits"), Ok(part.output()), "{name}");
        }
        let (all, images) = whole.between(IMAGES, "logits", (64, 64)).unwrap();
        assert_eq!((all.nodes, images), (whole.nodes.clone(), shapes[0]), "{name}");
        assert!(whole.up_to(IMAGES).unwrap().parameters().is_empty(), "{name}");
    }
    assert!(known("vgg11").between("pool4", "pool3", (64, 64)).is_err(), "from above to below");
    let error = known("vgg11").between("fc1", "logits", (64, 64)).unwrap_err().to_string();
    assert!(error.contains("fc1") && error.contains("4096"), "{error}");
}

#[test]
fn a_cut_keeps_only_what_it_needs() {
    for name in names() {
        let whole = known(name);
        for point in &whole.points {
            let cut = whole.up_to(&point.name).unwrap();
            let shapes = cut.shapes(64, 64).unwrap();
            assert_eq!(
                shapes.last(),
                Some(&whole.shapes(64, 64).unwrap()[point.node]),
                "{name} {}",
                point.name
            );
            assert_eq!(cut.point(&point.name), Ok(cut.output()), "{name}");
            let mut read = vec![false; cut.nodes.len()];
            cut.nodes.iter().flat_map(|node| &node.inputs).for_each(|&input| read[input] = true);
            assert!(read[..cut.output()].iter().all(|&read| read), "{name} {}: a layer is idle", point.name);
        }
        assert_eq!(whole.up_to("logits").unwrap(), whole, "{name}");
    }
}

#[test]
fn names_are_torchvisions() {
    let has = |name: &str, parameter: &str, shape: &[usize]| {
        let all = known(name).parameters();
        let found = all.iter().find(|found| found.name == parameter);
        assert_eq!(found.map(|found| found.shape.as_slice()), Some(shape), "{name} {parameter}");
    };
    has("vgg19", "features.34.weight", &[512, 512, 3, 3]);
    has("vgg19", "classifier.0.weight", &[4096, 25088]);
    has("vgg19_bn", "features.50.running_var", &[512]);
    has("vgg11_bn", "features.0.bias", &[64]);
    has("squeezenet1_0", "features.12.expand3x3.weight", &[256, 64, 3, 3]);
    has("squeezenet1_0", "classifier.1.weight", &[1000, 512, 1, 1]);
    has("squeezenet1_1", "features.6.squeeze.weight", &[32, 128, 1, 1]);
    has("resnet18", "layer2.0.downsample.0.weight", &[128, 64, 1, 1]);
    has("resnet18", "layer2.0.downsample.1.running_mean", &[128]);
    has("resnet50", "layer1.0.downsample.0.weight", &[256, 64, 1, 1]);
    has("resnet50", "layer4.2.conv3.weight", &[2048, 512, 1, 1]);
    has("mobilenet_v2", "features.1.conv.1.weight", &[16, 32, 1, 1]);
    has("mobilenet_v2", "features.2.conv.1.0.weight", &[96, 1, 3, 3]);
    has("mobilenet_v2", "features.17.conv.3.bias", &[320]);
    has("mobilenet_v2", "features.18.0.weight", &[1280, 320, 1, 1]);
    for name in names() {
        let mut all: Vec<String> =
            known(name).parameters().into_iter().map(|parameter| parameter.name).collect();
        let before = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), before, "{name}: a name twice");
    }
}

#[test]
fn the_new_head_replaces_the_last_layer() {
    for (name, module, inputs, form) in [
        ("vgg19", "classifier.6", 4096, LastLayerForm::Linear),
        ("squeezenet1_1", "classifier.1", 512, LastLayerForm::Convolution),
        ("resnet50", "fc", 2048, LastLayerForm::Linear),
        ("mobilenet_v2", "classifier.1", 1280, LastLayerForm::Linear),
    ] {
        let last = known(name).last_layer().unwrap();
        assert_eq!((last.name.as_str(), last.inputs, last.form), (module, inputs, form), "{name}");
        let ten = known(name).with_classes(10).unwrap();
        assert_eq!(ten.last_layer().unwrap().classes, 10);
        assert_eq!(ten.shapes(64, 64).unwrap().last(), Some(&Shape::Vector { n: 10 }), "{name}");
        assert!(known(name).up_to(known(name).default_cut).unwrap().last_layer().is_err(), "{name}");
    }
}

#[test]
fn what_does_not_exist_is_said() {
    let error = network("vgg91").unwrap_err().to_string();
    assert!(error.contains("vgg91") && error.contains("vgg19") && error.contains("mobilenet_v2"), "{error}");
    let error = known("resnet18").up_to("pool4").unwrap_err().to_string();
    assert!(error.contains("pool4") && error.contains("layer4") && error.contains("resnet18"), "{error}");
}

#[test]
fn too_small_an_image_is_said() {
    for (name, point, smallest) in
        [("vgg19", "pool4", 16), ("vgg19", "pool5", 32), ("squeezenet1_0", "fire9", 21)]
    {
        let cut = known(name).up_to(point).unwrap();
        assert!(cut.shapes(smallest, smallest).is_ok(), "{name}");
        let error = cut.shapes(smallest - 1, 100).unwrap_err();
        assert!(matches!(error, Error::ImageTooSmall { .. }), "{name}: {error}");
        assert!(error.to_string().contains(&format!("{} by 100", smallest - 1)), "{error}");
    }
}

#[test]
fn pooling_counts_as_pytorch_does() {
    let pool = |size, stride, padding, ceil, length| {
        let mut network = known("vgg11").up_to("pool1").unwrap();
        network.nodes[3].op = Op::MaxPool { size, stride, padding, ceil };
        match network.shapes(length, length).unwrap()[3] {
            Shape::Map { height, .. } => height,
            _ => unreachable!("pooling gives a map"),
        }
    };
    // The results of `torch.nn.functional.max_pool2d`.
    assert_eq!(pool(3, 2, 0, true, 109), 54);
    assert_eq!(pool(3, 2, 0, true, 54), 27);
    assert_eq!(pool(3, 2, 0, true, 4), 2);
    assert_eq!(pool(3, 2, 0, true, 2), 1); // smaller than the window, but for its last row and column
    assert_eq!(pool(2, 2, 1, true, 3), 2); // the third window would begin in the padding
    assert_eq!(pool(2, 2, 0, false, 5), 2);
    assert_eq!(pool(3, 2, 1, false, 112), 56);
    assert_eq!(pool(1, 3, 0, true, 2), 1); // the second window would begin outside
}
