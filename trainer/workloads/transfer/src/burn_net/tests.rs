//! burn on every device, and the compiled frozen pass, compared with activations of real networks and with
//! torchvision's logits of seeded ones.

use super::*;
use crate::images::Preprocessing;
use crate::testing::{data, devices, largest_error, reference, reference_path};
use crate::weights::{Normalisation, Seeded, Weights};
use safetensors::SafeTensors;
use sha2::{Digest, Sha256};

/// Largest difference from the expected values, as a share of the largest of them.
const TOLERANCE: f32 = 1e-4;

/// Prepared images of the reference, with their side.
fn reference_images(name: &str) -> Option<(Vec<f32>, usize)> {
    let bytes = std::fs::read(data("reference/activations.safetensors")?).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let images = tensors.tensor(name).unwrap();
    let side = images.shape()[images.shape().len() - 2];
    let preprocessing = Preprocessing { size: side, normalisation: Normalisation::IMAGENET };
    let n = images.data().len() / preprocessing.len();
    let mut prepared = vec![0.0; n * preprocessing.len()];
    let all = images.data().chunks_exact(preprocessing.len());
    for (image, out) in all.zip(prepared.chunks_exact_mut(preprocessing.len())) {
        preprocessing.prepare(image, (side, side), out).unwrap();
    }
    Some((prepared, side))
}

/// Compares a real network's output at a point with the reference, on every device.
fn holds(network: &str, file: &str, images: &str, expectations: &[(&str, bool, &str)]) {
    let (Some(file), Some((prepared, side))) = (data(file), reference_images(images)) else { return };
    let weights = Weights::open(&file).unwrap();
    let activations = Weights::open(&data("reference/activations.safetensors").unwrap()).unwrap();
    for &(point, pool, name) in expectations {
        let part = networks::network(network).unwrap().up_to(point).unwrap();
        weights.check(&part).unwrap();
        let expected = activations.tensor(name, activations.shape(name).unwrap()).unwrap();
        for (engine, found) in outputs(&part, &weights, &prepared, side, pool) {
            let error = largest_error(&found, &expected);
            println!("{name} with {engine}: {error:.1e} of the largest value");
            assert!(error < TOLERANCE, "{name} with {engine}: {error}");
        }
    }
}

/// The outputs of burn on each device, and of the compiled pass.
fn outputs(
    network: &Network,
    parameters: &dyn Parameters,
    images: &[f32],
    side: usize,
    pool: bool,
) -> Vec<(&'static str, Vec<f32>)> {
    let n = images.len() / (side * side * 3);
    let on_device = |(name, device): (&'static str, Device)| {
        let net = BurnNet::new(network, parameters, &device).unwrap();
        (name, net.features(images, n, (side, side), pool).unwrap())
    };
    let mut all: Vec<_> = devices().into_iter().map(on_device).collect();
    let options = frozen::Options { threads: 2, pool, ..Default::default() };
    let mut compiled = frozen::Compiled::new(network, (side, side), parameters, options).unwrap();
    let mut rows = vec![0.0; n * compiled.features()];
    compiled.run(images, n, &mut rows).unwrap();
    all.push(("the compiled pass", rows));
    all
}

#[test]
fn vgg19_gives_the_reference_activations() {
    let points = [1, 2, 3, 4, 5].map(|n| (format!("pool{n}"), format!("cifar.vgg19.pool{n}.gap")));
    let mut all: Vec<_> = points.iter().map(|(point, name)| (point.as_str(), true, name.as_str())).collect();
    all.push(("pool5", false, "cifar.vgg19.pool5.map_nchw"));
    holds("vgg19", "weights/vgg19_features.safetensors", "cifar.u8_nhwc", &all);
}

#[test]
fn vgg19_gives_the_reference_activations_of_a_photo() {
    let photo = [("pool5", false, "photo.vgg19.pool5.map_nchw")];
    holds("vgg19", "weights/vgg19_features.safetensors", "photo.u8_hwc", &photo);
}

#[test]
fn squeezenets_give_the_reference_activations() {
    let whole = [
        ("fire9", true, "photo.squeezenet1_0.features.gap"),
        ("logits", false, "photo.squeezenet1_0.logits"),
    ];
    holds("squeezenet1_0", "weights/squeezenet1_0.safetensors", "photo.u8_hwc", &whole);
    let map = [("fire9", true, "photo.squeezenet1_1.features.gap")];
    holds("squeezenet1_1", "weights/squeezenet1_1_features.safetensors", "photo.u8_hwc", &map);
}

#[test]
fn seeded_networks_give_torchvisions_logits() {
    let reference = reference("logits.safetensors");
    assert_eq!(reference.names().len(), 5);
    let (n, side) = (2, 64);
    let channels_first = Seeded::default().uniform("image", n * 3 * side * side);
    let pixel = |index: usize| (index / (side * side), index % (side * side));
    let channels_last: Vec<f32> = (0..n * side * side)
        .map(pixel)
        .flat_map(|(image, pixel)| [0, 1, 2].map(|channel| (image * 3 + channel) * side * side + pixel))
        .map(|index| channels_first[index])
        .collect();
    for name in reference.names() {
        let expected = reference.tensor(&name, &[n, 1000]).unwrap();
        let network = networks::network(&name).unwrap();
        for (engine, found) in outputs(&network, &Seeded::default(), &channels_last, side, false) {
            let error = largest_error(&found, &expected);
            println!("{name} with {engine}: {error:.1e} of the largest logit");
            assert!(error < TOLERANCE, "{name} with {engine}: {error}");
        }
    }
}

#[test]
fn names_and_shapes_are_torchvisions() {
    let json = std::fs::read(reference_path("layouts.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let layouts = json["layouts"].as_object().unwrap();
    assert_eq!(layouts.len(), 14);
    for (name, expected) in layouts {
        let parameters = networks::network(name).unwrap().parameters();
        let mut lines: Vec<String> =
            parameters.iter().map(|p| format!("{} {:?}\n", p.name, p.shape)).collect();
        lines.sort_unstable();
        let digest: String =
            Sha256::digest(lines.concat()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(*expected, digest, "{name}");
    }
}

#[test]
fn gradients_reach_the_parameters_that_ask_for_them() {
    let network = networks::network("squeezenet1_1").unwrap().up_to("fire2").unwrap();
    for (name, device) in devices() {
        let device = device.autodiff();
        let mut net = BurnNet::new(&network, &Seeded::default(), &device).unwrap();
        let chosen = "features.3.expand1x1.bias";
        let parameter = net.parameters_mut().remove(chosen).unwrap().require_grad();
        net.parameters_mut().insert(chosen.to_owned(), parameter);
        let images = Seeded::default().uniform("image", 3 * 32 * 32);
        let sum = |net: &BurnNet| {
            let data = TensorData::new(images.clone(), [1, 3, 32, 32]);
            net.forward(Tensor::from_data(data, (&device, DType::F32)), true).unwrap().sum()
        };
        let mut gradients = sum(&net).backward();
        let found = net.parameters()[chosen].take_gradient(&mut gradients).unwrap().unwrap();
        assert!(net.parameters()["features.0.weight"].take_gradient(&mut gradients).unwrap().is_none());
        // For comparison: the difference that a small change of one bias makes.
        let bias = net.parameters()[chosen].values().unwrap();
        for index in [0, 17, 63] {
            let moved = |by: f32| {
                let mut net = net.clone();
                let mut values = bias.clone();
                values[index] += by;
                let parameter = Parameter::new(values, &[64], &device).unwrap();
                net.parameters_mut().insert(chosen.to_owned(), parameter);
                sum(&net).into_scalar::<f32>()
            };
            let slope = (moved(0.01) - moved(-0.01)) / 0.02;
            assert!(
                (slope - found[index]).abs() < 0.02,
                "{name}, bias {index}: {slope} against {}",
                found[index]
            );
        }
    }
}

#[test]
fn what_does_not_fit_is_said() {
    let network = networks::network("vgg11").unwrap().up_to("pool5").unwrap();
    let net = BurnNet::new(&network, &Seeded::default(), &devices()[0].1).unwrap();
    assert!(net.features(&[0.0; 48], 1, (4, 4), true).unwrap_err().to_string().contains("too small"));
    assert!(net.features(&[0.0; 47], 1, (4, 4), true).unwrap_err().to_string().contains("47"));
}
