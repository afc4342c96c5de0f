//! Head training on a feature store: seconds per epoch, features read per second, peak memory.
//!
//! `cargo bench -p transfer --bench head -- [images] [features] [workers] [rounds] [batch]`, by default
//! 50,000 images of 4,096 features, one worker, 3 rounds, batches of 64.

use protocol::{FileRef, RunId};
use serde_json::json;
use std::time::Instant;
use storage::Root;
use store::{made, make_store, peak_mb};
use transfer::{Transfer, course};
use work::{Stage, Workload};

mod store;

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
    let job = protocol::Job::from_value(job).expect("a job");
    let course = course(&transfer::Job::of(&job).expect("its keys"));
    let run = RunId::new("bench").expect("a run id");
    root.run(&run).create().expect("the run's folders");
    let mut state: Option<FileRef> = None;
    for number in 1..=rounds as u32 {
        let start = Instant::now();
        let (root, run, job, features, state_before) = (&root, &run, &job, &features, state.take());
        let (workers, state_before) = (workers as u32, state_before.as_ref());
        let stage = Stage {
            root,
            run,
            job,
            course: &course,
            number,
            workers,
            features,
            state: state_before,
            threads: 1,
        };
        let result = |worker| made(Transfer.open(&stage, worker, None)).expect("a result");
        let results: Vec<FileRef> = (0..workers).map(result).collect();
        let trained = start.elapsed().as_secs_f64();
        let combined = made(Transfer.combine(&stage, &results, None)).expect("a combine");
        let all = start.elapsed().as_secs_f64();
        println!(
            "round {number}: workers {trained:.3} s ({:.2} GB/s, {:.0} images/s), combine {:.3} s, {:?}",
            bytes / trained / 1e9,
            images as f64 / trained,
            all - trained,
            combined.score.map(|score| (score.values[1], score.values[0])),
        );
        state = combined.state;
    }
    println!("peak memory {:.0} MB ({before:.0} MB before training)", peak_mb());
}
