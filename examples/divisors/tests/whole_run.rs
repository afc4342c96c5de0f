//! The example carries out whole runs through the real handler: events in a queue, files in a folder.

use example_divisors::Divisors;
use protocol::Event;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use storage::Root;
use trainer::cloud::NoProgress;
use trainer::handler::handle;
use trainer::services::{Clock, Invocation, Invoke, Ledgers, Notice, Services, Settings};
use work::Registry;

#[derive(Clone, Default)]
struct Queue(Arc<Mutex<VecDeque<Value>>>);

impl Invoke for Queue {
    fn send(&self, event: &Event) -> Result<(), trainer::Error> {
        self.0.lock().unwrap().push_back(event.to_json());
        Ok(())
    }
}

/// A clock that moves 10 ms at each look: legs are cut after the same steps on every machine.
struct Moving(AtomicU64);

impl Clock for Moving {
    fn now_ms(&self) -> u64 {
        self.0.fetch_add(10, Ordering::Relaxed)
    }
}

/// Delivers a start and all that comes of it, each with so much time; the files of the product, and the
/// number of events.
fn run(folder: &Path, workers: u32, time_ms: u64) -> (BTreeMap<String, String>, usize) {
    let queue = Queue::default();
    let services = Services {
        root: Root::open(folder).unwrap(),
        invoke: Box::new(queue.clone()),
        progress: Box::new(NoProgress),
        clock: Box::new(Moving(AtomicU64::new(1_795_000_000_000))),
        workloads: Registry::new(vec![("divisors", Box::new(Divisors))]),
        settings: Settings {
            ceiling: protocol::Ceiling::default(),
            threads: 1,
            lock_wait: Duration::from_secs(5),
            patience_ms: 600_000,
        },
        ledgers: Ledgers::default(),
        notice: Notice::default(),
    };
    let job = json!({"kind": "divisors", "up_to": 300_000});
    queue.0.lock().unwrap().push_back(json!({"start": true, "run": "run", "workers": workers, "job": job}));
    let mut events = 0;
    loop {
        let Some(event) = queue.0.lock().unwrap().pop_front() else { break };
        events += 1;
        let (id, arrived_ms) = (format!("i-{events}"), services.clock.now_ms());
        let deadline_ms = arrived_ms + time_ms;
        let invocation = Invocation { id, arrived_ms, deadline_ms, memory_mb: 1_769 };
        let reply = handle(&services, event.to_string().as_bytes(), &invocation).unwrap();
        assert!(reply.refusal().is_none() && events < 10_000, "{event}: {:?}", reply.to_json());
    }
    let files = std::fs::read_dir(folder.join("runs/run/model")).unwrap().map(|entry| entry.unwrap());
    let text = |file: std::fs::DirEntry| {
        (file.file_name().into_string().unwrap(), std::fs::read_to_string(file.path()).unwrap())
    };
    (files.map(text).collect(), events)
}

#[test]
fn every_number_has_its_smallest_divisor_however_the_run_is_cut() {
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (files, events) = run(folders[0].path(), 3, 900_000);
    let lines =
        files.iter().filter(|(name, _)| name.starts_with("results-")).flat_map(|(_, text)| text.lines());
    let found: Vec<(u64, u64)> = lines
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|line| (line["unit"].as_u64().unwrap(), line["result"].as_u64().unwrap()))
        .collect();
    assert_eq!(found.len(), 299_999);
    assert!(found.iter().all(|(number, divisor)| number % divisor == 0 && *divisor > 1));
    assert_eq!((found[0], found[1], found[299_998]), ((2, 2), (3, 3), (300_000, 2)));
    assert_eq!(files["dead.jsonl"].lines().count(), 2, "0 and 1");
    // Half a second of it is kept for handing over.
    let (cut, more) = run(folders[1].path(), 3, 1_000);
    assert!(more > events && cut == files, "{events} events, {more} when it is cut");
}
