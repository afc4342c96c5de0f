//! CIFAR in all its forms, and archives that are damaged or malicious.

use super::*;
use crate::samples::{binary_batch, gzip, interleaved, python_batch, tar, zip};
use std::fs;
use tar::EntryType;
use tempfile::TempDir;

const META: &[u8] = b"\x80\x02}q\x01U\x0blabel_namesq\x02]q\x03(\
    U\x02aaU\x02bbU\x02ccU\x02ddU\x02eeU\x02ffU\x02ggU\x02hhU\x02iiU\x02jjes.";

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn archive(members: &[(&str, EntryType, &[u8])]) -> Result<Collection> {
    let folder = folder(&[("cifar.tar.gz", &gzip(&tar(members)))]);
    open(&folder.path().join("cifar.tar.gz"), false)
}

/// Name, role, labels, and the images as RGB.
type Held = (String, Role, Vec<u32>, Vec<Vec<u8>>);

fn parts(collection: &Collection) -> Vec<Held> {
    let read = |part: &Part, i| part.images.read(i).map(|image| image.pixels).unwrap_or_default();
    let images = |part: &Part| (0..part.labels.len()).map(|i| read(part, i)).collect();
    collection.parts.iter().map(|p| (p.name.clone(), p.role, p.labels.clone(), images(p))).collect()
}

#[test]
fn all_forms_of_one_batch_are_the_same_images() {
    let python = python_batch("labels", &[7, 0, 9]);
    let binary = binary_batch(&[&[7], &[0], &[9]]);
    let expected = vec![(
        "data_batch_1".to_string(),
        Role::Train,
        vec![7, 0, 9],
        (0..3).map(interleaved).collect::<Vec<_>>(),
    )];

    let unpacked = folder(&[("data_batch_1", &python), ("batches.meta", META), ("readme.html", b"hello")]);
    let collection = open(unpacked.path(), false).unwrap();
    assert_eq!(parts(&collection), expected);
    assert_eq!(collection.classes[..2], ["aa", "bb"]);

    let nested = folder(&[("cifar-10-batches-bin/data_batch_1.bin", &binary)]);
    let collection = open(nested.path(), false).unwrap();
    assert_eq!(parts(&collection), expected);
    assert_eq!(collection.classes[..2], ["airplane", "automobile"]);

    let file = EntryType::Regular;
    let packed = archive(&[
        ("cifar-10-batches-py/", EntryType::Directory, b""),
        ("cifar-10-batches-py/data_batch_1", file, &python),
        ("cifar-10-batches-py/._data_batch_1", file, b"left by a Mac"),
    ]);
    assert_eq!(parts(&packed.unwrap()), expected);

    let zipped =
        zip(&[("cifar-10-batches-py/data_batch_1", &python), ("cifar-10-batches-py/readme.html", b"")]);
    let zipped = folder(&[("cifar.tar.gz", &zipped)]);
    assert_eq!(parts(&open(&zipped.path().join("cifar.tar.gz"), false).unwrap()), expected);

    let plain = folder(&[("cifar.tar", &tar(&[("data_batch_1.bin", file, &binary)]))]);
    assert_eq!(parts(&open(&plain.path().join("cifar.tar"), false).unwrap()), expected);
}

#[test]
fn cifar_100_has_fine_and_coarse_labels() {
    let names: String = (0..100).map(|i| format!("name{i}\n")).collect();
    let binary = folder(&[
        ("train.bin", &binary_batch(&[&[19, 99], &[0, 1]])),
        ("test.bin", &binary_batch(&[&[3, 4]])),
        ("fine_label_names.txt", names.as_bytes()),
    ]);
    let fine = open(binary.path(), false).unwrap();
    assert_eq!((fine.parts[1].name.as_str(), &fine.parts[1].labels[..]), ("train", &[99, 1][..]));
    assert_eq!((fine.parts[0].role, fine.classes.len(), &fine.classes[99][..]), (Role::Test, 100, "name99"));
    let coarse = open(binary.path(), true).unwrap();
    assert_eq!((&coarse.parts[1].labels[..], coarse.classes.len()), (&[19, 0][..], 20));

    let python = folder(&[("train", &python_batch("fine_labels", &[99, 1]))]);
    assert_eq!(open(python.path(), false).unwrap().parts[0].labels, [99, 1]);
    assert!(open(python.path(), true).err().unwrap().to_string().contains("coarse_labels"));
    let ten = folder(&[("data_batch_1.bin", &binary_batch(&[&[1]]))]);
    assert!(open(ten.path(), true).err().unwrap().to_string().contains("--coarse"));
}

#[test]
fn truncated_archives_are_refused_wherever_they_end() {
    let whole = gzip(&tar(&[("data_batch_1", EntryType::Regular, &python_batch("labels", &[7, 0, 9]))]));
    let folder = folder(&[("cifar.tar.gz", b"")]);
    let path = folder.path().join("cifar.tar.gz");
    for cut in (1..whole.len()).rev().step_by(97) {
        fs::write(&path, &whole[..cut]).unwrap();
        let error =
            open(&path, false).err().unwrap_or_else(|| panic!("{cut} of {}", whole.len())).to_string();
        assert!(error.contains("cifar.tar.gz"), "{error}");
    }
    fs::write(&path, &whole[..whole.len() - 5]).unwrap();
    assert!(open(&path, false).err().unwrap().to_string().contains("truncated or damaged"));

    // Not packed, and cut exactly between two members.
    let batch = binary_batch(&[&[1]]);
    let file = EntryType::Regular;
    let plain = tar(&[("data_batch_1.bin", file, &batch), ("data_batch_2.bin", file, &batch)]);
    for cut in (0..plain.len() - 1024).step_by(512) {
        fs::write(&path, &plain[..cut]).unwrap();
        assert!(open(&path, false).is_err(), "{cut} of {}", plain.len());
    }
}

#[test]
fn archives_that_lead_out_are_refused_and_nothing_is_extracted() {
    let batch = python_batch("labels", &[1]);
    let file = EntryType::Regular;
    for (name, kind) in [
        ("../data_batch_1", file),
        ("/tmp/data_batch_1", file),
        ("a/../../data_batch_1", file),
        ("data_batch_2", EntryType::Symlink),
        ("data_batch_2", EntryType::Link),
    ] {
        let content: &[u8] = if kind == file { &batch } else { b"" };
        let error =
            archive(&[("data_batch_3", file, &batch), (name, kind, content)]).err().unwrap().to_string();
        assert!(error.contains("leads out of it"), "{name}: {error}");
    }
    let twice = archive(&[("a/data_batch_1", file, &batch), ("b/data_batch_1", file, &batch)]);
    assert!(twice.err().unwrap().to_string().contains("again"));
}

#[test]
fn batches_that_are_wrong_say_how() {
    let wrong = |name: &str, content: &[u8]| {
        let folder = folder(&[(name, content)]);
        let error = open(folder.path(), false).err().unwrap().to_string();
        assert!(error.contains(name), "{error}");
        error
    };
    let batch = python_batch("labels", &[1, 2]);
    assert!(wrong("data_batch_1", &batch[..batch.len() - 100]).contains("end of the file"));
    assert!(wrong("data_batch_1", &python_batch("labels", &[10])).contains("label 10 of 10"));
    assert!(wrong("data_batch_1", &python_batch("labuls", &[1])).contains("no list \"labels\""));
    assert!(wrong("data_batch_1", b"cos\nsystem\n.").contains("os.system"));
    assert!(wrong("data_batch_1.bin", &[0; 3074]).contains("no multiple of 3073"));
    assert!(wrong("data_batch_1.bin", b"").contains("0 bytes"));
    assert!(wrong("data_batch_1.bin", &binary_batch(&[&[255]])).contains("label 255"));

    let empty = folder(&[("readme.txt", b"")]);
    assert!(open(empty.path(), false).err().unwrap().to_string().contains("found none"));
    let both = folder(&[("py/data_batch_1", &batch), ("bin/data_batch_1.bin", b"")]);
    assert!(open(both.path(), false).err().unwrap().to_string().contains("name one of them"));
    let binary = binary_batch(&[&[1], &[2]]);
    let twice = folder(&[("data_batch_1", &batch), ("data_batch_1.bin", &binary)]);
    let error = open(twice.path(), false).err().unwrap().to_string();
    assert!(error.contains("each batch in one form, found data_batch_1 and data_batch_1.bin"), "{error}");
    assert!(
        open(Path::new("/dev/zero"), false)
            .err()
            .unwrap()
            .to_string()
            .contains("a plain file, found a device")
    );
    let meta = folder(&[("data_batch_1", &batch), ("batches.meta", b"\x80\x02}.")]);
    assert!(open(meta.path(), false).err().unwrap().to_string().contains("10 class names"));
}
