//! The log and publication between real processes that are killed at any moment.
//!
//! `BATON_TEST_FOLDERS=/mnt/a:/mnt/b` runs the same between several clients of one network file system: the
//! folders are the same shared folder as each client sees it. Without it, all processes share one local
//! folder.

use fastrand::Rng;
use protocol::FileRef;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};
use storage::{Error, Log, create_folder, find, open, publish};

const WAIT: Duration = Duration::from_secs(120);

/// Numbers for a test, from a seed that is printed.
fn numbers(test: &str) -> Rng {
    let seed = std::env::var("BATON_SEED").map_or_else(|_| Rng::new().u64(..), |seed| seed.parse().unwrap());
    println!("{test}: BATON_SEED={seed}");
    Rng::with_seed(seed)
}

/// The shared folder as each client sees it, and the guard that removes it at the end.
fn folders(test: &str) -> (Vec<PathBuf>, Option<tempfile::TempDir>) {
    match std::env::var("BATON_TEST_FOLDERS") {
        Ok(folders) => {
            let name = format!("{test}-{}", std::process::id());
            (folders.split(':').map(|folder| Path::new(folder).join(&name)).collect(), None)
        }
        Err(_) => {
            // In memory if possible: an fsync on a busy disk takes a third of a second.
            let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
            (vec![folder.path().to_owned()], Some(folder))
        }
    }
}

/// Starts this test binary again as a process that does `task` in `folder`.
fn spawn(task: &str, folder: &Path, number: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env("BATON_CHILD", format!("{task}:{number}"))
        .env("BATON_CHILD_FOLDER", folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The task of a child process; as a test of its own it does nothing.
#[test]
fn child() {
    let Ok(task) = std::env::var("BATON_CHILD") else { return };
    let folder = PathBuf::from(std::env::var("BATON_CHILD_FOLDER").unwrap());
    match task.split_once(':').unwrap() {
        ("count", counter) => count(&folder, counter),
        ("stage", number) => finish_stages(&folder, number.parse().unwrap()),
        (other, _) => panic!("no task {other}"),
    }
}

/// Appends the number of records and its own name for ever, and prints each record once it is safe.
fn count(folder: &Path, counter: &str) {
    let log = Log::open(folder.join("ledger")).unwrap();
    let name = format!("{counter}-{}", std::process::id());
    loop {
        let append = |records: &[Vec<u8>]| {
            // Lengths differ, so that a record that is written over another one shows.
            let record = format!("{} {name} {}", records.len(), "x".repeat(records.len() * 7 % 30));
            Ok::<_, Error>((vec![record.clone().into_bytes()], record))
        };
        match log.update(WAIT, append) {
            // One write: a kill leaves either the whole line or nothing.
            Ok(record) => std::io::stdout().write_all(format!("safe {record}\n").as_bytes()).unwrap(),
            Err(error @ Error::LockLost { .. }) => eprintln!("{name}: {error}"),
            Err(error) => panic!("{error}"),
        }
    }
}

/// A process that counts, and the records that it has called safe.
struct Counter {
    child: Child,
    safe: Arc<Mutex<Vec<String>>>,
    reader: JoinHandle<()>,
}

impl Counter {
    fn start(folder: &Path, number: usize) -> Counter {
        let mut child = spawn("count", folder, number);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let safe = Arc::new(Mutex::new(Vec::new()));
        let said = safe.clone();
        let reader = thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // On one core the test harness has written the test's name before the first number.
                said.lock().unwrap().extend(line.split_once("safe ").map(|(_, record)| record.to_owned()));
            }
        });
        Counter { child, safe, reader }
    }

    fn has_counted(&self) -> bool {
        !self.safe.lock().unwrap().is_empty()
    }

    /// `kill -9`, then all records that it had called safe.
    fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.reader.join().unwrap();
        std::mem::take(&mut self.safe.lock().unwrap())
    }
}

#[test]
fn what_a_killed_process_called_safe_is_in_the_log_and_nothing_is_lost() {
    const KILLS: usize = 40;
    let mut numbers = numbers("killed processes");
    let (folders, _guard) = folders("count");
    let log = Log::open_or_create(folders[0].join("ledger")).unwrap();
    let start = |number: usize| Counter::start(&folders[number % folders.len()], number);
    let mut counters: Vec<Counter> = (0..6).map(start).collect();
    let mut safe = Vec::new();
    for _ in 0..KILLS {
        let victim = numbers.usize(..6);
        let limit = Instant::now() + WAIT;
        while !counters[victim].has_counted() {
            assert!(Instant::now() < limit, "a process waits for the lock for ever");
            sleep(Duration::from_millis(1));
        }
        sleep(Duration::from_micros(numbers.u64(..60_000)));
        safe.extend(std::mem::replace(&mut counters[victim], start(victim)).kill());
    }
    safe.extend(counters.into_iter().flat_map(Counter::kill));
    let records = log.read(WAIT).unwrap();
    println!("{KILLS} kills, {} records, {} of them called safe", records.len(), safe.len());
    let records: Vec<_> = records.into_iter().map(|record| String::from_utf8(record).unwrap()).collect();
    for record in &safe {
        let number: usize = record.split(' ').next().unwrap().parse().unwrap();
        let there = records.get(number);
        assert_eq!(there, Some(record), "what was called safe is gone");
    }
    for (number, record) in records.iter().enumerate() {
        assert!(record.starts_with(&format!("{number} ")), "an update did not see the one before: {record}");
    }
    let unsaid = records.len() - safe.len();
    assert!(unsaid <= KILLS + 6, "{unsaid} records that nobody called safe");
}

const WORKERS: usize = 16;
const STAGES: usize = 8;

/// For each stage: publishes a file, records it, and whoever records the last one combines.
fn finish_stages(folder: &Path, worker: usize) {
    for stage in 0..STAGES {
        let stage_folder = folder.join(format!("stage-{stage}"));
        // An NFS client that looks now will remember that the name is missing.
        let _ = find(&stage_folder.join("combined"));
        create_folder(&stage_folder).unwrap();
        let bytes = vec![worker as u8; 50_000];
        let file = publish(&stage_folder, &format!("worker-{worker:03}"), "bin", |out| out.write_all(&bytes))
            .unwrap();
        let log = Log::open_or_create(stage_folder.join("ledger")).unwrap();
        let last = log
            .update(WAIT, |records| {
                let last = (records.len() + 1 == WORKERS).then(|| records.to_vec());
                Ok::<_, Error>((vec![serde_json::to_vec(&file).unwrap()], last))
            })
            .unwrap();
        let Some(others) = last else { continue };
        for record in others {
            let other: FileRef = serde_json::from_slice(&record).unwrap();
            open(&stage_folder, &other).unwrap().verify().unwrap();
        }
        log.update(WAIT, |_| Ok::<_, Error>((vec![b"combined".to_vec()], ()))).unwrap();
    }
}

#[test]
fn of_processes_that_finish_together_one_combines_and_sees_all_files() {
    let (folders, _guard) = folders("stage");
    create_folder(&folders[0]).unwrap();
    let start = Instant::now();
    let children: Vec<Child> = (0..WORKERS).map(|n| spawn("stage", &folders[n % folders.len()], n)).collect();
    for child in children {
        assert!(child.wait_with_output().unwrap().status.success());
    }
    println!("{STAGES} stages of {WORKERS} processes in {:.2} s", start.elapsed().as_secs_f64());
    for stage in 0..STAGES {
        let log = Log::open(folders[0].join(format!("stage-{stage}/ledger"))).unwrap();
        let records = log.read(WAIT).unwrap();
        assert_eq!(records.len(), WORKERS + 1, "stage {stage}");
        assert_eq!(records[WORKERS], b"combined", "stage {stage}");
    }
}

#[test]
fn when_64_processes_append_together_none_waits_for_long() {
    let (folders, _guard) = folders("together");
    let log = Log::open_or_create(folders[0].join("ledger")).unwrap();
    let start = Instant::now();
    let longest = thread::scope(|scope| {
        let waiter = |number: usize| {
            let log = Log::open(folders[number % folders.len()].join("ledger")).unwrap();
            move || {
                let start = Instant::now();
                log.update(WAIT, |_| Ok::<_, Error>((vec![vec![number as u8]], ()))).unwrap();
                start.elapsed()
            }
        };
        let threads: Vec<_> = (0..64).map(|number| scope.spawn(waiter(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap()
    });
    println!(
        "64 appends in {:.3} s, the longest took {:.3} s",
        start.elapsed().as_secs_f64(),
        longest.as_secs_f64()
    );
    assert_eq!(log.read(WAIT).unwrap().len(), 64);
    assert!(longest < Duration::from_secs(30));
}
