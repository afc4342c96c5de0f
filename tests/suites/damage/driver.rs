//! A run in this process: the real handler and the real learning on real files, its events in a queue.

use protocol::{Event, FileRef, Ledger, Reason};
use serde_json::Value;
use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use storage::Root;
use trainer::cloud::{NoProgress, SystemClock};
use trainer::handler::handle;
use trainer::services::{Clock, Invocation, Invoke, Ledgers, Notice, Services, Settings};

/// Events on their way.
pub(crate) type Pending = VecDeque<Vec<u8>>;

/// How often a failing event is delivered: once, and two retries.
const DELIVERIES: usize = 3;
/// More events than any of these runs has.
const EVENTS: usize = 400;

/// The outcome of a run.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    /// With a model: the names and bytes of its files.
    Model(Vec<(String, Vec<u8>)>),
    /// With words: those of the run's end, or else those of the last refusal or failure.
    Said(String),
}

struct Queue(Arc<Mutex<Pending>>);

impl Invoke for Queue {
    fn send(&self, event: &Event) -> Result<(), trainer::Error> {
        self.0.lock().expect("the queue").push_back(event.to_json().to_string().into_bytes());
        Ok(())
    }
}

/// One function and its queue of events.
pub(crate) struct Driver {
    services: Services,
    queue: Arc<Mutex<Pending>>,
    /// Milliseconds of the next leg.
    pub(crate) time_ms: u64,
    number: u64,
    /// The last refusal or failure.
    said: String,
}

impl Driver {
    pub(crate) fn new(folder: &Path, pending: Pending) -> Driver {
        let queue = Arc::new(Mutex::new(pending));
        let services = Services {
            root: Root::open(folder).expect("a root"),
            invoke: Box::new(Queue(queue.clone())),
            progress: Box::new(NoProgress),
            clock: Box::new(SystemClock),
            workloads: workloads::all(),
            settings: Settings {
                ceiling: protocol::Ceiling::default(),
                threads: 1,
                lock_wait: Duration::from_secs(5),
                patience_ms: 600_000,
            },
            ledgers: Ledgers::default(),
            notice: Notice::default(),
        };
        Driver { services, queue, time_ms: 900_000, number: 0, said: String::new() }
    }

    pub(crate) fn send(&self, event: &Value) {
        self.queue.lock().expect("the queue").push_back(event.to_string().into_bytes());
    }

    pub(crate) fn pending(&self) -> Pending {
        self.queue.lock().expect("the queue").clone()
    }

    /// Delivers the next event, again if it fails; `false` if there is none.
    pub(crate) fn step(&mut self) -> bool {
        let Some(event) = self.queue.lock().expect("the queue").pop_front() else { return false };
        self.number += 1;
        for _ in 0..DELIVERIES {
            let (id, arrived_ms) = (format!("i-{}", self.number), SystemClock.now_ms());
            let deadline_ms = arrived_ms + self.time_ms;
            let invocation = Invocation { id, arrived_ms, deadline_ms, memory_mb: 1_769 };
            match handle(&self.services, &event, &invocation) {
                Ok(reply) => {
                    if let Some(why) = reply.refusal() {
                        self.said = why.to_owned();
                    }
                    break;
                }
                Err(error) => self.said = error.to_string(),
            }
        }
        true
    }

    /// The run's ledger, if it can be read.
    pub(crate) fn ledger(&self) -> Result<Ledger, String> {
        let run = protocol::RunId::new("run").expect("an id");
        setup::runs::read_ledger(self.services.root.path(), &run)
    }

    /// Continues until the run has ended, or starting it again only returns words.
    pub(crate) fn outcome(mut self, start: &Value) -> Outcome {
        for _ in 0..3 {
            let mut left = EVENTS;
            while left > 0 && self.step() {
                left -= 1;
            }
            assert!(left > 0, "the run does not end: {}", self.said);
            if let Ok(Some(ending)) = self.ledger().map(|ledger| ledger.ending) {
                return match (ending.why, ending.model) {
                    (Reason::Failed(why), _) => Outcome::Said(why),
                    (why, None) => Outcome::Said(why.to_string()),
                    (_, Some(model)) => self.model(&model),
                };
            }
            self.send(start);
        }
        Outcome::Said(self.said)
    }

    fn model(&self, model: &FileRef) -> Outcome {
        let folder = self.services.root.path().join("runs/run/model");
        let description = fs::read(folder.join(&model.name)).expect("model.json");
        let head: Value = serde_json::from_slice(&description).expect("JSON");
        let head = head["head"]["name"].as_str().expect("the head's name").to_owned();
        let bytes = fs::read(folder.join(&head)).expect("the head");
        Outcome::Model(vec![(model.name.clone(), description), (head, bytes)])
    }
}
