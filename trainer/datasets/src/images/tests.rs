//! Datasets that are written and read back, and damaged ones.

use super::*;
use protocol::FileRef;
use std::fs;
use tempfile::TempDir;

/// In memory if there is such a file system: an `fsync` on a busy disk takes a third of a second.
fn temporary() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Writes a dataset of two shards, 3 and 2 images, two classes; `size(i)` is the height and width of image
/// `i`.
fn write(geometry: Geometry, size: impl Fn(usize) -> (usize, usize)) -> (TempDir, Vec<Image>) {
    let folder = temporary();
    let images: Vec<Image> = (0..5)
        .map(|i| {
            let (height, width) = size(i);
            let pixels = (0..height * width * geometry.channels).map(|p| (p * 7 + i * 31) as u8).collect();
            Image { height, width, pixels }
        })
        .collect();
    let shard = |s: usize, range: Range<usize>| {
        let labels: Vec<u32> = range.clone().map(|i| (i % 2) as u32).collect();
        write_shard(folder.path(), |part| format!("val-{part}-{s:05}.npy"), geometry, &images[range], &labels)
            .unwrap()
    };
    let split = SplitEntry { images: 5, per_class: vec![3, 2], shards: vec![shard(0, 0..3), shard(1, 3..5)] };
    let manifest = Manifest {
        schema: DATASET_SCHEMA,
        name: "small".into(),
        source: "folder".into(),
        recipe: String::new(),
        seed: 1,
        classes: vec!["ants".into(), "bees".into()],
        image: geometry,
        splits: [("val".into(), split)].into(),
        mean: [0.5; 3],
        std: [0.25; 3],
        unreadable: vec![],
    };
    fs::write(folder.path().join(MANIFEST), manifest.to_json()).unwrap();
    (folder, images)
}

fn read(folder: &Path, range: Range<usize>) -> Result<Vec<Image>> {
    let mut images = Vec::new();
    Dataset::open(folder)?.split("val")?.read_images(range, &mut images)?;
    Ok(images)
}

#[test]
fn images_of_one_size_come_back_across_shards() {
    let (folder, images) = write(Geometry::fixed(4, 6, 3), |_| (4, 6));
    for from in 0..=5 {
        for to in from..=5 {
            assert_eq!(read(folder.path(), from..to).unwrap(), images[from..to], "{from}..{to}");
        }
    }
    let data = Dataset::open(folder.path()).unwrap();
    let val = data.split("val").unwrap();
    assert_eq!((val.len(), val.per_class()), (5, &[3, 2][..]));
    assert_eq!(val.labels().unwrap(), [0, 1, 0, 1, 0]);
    assert!(val.read_images(4..6, &mut Vec::new()).unwrap_err().to_string().contains("0..5"));
    assert!(data.split("train").unwrap_err().to_string().contains("only val"));
}

#[test]
fn images_of_many_sizes_come_back() {
    let (folder, images) = write(Geometry::VARIED, |i| (3 + i, 9 - i));
    assert_eq!(read(folder.path(), 1..5).unwrap(), images[1..5]);
    assert_eq!(read(folder.path(), 2..3).unwrap(), images[2..3]);
}

#[test]
fn buffers_are_used_again_for_other_sizes() {
    let (folder, images) = write(Geometry::VARIED, |i| (3 + i, 9 - i));
    let data = Dataset::open_unverified(folder.path()).unwrap();
    let mut read = Vec::new();
    for range in [0..5, 3..4, 1..4] {
        data.split("val").unwrap().read_images(range.clone(), &mut read).unwrap();
        assert_eq!(read, images[range]);
    }
}

#[test]
fn grey_images_are_read_as_rgb() {
    let (folder, images) = write(Geometry::fixed(2, 2, 1), |_| (2, 2));
    let rgb = read(folder.path(), 4..5).unwrap();
    let expected: Vec<u8> = images[4].pixels.iter().flat_map(|&g| [g, g, g]).collect();
    assert_eq!(rgb[0].pixels, expected);
}

#[test]
fn damage_is_named() {
    for file in ["val-images-00001.npy", "val-labels-00001.npy", "val-shapes-00001.npy"] {
        let (folder, _) = write(Geometry::VARIED, |i| (3 + i, 4));
        let path = folder.path().join(file);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, &bytes).unwrap();
        let data = Dataset::open(folder.path()).unwrap();
        let val = data.split("val").unwrap();
        val.read_images(0..3, &mut Vec::new()).unwrap();
        let error =
            val.read_images(0..5, &mut Vec::new()).and(val.labels().map(|_| ())).unwrap_err().to_string();
        assert!(error.contains(file) && error.contains("xxh3"), "{error}");

        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let error =
            read(folder.path(), 0..5).map(|_| ()).and(val.labels().map(|_| ())).unwrap_err().to_string();
        assert!(error.contains(file) && error.contains("bytes"), "{error}");
    }
}

#[test]
fn shapes_that_do_not_fit_the_pixels_are_damage_even_unverified() {
    let (folder, _) = write(Geometry::VARIED, |_| (3, 4));
    for sides in [[3, 5, 3, 4], [-3, 4, 3, 4], [i64::MAX, i64::MAX, 3, 4]] {
        let mut bytes = Vec::new();
        storage::arrays::write_npy::<i64>(&mut bytes, &[2, 2], &sides).unwrap();
        fs::write(folder.path().join("val-shapes-00001.npy"), bytes).unwrap();
        let data = Dataset::open_unverified(folder.path()).unwrap();
        assert!(data.split("val").unwrap().read_images(3..5, &mut Vec::new()).is_err(), "{sides:?}");
    }
}

#[test]
fn labels_outside_the_classes_are_damage() {
    let (folder, _) = write(Geometry::fixed(2, 2, 3), |_| (2, 2));
    let mut bytes = Vec::new();
    storage::arrays::write_npy(&mut bytes, &[2], &[0i64, 2]).unwrap();
    fs::write(folder.path().join("val-labels-00001.npy"), bytes).unwrap();
    let data = Dataset::open_unverified(folder.path()).unwrap();
    let error = data.split("val").unwrap().labels().unwrap_err().to_string();
    assert!(error.contains("labels 0 to 1") && error.contains("found 2"), "{error}");
}

#[test]
fn manifests_that_cannot_be_right_are_refused() {
    let (folder, _) = write(Geometry::fixed(2, 2, 3), |_| (2, 2));
    let path = folder.path().join(MANIFEST);
    let good = unsealed(&path);
    let refused = |from: &str, to: &str| {
        assert!(good.contains(from));
        fs::write(&path, good.replacen(from, to, 1)).unwrap();
        Dataset::open(folder.path()).unwrap_err().to_string()
    };
    assert!(refused("\"schema\": 2", "\"schema\": 3").contains("schema 3"));
    assert!(refused("\"height\": 2", "\"height\": 0").contains("images of"));
    assert!(refused("\"height\": 2", "\"height\": null").contains("images of"));
    assert!(refused("val-images-00000.npy", "../images.npy").contains("leaves the folder"));
    assert!(refused("\"images\": 5", "\"images\": 6").contains("sums"));
    assert!(refused("\"seed\": 1", "\"sed\": 1").contains("sed"));
    fs::write(&path, &good[..good.len() / 2]).unwrap();
    assert!(Dataset::open(folder.path()).unwrap_err().to_string().contains(MANIFEST));
}

#[test]
fn digest_follows_the_data_and_not_the_name() {
    let (a, _) = write(Geometry::fixed(2, 2, 3), |_| (2, 2));
    let (b, _) = write(Geometry::fixed(2, 3, 3), |_| (2, 3));
    let digest = |folder: &Path| Dataset::open(folder).unwrap().digest();
    let same = digest(a.path());
    assert_eq!(same.len(), 64);
    assert_ne!(same, digest(b.path()));
    let path = a.path().join(MANIFEST);
    fs::write(&path, unsealed(&path).replace("\"small\"", "\"renamed\"")).unwrap();
    assert_eq!(same, digest(a.path()));
}

/// Adds names to the images of the written data set; the folder's manifest says so.
fn name_images(folder: &Path, names: &[&str]) -> Manifest {
    let mut manifest = Manifest::read(folder).unwrap();
    let (mut first, shards) = (0, &mut manifest.splits.get_mut("val").unwrap().shards);
    for (s, shard) in shards.iter_mut().enumerate() {
        let part: Vec<String> = names[first..][..shard.images].iter().map(|n| n.to_string()).collect();
        shard.names = Some(write_names(folder, format!("val-names-{s:05}.json"), &part).unwrap());
        first += shard.images;
    }
    fs::write(folder.join(MANIFEST), manifest.to_json()).unwrap();
    manifest
}

#[test]
fn images_keep_the_names_that_they_had() {
    let (folder, _) = write(Geometry::VARIED, |i| (3 + i, 4));
    let before = Manifest::read(folder.path()).unwrap().digest();
    let long = format!("x/{}end.jpg", "ü".repeat(MAX_NAME_BYTES));
    let names = ["ants/1.jpg", "bees/a \"b\"\n.png", "\u{1}", &long, "bees/5.jpg"];
    let manifest = name_images(folder.path(), &names);
    assert_eq!(manifest.digest(), before, "names are not what is trained on");
    assert!(manifest.splits["val"].shards.iter().all(|shard| shard.files().count() == 4));
    let data = Dataset::open(folder.path()).unwrap();
    let val = data.split("val").unwrap();
    for (i, name) in names.into_iter().enumerate() {
        let found = val.name(i).unwrap().unwrap();
        assert!(name == found || (i == 3 && found.ends_with("üend.jpg") && found.len() <= MAX_NAME_BYTES));
    }
    assert!(val.name(5).unwrap_err().to_string().contains("0..5"));
    check_shard(folder.path(), &manifest.splits["val"].shards[1]).unwrap();

    let path = folder.path().join("val-names-00001.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("bees/5", "bees/6")).unwrap();
    let error = Dataset::open(folder.path()).unwrap().split("val").unwrap().name(4).unwrap_err().to_string();
    assert!(error.contains("val-names-00001.json") && error.contains("xxh3"), "{error}");
    assert!(check_shard(folder.path(), &manifest.splits["val"].shards[1]).is_err());
}

#[test]
fn data_sets_without_names_open_and_names_that_do_not_fit_are_damage() {
    let (folder, _) = write(Geometry::fixed(2, 2, 3), |_| (2, 2));
    let path = folder.path().join(MANIFEST);
    fs::write(&path, unsealed(&path).replace("\"schema\": 2", "\"schema\": 1")).unwrap();
    assert_eq!(Dataset::open(folder.path()).unwrap().split("val").unwrap().name(1).unwrap(), None);

    let mut manifest = name_images(folder.path(), &["a", "b", "c", "d", "e"]);
    let two = write_names(folder.path(), "two.json".into(), &["a".into(), "b".into()]).unwrap();
    let vast = FileRef { bytes: 1 << 40, ..two.clone() };
    for (file, words) in [(two, "2 names"), (vast, "1099511627776 bytes")] {
        manifest.splits.get_mut("val").unwrap().shards[0].names = Some(file);
        fs::write(&path, manifest.to_json()).unwrap();
        let data = Dataset::open(folder.path()).unwrap();
        let error = data.split("val").unwrap().name(0).unwrap_err().to_string();
        assert!(error.contains("two.json") && error.contains(words), "{error}");
    }
}

#[test]
fn shards_are_written_whole_or_not_at_all() {
    let folder = temporary();
    let name = |part: &str| format!("train-{part}.npy");
    let image = Image { height: 2, width: 2, pixels: vec![0; 12] };
    let fixed = Geometry::fixed(2, 3, 3);
    assert!(write_shard(folder.path(), name, fixed, std::slice::from_ref(&image), &[0]).is_err());
    assert!(write_shard(folder.path(), name, Geometry::VARIED, &[image], &[]).is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// A manifest's text without its checksum, to be changed.
fn unsealed(path: &Path) -> String {
    String::from_utf8(storage::unseal(path, &fs::read(path).unwrap()).unwrap()).unwrap()
}
