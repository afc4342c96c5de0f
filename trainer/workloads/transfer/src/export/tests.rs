//! Exported models, read back and computed again by the whole network, and those for which torchvision has no
//! class.

use super::*;
use crate::burn_net::BurnNet;
use crate::testing::{data, devices, largest_error};
use crate::weights::{BoxError, Normalisation, Seeded, Weights};
use burn::tensor::{DType, Tensor, TensorData};

const CLASSES: usize = 7;

/// A file's tensors, and seeded ones for those that it lacks.
struct Filled(Option<Weights>);

impl Parameters for Filled {
    fn get(&self, name: &str, shape: &[usize]) -> Result<Cow<'_, [f32]>, BoxError> {
        match &self.0 {
            Some(weights) if weights.shape(name).is_some() => Ok(weights.tensor(name, shape)?),
            _ => Ok(Cow::Owned(Seeded::default().get(name, shape)?.into_owned())),
        }
    }
}

fn linear(name: &str, inputs: usize, outputs: usize) -> Linear {
    let scale = (inputs as f32).sqrt().recip();
    let weight = Seeded::default().uniform(name, inputs * outputs).into_iter().map(|u| u * scale).collect();
    Linear { weight, bias: Seeded::default().uniform(&format!("{name} bias"), outputs) }
}

fn apply(layer: &Linear, row: &[f32]) -> Vec<f32> {
    let dot =
        |weights: &[f32]| weights.iter().zip(row).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum::<f64>();
    let weights = layer.weight.chunks_exact(row.len());
    weights.zip(&layer.bias).map(|(weights, bias)| (dot(weights) + f64::from(*bias)) as f32).collect()
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponents: Vec<f32> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f32 = exponents.iter().sum();
    exponents.iter().map(|exponent| exponent / sum).collect()
}

fn labels() -> Vec<String> {
    (0..CLASSES).map(|class| format!("class {class}")).collect()
}

fn preprocessing(size: usize) -> Preprocessing {
    Preprocessing { size, normalisation: Normalisation::IMAGENET }
}

/// Exports a network with a new head, and compares its probabilities with those of cut and head.
fn holds(name: &str, cut: &str, pool: bool, file: Option<&str>, folder: &Path) {
    const SIZE: usize = 64;
    let network = networks::network(name).unwrap();
    let backbone = Filled(file.and_then(data).map(|path| Weights::open(&path).unwrap()));
    let hidden = network.hidden_above(cut).unwrap().unwrap_or_default().into_iter();
    let hidden = hidden.map(|layer| linear(&layer.name, layer.inputs, layer.outputs));
    let last = linear("head", network.last_layer().unwrap().inputs, CLASSES);
    let head: Vec<Linear> = hidden.chain([last]).collect();
    let (labels, preprocessing) = (labels(), preprocessing(SIZE));
    let model = Model {
        network: &network,
        cut,
        pool,
        backbone: &backbone,
        head: &head,
        labels: &labels,
        preprocessing,
    };
    let exported = export(&model, folder).unwrap();
    assert_eq!(exported.torchvision.as_deref(), Some(name));

    let (_, device) = devices().remove(0);
    let images = Seeded::default().uniform("image", 2 * SIZE * SIZE * 3);
    let below = BurnNet::new(&network.up_to(cut).unwrap(), &backbone, &device).unwrap();
    let features = below.features(&images, 2, (SIZE, SIZE), pool).unwrap();
    drop(below);
    let rows = features.chunks_exact(features.len() / 2);
    let scores = |row: &[f32]| {
        let (last, below) = head.split_last().unwrap();
        let rectified = |row: Vec<f32>, layer| apply(layer, &row).into_iter().map(|x| x.max(0.0)).collect();
        apply(last, &below.iter().fold(row.to_vec(), rectified))
    };
    let expected: Vec<f32> = rows.flat_map(|row| softmax(&scores(row))).collect();
    assert!(
        expected.iter().any(|probability| (probability - expected[0]).abs() > 0.02),
        "all alike: {expected:?}"
    );

    let file = Weights::open(&folder.join("model.safetensors")).unwrap();
    let whole = network.with_classes(CLASSES).unwrap();
    file.check(&whole).unwrap();
    let logits =
        BurnNet::new(&whole, &file, &device).unwrap().features(&images, 2, (SIZE, SIZE), false).unwrap();
    let found: Vec<f32> = logits.chunks_exact(CLASSES).flat_map(softmax).collect();
    let error = largest_error(&found, &expected);
    println!("{name} cut at {cut}: {error:.1e}");
    assert!(error < 1e-4, "{name}: {error}");
    write_expected(folder, images, &expected, SIZE);
}

/// The values that `make_reference.py check` compares torchvision's own class with.
fn write_expected(folder: &Path, images: Vec<f32>, probabilities: &[f32], size: usize) {
    let nhwc = TensorData::new(images, [2, size, size, 3]);
    let device = devices().remove(0).1;
    let nchw = Tensor::<4>::from_data(nhwc, (&device, DType::F32)).permute([0, 3, 1, 2]);
    let nchw = nchw.try_into_vec_as::<f32>().unwrap();
    let specs =
        [TensorSpec::f32("images", &[2, 3, size, size]), TensorSpec::f32("probabilities", &[2, CLASSES])];
    let mut file = std::fs::File::create(folder.join("expected.safetensors")).unwrap();
    write_safetensors(&mut file, &specs, |spec| {
        Ok(Cow::Borrowed(if spec.name == "images" { &nchw } else { probabilities }))
    })
    .unwrap();
}

#[test]
fn the_whole_network_with_its_new_head_gives_the_same_probabilities() {
    let folder = tempfile::tempdir().unwrap();
    let squeezenet = Some("weights/squeezenet1_0.safetensors");
    holds("squeezenet1_0", "fire9", true, squeezenet, &folder.path().join("squeezenet1_0"));
    holds("resnet18", "layer4", true, None, &folder.path().join("resnet18"));
    holds("mobilenet_v2", "avgpool", false, None, &folder.path().join("mobilenet_v2"));
}

/// Saves its exports in the folder of `BATON_EXPORT_TO`, for torchvision to load; VGG19 is too large to write
/// every time.
#[test]
fn exports_for_torchvision() {
    let Some(folder) = std::env::var_os("BATON_EXPORT_TO").map(std::path::PathBuf::from) else {
        println!("SKIPPED: BATON_EXPORT_TO names no folder to leave exported models in");
        return;
    };
    holds("vgg19", "fc2", false, Some("weights/vgg19_features.safetensors"), &folder.join("vgg19"));
    holds("vgg19", "fc1", false, Some("weights/vgg19_features.safetensors"), &folder.join("vgg19-fc2"));
    let squeezenet = Some("weights/squeezenet1_0.safetensors");
    holds("squeezenet1_0", "fire9", true, squeezenet, &folder.join("squeezenet1_0"));
    holds("resnet50", "avgpool", false, None, &folder.join("resnet50"));
    holds("mobilenet_v2", "features", true, None, &folder.join("mobilenet_v2"));
}

#[test]
fn a_classifier_keeps_torchvisions_names() {
    let network = networks::network("vgg11").unwrap();
    let head = [linear("a", 4096, 4096), linear("b", 4096, CLASSES)];
    let (labels, preprocessing, backbone) = (labels(), preprocessing(64), Seeded::default());
    let model = Model {
        network: &network,
        cut: "fc1",
        pool: false,
        backbone: &backbone,
        head: &head,
        labels: &labels,
        preprocessing,
    };
    let tensors = head_for_torchvision(&model).unwrap().unwrap();
    let shapes: Vec<_> = tensors.iter().map(|(name, (shape, _))| (name.as_str(), shape.as_slice())).collect();
    let expected: [(&str, &[usize]); 4] = [
        ("classifier.3.bias", &[4096]),
        ("classifier.3.weight", &[4096, 4096]),
        ("classifier.6.bias", &[CLASSES]),
        ("classifier.6.weight", &[CLASSES, 4096]),
    ];
    assert_eq!(shapes, expected);
    let narrow = [linear("a", 4096, 20), linear("b", 20, CLASSES)];
    assert_eq!(head_for_torchvision(&Model { head: &narrow, ..model }).unwrap(), None);
}

#[test]
fn a_cut_that_torchvision_has_no_class_for_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let labels = labels();
    let backbone = Seeded::default();
    for (number, (name, cut, pool, head)) in [
        ("vgg11", "pool2", true, vec![linear("a", 128, CLASSES)]),
        ("vgg11", "pool2", true, vec![linear("a", 128, 20), linear("b", 20, CLASSES)]),
        ("vgg11", "pool1", false, vec![linear("a", 64 * 64, CLASSES)]),
        ("resnet18", "avgpool", false, vec![linear("a", 512, 20), linear("b", 20, CLASSES)]),
        ("baton_small", "avgpool", false, vec![linear("a", 128, CLASSES)]),
    ]
    .into_iter()
    .enumerate()
    {
        let network = networks::network(name).unwrap();
        let preprocessing = preprocessing(16);
        let model = Model {
            network: &network,
            cut,
            pool,
            backbone: &backbone,
            head: &head,
            labels: &labels,
            preprocessing,
        };
        let folder = folder.path().join(number.to_string());
        let exported = export(&model, &folder).unwrap();
        assert_eq!(exported.torchvision, None);
        assert!(exported.how.contains(cut) && exported.how.contains("head.0"), "{}", exported.how);
        let json = std::fs::read(folder.join("model.json")).unwrap();
        assert_eq!(serde_json::from_slice::<Exported>(&json).unwrap(), exported);
        let file = Weights::open(&folder.join("model.safetensors")).unwrap();
        file.check(&network.up_to(cut).unwrap()).unwrap();
        for (layer, expected) in head.iter().enumerate() {
            let shape = [expected.bias.len(), expected.inputs()];
            assert_eq!(*file.tensor(&format!("head.{layer}.weight"), &shape).unwrap(), expected.weight);
        }
        assert!(matches!(export(&model, &folder), Err(Error::Taken { .. })));
    }
}

#[test]
fn a_head_that_does_not_fit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let network = networks::network("resnet18").unwrap();
    let refused = |inputs: usize, classes: usize| {
        let head = [linear("a", inputs, classes)];
        let model = Model {
            network: &network,
            cut: "avgpool",
            pool: false,
            backbone: &Seeded::default(),
            head: &head,
            labels: &labels(),
            preprocessing: preprocessing(64),
        };
        export(&model, &folder.path().join("none")).unwrap_err().to_string()
    };
    assert!(refused(513, CLASSES).contains("layer 0"));
    assert!(refused(512, CLASSES + 1).contains("labels"));
    assert!(!folder.path().join("none").exists());
}

#[test]
fn standardising_moves_into_the_head() {
    let layer = linear("a", 5, 3);
    let features = [0.3, 2.0, -1.0, 0.0, 7.0];
    let (mean, deviation) = ([0.1, 1.0, -2.0, 0.0, 5.0], [0.5, 2.0, 1.0, 0.25, 3.0]);
    let standardised: Vec<f32> = (0..5).map(|i| (features[i] - mean[i]) / deviation[i]).collect();
    let moved = layer.after_standardising(&mean, &deviation);
    assert!(largest_error(&apply(&moved, &features), &apply(&layer, &standardised)) < 1e-5);
}
