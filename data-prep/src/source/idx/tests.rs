//! IDX pairs, gzipped or not, and files that do not fit.

use super::*;
use crate::collection::Role;
use crate::samples::{byte, gzip, idx};
use std::fs;
use tempfile::TempDir;

const TRAIN: [&str; 2] = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"];

fn pixels(images: usize) -> Vec<u8> {
    (0..images).flat_map(|image| (0..6).map(move |i| byte(image, i))).collect()
}

fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

fn error(images: Vec<u8>, labels: Vec<u8>) -> String {
    let folder = folder(&[(TRAIN[0], images), (TRAIN[1], labels)]);
    open(folder.path(), &[]).err().unwrap().to_string()
}

#[test]
fn pairs_are_found_gzipped_or_not() {
    let folder = folder(&[
        (TRAIN[0], idx(&[3, 2, 3], &pixels(3))),
        ("train-labels-idx1-ubyte.gz", gzip(&idx(&[3], &[5, 0, 4]))),
        ("t10k-images.idx3-ubyte.gz", gzip(&idx(&[1, 2, 3], &pixels(1)))),
        ("t10k-labels.idx1-ubyte", idx(&[1], &[7])),
    ]);
    let collection = open(folder.path(), &[]).unwrap();
    assert_eq!(collection.geometry, Geometry::fixed(2, 3, 1));
    let [test, train] = &collection.parts[..] else { panic!("two parts") };
    assert_eq!((&test.name[..], test.role, &test.labels[..]), ("t10k", Role::Test, &[7][..]));
    assert_eq!((&train.name[..], train.role, &train.labels[..]), ("train", Role::Train, &[5, 0, 4][..]));
    let image = train.images.read(2).ok().unwrap();
    assert_eq!(image, Image { height: 2, width: 3, pixels: pixels(3)[12..].to_vec() });
}

#[test]
fn files_that_do_not_fit_are_refused() {
    let (images, labels) = (idx(&[2, 2, 3], &pixels(2)), idx(&[2], &[1, 2]));
    assert!(error(images[..20].to_vec(), labels.clone()).contains("4 bytes for shape [2, 2, 3]"));
    assert!(error(images.clone(), idx(&[3], &[1, 2, 3])).contains("expected 2 labels, found 3"));
    assert!(error(images.clone(), images.clone()).contains("1 dimensions"));
    assert!(error(idx(&[u32::MAX, u32::MAX, u32::MAX], b""), labels.clone()).contains("0 bytes for shape"));
    assert!(error(b"hello world".to_vec(), labels.clone()).contains("starts with [68, 65"));
    let zipped = gzip(&images);
    assert!(error(zipped[..zipped.len() - 4].to_vec(), labels).contains("truncated or damaged gzip"));

    let alone = folder(&[(TRAIN[0], images)]);
    assert!(open(alone.path(), &[]).err().unwrap().to_string().contains("train-labels-idx1-ubyte beside it"));
    let none = folder(&[("readme", vec![])]);
    assert!(open(none.path(), &[]).err().unwrap().to_string().contains("no such pair"));
}

/// MNIST as torchvision leaves it: packed and unpacked files beside each other, two folders down.
#[test]
fn packed_twins_are_read_once_and_a_folder_within_is_found() {
    let root = tempfile::tempdir().unwrap();
    let raw = root.path().join("MNIST/raw");
    fs::create_dir_all(&raw).unwrap();
    let (images, labels) = (idx(&[3, 2, 3], &pixels(3)), idx(&[3], &[5, 0, 4]));
    for (name, content) in [(TRAIN[0], &images), (TRAIN[1], &labels)] {
        fs::write(raw.join(name), content).unwrap();
        fs::write(raw.join(format!("{name}.gz")), gzip(content)).unwrap();
    }
    let collection = open(root.path(), &[]).unwrap();
    let [part] = &collection.parts[..] else { panic!("one part, not the same images twice") };
    assert_eq!((&part.name[..], &part.labels[..]), ("train", &[5, 0, 4][..]));
    assert!(collection.notes[0].contains("train-images-idx3-ubyte.gz: train-images-idx3-ubyte is the same"));

    fs::write(raw.join(format!("{}.gz", TRAIN[1])), gzip(&idx(&[3], &[5, 0, 5]))).unwrap();
    let error = open(root.path(), &[]).err().unwrap().to_string();
    assert!(error.contains("train-labels-idx1-ubyte.gz, which differ"), "{error}");

    let fashion = root.path().join("FashionMNIST/raw");
    fs::create_dir_all(&fashion).unwrap();
    fs::write(fashion.join(TRAIN[0]), &images).unwrap();
    let error = open(root.path(), &[]).err().unwrap().to_string();
    assert!(error.contains("FashionMNIST/raw and") && error.contains("name one of them"), "{error}");
    let error = open(&raw.join(TRAIN[0]), &[]).err().unwrap().to_string();
    assert!(error.contains("expected a folder with IDX files, found a file"), "{error}");
}

/// EMNIST has six data sets in one folder.
#[test]
fn several_data_sets_in_one_folder_are_told_apart() {
    let mut files = Vec::new();
    for (set, label) in [("letters", 1), ("digits", 2)] {
        for side in ["train", "test"] {
            files.push((format!("emnist-{set}-{side}-images-idx3-ubyte"), idx(&[1, 2, 3], &pixels(1))));
            files.push((format!("emnist-{set}-{side}-labels-idx1-ubyte"), idx(&[1], &[label])));
        }
    }
    let files: Vec<(&str, Vec<u8>)> =
        files.iter().map(|(name, content)| (&name[..], content.clone())).collect();
    let folder = folder(&files);
    let error = open(folder.path(), &[]).err().unwrap().to_string();
    assert!(error.contains("found emnist-digits, emnist-letters"), "{error}");
    assert!(error.contains("--train emnist-letters-train --val emnist-letters-test"), "{error}");
    let chosen = ["emnist-letters-train", "emnist-letters-test"].map(String::from);
    let collection = open(folder.path(), &chosen).unwrap();
    assert!(collection.parts.len() == 2 && collection.parts.iter().all(|part| part.labels == [1]));
}
