//! Sums over files: right, in file order, over more than one chunk; files that do not fit are named.

use super::*;
use crate::random::{Purpose, Stream};
use storage::{Tensor, write_tensors};
use tempfile::TempDir;

fn publish(folder: &TempDir, arrays: &[(&str, Vec<f32>)], worker: usize) -> FileRef {
    let tensors: Vec<_> = arrays.iter().map(|(name, data)| Tensor::f32(*name, &[data.len()], data)).collect();
    let metadata = [("worker".to_owned(), worker.to_string())].into();
    write_tensors(folder.path(), "worker", &tensors, &metadata).unwrap()
}

#[test]
fn the_sum_is_weighted_and_in_file_order() {
    let folder = tempfile::tempdir().unwrap();
    let length = CHUNK * 2 + 17;
    let arrays: Vec<Vec<f32>> = (0..3)
        .map(|worker| {
            let mut stream = Stream::new(4, Purpose::Order, worker, 0);
            (0..length).map(|_| stream.symmetric(1.0)).collect()
        })
        .collect();
    let files: Vec<FileRef> =
        (0..3).map(|w| publish(&folder, &[("a", arrays[w].clone()), ("b", vec![w as f32])], w)).collect();
    let reduced = weighted_sum(folder.path(), &files, |all| {
        assert_eq!(all.iter().map(|notes| notes["worker"].as_str()).collect::<Vec<_>>(), ["0", "1", "2"]);
        Ok(vec![0.5, 0.25, 2.0])
    })
    .unwrap();
    let expected = |i: usize| {
        let values = [0, 1, 2].map(|worker| f64::from(arrays[worker][i]));
        (0.5 * values[0] + 0.25 * values[1] + 2.0 * values[2]) as f32
    };
    assert!((0..length).all(|i| reduced.sums["a"][i] == expected(i)));
    assert_eq!(reduced.sums["b"], [4.25]);
}

#[test]
fn files_that_do_not_fit_or_are_damaged_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let good = publish(&folder, &[("a", vec![1.0; 10])], 0);
    let longer = publish(&folder, &[("a", vec![1.0; 11])], 1);
    let sum = |files: &[FileRef]| weighted_sum(folder.path(), files, |all| Ok(vec![1.0; all.len()]));
    assert!(sum(&[good.clone(), longer.clone()]).unwrap_err().to_string().contains(&longer.name));
    assert!(sum(&[]).is_err());
    let path = folder.path().join(&good.name);
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(sum(std::slice::from_ref(&good)).unwrap_err().to_string().contains(&good.name));
}
