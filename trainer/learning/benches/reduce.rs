//! Summing what many workers publish: VGG19's classifier, 478 MB from each, by one combine and by slices.
//!
//! `cargo bench -p learning --bench reduce -- vgg19 --workers 16 --threads 2 --precision f32`. Every worker has trained on
//! images of its own, so no two files are alike. Slices are made one after the other here; on Lambda side by side.

use classifier_weights::install_noise;
use learning::{Assignment, CombineOrder, Work, combine, work};
use protocol::{FeatureStore, FileRef, Job, Reduce, RunId};
use serde_json::json;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;
use storage::Root;
use store::{make_store, peak_mb};
use words::Words;

mod classifier_weights;
mod store;
#[path = "../../frozen/benches/words/mod.rs"]
mod words;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let words = Words::given();
    let (workers, threads) = (words.number("--workers", 16)? as u32, words.number("--threads", 2)?);
    let folder = tempfile::tempdir_in(words.option("--folder").unwrap_or("/tmp"))?;
    let root = Root::open(folder.path())?;
    let mut job = Job::from_value(json!({
        "dataset": "d", "network": words.network(), "head": {"kind": "classifier"}, "batch": 2, "rounds": 9,
        "learning_rate": 1e-4, "agree": "diloco", "precision": words.option("--precision").unwrap_or("f32"),
        "optimizer": {"kind": "sgd", "momentum": 0.0, "nesterov": false},
    }))?;
    let run = RunId::new("bench")?;
    root.run(&run).create()?;
    let features = make_store(&root, 2 * workers as usize, install_noise(&root, words.network())?);
    let bench = Bench { root, run, features, workers, threads };
    let copy = copy_bandwidth(threads);
    let first =
        combine(&bench.order(&job, 1, None, &bench.round(&job, 1, None)?))?.state.ok_or("no state")?;
    let results = bench.round(&job, 2, Some(&first))?;
    let bytes: u64 = results.iter().map(|file| file.bytes).sum();
    let reading = read_bandwidth(&bench.root.run(&bench.run).stage(2), &results, threads)?;
    println!("{workers} workers, {:.2} GB, {threads} threads", bytes as f64 / 1e9);
    println!("copying memory moves {copy:.1} GB/s, reading these files and nothing else {reading:.1} GB/s");
    let tell = |what: &str, seconds: f64| {
        let rate = bytes as f64 / seconds / 1e9;
        let of = |most: f64| 100.0 * rate / most;
        println!(
            "{what}: {seconds:.3} s, {rate:.1} GB/s read, {:.0}% of copying, {:.0}% of reading",
            of(copy),
            of(reading)
        );
    };
    let start = Instant::now();
    combine(&bench.order(&job, 2, Some(&first), &results))?;
    tell("single combine, with its scoring", start.elapsed().as_secs_f64());
    job.reduce = Some(Reduce::Sliced); // round 2 is stage 3 then, and its reduction stage 4
    let stages = bench.root.run(&bench.run);
    std::fs::rename(stages.stage(2), stages.stage(3))?;
    let list = combine(&bench.order(&job, 3, Some(&first), &results))?.state.ok_or("no list")?;
    let mut slices = Vec::new();
    let mut all = 0.0;
    for worker in 0..workers {
        let (seconds, slice) = finished(&mut *bench.work(&job, 4, worker, Some(&list))?)?;
        all += seconds;
        slices.push((seconds, slice));
    }
    tell("all slices, one after the other", all);
    let slowest = slices.iter().map(|(seconds, _)| *seconds).fold(0.0, f64::max);
    println!("a slice: {:.3} s, the slowest {slowest:.3} s", all / f64::from(workers));
    let slices: Vec<FileRef> = slices.into_iter().map(|(_, slice)| slice).collect();
    let start = Instant::now();
    combine(&bench.order(&job, 4, Some(&list), &slices))?;
    println!("index and scoring: {:.3} s", start.elapsed().as_secs_f64());
    println!("peak memory {:.0} MB", peak_mb());
    Ok(())
}

struct Bench {
    root: Root,
    run: RunId,
    features: FeatureStore,
    workers: u32,
    threads: usize,
}

impl Bench {
    /// What all workers publish in a round.
    fn round(&self, job: &Job, stage: u32, state: Option<&FileRef>) -> learning::Result<Vec<FileRef>> {
        (0..self.workers).map(|worker| Ok(finished(&mut *self.work(job, stage, worker, state)?)?.1)).collect()
    }

    fn work(
        &self,
        job: &Job,
        stage: u32,
        worker: u32,
        state: Option<&FileRef>,
    ) -> learning::Result<Box<dyn Work>> {
        work(&Assignment {
            root: &self.root,
            run: &self.run,
            job,
            workers: self.workers,
            stage,
            worker,
            features: &self.features,
            place: None,
            state,
            threads: self.threads,
        })
    }

    fn order<'a>(
        &'a self,
        job: &'a Job,
        stage: u32,
        state: Option<&'a FileRef>,
        results: &'a [FileRef],
    ) -> CombineOrder<'a> {
        CombineOrder {
            root: &self.root,
            run: &self.run,
            job,
            workers: self.workers,
            stage,
            features: &self.features,
            state,
            results,
            threads: self.threads,
        }
    }
}

/// Does all steps, and publishes; gives the seconds of the steps and the result.
fn finished(work: &mut dyn Work) -> learning::Result<(f64, FileRef)> {
    let start = Instant::now();
    while !work.progress().finished() {
        work.step()?;
    }
    Ok((start.elapsed().as_secs_f64(), work.publish()?))
}

/// GB a second that threads read from files, each part into the same small buffer, the best of three.
fn read_bandwidth(folder: &Path, files: &[FileRef], threads: usize) -> Result<f64, Failure> {
    let open = |file: &FileRef| File::open(folder.join(&file.name));
    let open: Vec<File> = files.iter().map(open).collect::<Result<_, _>>()?;
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let mut best = 0.0_f64;
    for _ in 0..3 {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let open = &open;
                scope.spawn(move || {
                    let mut buffer = vec![0; 1 << 16];
                    for (file, reference) in open.iter().zip(files) {
                        for block in (thread as u64..reference.bytes >> 16).step_by(threads) {
                            file.read_exact_at(&mut buffer, block << 16).expect("the file is that long");
                        }
                    }
                });
            }
        });
        best = best.max(bytes as f64 * 1e-9 / start.elapsed().as_secs_f64());
    }
    Ok(best)
}

/// GB a second that threads copy from one large array to another, the best of five.
fn copy_bandwidth(threads: usize) -> f64 {
    let (from, mut to) = (vec![1.0_f32; 60_000_000], vec![0.0_f32; 60_000_000]);
    let part = from.len().div_ceil(threads);
    let mut once = || {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for (to, from) in to.chunks_mut(part).zip(from.chunks(part)) {
                scope.spawn(|| to.copy_from_slice(from));
            }
        });
        from.len() as f64 * 4e-9 / start.elapsed().as_secs_f64()
    };
    (0..5).map(|_| once()).fold(0.0, f64::max)
}
