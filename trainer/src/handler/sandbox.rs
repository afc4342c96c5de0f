//! One sandbox for the handler's tests: a workload that does what the test says, and a clock that stands
//! still until it is moved.

use crate::Error;
use crate::cloud::NoProgress;
use crate::handler::handle;
use crate::services::{Clock, Invocation, Invoke, Ledgers, Notice, Services, Settings};
use protocol::{Best, Ceiling, Course, FeatureStore, FileRef, Job};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use storage::Root;
use work::{Combined, Failed, Last, Plan, Registry, Stage, Work, Workload};

/// How a worker's work begins.
pub(super) type Begin = dyn Fn() -> Result<Box<dyn Work>, Failed> + Send + Sync;

/// Plans, begins a worker's work as the test says, and does nothing else.
struct Begins(Box<Begin>);

impl Workload for Begins {
    fn check(&self, _: &Job) -> Result<(), Failed> {
        Ok(())
    }
    fn plan(&self, _: &Root, job: &Job, _: u32) -> Result<Plan, Failed> {
        let course = Course {
            title: "nothing".into(),
            before: vec!["features".into()],
            shares: Vec::new(),
            round: vec!["train".into()],
            rounds: 20,
            called: "round".into(),
            unit: "images".into(),
            measures: Vec::new(),
            best: Best::Measured,
            score_every: 1,
            patience: None,
        };
        let features = FeatureStore { key: "key".into(), manifest: None };
        Ok(Plan { job: Box::new(job.clone()), course: Box::new(course), features })
    }
    fn open(&self, _: &Stage<'_>, _: u32, _: Option<&FileRef>) -> Result<Box<dyn Work>, Failed> {
        (self.0)()
    }
    fn combine<'a>(
        &'a self,
        _: &Stage<'a>,
        _: &'a [FileRef],
        _: Option<&FileRef>,
    ) -> Result<Box<dyn Work<Combined> + 'a>, Failed> {
        unreachable!("no stage comes to its combine here")
    }
    fn finish<'a>(&'a self, _: &Stage<'a>, _: Last<'a>) -> Result<Box<dyn Work + 'a>, Failed> {
        unreachable!("no run here has a best state")
    }
}

struct Shared(Arc<AtomicU64>);

impl Clock for Shared {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A clock at some noon.
pub(super) fn noon() -> Arc<AtomicU64> {
    Arc::new(AtomicU64::new(1_795_000_000_000))
}

/// One sandbox on a folder.
pub(super) fn sandbox(
    folder: &Path,
    clock: &Arc<AtomicU64>,
    invoke: impl Invoke + 'static,
    begin: Box<Begin>,
) -> Services {
    Services {
        root: Root::open(folder).unwrap(),
        invoke: Box::new(invoke),
        progress: Box::new(NoProgress),
        clock: Box::new(Shared(clock.clone())),
        workloads: Registry::new(vec![("begins", Box::new(Begins(begin)))]),
        settings: Settings {
            ceiling: Ceiling::default(),
            threads: 1,
            lock_wait: Duration::from_secs(5),
            patience_ms: 60_000,
        },
        ledgers: Ledgers::default(),
        notice: Notice::default(),
    }
}

/// Delivers an event and returns the handler's answer.
pub(super) fn deliver(services: &Services, event: &Value) -> Result<Value, Error> {
    let arrived_ms = services.clock.now_ms();
    let invocation =
        Invocation { id: event.to_string(), arrived_ms, deadline_ms: arrived_ms + 900_000, memory_mb: 3_008 };
    handle(services, event.to_string().as_bytes(), &invocation).map(|reply| reply.to_json().clone())
}
