//! Rows read from disk compared with rows kept in memory.

use super::*;
use crate::sample::Sample;
use rounds::random::{Purpose, Stream};

#[test]
fn rows_read_from_disk_are_those_kept_in_memory() {
    let sample = Sample::new();
    let features = sample.store([100, 40], 6, 3);
    let folder = sample.root.features(&features.key).unwrap();
    for standardise in [false, true] {
        let kept = Store::read(&folder, standardise, None).unwrap();
        let mut read = Store::read(&folder, standardise, None).unwrap();
        read.splits.values_mut().for_each(|rows| rows.keep_bytes = 0);
        for (split, rows) in [("train", 100), ("val", 40)] {
            let (kept, read) = (kept.split(split).unwrap(), read.split(split).unwrap());
            assert!(kept.is_kept() && !read.is_kept());
            assert_eq!((kept.len(), kept.labels()), (rows, read.labels()));
            assert_eq!(kept.read(0..rows).unwrap(), read.read(0..rows).unwrap());
            let seed = 11;
            println!("seed {seed}");
            let mut stream = Stream::new(seed, Purpose::Order, 0, 0);
            let mut windows = (Window::default(), Window::default());
            for length in [1, 13, 60, 200] {
                let indices: Vec<u32> = (0..length).map(|_| stream.below(rows as u64) as u32).collect();
                kept.load(&indices, &mut windows.0).unwrap();
                read.load(&indices, &mut windows.1).unwrap();
                let range = length / 3..length;
                let [mut found, mut wanted] = [(); 2].map(|()| Vec::new());
                read.batch(&windows.1, range.clone(), &mut found).unwrap();
                kept.batch(&windows.0, range, &mut wanted).unwrap();
                assert_eq!(found, wanted);
            }
        }
    }
}

#[test]
fn standardised_columns_have_mean_0_and_deviation_1() {
    let sample = Sample::new();
    let features = sample.store([500, 10], 4, 2);
    let store = Store::read(&sample.root.features(&features.key).unwrap(), true, None).unwrap();
    let rows = store.split("train").unwrap().read(0..500).unwrap();
    for column in 0..4 {
        let values = rows.iter().skip(column).step_by(4).map(|&value| f64::from(value));
        let (mean, square) = values.fold((0.0, 0.0), |(m, s), v| (m + v / 500.0, s + v * v / 500.0));
        assert!(mean.abs() < 1e-5 && (square - 1.0).abs() < 1e-5, "{mean} {square}");
    }
    assert_eq!((inverse(0.0), inverse(2.0)), (1.0, 0.5));
}

#[test]
fn a_store_of_which_a_read_failed_is_opened_anew() {
    let sample = Sample::new();
    let features = sample.store([100, 40], 6, 3);
    let folder = sample.root.features(&features.key).unwrap();
    let mut store = Store::read(&folder, false, None).unwrap();
    store.splits.values_mut().for_each(|rows| rows.keep_bytes = 0);
    store.need("train").unwrap().read(0..1).unwrap();
    assert!(!store.has_failed());
    let shard = folder.join(&store.manifest.shards[0].file.name);
    std::fs::OpenOptions::new().write(true).open(shard).unwrap().set_len(128).unwrap();
    assert!(store.need("train").unwrap().read(0..1).is_err() && store.has_failed());
}
