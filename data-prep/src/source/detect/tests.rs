//! Sources of every form, found by the names of their files.

use super::*;
use crate::samples::{class_folders, gzip, idx, python_batch, tar, zip};
use crate::{Deal, Options, prepare};
use std::fs;
use tar::EntryType;

fn form(path: &Path) -> &'static str {
    Source::detect(path, None).unwrap().form()
}

#[test]
fn each_form_is_known_by_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let write = |name: &str, bytes: &[u8]| {
        fs::create_dir_all(at(name).parent().unwrap()).unwrap();
        fs::write(at(name), bytes).unwrap();
    };
    let batch = python_batch("labels", &[0, 1]);
    write("py/data_batch_1", &batch);
    write("outer/cifar-10-batches-py/data_batch_1", &batch);
    write("cifar.tar.gz", &gzip(&tar(&[("c/data_batch_1", EntryType::Regular, &batch)])));
    write("mnist/MNIST/raw/train-images-idx3-ubyte", &idx(&[1, 2, 2], &[0; 4]));
    write("arrays/images.npy", b"not looked into");
    write("one.NPZ", b"not looked into");
    write("photos.zip", &zip(&[("ants/1.png", b"x"), ("bees/1.png", b"x")]));
    write("folders/train/ants/1.png", b"x");
    write("folders/train/train.txt", b"x");
    for (name, expected) in [
        ("py", "CIFAR batches"),
        ("outer", "CIFAR batches"),
        ("cifar.tar.gz", "CIFAR batches"),
        ("mnist", "IDX files"),
        ("arrays", "arrays"),
        ("one.NPZ", "arrays"),
        ("photos.zip", "image files"),
        ("folders", "image files"),
    ] {
        assert_eq!(form(&at(name)), expected, "{name}");
    }
    let labelled = Source::detect(&at("folders"), Some(&at("labels.csv"))).unwrap();
    assert!(matches!(labelled, Source::Folder { pictures: Pictures { labels: Some(_), .. }, .. }));
}

#[test]
fn what_is_not_there_or_no_archive_is_said_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let said = |name: &str| Source::detect(&folder.path().join(name), None).unwrap_err().to_string();
    assert!(said("nothing-here").contains("nothing-here"));
    fs::write(folder.path().join("notes.txt"), "no archive").unwrap();
    assert!(said("notes.txt").contains("notes.txt"));
}

#[test]
fn validation_images_are_spared_only_if_the_source_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let images = |given: &str, out: &str| {
        let mut options = Options::new(folder.path().join(out));
        options.deal = Deal { spare: Some(0.25), ..options.deal };
        let source = Source::detect(&folder.path().join(given), None).unwrap();
        let summary = prepare(&source, &options, &|_| ()).unwrap();
        let spared = summary.notes.iter().any(|note| note.contains("set aside"));
        (["train", "val"].map(|split| summary.manifest.splits[split].images), spared)
    };
    class_folders(&folder.path().join("plain"), 8);
    assert_eq!(images("plain", "one"), ([18, 6], true));
    class_folders(&folder.path().join("split/train"), 8);
    class_folders(&folder.path().join("split/val"), 3);
    assert_eq!(images("split", "two"), ([24, 9], false));
}
