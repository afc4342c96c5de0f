//! Pairs of `.npy`, and arrays of other shapes and types.

use super::*;
use std::fs;
use storage::arrays::write_npy;
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn write<T: Element>(folder: &TempDir, name: &str, shape: &[u64], values: &[T]) -> PathBuf {
    let mut bytes = Vec::new();
    write_npy(&mut bytes, shape, values).unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn folders_of_pairs_and_single_pairs_are_read() {
    let folder = folder();
    let images = write(&folder, "train-images.npy", &[2, 2, 2, 3], &(0..24).collect::<Vec<u8>>());
    let labels = write(&folder, "train-labels.npy", &[2], &[1i32, 0]);
    write(&folder, "val_images.npy", &[1, 2, 2, 3], &[9u8; 12]);
    write(&folder, "val_labels.npy", &[1], &[1u8]);
    let collection = open(folder.path(), None).unwrap();
    let found: Vec<_> = collection.parts.iter().map(|p| (&p.name[..], p.role, p.labels.clone())).collect();
    assert_eq!(found, [("train", Role::Train, vec![1, 0]), ("val", Role::Val, vec![1])]);
    let image = collection.parts[0].images.read(1).ok().unwrap();
    assert_eq!(image, Image { height: 2, width: 2, pixels: (12..24).collect() });
    assert_eq!(open(&images, Some(&labels)).unwrap().parts[0].name, "images");
    assert!(open(&images, None).err().unwrap().to_string().contains("--labels"));
}

#[test]
fn arrays_of_other_shapes_and_types_are_refused() {
    let folder = folder();
    let labels = write(&folder, "y.npy", &[2], &[0i64, 1]);
    let refused = |images: PathBuf, labels: &Path| open(&images, Some(labels)).err().unwrap().to_string();
    let images =
        |shape: &[u64]| write(&folder, "x.npy", shape, &vec![0u8; shape.iter().product::<u64>() as usize]);
    assert!(refused(images(&[2, 4]), &labels).contains("[2, 4]"));
    assert!(refused(images(&[2, 2, 2, 2]), &labels).contains("[2, 2, 2, 2]"));
    assert!(refused(images(&[0, 2, 2]), &labels).contains("[0, 2, 2]"));
    assert!(refused(images(&[3, 2, 2]), &labels).contains("[3]"));
    assert!(refused(write(&folder, "f.npy", &[2, 1, 1], &[0.0f32; 2]), &labels).contains("<f4"));
    let negative = write(&folder, "n.npy", &[2], &[0i64, -1]);
    assert!(refused(images(&[2, 2, 2]), &negative).contains("label -1"));
    let floats = write(&folder, "g.npy", &[2], &[0.0f32, 1.0]);
    assert!(refused(images(&[2, 2, 2]), &floats).contains("<f4"));
}
