//! Summing the results of many workers: VGG19's classifier, 478 MB from each, by one combine and by slices.
//!
//! `cargo bench -p transfer --bench reduce -- vgg19 --workers 16 --threads 2 --precision f32`. Every worker
//! has trained on images of its own, so no two files are alike. Slices are made one after the other here; on
//! Lambda they run side by side. Each is made twice and the second time counts: the files of 64 workers do
//! not all fit this machine's memory, but a slice's parts of them do. The first time is also printed; it
//! includes the disk.

use noise_weights::{features_at, install_noise};
use protocol::{Course, FeatureStore, FileRef, Job, RunId};
use serde_json::json;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;
use storage::Root;
use store::{made, make_store, peak_mb};
use transfer::{Transfer, course};
use words::Words;
use work::{Combined, Failed, Stage, Work, Workload};

mod noise_weights;
mod store;
#[path = "../../../frozen/benches/words/mod.rs"]
mod words;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let words = Words::given();
    let (workers, threads) = (words.number("--workers", 16)? as u32, words.number("--threads", 2)?);
    let folder = tempfile::tempdir_in(words.option("--folder").unwrap_or("/tmp"))?;
    let mut job = Job::from_value(json!({
        "dataset": "d", "network": words.network(), "head": {"kind": "classifier"}, "batch": 2, "rounds": 9,
        "learning_rate": 1e-4, "agree": "diloco", "precision": words.option("--precision").unwrap_or("f32"),
        "optimizer": {"kind": "sgd", "momentum": 0.0, "nesterov": false},
    }))?;
    let bench = Bench::new(folder.path(), words.network(), workers, threads)?;
    let stages = bench.root.run(&bench.run);
    let first = bench.combine(&job, 1, None, &bench.round(&job, 1, None)?)?.state.ok_or("no state")?;
    make_room(&stages.stage(1))?;
    let results = bench.round(&job, 2, Some(&first))?;
    let bytes: u64 = results.iter().map(|file| file.bytes).sum();
    let reading = read_bandwidth(&stages.stage(2), &results, threads)?;
    let start = Instant::now();
    bench.combine(&job, 2, Some(&first), &results)?;
    let single = start.elapsed().as_secs_f64();
    job.keys.insert("reduce".into(), json!("sliced")); // round 2 is stage 3 then, and its reduction stage 4
    std::fs::rename(stages.stage(2), stages.stage(3))?;
    let list = bench.combine(&job, 3, Some(&first), &results)?.state.ok_or("no list")?;
    let (mut slices, mut once, mut again) = (Vec::new(), Vec::new(), Vec::new());
    let (before, state) = (copy_bandwidth(threads), held(&stages.combined())?);
    for worker in 0..workers {
        once.push(steps(&mut *bench.work(&job, 4, worker, Some(&list))?)?);
        let mut work = bench.work(&job, 4, worker, Some(&list))?;
        again.push(steps(&mut *work)?);
        slices.push(work.publish()?);
    }
    let copy = median([before, copy_bandwidth(threads)].concat());
    println!(
        "{workers} workers, {:.2} GB, and {:.2} GB of state, {threads} threads",
        bytes as f64 / 1e9,
        first.bytes as f64 / 1e9
    );
    println!("copying memory moves {copy:.1} GB/s, reading these files and nothing else {reading:.1} GB/s");
    let tell = |what: &str, seconds: f64| {
        let rate = (bytes + first.bytes) as f64 / seconds / 1e9;
        let of = |most: f64| 100.0 * rate / most;
        let (copying, reading) = (of(copy), of(reading));
        println!(
            "{what}: {seconds:.3} s, {rate:.1} GB/s read, {copying:.0}% of copying, {reading:.0}% of reading"
        );
    };
    tell("single combine, with its scoring", single);
    tell("all slices, one after the other", again.iter().sum());
    tell("the same for the first time", once.iter().sum());
    let slowest = again.iter().copied().fold(0.0, f64::max);
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let (read, wrote) =
        (bytes / u64::from(workers), (held(&stages.combined())? - state) / u64::from(workers));
    println!("a slice: {:.3} s, the slowest {slowest:.3} s", median(again));
    println!("  of the workers' files it reads {:.0} MB, and writes {:.0} MB", mb(read), mb(wrote));
    let start = Instant::now();
    bench.combine(&job, 4, Some(&list), &slices)?;
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
    /// A run whose workers have two images each, and weights of noise.
    fn new(folder: &Path, network: &str, workers: u32, threads: usize) -> Result<Bench, Failure> {
        let (root, run) = (Root::open(folder)?, RunId::new("bench")?);
        root.run(&run).create()?;
        let network = networks::network(network)?;
        install_noise(&root, &network)?;
        let columns = features_at(&network, network.below_classifier()?, 224)?;
        let features = make_store(&root, 2 * workers as usize, columns);
        Ok(Bench { root, run, features, workers, threads })
    }

    /// The results of all workers in a round.
    fn round(&self, job: &Job, stage: u32, state: Option<&FileRef>) -> Result<Vec<FileRef>, Failed> {
        (0..self.workers).map(|worker| made(self.work(job, stage, worker, state))).collect()
    }

    fn work(
        &self,
        job: &Job,
        number: u32,
        worker: u32,
        state: Option<&FileRef>,
    ) -> Result<Box<dyn Work>, Failed> {
        Transfer.open(&self.stage((job, &course(&transfer::Job::of(job)?)), number, state), worker, None)
    }

    fn combine(
        &self,
        job: &Job,
        number: u32,
        state: Option<&FileRef>,
        results: &[FileRef],
    ) -> Result<Combined, Failed> {
        made(Transfer.combine(
            &self.stage((job, &course(&transfer::Job::of(job)?)), number, state),
            results,
            None,
        ))
    }

    fn stage<'a>(
        &'a self,
        (job, course): (&'a Job, &'a Course),
        number: u32,
        state: Option<&'a FileRef>,
    ) -> Stage<'a> {
        let Bench { root, run, features, workers, threads } = self;
        Stage { root, run, job, course, number, workers: *workers, features, state, threads: *threads }
    }
}

/// Bytes of a stage's files.
fn held(stage: &Path) -> std::io::Result<u64> {
    std::fs::read_dir(stage)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}

/// Removes the workers' results of a stage; their own files are kept, because they read them again.
fn make_room(stage: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(stage)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("worker-") {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Does all steps; returns the seconds that they took.
fn steps(work: &mut dyn Work) -> Result<f64, Failed> {
    let start = Instant::now();
    while !work.progress().finished() {
        work.step()?;
    }
    Ok(start.elapsed().as_secs_f64())
}

/// GB per second that threads read from files, each part into the same small buffer, the median of three.
fn read_bandwidth(folder: &Path, files: &[FileRef], threads: usize) -> Result<f64, Failure> {
    let open = |file: &FileRef| File::open(folder.join(&file.name));
    let open: Vec<File> = files.iter().map(open).collect::<Result<_, _>>()?;
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let once = || {
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
        bytes as f64 * 1e-9 / start.elapsed().as_secs_f64()
    };
    Ok(median((0..3).map(|_| once()).collect()))
}

/// GB per second that threads copy from one large array to another, nine times.
fn copy_bandwidth(threads: usize) -> Vec<f64> {
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
    once(); // touches new memory
    (0..9).map(|_| once()).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
