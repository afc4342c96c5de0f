//! Sums over files: right, in file order, over parts of any size; files that do not fit or are damaged are
//! named.

use super::super::chunked::{BLOCK, SCALES, publish};
use super::super::random::{Purpose, Stream};
use super::*;
use std::collections::BTreeMap;
use storage::{Tensor, TensorData};
use tempfile::TempDir;

const LENGTH: usize = CHUNK * 2 + 17;

fn noise(worker: u32) -> Vec<f32> {
    let mut stream = Stream::new(4, Purpose::Order, worker, 0);
    (0..LENGTH).map(|_| stream.symmetric(1.0)).collect()
}

fn file(folder: &TempDir, arrays: &[(&str, &[f32])], worker: u32) -> FileRef {
    let tensors: Vec<_> =
        arrays.iter().map(|(name, data)| Tensor::f32(*name, &[data.len()], *data)).collect();
    publish(folder.path(), "worker", &tensors, &[("worker".to_owned(), worker.to_string())].into()).unwrap()
}

/// The sums of each array, by name.
fn sum(
    results: &Results,
    weights: &[f64],
    range: Range<usize>,
    threads: usize,
) -> Result<BTreeMap<String, Vec<f32>>> {
    let names: Vec<String> = results.files[0].layout().into_iter().map(|(name, _)| name.to_owned()).collect();
    let sums = by_chunks(&range, names.len(), threads, |chunk, arrays, desk| {
        let mut each = names.iter().zip(arrays);
        each.try_for_each(|(name, array)| {
            array.copy_from_slice(results.sum(name, weights, &chunk, desk)?);
            Ok(())
        })
    })?;
    Ok(names.into_iter().zip(sums.iter().map(|sums| sums.to_vec())).collect())
}

#[test]
fn the_sum_is_weighted_in_file_order_and_the_same_in_slices() {
    let folder = tempfile::tempdir().unwrap();
    let arrays = [0, 1, 2].map(noise);
    let files = [0, 1, 2].map(|w| file(&folder, &[("a", &arrays[w]), ("b", &arrays[2 - w])], w as u32));
    let results = Results::open(folder.path(), &files).unwrap();
    assert_eq!(
        results.notes().map(|(_, notes)| notes["worker"].as_str()).collect::<Vec<_>>(),
        ["0", "1", "2"]
    );
    let weights = [0.5, 0.25, 2.0];
    let whole = sum(&results, &weights, 0..LENGTH, 2).unwrap();
    let expected = |order: [usize; 3], i: usize| {
        let values = order.map(|worker| f64::from(arrays[worker][i]));
        (0.5 * values[0] + 0.25 * values[1] + 2.0 * values[2]) as f32
    };
    assert!((0..LENGTH).all(|i| whole["a"][i] == expected([0, 1, 2], i)));
    assert!((0..LENGTH).all(|i| whole["b"][i] == expected([2, 1, 0], i)));
    for slices in [1, 2, 5] {
        let parts = (0..slices).map(|n| sum(&results, &weights, slice(LENGTH, slices, n), 1).unwrap());
        let joined: Vec<f32> = parts.flat_map(|part| part["a"].clone()).collect();
        assert!(joined == whole["a"], "{slices} slices");
    }
}

#[test]
fn bf16_and_int8_are_widened() {
    let folder = tempfile::tempdir().unwrap();
    let halves: Vec<u16> = (0..LENGTH).map(|i| half::bf16::from_f32(i as f32).to_bits()).collect();
    let bytes: Vec<i8> = (0..LENGTH).map(|i| (i % 255) as u8 as i8).collect();
    let scales: Vec<f32> = (0..LENGTH.div_ceil(BLOCK)).map(|block| block as f32).collect();
    let array = |data| Tensor { name: "a".into(), shape: vec![LENGTH], data };
    let of_halves = [array(TensorData::Bf16(halves.clone().into()))];
    let of_bytes =
        [array(TensorData::I8(bytes.clone().into())), Tensor::f32(SCALES, &[scales.len()], &scales[..])];
    let read = |tensors: &[Tensor<'_>]| {
        let file = publish(folder.path(), "worker", tensors, &Notes::new()).unwrap();
        let results = Results::open(folder.path(), &[file]).unwrap();
        sum(&results, &[1.0], 0..LENGTH, 1).unwrap().remove("a").unwrap()
    };
    let (widened, scaled) = (read(&of_halves), read(&of_bytes));
    assert!((0..LENGTH).all(|i| widened[i] == half::bf16::from_bits(halves[i]).to_f32()));
    assert!((0..LENGTH).all(|i| scaled[i] == f32::from(bytes[i]) * scales[i / BLOCK]));
}

#[test]
fn files_that_do_not_fit_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let good = file(&folder, &[("a", &[1.0; 10])], 0);
    let longer = file(&folder, &[("a", &[1.0; 11])], 1);
    let error = Results::open(folder.path(), &[good, longer.clone()]).unwrap_err();
    assert!(error.to_string().contains(&longer.name), "{error}");
    assert!(Results::open(folder.path(), &[]).is_err());
}

#[test]
fn every_changed_byte_of_a_file_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let values: Vec<i8> = (0..BLOCK + 5).map(|i| (i % 100) as i8).collect();
    let array = Tensor { name: "a".into(), shape: vec![values.len()], data: TensorData::I8(values.into()) };
    let tensors = [array, Tensor::f32(SCALES, &[2], &[0.5, 0.25][..])];
    let file =
        publish(folder.path(), "worker", &tensors, &[("images".to_owned(), "5".to_owned())].into()).unwrap();
    let path = folder.path().join(&file.name);
    let bytes = std::fs::read(&path).unwrap();
    let read = || {
        let results = Results::open(folder.path(), std::slice::from_ref(&file))?;
        let notes = results.notes().next().map(|(_, notes)| notes.clone());
        Ok::<_, Failed>((sum(&results, &[1.0], 0..results.length(), 1)?, notes))
    };
    let right = read().unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        std::fs::write(&path, changed).unwrap();
        // A space between the header's words has no meaning; nothing else may pass.
        let passed = read().is_ok_and(|found| found != right);
        assert!(!passed, "byte {at} of {} was changed and other values came out", bytes.len());
    }
}

#[test]
fn slices_cover_everything_and_begin_at_chunks() {
    for (length, slices) in [(LENGTH, 1), (LENGTH, 2), (LENGTH, 16), (119_586_826, 64), (10, 3), (0, 2)] {
        let all: Vec<_> = (0..slices).map(|n| slice(length, slices, n)).collect();
        assert!(all.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert!((all[0].start, all[slices as usize - 1].end) == (0, length));
        assert!(all.iter().all(|range| range.start % CHUNK == 0 || range.start == length));
    }
}
