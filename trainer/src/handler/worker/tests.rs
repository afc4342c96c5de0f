//! A leg ends with the current batch when its run is stopped; the cause of repeated failures is the reason
//! when the run is given up.

use crate::Error;
use crate::handler::sandbox::{self, Begin, deliver, noon};
use crate::services::{Invoke, Services};
use protocol::{Event, Fact, FileRef, Ledger, RunId};
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use storage::{FactLog, Root};
use work::{Failed, Progress, Work};

struct Nowhere;

impl Invoke for Nowhere {
    fn send(&self, _: &Event) -> Result<(), Error> {
        Ok(())
    }
}

fn sandbox(folder: &Path, clock: &Arc<AtomicU64>, begin: Box<Begin>) -> Services {
    sandbox::sandbox(folder, clock, Nowhere, begin)
}

fn start() -> Value {
    json!({"start": true, "run": "a-run", "workers": 1, "job": {"dataset": "a", "network": "vgg19"}})
}

fn worker() -> Value {
    json!({"workerno": 0, "workers": 1, "epochsdone": 0, "run": "a-run"})
}

fn ledger(root: &Root) -> Ledger {
    let log = FactLog::<Fact>::open(root.run(&RunId::new("a-run").unwrap()).ledger()).unwrap();
    Ledger::fold(log.read(Duration::from_secs(5)).unwrap()).unwrap().unwrap()
}

/// Batches of 700 ms without an end. In the second one somebody stops the run.
struct Batches {
    folder: PathBuf,
    clock: Arc<AtomicU64>,
    done: Arc<AtomicU64>,
}

impl Work for Batches {
    fn step(&mut self) -> Result<(), Failed> {
        self.clock.fetch_add(700, Ordering::Relaxed);
        if self.done.fetch_add(1, Ordering::Relaxed) == 1 {
            let other = sandbox(&self.folder, &self.clock, Box::new(|| unreachable!("it only stops")));
            deliver(&other, &json!({"stop": true, "run": "a-run"})).unwrap();
        }
        Ok(())
    }
    fn progress(&self) -> Progress {
        Progress { done: self.done.load(Ordering::Relaxed), of: 1_000_000 }
    }
    fn save(&mut self) -> Result<FileRef, Failed> {
        unreachable!("a run that was stopped needs no place")
    }
    fn publish(&mut self) -> Result<FileRef, Failed> {
        unreachable!("a run that was stopped needs no result")
    }
}

#[test]
fn a_stop_takes_effect_with_the_batch_in_hand() {
    let folder = tempfile::tempdir().unwrap();
    let (clock, done) = (noon(), Arc::new(AtomicU64::new(0)));
    let (path, time, count) = (folder.path().to_owned(), clock.clone(), done.clone());
    let begin = move || -> Result<Box<dyn Work>, Failed> {
        Ok(Box::new(Batches { folder: path.clone(), clock: time.clone(), done: count.clone() }))
    };
    let services = sandbox(folder.path(), &clock, Box::new(begin));
    deliver(&services, &start()).unwrap();
    let reply = deliver(&services, &worker()).unwrap();
    assert!(reply["ignored"].as_str().is_some_and(|why| why.contains("stopped")), "{reply}");
    assert_eq!(done.load(Ordering::Relaxed), 2, "a batch began after the stop");
}

#[test]
fn a_full_disk_is_the_reason_when_the_run_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let clock = noon();
    let begin = || {
        let full = storage::Error::io("write", Path::new("worker-000.safetensors"));
        Err(full(ErrorKind::StorageFull.into()).into())
    };
    let services = sandbox(folder.path(), &clock, Box::new(begin));
    deliver(&services, &start()).unwrap();
    let mut tries = 0;
    while let Err(error) = deliver(&services, &worker()) {
        assert!(error.to_string().contains("the disk is full"), "{error}");
        tries += 1;
        assert!(tries < 50, "the run is never given up");
    }
    let why = ledger(&services.root).ending.unwrap().why.to_string();
    for part in
        ["leg 0 of worker 0", "began 13 times", "worker-000.safetensors", "the disk is full: free some space"]
    {
        assert!(why.contains(part), "nothing of {part:?} in: {why}");
    }
}
