//! A feature store and weights of noise for the benchmarks of training, and how much memory was used.

use protocol::FeatureStore;
use rounds::random::{Purpose, Stream};
use serde_json::{Map, json};
use std::collections::BTreeMap;
use std::fs;
use storage::arrays::write_npy;
use storage::{FeatureManifest, FeatureShard, FeatureType, Once, Root, Tensor};
use work::{Failed, Work};

/// Classes of the labels.
pub(crate) const CLASSES: usize = 10;
const SHARD: usize = 256;

/// Writes a store shard by shard; a row's class shows in one of its columns.
pub(crate) fn make_store(root: &Root, images: usize, columns: usize) -> FeatureStore {
    let key = "bench".to_owned();
    let folder = root.features(&key).expect("a key");
    fs::create_dir_all(&folder).expect("the store's folder");
    let noise = noise(columns);
    let (mut shards, mut tensors) = (Vec::new(), Vec::new());
    for (split, images) in [("train", images), ("val", images.min(2_000))] {
        for first in (0..images).step_by(SHARD) {
            let rows = SHARD.min(images - first);
            let mut values = Vec::with_capacity(rows * columns);
            for row in first..first + rows {
                values.extend_from_slice(&noise[row * 31 % columns..][..columns]);
                let at = values.len() - columns + row % CLASSES;
                values[at] += 1.0;
            }
            let shape = [rows as u64, columns as u64];
            let file = storage::publish(&folder, split, "npy", |out| write_npy(out, &shape, &values));
            let file = file.expect("a shard");
            shards.push(FeatureShard {
                file,
                split: split.into(),
                first_image: first as u64,
                rows: shape[0],
            });
        }
        let labels: Vec<i64> = (0..images).map(|row| (row % CLASSES) as i64).collect();
        tensors.push(Tensor::i64(format!("labels.{split}"), &[images], labels));
    }
    tensors.push(Tensor::f32("mean", &[columns], vec![0.0; columns]));
    tensors.push(Tensor::f32("deviation", &[columns], vec![1.0; columns]));
    let statistics =
        storage::write_tensors(&folder, "statistics", &tensors, &BTreeMap::new()).expect("statistics");
    let mut made_of = Map::new();
    made_of.insert("statistics".into(), json!(statistics));
    made_of.insert("classes".into(), json!((0..CLASSES).map(|c| c.to_string()).collect::<Vec<_>>()));
    let manifest = FeatureManifest::new(&key, made_of, columns as u64, FeatureType::F32, shards);
    match manifest.publish(&folder).expect("a manifest") {
        Once::Published(manifest) => FeatureStore { key, manifest: Some(manifest) },
        Once::AlreadyThere => unreachable!("the folder is new"),
    }
}

/// Twice the columns, so that every row can begin at another place.
fn noise(columns: usize) -> Vec<f32> {
    let mut stream = Stream::new(1, Purpose::Order, 0, 0);
    (0..2 * columns).map(|_| stream.symmetric(1.0)).collect()
}

/// The largest resident set so far, in MB; 0 if /proc does not have it.
pub(crate) fn peak_mb() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0) / 1e3
}

/// Does all steps of a piece of work; returns its result.
#[allow(dead_code, reason = "one of the benchmarks measures its steps itself")]
pub(crate) fn made<Made>(opened: Result<Box<dyn Work<Made> + '_>, Failed>) -> Result<Made, Failed> {
    let mut work = opened?;
    while !work.progress().finished() {
        work.step()?;
    }
    work.publish()
}
