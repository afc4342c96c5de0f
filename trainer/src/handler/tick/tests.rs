//! The watchdog is on whenever a run is active, and off when none is, however starts and ticks fall.

use crate::Error;
use crate::cloud::NoProgress;
use crate::handler::handle;
use crate::services::{Clock, Invocation, Invoke, Learner, Ledgers, Services, Settings};
use learning::{Assignment, CombineOrder, Combined, Plan, Work};
use protocol::{Event, FeatureStore, FileRef, Job, RunId};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use storage::Root;

/// The rule: whether it is on, and what happens before it is switched off the next time.
#[derive(Default)]
struct Rule {
    on: Mutex<bool>,
    switched: Mutex<Vec<bool>>,
    before_off: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    broken: bool,
}

struct Switch(Arc<Rule>);

impl Invoke for Switch {
    fn send(&self, _: &Event) -> Result<(), Error> {
        Ok(())
    }

    fn watch(&self, on: bool) -> Result<(), Error> {
        if self.0.broken {
            return Err(Error::Send { event: "on".into(), reason: "broken".into() });
        }
        let before_off = if on { None } else { self.0.before_off.lock().unwrap().take() };
        if let Some(before_off) = before_off {
            before_off();
        }
        self.0.switched.lock().unwrap().push(on);
        *self.0.on.lock().unwrap() = on;
        Ok(())
    }
}

struct Noon;

impl Clock for Noon {
    fn now_ms(&self) -> u64 {
        1_795_000_000_000
    }
}

/// Plans, and never gets to work.
struct Planner;

impl Learner for Planner {
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
        unreachable!("nothing is delivered to a worker here")
    }
    fn combine(&self, _: &CombineOrder<'_>) -> Result<Combined, learning::Error> {
        unreachable!("nothing is delivered to a combine here")
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

/// One sandbox on a folder.
fn sandbox(folder: &Path, rule: &Arc<Rule>) -> Services {
    Services {
        root: Root::open(folder).unwrap(),
        invoke: Box::new(Switch(rule.clone())),
        progress: Box::new(NoProgress),
        clock: Box::new(Noon),
        learner: Box::new(Planner),
        settings: Settings { threads: 1, lock_wait: Duration::from_secs(5), patience_ms: 60_000 },
        ledgers: Ledgers::default(),
    }
}

fn deliver(services: &Services, event: serde_json::Value) {
    let invocation =
        Invocation { id: event.to_string(), deadline_ms: Noon.now_ms() + 900_000, memory_mb: 3_008 };
    let reply = handle(services, event.to_string().as_bytes(), &invocation).unwrap();
    assert_eq!(reply.refusal(), None, "{event}");
}

fn start(run: &str) -> serde_json::Value {
    json!({"start": true, "run": run, "workers": 2, "job": {"dataset": "a", "network": "vgg19"}})
}

fn tick() -> serde_json::Value {
    json!({"tick": true})
}

#[test]
fn the_watchdog_is_on_while_a_run_is_active() {
    let folder = tempfile::tempdir().unwrap();
    let rule = Arc::new(Rule::default());
    let services = sandbox(folder.path(), &rule);
    deliver(&services, start("first"));
    deliver(&services, start("second"));
    deliver(&services, tick());
    deliver(&services, json!({"stop": true, "run": "first"}));
    deliver(&services, tick());
    assert!(*rule.on.lock().unwrap(), "the second run is active");
    deliver(&services, json!({"stop": true, "run": "second"}));
    deliver(&services, tick());
    assert!(!*rule.on.lock().unwrap());
    assert_eq!(*rule.switched.lock().unwrap(), [true, true, false]);
}

#[test]
fn a_run_that_was_removed_does_not_keep_it_on() {
    let folder = tempfile::tempdir().unwrap();
    let rule = Arc::new(Rule::default());
    let services = sandbox(folder.path(), &rule);
    deliver(&services, start("gone"));
    deliver(&services, start("there"));
    std::fs::remove_dir_all(folder.path().join("runs/gone")).unwrap();
    deliver(&services, json!({"stop": true, "run": "there"}));
    deliver(&services, tick());
    assert!(!*rule.on.lock().unwrap());
}

#[test]
fn a_start_between_the_look_and_the_switch_is_not_left_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let rule = Arc::new(Rule::default());
    let services = sandbox(folder.path(), &rule);
    deliver(&services, start("first"));
    deliver(&services, json!({"stop": true, "run": "first"}));
    // The tick has found no active run and is about to switch off, when another sandbox starts one.
    let other = sandbox(folder.path(), &rule);
    *rule.before_off.lock().unwrap() = Some(Box::new(move || deliver(&other, start("second"))));
    deliver(&services, tick());
    assert!(*rule.on.lock().unwrap(), "{:?}", rule.switched.lock().unwrap());
    assert_eq!(*rule.switched.lock().unwrap(), [true, true, false, true]);
}

#[test]
fn a_switch_that_fails_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let rule = Arc::new(Rule { broken: true, ..Rule::default() });
    let services = sandbox(folder.path(), &rule);
    deliver(&services, start("a-run"));
    deliver(&services, json!({"stop": true, "run": "a-run"}));
    deliver(&services, tick());
}
