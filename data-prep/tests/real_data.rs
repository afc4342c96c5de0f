//! The real CIFAR-10, MNIST and photos, if they are in `BATON_DATA`, or else in `../shared/data` beside the
//! workspace.

use data_prep::{Options, Pictures, Source, Summary, prepare};
use datasets::images::{Dataset, Image};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn data(folder: &str) -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let root = std::env::var_os("BATON_DATA").map_or(workspace.join("../shared/data"), PathBuf::from);
    let path = root.join(folder);
    if !path.exists() {
        println!("SKIPPED: no {folder} in BATON_DATA or ../shared/data");
        return None;
    }
    Some(path)
}

fn options(root: &TempDir) -> Options {
    Options::new(root.path().join("out"))
}

fn made(source: &Source, options: &Options) -> Summary {
    prepare(source, options, &|_| {}).unwrap()
}

fn near(found: [f64; 3], expected: [f64; 3]) {
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{found:?} {expected:?}");
}

#[test]
fn cifar_10_has_its_counts_and_statistics() {
    let Some(path) = data("cifar10/cifar-10-batches-py") else { return };
    let root = tempfile::tempdir().unwrap();
    let mut options = options(&root);
    options.deal.train = vec!["data_batch_1".parse().unwrap()];
    options.deal.val = vec!["data_batch_5[:2000]".parse().unwrap()];
    options.deal.test = vec!["test_batch_first1000".parse().unwrap()];
    let manifest = made(&Source::Cifar { path: path.clone(), coarse: false }, &options).manifest;
    let per_class = |split: &str| manifest.splits[split].per_class.clone();
    assert_eq!(per_class("train"), [1005, 974, 1032, 1016, 999, 937, 1030, 1001, 1025, 981]);
    assert_eq!(per_class("test"), [103, 89, 100, 103, 90, 86, 112, 102, 106, 109]);
    assert_eq!(per_class("val").iter().sum::<usize>(), 2000);
    assert_eq!(manifest.classes[..2], ["airplane", "automobile"]);
    near(manifest.mean, [0.4935, 0.4834, 0.4472]);
    near(manifest.std, [0.2476, 0.2446, 0.2626]);

    // The binary form of the test images is the same images.
    let binary = path.join("../cifar-10-batches-bin");
    options.out = root.path().join("binary");
    options.deal = Default::default();
    options.deal.train = vec!["test_batch_first1000".parse().unwrap()];
    options.deal.val_share = Some(0.0);
    made(&Source::Cifar { path: binary, coarse: false }, &options);
    let images = |folder: &str, split: &str| {
        let dataset = Dataset::open(root.path().join(folder)).unwrap();
        let split = dataset.split(split).unwrap();
        let mut images: Vec<Image> = Vec::new();
        split.read_images(0..1000, &mut images).unwrap();
        (split.labels().unwrap(), images)
    };
    assert_eq!(images("out", "test"), images("binary", "train"));
}

#[test]
fn mnist_has_its_counts() {
    let Some(path) = data("mnist") else { return };
    let root = tempfile::tempdir().unwrap();
    let manifest = made(&Source::Idx { path }, &options(&root)).manifest;
    assert_eq!(
        manifest.splits["train"].per_class,
        [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    );
    assert_eq!(manifest.splits["val"].per_class, [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
    near(manifest.mean, [0.1307; 3]);
    near(manifest.std, [0.3081; 3]);
}

#[test]
fn ants_and_bees_keep_their_split() {
    let Some(path) = data("hymenoptera_data") else { return };
    let root = tempfile::tempdir().unwrap();
    let summary = made(&Source::Folder { path, pictures: Pictures::new(256) }, &options(&root));
    let manifest = summary.manifest;
    assert_eq!(manifest.classes, ["ants", "bees"]);
    assert_eq!(
        (&manifest.splits["train"].per_class[..], &manifest.splits["val"].per_class[..]),
        (&[52, 52][..], &[30, 30][..])
    );
    assert!(manifest.unreadable.is_empty());
    let dataset = Dataset::open(summary.folder).unwrap();
    let mut images = Vec::new();
    dataset.split("train").unwrap().read_images(0..104, &mut images).unwrap();
    assert!(images.iter().all(|image| image.height.min(image.width) <= 256));
}
