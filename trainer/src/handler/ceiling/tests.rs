//! Starts and legs against the operator's ceiling.

use crate::handler::sandbox::{Begin, deliver, noon, sandbox};
use crate::services::{Invoke, Services};
use crate::{Error, handler::today};
use protocol::{Ceiling, Event};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use work::Failed;

/// The cost of a leg of the sandbox that takes all of its 900 s.
const LEG: f64 = 0.044;

/// Keeps what is sent.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Value>>>);

impl Invoke for Kept {
    fn send(&self, event: &Event) -> Result<(), Error> {
        self.0.lock().unwrap().push(event.to_json());
        Ok(())
    }
}

struct Place {
    services: Services,
    sent: Kept,
    _folder: tempfile::TempDir,
}

/// A sandbox in which every leg takes all of its time, and then fails for trouble that may pass.
fn place(ceiling: Ceiling) -> Place {
    let folder = tempfile::tempdir().unwrap();
    let (clock, sent) = (noon(), Kept::default());
    let time = clock.clone();
    let begin: Box<Begin> = Box::new(move || {
        time.fetch_add(900_000, Ordering::Relaxed);
        let trouble = std::io::Error::from_raw_os_error(5);
        Err(Failed::from(storage::Error::io("read", Path::new("x"))(trouble)))
    });
    let mut services = sandbox(folder.path(), &clock, sent.clone(), begin);
    services.settings.ceiling = ceiling;
    Place { services, sent, _folder: folder }
}

impl Place {
    fn start(&self, run: &str, workers: u32) -> Value {
        let job = json!({"dataset": "d", "network": "vgg19"});
        let event = json!({"start": true, "run": run, "workers": workers, "job": job});
        deliver(&self.services, &event).unwrap()
    }

    fn day(&self) -> protocol::items::DayItem {
        today(&self.services).unwrap()
    }
}

fn refusal(reply: &Value) -> &str {
    reply["refused"].as_str().unwrap_or_else(|| panic!("{reply}"))
}

#[test]
fn a_start_that_would_pass_the_ceiling_is_refused_by_name() {
    let place = place(Ceiling {
        dollars_per_run: Some(6.0),
        workers: Some(50),
        active_runs: Some(2),
        dollars_per_day: Some(20.0 * LEG),
    });
    assert!(refusal(&place.start("wide", 51)).contains("MaxWorkers"));
    let job = json!({"dataset": "d", "network": "vgg19", "limits": {"dollars": 1e5}});
    let dear = deliver(&place.services, &json!({"start": true, "run": "dear", "job": job})).unwrap();
    assert!(refusal(&dear).contains("MaxDollarsPerRun"), "{dear}");
    assert_eq!(place.start("a", 4)["run"], "a");
    assert!(refusal(&place.start("b", 40)).contains("MaxDollarsPerDay"));
    assert_eq!(place.start("b", 4)["run"], "b");
    assert!(refusal(&place.start("c", 1)).contains("2 runs are active (a, b), of 2"));
    assert!(place.day().dollars <= 20.0 * LEG && place.day().active == 2);
    // What is refused leaves nothing that would be active.
    assert_eq!(place.sent.0.lock().unwrap().len(), 8);
    let ticked = deliver(&place.services, &json!({"tick": true})).unwrap();
    assert!(ticked.get("c").is_none() && ticked.get("a").is_some(), "{ticked}");
    // Who ends makes room.
    deliver(&place.services, &json!({"stop": true, "run": "a"})).unwrap();
    assert_eq!(place.start("c", 1)["run"], "c");
}

#[test]
fn a_run_that_would_pass_the_days_ceiling_ends_at_its_limit() {
    let place = place(Ceiling { dollars_per_day: Some(9.0 * LEG), ..Ceiling::default() });
    place.start("a", 4);
    let mut ended = Value::Null;
    for attempt in 0..40 {
        let event = place.sent.0.lock().unwrap()[attempt % 4].clone();
        match deliver(&place.services, &event) {
            Ok(reply) if reply.get("ended").is_some() => {
                assert!(attempt > 4, "it was admitted with so much");
                ended = reply;
                break;
            }
            _ => assert!(place.day().dollars <= 9.0 * LEG),
        }
    }
    assert!(ended["ended"].as_str().unwrap_or_default().contains("limit reached"), "{ended}");
    assert!(place.day().dollars <= 9.0 * LEG && place.day().active == 0);
}

#[test]
fn without_a_ceiling_nothing_is_written() {
    let place = place(Ceiling::default());
    place.start("a", 4);
    assert!(!place.services.root.path().join("runs/spent.log").exists());
}
