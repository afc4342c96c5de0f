//! Pairs of `.npy` and `.npz`, and arrays of other shapes and types.

use super::*;
use crate::collection::Role;
use crate::samples::zip;
use datasets::images::Geometry;
use std::fs;
use std::path::PathBuf;
use storage::arrays::{Element, write_npy};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn npy<T: Element>(shape: &[u64], values: &[T]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_npy(&mut bytes, shape, values).unwrap();
    bytes
}

fn write<T: Element>(folder: &TempDir, name: &str, shape: &[u64], values: &[T]) -> PathBuf {
    raw(folder, name, &npy(shape, values))
}

fn raw(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// An array of any type: numpy's name for it, and its bytes.
fn array(kind: &str, shape: &str, payload: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
    header += &" ".repeat(117 - header.len());
    [b"\x93NUMPY\x01\0\x76\0", header.as_bytes(), b"\n", payload].concat()
}

fn refusal(opened: Result<Collection>) -> String {
    opened.err().unwrap().to_string()
}

#[test]
fn folders_of_pairs_and_single_pairs_are_read() {
    let folder = folder();
    let images = write(&folder, "train-images.npy", &[2, 2, 2, 3], &(0..24).collect::<Vec<u8>>());
    let labels = write(&folder, "train-labels.npy", &[2], &[1i32, 0]);
    write(&folder, "val_images.npy", &[1, 2, 2, 3], &[9u8; 12]);
    write(&folder, "val_labels.npy", &[1], &[1u8]);
    let collection = open(folder.path(), None, &[]).unwrap();
    let found: Vec<_> = collection.parts.iter().map(|p| (&p.name[..], p.role, p.labels.clone())).collect();
    assert_eq!(found, [("train", Role::Train, vec![1, 0]), ("val", Role::Val, vec![1])]);
    let image = collection.parts[0].images.read(1).ok().unwrap();
    assert_eq!(image, Image { height: 2, width: 2, pixels: (12..24).collect() });
    assert_eq!(open(&images, Some(&labels), &[]).unwrap().parts[0].name, "images");
    assert!(refusal(open(&images, None, &[])).contains("--labels"));
}

#[test]
fn arrays_of_other_shapes_and_types_are_refused() {
    let folder = folder();
    let labels = write(&folder, "y.npy", &[2], &[0i64, 1]);
    let refused = |images: PathBuf, labels: &Path| refusal(open(&images, Some(labels), &[]));
    let images =
        |shape: &[u64]| write(&folder, "x.npy", shape, &vec![9u8; shape.iter().product::<u64>() as usize]);
    assert!(refused(images(&[2, 4]), &labels).contains("[2, 4]"));
    assert!(refused(images(&[2, 2, 2, 2]), &labels).contains("[2, 2, 2, 2]"));
    assert!(refused(images(&[2, 0, 2]), &labels).contains("[2, 0, 2]"));
    assert!(refused(images(&[3, 2, 2]), &labels).contains("[3]"));
    let negative = write(&folder, "n.npy", &[2], &[0i64, -1]);
    assert!(refused(images(&[2, 2, 2]), &negative).contains("label -1"));
    let fractions = write(&folder, "g.npy", &[2], &[0.0f32, 1.0]);
    assert!(refused(images(&[2, 2, 2]), &fractions).contains("<f4 [2]; save array.astype(\"int64\")"));
    let one_hot = write(&folder, "h.npy", &[2, 3], &[0u8, 1, 0, 1, 0, 0]);
    assert!(refused(images(&[2, 2, 2]), &one_hot).contains("save array.argmax(1)"));
    let fortran = array("|u1", "(2, 2, 2)", &[9; 8]);
    let fortran = String::from_utf8_lossy(&fortran[10..127]).replace("order': False", "order': True ");
    let fortran =
        raw(&folder, "o.npy", &[b"\x93NUMPY\x01\0\x76\0", fortran.as_bytes(), b"\n", &[9; 8]].concat());
    assert!(refused(fortran, &labels).contains("ascontiguousarray"));
    assert!(
        refused(raw(&folder, "c.npy", &npy(&[2, 2, 2], &[9u8; 8])[..130]), &labels).contains("payload of 8")
    );
    assert!(refused(raw(&folder, "t.npy", b"text"), &labels).contains("expected a .npy file"));
    assert!(refused(raw(&folder, "s.npy", &array("<U3", "(2,)", &[0; 24])), &labels).contains("<U3"));
}

#[test]
fn labels_of_any_whole_type_are_read() {
    let folder = folder();
    let images = write(&folder, "x.npy", &[3, 1, 1], &[9u8, 8, 7]);
    for (kind, shape, payload) in [
        ("|i1", "(3,)", vec![2, 0, 1]),
        ("|b1", "(3,)", vec![1, 0, 1]),
        ("<u2", "(3, 1)", vec![2, 0, 0, 0, 1, 0]),
        (">u2", "(3,)", vec![0, 2, 0, 0, 0, 1]),
        (">i4", "(3,)", vec![0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1]),
        ("<u8", "(3,)", [vec![2], vec![0; 15], vec![1], vec![0; 7]].concat()),
    ] {
        let labels = raw(&folder, "y.npy", &array(kind, shape, &payload));
        let found = open(&images, Some(&labels), &[]).unwrap().parts.remove(0).labels;
        assert_eq!(found, if kind == "|b1" { [1, 0, 1] } else { [2, 0, 1] }, "{kind}");
    }
}

#[test]
fn images_of_other_types_become_bytes_by_a_stated_rule() {
    let folder = folder();
    let labels = write(&folder, "y.npy", &[2], &[0u8, 1]);
    let read = |bytes: &[u8]| {
        let collection = open(&raw(&folder, "x.npy", bytes), Some(&labels), &[])?;
        let pixels = collection.parts[0].images.read(1).ok().unwrap().pixels;
        Ok::<_, Error>((pixels, collection.notes.join("; ")))
    };
    let (pixels, notes) = read(&npy(&[2, 1, 2], &[0.0f32, 0.2, 0.5, 1.0])).unwrap();
    assert_eq!(pixels, [128, 255]);
    assert!(notes.contains("fractions from 0 to 1 became bytes"), "{notes}");
    let half = |bits: u16| bits.to_le_bytes();
    let halves = [half(0), half(0x3c00), half(0x3800), half(0x3c00)].concat();
    assert_eq!(read(&array("<f2", "(2, 1, 2)", &halves)).unwrap().0, [128, 255]);
    assert_eq!(read(&npy(&[2, 1, 2], &[0i64, 3, 200, 255])).unwrap(), (vec![200, 255], String::new()));
    assert_eq!(read(&npy(&[2, 1, 2], &[0.0f32, 3.0, 200.0, 255.0])).unwrap().0, [200, 255]);

    let refused = |bytes: &[u8]| read(bytes).err().unwrap().to_string();
    let error = refused(&npy(&[2, 1, 2], &[-2.0f32, 0.5, 1.0, 2.5]));
    assert!(error.contains("<f4 from -2 to 2.5; undo") && error.contains("astype(\"uint8\")"), "{error}");
    assert!(refused(&npy(&[2, 1, 2], &[0.0f32, f32::NAN, 0.5, 1.0])).contains("NaN in image 0"));
    assert!(refused(&npy(&[2, 1, 2], &[0i64, 0, 4095, 7])).contains("<i8 from 0 to 4095"));
    assert!(refused(&npy(&[2, 1, 2], &[0u8, 1, 1, 0])).contains("nearly black: save array * 255"));
    assert!(refused(&npy(&[2, 1, 2], &[0i64, 1, 1, 0])).contains("nearly black"));
}

#[test]
fn channels_may_come_first() {
    let folder = folder();
    let labels = write(&folder, "y.npy", &[2], &[0u8, 1]);
    let images = write(&folder, "x.npy", &[2, 3, 2, 2], &(0..24).collect::<Vec<u8>>());
    let collection = open(&images, Some(&labels), &[]).unwrap();
    assert_eq!(collection.geometry, Geometry::fixed(2, 2, 3));
    assert!(
        collection.notes[0].contains("read as [images, channels, height, width]"),
        "{:?}",
        collection.notes
    );
    let image = collection.parts[0].images.read(1).ok().unwrap();
    assert_eq!(image.pixels, [12, 16, 20, 13, 17, 21, 14, 18, 22, 15, 19, 23]);
}

#[test]
fn npz_files_are_read() {
    let folder = folder();
    let train = (npy(&[2, 2, 2], &(0..8).collect::<Vec<u8>>()), npy(&[2, 1], &[1u8, 0]));
    let test = (npy(&[1, 2, 2], &[9u8; 4]), npy(&[1, 1], &[1u8]));
    for [x_train, y_train, x_test, y_test] in [
        ["x_train.npy", "y_train.npy", "x_test.npy", "y_test.npy"],
        ["train_images.npy", "train_labels.npy", "test_images.npy", "test_labels.npy"],
    ] {
        let members = [(x_train, &train.0), (y_train, &train.1), (x_test, &test.0), (y_test, &test.1)];
        let path = raw(&folder, "all.npz", &zip(&members.map(|(name, content)| (name, &content[..]))));
        let collection = open(&path, None, &[]).unwrap();
        let mut found: Vec<_> =
            collection.parts.iter().map(|p| (p.role, &p.name[..], &p.labels[..])).collect();
        found.sort();
        assert_eq!(found, [(Role::Train, "train", &[1, 0][..]), (Role::Test, "test", &[1][..])]);
        let part = collection.parts.iter().find(|part| part.name == "train").unwrap();
        assert_eq!(part.images.read(1).ok().unwrap().pixels, [4, 5, 6, 7]);
    }
    fs::remove_file(folder.path().join("all.npz")).unwrap();
    // Kuzushiji-MNIST: a file for each array.
    raw(&folder, "kmnist-train-imgs.npz", &zip(&[("arr_0.npy", &train.0)]));
    raw(&folder, "kmnist-train-labels.npz", &zip(&[("arr_0.npy", &train.1)]));
    let collection = open(folder.path(), None, &[]).unwrap();
    assert_eq!(
        (&collection.parts[0].name[..], &collection.parts[0].labels[..]),
        ("kmnist-train", &[1, 0][..])
    );
    raw(&folder, "kmnist-train-imgs.npz", &zip(&[("a.npy", &train.0), ("b.npy", &train.0)]));
    assert!(refusal(open(folder.path(), None, &[])).contains("one array in each .npz"));
    raw(&folder, "cut.npz", &zip(&[("x.npy", &train.0)])[..100]);
    assert!(refusal(open(&folder.path().join("cut.npz"), None, &[])).contains("a whole zip archive"));
}
