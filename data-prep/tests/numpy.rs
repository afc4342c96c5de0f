//! numpy opens every file of a dataset; files that numpy and pickle write can be read.
//!
//! Needs an interpreter with numpy: `BATON_PYTHON`, else `python3`.

use data_prep::{Options, Pictures, Source, prepare};
use datasets::images::Dataset;
use std::path::Path;
use std::process::Command;

const WRITE: &str = "
import numpy, pickle, sys
root, n = sys.argv[1], 50
data = (numpy.arange(n * 3072, dtype=numpy.uint32) * 2654435761 >> 13).astype(numpy.uint8).reshape(n, 3072)
labels = [i % 10 for i in range(n)]
for protocol in range(6):
    with open(f'{root}/cifar/data_batch_{protocol}', 'wb') as file:
        pickle.dump({b'data': data, b'labels': labels, b'filenames': [b'x.png'] * n}, file, protocol)
numpy.save(f'{root}/npy/train-images.npy', data.reshape(n, 3, 32, 32).transpose(0, 2, 3, 1).copy())
numpy.save(f'{root}/npy/train-labels.npy', numpy.array(labels, dtype=numpy.int32))
";

const READ: &str = "
import json, numpy, pathlib, sys
root = pathlib.Path(sys.argv[1])
manifest = json.loads((root / 'dataset.json').read_text())
images = labels = 0
for split in manifest['splits'].values():
    for shard in split['shards']:
        pixels = numpy.load(root / shard['pixels']['name'], allow_pickle=False)
        classes = numpy.load(root / shard['labels']['name'], allow_pickle=False)
        assert pixels.dtype == numpy.uint8 and pixels.flags.c_contiguous and classes.dtype == numpy.int64
        assert classes.shape == (shard['images'],)
        size = manifest['image']
        if 'shapes' in shard:
            shapes = numpy.load(root / shard['shapes']['name'], allow_pickle=False)
            assert shapes.shape == (shard['images'], 2) and shapes.dtype == numpy.int64
            assert pixels.shape == (int(shapes.prod(axis=1).sum()) * 3,)
        else:
            assert pixels.shape == (shard['images'], size['height'], size['width'], size['channels'])
        names = json.loads((root / shard['names']['name']).read_text())
        assert len(names) == shard['images'] and all(isinstance(name, str) for name in names)
        images += int(pixels.astype(numpy.int64).sum())
        labels += int(classes.sum())
files = {f.name for f in root.iterdir()}
parts = [part for s in manifest['splits'].values() for shard in s['shards'] for part in shard.values()]
assert files == {'dataset.json'} | {part['name'] for part in parts if isinstance(part, dict)}
print(images, labels)
";

/// Runs a script; none if there is no numpy.
fn python(script: &str, root: &Path) -> Option<String> {
    let interpreter = std::env::var("BATON_PYTHON").unwrap_or("python3".into());
    let has_numpy = Command::new(&interpreter).args(["-c", "import numpy"]).output();
    if !has_numpy.is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: {interpreter} has no numpy; set BATON_PYTHON to an interpreter that has");
        return None;
    }
    let output = Command::new(interpreter).args(["-c", script]).arg(root).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// The sums of all stored bytes and labels, as the reader sees them.
fn sums(folder: &Path) -> String {
    let dataset = Dataset::open(folder).unwrap();
    let (mut bytes, mut labels) = (0u64, 0u64);
    for name in dataset.manifest().splits.keys() {
        let split = dataset.split(name).unwrap();
        let mut images = Vec::new();
        split.read_images(0..split.len(), &mut images).unwrap();
        bytes += images.iter().flat_map(|image| &image.pixels).map(|&b| u64::from(b)).sum::<u64>();
        labels += split.labels().unwrap().iter().map(|&l| u64::from(l)).sum::<u64>();
    }
    // Grey images are stored once and read three times.
    format!("{} {labels}\n", bytes / if dataset.manifest().image.channels == 1 { 3 } else { 1 })
}

fn check(source: &Source, options: &Options) {
    let summary = prepare(source, options, &|_| {}).unwrap();
    if let Some(found) = python(READ, &summary.folder) {
        assert_eq!(found, sums(&summary.folder));
    }
}

#[test]
fn numpy_opens_every_file_and_its_own_are_read() {
    let root = tempfile::tempdir().unwrap();
    for folder in ["cifar", "npy", "idx", "photos/a", "photos/b"] {
        std::fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    if python(WRITE, root.path()).is_none() {
        return;
    }
    let options = |out: &str| {
        let mut options = Options::new(root.path().join(out));
        options.deal.val_share = Some(0.2);
        options.shard_bytes = 20_000;
        options
    };
    let cifar = Source::Cifar { path: root.path().join("cifar"), coarse: false };
    check(&cifar, &options("out-cifar"));
    let npy = Source::Npy { path: root.path().join("npy"), labels: None };
    check(&npy, &options("out-npy"));

    // The pickles of every protocol and the array have the same images.
    let all = |out: &str, source: &Source, part: Option<String>| {
        let mut options = options(out);
        options.deal.val_share = Some(0.0);
        options.deal.train = part.iter().map(|part| part.parse().unwrap()).collect();
        prepare(source, &options, &|_| {}).unwrap();
        let mut images = Vec::new();
        Dataset::open(&options.out).unwrap().split("train").unwrap().read_images(0..50, &mut images).unwrap();
        images
    };
    let expected = all("out-npy-all", &npy, None);
    for protocol in 0..6 {
        let found = all(&format!("out-{protocol}"), &cifar, Some(format!("data_batch_{protocol}")));
        assert_eq!(found, expected, "protocol {protocol}");
    }

    let grey = [&[0, 0, 8, 3, 0, 0, 0, 9, 0, 0, 0, 2, 0, 0, 0, 2][..], &[7; 36]].concat();
    std::fs::write(root.path().join("idx/train-images-idx3-ubyte"), grey).unwrap();
    let labels = [&[0, 0, 8, 1, 0, 0, 0, 9][..], &[0, 1, 2, 0, 1, 2, 0, 1, 2]].concat();
    std::fs::write(root.path().join("idx/train-labels-idx1-ubyte"), labels).unwrap();
    check(&Source::Idx { path: root.path().join("idx") }, &options("out-idx"));

    for (i, class) in [(0, "a"), (1, "b"), (2, "a"), (3, "b"), (4, "b")] {
        let image = image::RgbImage::from_fn(20 + i, 30, |x, y| image::Rgb([x as u8, y as u8, i as u8]));
        image.save(root.path().join(format!("photos/{class}/{i}.png"))).unwrap();
    }
    check(
        &Source::Folder { path: root.path().join("photos"), pictures: Pictures::new(24) },
        &options("out-photos"),
    );
}
