//! Arrays, weights, archives and images.

use super::samples::{binary_batch, encoded, gzip, idx, picture, python_batch, tar};
use data_prep::{Deal, Options, Pictures, Reading, Source, decode, prepare};
use datasets::images::{Dataset, Geometry, Image};
use image::{DynamicImage, ImageFormat};
use protocol::FileRef;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;
use storage::arrays::{Dtype, Npy, write_npy};
use storage::{Tensor, encode_tensors};
use transfer::weights::Weights;
use twox_hash::XxHash3_128;

fn npy<T: storage::arrays::Element>(shape: &[u64], values: &[T]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_npy(&mut bytes, shape, values).expect("an array");
    bytes
}

fn put(folder: &Path, name: &str, bytes: &[u8]) {
    fs::write(folder.join(name), bytes).expect("a file in memory");
}

fn reference(name: &str, bytes: &[u8]) -> FileRef {
    FileRef {
        name: name.into(),
        bytes: bytes.len() as u64,
        xxh3: format!("{:032x}", XxHash3_128::oneshot(bytes)),
    }
}

/// Several files as one input, each after its length.
fn joined(files: &[Vec<u8>]) -> Vec<u8> {
    files
        .iter()
        .flat_map(|file| [(file.len() as u32).to_le_bytes().to_vec(), file.clone()].concat())
        .collect()
}

/// The files of an input, `count` of them; missing ones are empty.
fn parted(mut input: &[u8], count: usize) -> Vec<&[u8]> {
    let mut files = Vec::new();
    for _ in 0..count {
        let (head, rest) = input.split_at(input.len().min(4));
        let length = head.try_into().map_or(0, u32::from_le_bytes) as usize;
        let (file, rest) = rest.split_at(rest.len().min(length));
        files.push(file);
        input = rest;
    }
    files
}

pub(crate) fn npys() -> Vec<Vec<u8>> {
    vec![
        npy(&[3, 2, 2], &[7_u8; 12]),
        npy(&[4], &[1_i64, 2, 3, 4]),
        npy(&[2, 3], &[0.5_f32; 6]),
        npy(&[2, 2], &[15_360_u16; 4]),
        npy(&[2], &[1_i32, 2]),
    ]
}

pub(crate) fn read_npy(folder: &Path, input: &[u8]) -> bool {
    put(folder, "array.npy", input);
    let Ok(npy) = Npy::open(folder.join("array.npy")) else { return false };
    let length = npy.rows().saturating_mul(npy.row_len());
    match npy.dtype() {
        Dtype::U8 => npy.read_byte_rows(0..npy.rows(), &mut vec![0; length]),
        Dtype::I32 => npy.read_rows(0..npy.rows(), &mut vec![0_i32; length]),
        Dtype::I64 => npy.read_rows(0..npy.rows(), &mut vec![0_i64; length]),
        Dtype::F16 => npy.read_rows(0..npy.rows(), &mut vec![0_u16; length]),
        Dtype::F32 => npy.read_rows(0..npy.rows(), &mut vec![0_f32; length]),
    }
    .is_ok()
}

/// Pixels, labels and shapes of three images of many sizes.
pub(crate) fn shards() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a folder");
    let image = |height: usize, width: usize| Image { height, width, pixels: vec![9; height * width * 3] };
    let images = [image(2, 3), image(1, 1), image(4, 2)];
    datasets::images::write_shard(folder.path(), |part| part.into(), Geometry::VARIED, &images, &[0, 1, 1])
        .expect("a shard");
    let read = |part: &str| fs::read(folder.path().join(part)).expect("a file");
    vec![joined(&[read("images"), read("labels"), read("shapes")])]
}

/// Reads them with a manifest that confirms them.
pub(crate) fn read_shard(folder: &Path, input: &[u8]) -> bool {
    let files = parted(input, 3);
    let reference = |at: usize, name: &str| {
        put(folder, name, files[at]);
        reference(name, files[at])
    };
    let shard = json!({
        "images": 3, "pixels": reference(0, "images.npy"), "labels": reference(1, "labels.npy"),
        "shapes": reference(2, "shapes.npy"),
    });
    let manifest = json!({
        "schema": 1, "name": "d", "source": "folder", "recipe": "0", "seed": 1, "classes": ["a", "b"],
        "image": Geometry::VARIED, "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2], "unreadable": [],
        "splits": {"train": {"images": 3, "per_class": [1, 2], "shards": [shard]}},
    });
    put(folder, "dataset.json", manifest.to_string().as_bytes());
    let dataset = Dataset::open(folder).expect("a sound manifest");
    let split = dataset.split("train").expect("a split");
    split.labels().is_ok() & split.read_images(0..3, &mut Vec::new()).is_ok()
}

pub(crate) fn tensors() -> Vec<Vec<u8>> {
    let mut bytes = Vec::new();
    let tensors = [
        Tensor::f32("features.0.weight", &[2, 1, 3, 3], vec![0.5; 18]),
        Tensor::f32("features.0.bias", &[2], vec![0.25; 2]),
        Tensor::u8("mask", &[3], vec![1; 3]),
        Tensor::i64("step", &[1], vec![7]),
    ];
    encode_tensors(&mut bytes, &tensors, &BTreeMap::from([("round".into(), "3".into())])).expect("tensors");
    vec![bytes]
}

pub(crate) fn read_tensors(folder: &Path, input: &[u8]) -> bool {
    put(folder, "state.safetensors", input);
    storage::read_tensors(folder, &reference("state.safetensors", input)).is_ok()
}

/// Opens a weights file of either kind and reads every tensor.
pub(crate) fn read_weights(folder: &Path, input: &[u8]) -> bool {
    put(folder, "weights", input);
    let Ok(weights) = Weights::open(&folder.join("weights")) else { return false };
    for name in weights.names() {
        let shape = weights.shape(&name).map(<[usize]>::to_vec);
        let values = shape.map(|shape| weights.tensor(&name, &shape).map(|values| values.len()));
        drop(values);
    }
    true
}

/// Weights as three versions of PyTorch saved them.
pub(crate) fn pths() -> Vec<Vec<u8>> {
    let files = [
        &include_bytes!("../../reference/zip.pth")[..],
        include_bytes!("../../reference/legacy.pth"),
        include_bytes!("../../reference/checkpoint.pth"),
    ];
    files.iter().map(|file| file.to_vec()).collect()
}

/// Makes a data set from a source; returns whether that succeeded. Nothing of it is kept.
fn made(folder: &Path, source: &Source) -> bool {
    let out = folder.join("made");
    let deal = Deal { seed: 1, val_share: Some(0.0), ..Deal::default() };
    let options = Options { deal, threads: Some(1), ..Options::new(&out) };
    let made = prepare(source, &options, &|_| ());
    let _ = fs::remove_dir_all(&out);
    made.is_ok()
}

pub(crate) fn pickles() -> Vec<Vec<u8>> {
    vec![python_batch("labels", &[3, 1]), python_batch("labels", &[9, 9, 1, 1])]
}

pub(crate) fn read_pickle(folder: &Path, input: &[u8]) -> bool {
    put(folder, "data_batch_1", input);
    made(folder, &Source::Cifar { path: folder.into(), coarse: false })
}

/// Tars, which the seal packs.
pub(crate) fn archives() -> Vec<Vec<u8>> {
    let file = ::tar::EntryType::Regular;
    let batch = binary_batch(&[&[3], &[1]]);
    let names = b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n";
    vec![
        tar(&[("cifar-10-batches-bin/data_batch_1.bin", file, &batch)]),
        tar(&[
            ("./batches.meta.txt", file, names),
            ("./data_batch_2.bin", file, &batch),
            ("readme", file, b""),
        ]),
    ]
}

pub(crate) fn read_archive(folder: &Path, input: &[u8]) -> bool {
    put(folder, "cifar.tar.gz", input);
    made(folder, &Source::Cifar { path: folder.join("cifar.tar.gz"), coarse: false })
}

/// Images and labels.
pub(crate) fn idxs() -> Vec<Vec<u8>> {
    let (images, labels) = (idx(&[2, 3, 2], &[9; 12]), idx(&[2], &[0, 1]));
    vec![joined(&[images.clone(), labels.clone()]), joined(&[gzip(&images), gzip(&labels)])]
}

pub(crate) fn read_idx(folder: &Path, input: &[u8]) -> bool {
    let files = parted(input, 2);
    put(folder, "train-images-idx3-ubyte", files[0]);
    put(folder, "train-labels-idx1-ubyte", files[1]);
    made(folder, &Source::Idx { path: folder.into() })
}

/// Images and labels in one zip, stored.
pub(crate) fn npzs() -> Vec<Vec<u8>> {
    let way = ::zip::write::SimpleFileOptions::default().compression_method(::zip::CompressionMethod::Stored);
    let mut writer = ::zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in [("x.npy", npy(&[2, 2, 2], &[9_u8; 8])), ("y.npy", npy(&[2], &[0_i64, 1]))] {
        writer.start_file(name, way).expect("a member");
        writer.write_all(&content).expect("bytes");
    }
    vec![writer.finish().expect("a zip").into_inner()]
}

pub(crate) fn read_npz(folder: &Path, input: &[u8]) -> bool {
    put(folder, "all.npz", input);
    made(folder, &Source::Npy { path: folder.join("all.npz"), labels: None })
}

/// Labels of two images.
pub(crate) fn labels() -> Vec<Vec<u8>> {
    vec![b"file,label\na.png,ant\nb.png,bee\n".to_vec(), b"b;\"x\"\"\"\r\na;y\r\n".to_vec()]
}

pub(crate) fn read_labels(folder: &Path, input: &[u8]) -> bool {
    let photos = folder.join("photos");
    fs::create_dir_all(&photos).expect("a folder");
    for (number, name) in ["a.png", "b.png"].iter().enumerate() {
        put(&photos, name, &encoded(picture(number, 4, 4), ImageFormat::Png));
    }
    put(folder, "labels.csv", input);
    let pictures = Pictures { labels: Some(folder.join("labels.csv")), ..Pictures::new(8) };
    made(folder, &Source::Folder { path: photos, pictures })
}

pub(crate) fn images() -> Vec<Vec<u8>> {
    let rgb = picture(3, 20, 12);
    let alpha = DynamicImage::from(rgb.clone()).into_rgba16();
    let grey = DynamicImage::from(rgb.clone()).into_luma8();
    vec![
        encoded(rgb.clone(), ImageFormat::Jpeg),
        encoded(grey.clone(), ImageFormat::Jpeg),
        encoded(rgb.clone(), ImageFormat::Png),
        encoded(alpha, ImageFormat::Png),
        encoded(rgb.clone(), ImageFormat::Gif),
        encoded(rgb.clone(), ImageFormat::Bmp),
        encoded(rgb.clone(), ImageFormat::Tiff),
        encoded(rgb, ImageFormat::WebP),
        encoded(grey, ImageFormat::Bmp),
    ]
}

pub(crate) fn read_image(_: &Path, input: &[u8]) -> bool {
    decode(input, &Reading::new(8)).is_ok_and(|image| image.height.min(image.width) <= 8)
}
