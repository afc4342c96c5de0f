//! A platform that delivers one event at a time: to the real handler in this process, or in a child process
//! that dies.

use crate::dying_disk::{Death, DyingDisk, Steps};
use protocol::{Event, Fact, RunId};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use storage::{FactLog, Root, disk};
use trainer::cloud::{NoProgress, SystemClock};
use trainer::handler::handle;
use trainer::services::{Clock, Invocation, Invoke, Ledgers, Notice, Services, Settings};

/// A time limit, and how far a tick's clock is moved so that it has passed.
const LIMIT_MS: u64 = 900_000;
/// The run's id.
pub(crate) const RUN: &str = "crash";

/// One delivery of an event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Delivery {
    pub(crate) payload: String,
    /// Lambda's request id: a second delivery has the same.
    pub(crate) id: String,
    /// Whether its time is short, so that a leg stops after its first step.
    pub(crate) short: bool,
    /// How far the platform's clock is moved.
    pub(crate) ahead_ms: u64,
}

/// A folder, and the events that are on their way to it.
pub(crate) struct Platform {
    pub(crate) root: PathBuf,
    pub(crate) queue: VecDeque<Delivery>,
    pub(crate) ahead_ms: u64,
    sent: u32,
}

impl Platform {
    pub(crate) fn new(root: &Path) -> Platform {
        Platform { root: root.to_owned(), queue: VecDeque::new(), ahead_ms: 0, sent: 0 }
    }

    /// Accepts an event, and gives it an id of its own.
    pub(crate) fn accept(&mut self, payload: &str) {
        self.sent += 1;
        let id = format!("{}-{}", self.sent, std::process::id());
        let short = is_cut(payload);
        self.queue.push_back(Delivery { payload: payload.to_owned(), id, short, ahead_ms: self.ahead_ms });
    }

    /// Delivers to the handler in this process; returns the steps that it took.
    pub(crate) fn deliver(&mut self, delivery: &Delivery) -> Vec<&'static str> {
        let steps = Steps::new(None);
        let outbox = Outbox::default();
        let answer = carry_out(&self.root, delivery, &steps, outbox.clone());
        answer.unwrap_or_else(|error| panic!("{}: {error}", delivery.payload));
        for event in std::mem::take(&mut *outbox.0.lock().expect("the outbox")) {
            self.accept(&event);
        }
        steps.taken()
    }

    /// Delivers to the handler in a process that dies; takes the events that it had sent by then.
    pub(crate) fn deliver_to_the_dying(&mut self, delivery: &Delivery, death: Death) {
        let order = Order { root: self.root.clone(), delivery: delivery.clone(), death };
        let child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "dies", "--nocapture"])
            .env("BATON_DEATH", serde_json::to_string(&order).expect("an order"))
            .stderr(Stdio::null())
            .output()
            .expect("a process");
        assert_eq!(
            child.status.signal(),
            Some(6),
            "it did not die: {}",
            String::from_utf8_lossy(&child.stdout)
        );
        let output = String::from_utf8_lossy(&child.stdout).into_owned();
        for event in output.lines().filter_map(|line| line.split_once("sent ")) {
            self.accept(event.1);
        }
    }

    /// Delivers everything until the run has ended; a run that stands still is ticked, and one that never
    /// began is started again.
    pub(crate) fn go_on(&mut self, start: &str) {
        for _ in 0..200 {
            if let Some(delivery) = self.queue.pop_front() {
                self.deliver(&delivery);
                continue;
            }
            let facts = self.facts();
            if matches!(facts.last(), Some(Fact::Ended { .. })) {
                return;
            }
            self.ahead_ms += 2 * LIMIT_MS;
            self.accept(if facts.is_empty() { start } else { r#"{"tick":true}"# });
        }
        panic!("the run does not end: {:?}", self.facts().last());
    }

    /// The run's facts; none when it never began.
    pub(crate) fn facts(&self) -> Vec<Fact> {
        let root = Root::open(&self.root).expect("the root");
        let log = FactLog::open(root.run(&RunId::new(RUN).expect("an id")).ledger());
        log.map_or(Vec::new(), |log| log.read(Duration::from_secs(10)).expect("the facts"))
    }
}

/// Legs that get a short time: the first of worker 0 in the features, and of worker 1 in a round.
fn is_cut(payload: &str) -> bool {
    matches!(Event::parse(payload.as_bytes()), Ok(Event::Worker(event))
        if event.leg == Some(0) && event.stage == Some(event.worker))
}

/// The order for a dying process.
#[derive(Serialize, Deserialize)]
struct Order {
    root: PathBuf,
    delivery: Delivery,
    death: Death,
}

/// The life of a process that was started to die; it returns in any other process.
pub(crate) fn die_as_ordered() {
    let Ok(order) = std::env::var("BATON_DEATH") else { return };
    let Order { root, delivery, death } = serde_json::from_str(&order).expect("an order");
    let steps = Steps::new(Some(death));
    let _ = carry_out(&root, &delivery, &steps, Aloud);
    println!("survived {} steps", steps.taken().len());
}

/// One event, with the real handler, the real training and the real disk.
fn carry_out(
    root: &Path,
    delivery: &Delivery,
    steps: &Arc<Steps>,
    outbox: impl Invoke + 'static,
) -> Result<(), trainer::Error> {
    let clock = SetOn(delivery.ahead_ms);
    let limit_ms = if delivery.short { 1 } else { LIMIT_MS };
    let (id, arrived_ms) = (delivery.id.clone(), clock.now_ms());
    let invocation = Invocation { id, arrived_ms, deadline_ms: arrived_ms + limit_ms, memory_mb: 1_024 };
    let services = Services {
        root: Root::open(root)?,
        invoke: Box::new(Counted { steps: steps.clone(), outbox }),
        progress: Box::new(NoProgress),
        clock: Box::new(clock),
        workloads: workloads::all(),
        settings: Settings {
            ceiling: protocol::Ceiling::default(),
            threads: 1,
            lock_wait: Duration::from_secs(30),
            patience_ms: 1_000,
        },
        ledgers: Ledgers::default(),
        notice: Notice::default(),
    };
    let disk = Arc::new(DyingDisk(steps.clone()));
    let reply = disk::within(disk, || handle(&services, delivery.payload.as_bytes(), &invocation))?;
    assert_eq!(reply.refusal(), None, "{}", delivery.payload);
    Ok(())
}

struct SetOn(u64);

impl Clock for SetOn {
    fn now_ms(&self) -> u64 {
        SystemClock.now_ms() + self.0
    }
}

/// Sends as a counted step.
struct Counted<I> {
    steps: Arc<Steps>,
    outbox: I,
}

impl<I: Invoke> Invoke for Counted<I> {
    fn send(&self, event: &Event) -> Result<(), trainer::Error> {
        self.steps.take("send", || self.outbox.send(event))
    }
}

#[derive(Clone, Default)]
struct Outbox(Arc<Mutex<Vec<String>>>);

impl Invoke for Outbox {
    fn send(&self, event: &Event) -> Result<(), trainer::Error> {
        self.0.lock().expect("the outbox").push(event.to_json().to_string());
        Ok(())
    }
}

/// Prints the events that it sends: standard output is all that a dying process leaves to the platform.
struct Aloud;

impl Invoke for Aloud {
    fn send(&self, event: &Event) -> Result<(), trainer::Error> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "sent {}", event.to_json()).and_then(|()| out.flush()).expect("standard output");
        Ok(())
    }
}
