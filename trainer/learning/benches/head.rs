//! Head training on a feature store: seconds per epoch, features read per second, peak memory.
//!
//! `cargo bench -p learning --bench head -- [images] [features] [workers] [rounds] [batch]`, by default 50,000 images of
//! 4,096 features, one worker, 3 rounds, batches of 64.

use learning::random::{Purpose, Stream};
use learning::{Assignment, CombineOrder, combine, work};
use protocol::{FeatureStore, FileRef, Job, RunId};
use serde_json::{Map, json};
use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;
use storage::arrays::write_npy;
use storage::{FeatureManifest, FeatureShard, FeatureType, Once, Root, Tensor};

const CLASSES: usize = 10;
const SHARD: usize = 256;

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
    let mut next = |default: usize| numbers.next().unwrap_or(default);
    let (images, columns, workers, rounds, batch) = (next(50_000), next(4_096), next(1), next(3), next(64));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = Root::open(folder.path()).expect("a root");
    let features = make_store(&root, images, columns);
    let bytes = (images * columns * 4) as f64;
    println!(
        "{images} images of {columns} features, {:.0} MB; {workers} workers, batch {batch}",
        bytes / 1e6
    );
    let before = peak_mb();
    let job = json!({"dataset": "d", "network": "vgg19", "rounds": rounds, "batch": batch});
    let job = Job::from_value(job).expect("a job");
    let run = RunId::new("bench").expect("a run id");
    root.run(&run).create().expect("the run's folders");
    let mut state: Option<FileRef> = None;
    for stage in 1..=rounds as u32 {
        let start = Instant::now();
        let result = |worker| {
            let assignment = Assignment {
                root: &root,
                run: &run,
                job: &job,
                workers: workers as u32,
                stage,
                worker,
                features: &features,
                place: None,
                state: state.as_ref(),
                threads: 1,
            };
            let mut work = work(&assignment).expect("the work");
            while !work.progress().finished() {
                work.step().expect("a step");
            }
            work.publish().expect("a result")
        };
        let results: Vec<FileRef> = (0..workers as u32).map(result).collect();
        let trained = start.elapsed().as_secs_f64();
        let order = CombineOrder {
            root: &root,
            run: &run,
            job: &job,
            workers: workers as u32,
            stage,
            features: &features,
            state: state.as_ref(),
            results: &results,
            threads: 1,
        };
        let combined = combine(&order).expect("a combine");
        let all = start.elapsed().as_secs_f64();
        println!(
            "round {stage}: workers {trained:.3} s ({:.2} GB/s, {:.0} images/s), combine {:.3} s, {:?}",
            bytes / trained / 1e9,
            images as f64 / trained,
            all - trained,
            combined.score.map(|score| (score.loss, score.top1)),
        );
        state = combined.state;
    }
    println!("peak memory {:.0} MB ({before:.0} MB before training)", peak_mb());
}

/// Writes a store shard by shard; a row's class shows in one of its columns.
fn make_store(root: &Root, images: usize, columns: usize) -> FeatureStore {
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

/// The largest resident set so far, in MB; 0 where /proc does not say.
fn peak_mb() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0) / 1e3
}
