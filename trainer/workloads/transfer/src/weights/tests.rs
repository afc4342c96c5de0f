//! Weights files of every kind, those that do not fit, those that are damaged, and what is installed.

use super::*;
use crate::testing::{data, reference_path};
use networks::Network;
use std::fs;

fn network(name: &str) -> Network {
    networks::network(name).unwrap()
}

fn specs(network: &Network) -> Vec<TensorSpec> {
    network.parameters().iter().map(|parameter| TensorSpec::f32(&parameter.name, &parameter.shape)).collect()
}

/// A file of seeded tensors.
fn seeded_file(path: &Path, specs: &[TensorSpec]) {
    let mut file = fs::File::create(path).unwrap();
    write_safetensors(&mut file, specs, |spec| {
        let seeded = Seeded::default();
        let values = seeded.get(&spec.name, &spec.shape).map_err(std::io::Error::other)?;
        // A seeded tensor borrows nothing, so it may outlive the source.
        Ok(Cow::Owned(values.into_owned()))
    })
    .unwrap();
}

#[test]
fn a_written_file_is_read_back_and_borrowed_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("squeezenet1_1.safetensors");
    let network = network("squeezenet1_1");
    seeded_file(&path, &specs(&network));
    let weights = Weights::open(&path).unwrap();
    weights.check(&network).unwrap();
    assert_eq!(weights.reaches(&network).as_deref(), Some("logits"));
    // Twice, because pages are let go in between.
    for _ in 0..2 {
        for parameter in network.parameters() {
            let found = weights.tensor(&parameter.name, &parameter.shape).unwrap();
            assert!(matches!(found, Cow::Borrowed(_)));
            assert_eq!(found, Seeded::default().get(&parameter.name, &parameter.shape).unwrap());
        }
    }
    // The format's own reader agrees.
    let bytes = fs::read(&path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.len(), network.parameters().len());
    assert_eq!(tensors.tensor("classifier.1.weight").unwrap().shape(), [1000, 512, 1, 1]);
}

#[test]
fn a_file_with_anything_at_odd_offsets_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.safetensors");
    let header = concat!(
        r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"#,
        r#""features.0.bias":{"dtype":"F32","shape":[2],"data_offsets":[1,9]},"#,
        r#""h":{"dtype":"F16","shape":[1],"data_offsets":[9,11]}}"#,
    );
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.push(7);
    bytes.extend_from_slice(&1.5f32.to_le_bytes());
    bytes.extend_from_slice(&(-2.0f32).to_le_bytes());
    bytes.extend_from_slice(&[0, 0]);
    fs::write(&path, bytes).unwrap();
    let weights = Weights::open(&path).unwrap();
    assert_eq!(*weights.tensor("features.0.bias", &[2]).unwrap(), [1.5, -2.0]);
    let error = weights.tensor("h", &[1]).unwrap_err().to_string();
    assert!(error.contains("F16") && error.contains("tensor h"), "{error}");
    let error = weights.tensor("features.0.bias", &[3]).unwrap_err().to_string();
    assert!(error.contains("[3]") && error.contains("[2]"), "{error}");
    let error = weights.tensor("features.1.bias", &[3]).unwrap_err().to_string();
    assert!(error.contains("features.1.bias") && error.contains("none"), "{error}");
}

#[test]
fn every_kind_of_pth_is_read() {
    let part = network("vgg11").up_to("pool1").unwrap();
    for name in ["zip.pth", "legacy.pth", "checkpoint.pth"] {
        let weights = Weights::open(&reference_path(name)).unwrap();
        weights.check(&part).unwrap();
        for parameter in part.parameters() {
            let found = weights.tensor(&parameter.name, &parameter.shape).unwrap();
            assert_eq!(found, Seeded::default().get(&parameter.name, &parameter.shape).unwrap(), "{name}");
        }
        assert_eq!(weights.reaches(&network("vgg11")).as_deref(), Some("pool1"), "{name}");
    }
}

#[test]
fn a_pickle_is_never_executed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, trap) = (folder.path().join("trap.pth"), folder.path().join("sprung"));
    fs::write(&path, format!("cos\nsystem\n(S'touch {}'\ntR.", trap.display())).unwrap();
    let weights = Weights::open(&path);
    assert!(weights.is_err() || weights.unwrap().names().is_empty());
    assert!(!trap.exists());
}

#[test]
fn weights_of_another_network_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.safetensors");
    let message = |name: &str, part: &str| {
        let error = Weights::open(&path).unwrap().check(&network(name).up_to(part).unwrap()).unwrap_err();
        println!("{error}");
        error.to_string()
    };
    seeded_file(&path, &specs(&network("squeezenet1_0")));
    let error = message("squeezenet1_1", "logits");
    assert!(error.contains("looks like `squeezenet1_0`") && error.contains("[96, 3, 7, 7]"), "{error}");
    let error = message("resnet18", "layer1");
    assert!(error.contains("missing") && error.contains("conv1.weight"), "{error}");
    assert!(error.contains("looks like `squeezenet1_0`"), "{error}");

    seeded_file(&path, &specs(&network("vgg13").up_to("pool3").unwrap()));
    let error = message("vgg11", "pool4");
    assert!(
        error.contains("looks like `vgg13` up to `pool3`") && error.contains("features.3.weight"),
        "{error}"
    );
    let error = message("vgg13", "pool4");
    assert!(error.contains("fills `vgg13` up to `pool3`") && error.contains("features.15.weight"), "{error}");
    Weights::open(&path).unwrap().check(&network("vgg13").up_to("pool2").unwrap()).unwrap();

    seeded_file(&path, &[TensorSpec::f32("something", &[2, 2])]);
    let error = message("vgg13", "pool1");
    assert!(error.contains("no network that Baton knows"), "{error}");
}

#[test]
fn what_is_no_weights_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.safetensors");
    let refused = |bytes: &[u8], words: &str| {
        fs::write(&path, bytes).unwrap();
        let error = Weights::open(&path).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("some.safetensors"), "{error}");
    };
    refused(b"", "empty");
    refused(b"this is a text and holds no weights at all", "no weights file");
    refused(b"PK\x03\x04 and then nothing of a zip archive", "no weights file");
    seeded_file(&path, &specs(&network("vgg11").up_to("pool2").unwrap()));
    let whole = fs::read(&path).unwrap();
    refused(&whole[..whole.len() - 1], "truncated");
    refused(&whole[..100], "header");
    refused(&[&whole[..], b"x"].concat(), "at its end");
    let zip = fs::read(reference_path("zip.pth")).unwrap();
    refused(&zip[..zip.len() / 2], "no weights file");
    assert!(matches!(
        Weights::open(&folder.path().join("none")),
        Err(Error::Storage(storage::Error::Io { .. }))
    ));
}

#[test]
fn installed_weights_are_checked_and_stay() {
    let folder = tempfile::tempdir().unwrap();
    let (file, place) = (folder.path().join("w.safetensors"), folder.path().join("weights/vgg11"));
    let vgg11 = network("vgg11");
    seeded_file(&file, &specs(&vgg11.up_to("pool3").unwrap()));
    let installed = install(&place, &file, &vgg11, Normalisation::IMAGENET).unwrap();
    assert_eq!((installed.network.as_str(), installed.reaches.as_str()), ("vgg11", "pool3"));
    let again = install(&place, &file, &vgg11, Normalisation::IMAGENET).unwrap();
    assert_eq!(again.sha256, installed.sha256);
    again.weights.check(&vgg11.up_to("pool3").unwrap()).unwrap();

    // The checksum is of the tensors, whatever file they came in.
    seeded_file(&file, &specs(&vgg11.up_to("pool1").unwrap()));
    let from = |file: &Path, name: &str| {
        install(&folder.path().join(name), file, &vgg11, Normalisation::IMAGENET).unwrap().sha256
    };
    assert_eq!(from(&file, "a"), from(&reference_path("checkpoint.pth"), "b"));

    let error = install(&place, &file, &vgg11, Normalisation::IMAGENET).unwrap_err();
    assert!(matches!(error, Error::Taken { .. }), "{error}");
    let other = Normalisation { mean: [0.5; 3], std: [0.5; 3] };
    let error = install(&folder.path().join("a"), &file, &vgg11, other).unwrap_err();
    assert!(matches!(error, Error::Taken { .. }), "{error}");
    let zero = Normalisation { mean: [0.5; 3], std: [0.0; 3] };
    assert!(install(&folder.path().join("c"), &file, &vgg11, zero).is_err());
    let error =
        install(&folder.path().join("d"), &file, &network("resnet18"), Normalisation::IMAGENET).unwrap_err();
    assert!(error.to_string().contains("looks like `vgg11`"), "{error}");
    assert!(!folder.path().join("c").exists() && !folder.path().join("d").exists());
}

#[test]
fn damage_to_installed_weights_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (file, place) = (folder.path().join("w.safetensors"), folder.path().join("weights"));
    seeded_file(&file, &specs(&network("vgg11").up_to("pool1").unwrap()));
    install(&place, &file, &network("vgg11"), Normalisation::IMAGENET).unwrap();
    // Another folder, because a process checks each file once.
    let copy = folder.path().join("copy");
    fs::create_dir(&copy).unwrap();
    let mut bytes = fs::read(place.join("weights.safetensors")).unwrap();
    fs::copy(place.join("weights.json"), copy.join("weights.json")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(copy.join("weights.safetensors"), &bytes).unwrap();
    let error = open_installed(&copy).unwrap_err();
    assert!(matches!(&error, Error::Damaged { .. }) && error.to_string().contains("sha256"), "{error}");
    bytes.pop();
    fs::write(copy.join("weights.safetensors"), &bytes).unwrap();
    assert!(open_installed(&copy).unwrap_err().to_string().contains("bytes"));
    fs::write(copy.join("weights.json"), "{}").unwrap();
    assert!(matches!(open_installed(&copy), Err(Error::Damaged { .. })));
    fs::remove_file(copy.join("weights.json")).unwrap();
    assert!(open_installed(&copy).unwrap_err().to_string().contains("weights.json"));
}

#[test]
fn real_weights_fit_their_networks_and_no_others() {
    for (file, name, reaches) in [
        ("weights/vgg19_features.safetensors", "vgg19", "flatten"),
        ("weights/squeezenet1_1_features.safetensors", "squeezenet1_1", "fire9"),
        ("weights/squeezenet1_0.safetensors", "squeezenet1_0", "logits"),
    ] {
        let Some(path) = data(file) else { return };
        let weights = Weights::open(&path).unwrap();
        assert_eq!(weights.reaches(&network(name)).as_deref(), Some(reaches), "{file}");
        for other in networks::names().iter().filter(|other| **other != name) {
            let error =
                weights.check(&network(other).up_to(network(other).default_cut).unwrap()).unwrap_err();
            assert!(error.to_string().contains(&format!("looks like `{name}`")), "{error}");
        }
    }
}
