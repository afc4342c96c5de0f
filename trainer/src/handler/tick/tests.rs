//! The watchdog is on whenever a run is active, and off when none is, whatever the order of starts and ticks.

use crate::Error;
use crate::handler::sandbox::{self, noon};
use crate::services::{Invoke, Services};
use protocol::Event;
use serde_json::json;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// The rule: whether it is on, and an action before it is switched off the next time.
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

fn sandbox(folder: &Path, rule: &Arc<Rule>) -> Services {
    let begin = || unreachable!("nothing is delivered to a worker here");
    sandbox::sandbox(folder, &noon(), Switch(rule.clone()), Box::new(begin))
}

fn deliver(services: &Services, event: serde_json::Value) {
    let reply = sandbox::deliver(services, &event).unwrap();
    assert_eq!(reply.get("refused"), None, "{event}");
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
