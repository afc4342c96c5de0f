//! One sandbox for the handler's tests: a learner that works as it is told, and a clock that stands until it is moved.

use crate::Error;
use crate::cloud::NoProgress;
use crate::handler::handle;
use crate::services::{Clock, Invocation, Invoke, Learner, Ledgers, Services, Settings};
use learning::{Assignment, CombineOrder, Combined, Plan, Work};
use protocol::{FeatureStore, FileRef, Job, RunId};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use storage::Root;

/// How a worker's work begins.
pub(super) type Begin = dyn Fn() -> Result<Box<dyn Work>, learning::Error> + Send + Sync;

/// Plans, begins a worker's work as it is told, and does nothing else.
struct Begins(Box<Begin>);

impl Learner for Begins {
    fn plan(&self, _: &Root, _: &Job) -> Result<Plan, learning::Error> {
        Ok(Plan {
            features_key: "key".into(),
            manifest: None,
            train_images: 10,
            val_images: 10,
            classes: vec!["a".into(), "b".into()],
            units: 2,
            result_bytes: 0,
        })
    }
    fn work(&self, _: &Assignment<'_>) -> Result<Box<dyn Work>, learning::Error> {
        (self.0)()
    }
    fn combine(&self, _: &CombineOrder<'_>) -> Result<Combined, learning::Error> {
        unreachable!("no stage comes to its combine here")
    }
    fn finish(
        &self,
        _: &Root,
        _: &RunId,
        _: &Job,
        _: &FeatureStore,
        _: &FileRef,
        _: usize,
    ) -> Result<FileRef, learning::Error> {
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
        learner: Box::new(Begins(begin)),
        settings: Settings { threads: 1, lock_wait: Duration::from_secs(5), patience_ms: 60_000 },
        ledgers: Ledgers::default(),
    }
}

/// Delivers an event; what the handler answers.
pub(super) fn deliver(services: &Services, event: &Value) -> Result<Value, Error> {
    let invocation = Invocation {
        id: event.to_string(),
        deadline_ms: services.clock.now_ms() + 900_000,
        memory_mb: 3_008,
    };
    handle(services, event.to_string().as_bytes(), &invocation).map(|reply| reply.to_json().clone())
}
