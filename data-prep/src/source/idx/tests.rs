//! IDX pairs, gzipped or not, and files that do not fit.

use super::*;
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
    open(folder.path()).err().unwrap().to_string()
}

#[test]
fn pairs_are_found_gzipped_or_not() {
    let folder = folder(&[
        (TRAIN[0], idx(&[3, 2, 3], &pixels(3))),
        ("train-labels-idx1-ubyte.gz", gzip(&idx(&[3], &[5, 0, 4]))),
        ("t10k-images.idx3-ubyte.gz", gzip(&idx(&[1, 2, 3], &pixels(1)))),
        ("t10k-labels.idx1-ubyte", idx(&[1], &[7])),
    ]);
    let collection = open(folder.path()).unwrap();
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
    assert!(open(alone.path()).err().unwrap().to_string().contains("train-labels-idx1-ubyte beside it"));
    let none = folder(&[("readme", vec![])]);
    assert!(open(none.path()).err().unwrap().to_string().contains("no such pair"));
}
