//! A block's gradient compared with burn's autodiff, and the number of images that go together.

use super::*;
use crate::burn_net::BurnNet;
use crate::device::device;
use crate::untrained::Untrained;
use crate::weights::Parameters;
use burn::tensor::{DType, Tensor, TensorData};
use frozen::{Trained, TrainedOptions};

/// A job that trains all convolutions of a network on images of this size.
fn whole(network: &str, up_to: &str, side: usize) -> Job {
    job(json!({
        "network": network, "cut": "images", "image_size": side,
        "head": {"kind": "layers", "up_to": up_to},
    }))
}

#[test]
fn as_many_images_go_together_as_their_maps_allow() {
    let images = |network, up_to, side: usize| {
        let shape = HeadShape::new(&whole(network, up_to, side), 3 * side * side, CLASSES).unwrap();
        shape.block().unwrap().trained(1).unwrap().images()
    };
    assert_eq!(images("squeezenet1_1", "fire9", 96), 8);
    assert_eq!(images("resnet18", "layer4", 224), 8);
    assert_eq!(images("vgg11", "pool5", 224), 7); // 8.6 million values an image
    assert_eq!(images("vgg11", "pool5", 672), 1);
}

/// The results of burn and of [`Trained`] for the same maps, and the gradients of the same loss.
fn both(name: &str, from: &str, to: &str) -> [(Vec<f32>, Vec<f32>); 2] {
    let (network, map) = networks::network(name).unwrap().between(from, to, (64, 64)).unwrap();
    let networks::Shape::Map { channels, height, width } = map else { panic!("{from} is a map") };
    let mut stream = Stream::new(SEED, Purpose::Order, 1, 1);
    let mut draw = |count: usize| (0..count).map(|_| stream.symmetric(1.0)).collect::<Vec<f32>>();
    let features = draw(3 * map.len());
    let parameters: Vec<f32> = network
        .parameters()
        .iter()
        .flat_map(|p| {
            let values = Untrained { seed: SEED }.get(&p.name, &p.shape).unwrap().into_owned();
            // Norms that are not all alike, and give no 0: there burn's ReLU6 lets a derivative through,
            // PyTorch's does not.
            let moved = values.iter().enumerate().map(|(at, x)| x + 0.01 * (1 + at % 7) as f32);
            if p.shape.len() == 1 { moved.collect() } else { values }
        })
        .collect();

    let options = TrainedOptions { threads: 2, pool: true, ..TrainedOptions::default() };
    let mut trained = Trained::new(&network, (height, width), &options).unwrap();
    let mut layers = trained.load(&parameters, true).unwrap();
    let rows = layers.forward(&features, 3, true).unwrap();
    let deltas = draw(rows.len());
    let mut gradient = vec![0.0; parameters.len()];
    layers.backward(&deltas, &mut gradient, false).unwrap();

    let device = device(crate::job::Device::Flex).unwrap().autodiff();
    let given = Flat { network: &network, parameters: &parameters };
    let mut net = BurnNet::new(&network, &given, &device).unwrap();
    for parameter in net.parameters_mut().values_mut() {
        *parameter = parameter.clone().require_grad();
    }
    let tensor = |values: &[f32], shape: Vec<usize>| TensorData::new(values.to_vec(), shape);
    let maps = tensor(&features, vec![3, channels, height, width]);
    let by_burn = net.forward(Tensor::from_data(maps, (&device, DType::F32)), true).unwrap();
    let deltas = Tensor::<2>::from_data(tensor(&deltas, by_burn.dims().into()), (&device, DType::F32));
    let mut gradients = (by_burn.clone() * deltas).sum().backward();
    let found = network.parameters().into_iter().flat_map(|p| {
        let found = net.parameters()[&p.name].take_gradient(&mut gradients).unwrap();
        let found = found.filter(|_| !p.buffer);
        found.unwrap_or_else(|| vec![0.0; p.shape.iter().product()])
    });
    let found = found.collect();
    [(rows, gradient), (by_burn.try_into_vec_as::<f32>().unwrap(), found)]
}

/// An array of all parameters, by their names.
struct Flat<'a> {
    network: &'a networks::Network,
    parameters: &'a [f32],
}

impl Parameters for Flat<'_> {
    fn get(&self, name: &str, _: &[usize]) -> Result<std::borrow::Cow<'_, [f32]>, frozen::BoxError> {
        let mut rest = self.parameters;
        for parameter in self.network.parameters() {
            let (values, others) = rest.split_at(parameter.shape.iter().product());
            if parameter.name == name {
                return Ok(values.into());
            }
            rest = others;
        }
        Err(format!("no {name}").into())
    }
}

#[test]
fn a_blocks_gradient_is_that_of_autodiff() {
    for (name, from, to) in [
        ("squeezenet1_1", "fire8", "fire9"),
        ("vgg11_bn", "pool4", "pool5"),
        ("resnet18", "layer3", "layer4"),
        ("resnet50", "layer3", "layer4"),
        ("mobilenet_v2", "block12", "features"),
        ("squeezenet1_0", "images", "fire9"),
    ] {
        let [ours, burn] = both(name, from, to);
        for (what, ours, burn) in [("values", &ours.0, &burn.0), ("gradient", &ours.1, &burn.1)] {
            let largest = burn.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            let apart = ours.iter().zip(burn).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs())) / largest;
            println!("{name}, {from} to {to}: {what} {apart:.1e} of the largest apart");
            assert!(ours.len() == burn.len() && apart < 1e-5, "{name}, {what}: {apart}");
        }
    }
}
