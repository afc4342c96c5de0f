//! A run in the local cloud that stands still: events that were given up are reported, and after a while the
//! command stops waiting.

use crate::Failure;
use local_cloud::{Error, Status};
use protocol::{Event, Ledger};
use std::time::{Duration, Instant};
use terminal::note;

/// The state of a run as it was last seen.
pub(super) struct Standstill {
    give_up: Duration,
    /// Events given up that the user was told of.
    told: usize,
    /// The reason of the last of them since the run moved.
    why: Option<Trouble>,
    /// Stage, workers that are done, legs: these change when a run moves.
    place: (u32, usize, u32),
    moved: Instant,
}

/// The function's last error for an event.
struct Trouble {
    message: String,
    /// `Storage`, `Ahead` and so on; the platform's own kinds have a dot: `Sandbox.Timedout`.
    kind: String,
}

impl Standstill {
    pub(super) fn new(give_up: Duration) -> Standstill {
        Standstill { give_up, told: 0, why: None, place: (0, 0, 0), moved: Instant::now() }
    }

    /// Reads the state of the run and its cloud.
    ///
    /// # Errors
    /// If nothing moves, nothing is on its way, and that has lasted too long after an event was given up.
    pub(super) fn look(&mut self, ledger: &Ledger, cloud: &Status) -> Result<(), Failure> {
        let done = ledger.workers.iter().filter(|worker| worker.result.is_some()).count();
        let place = (ledger.stage, done, ledger.workers.iter().map(|worker| worker.leg).sum());
        if place != self.place {
            (self.place, self.moved, self.why) = (place, Instant::now(), None);
        }
        for failure in &cloud.failures[self.told.min(cloud.failures.len())..] {
            let trouble = trouble(&failure.response_payload);
            if self.why.as_ref().is_none_or(|known| known.message != trouble.message) {
                note!(
                    "  {} was given up after {} tries: {}",
                    name(&failure.request_payload),
                    failure.attempts,
                    trouble.message
                );
            }
            // The watchdog sends an event again whose process crashed or ran out of time.
            if !trouble.is_the_platforms() {
                self.why = Some(trouble);
            }
        }
        self.told = cloud.failures.len();
        match &self.why {
            Some(why) if cloud.outstanding == cloud.retrying && self.moved.elapsed() > self.give_up => {
                Err(Failure {
                    code: if why.kind == "Storage" { 4 } else { 1 },
                    message: format!(
                        "run {} has stood still for {:.0} s: {}. Run the same command again to continue it",
                        ledger.run,
                        self.moved.elapsed().as_secs_f64(),
                        why.message
                    ),
                })
            }
            _ => Ok(()),
        }
    }
}

/// Why the function did not answer, with the exit code that goes with it.
pub(super) fn unanswered(error: Error) -> Failure {
    match said(&error).filter(|why| !why.message.is_empty()) {
        Some(why) if why.kind == "Storage" => Failure { code: 4, message: why.message },
        Some(why) => Failure { code: 1, message: format!("the function failed: {}", why.message) },
        None => error.to_string().into(),
    }
}

/// Whether the function's process died or ran out of time, by what was said of it.
pub(super) fn died(error: &Error) -> bool {
    said(error).is_some_and(|why| why.is_the_platforms())
}

/// The reason of a failure, from the function or from the platform in its place.
fn said(error: &Error) -> Option<Trouble> {
    if let Error::Failed(object) = error { Some(trouble(object)) } else { None }
}

/// A short name of an event.
fn name(event: &str) -> String {
    match Event::parse(event.as_bytes()) {
        Ok(Event::Worker(worker)) => format!("worker {}", worker.worker),
        Ok(Event::Combine { .. }) => "the combine".into(),
        Ok(Event::Tick { .. }) => "the watchdog's tick".into(),
        _ => event.into(),
    }
}

impl Trouble {
    /// Whether the function itself reported nothing: its process crashed or ran out of time.
    fn is_the_platforms(&self) -> bool {
        self.kind.contains('.')
    }
}

/// Lambda's error object.
fn trouble(response: &str) -> Trouble {
    let response: serde_json::Value = serde_json::from_str(response).unwrap_or_default();
    let text = |key: &str| response[key].as_str().unwrap_or_default().to_owned();
    Trouble { message: text("errorMessage"), kind: text("errorType") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use local_cloud::{Counts, Failure as GivenUp};
    use protocol::{Fact, FeatureStore, Job, LEDGER_SCHEMA, RunId};
    use serde_json::json;

    fn ledger() -> Ledger {
        let job = Job::from_value(json!({"dataset": "d", "network": "vgg19"})).unwrap();
        let features = FeatureStore { key: "k".into(), manifest: None };
        let run = RunId::new("r").unwrap();
        let started = Fact::Started {
            schema: LEDGER_SCHEMA,
            run,
            job: Box::new(job),
            course: Box::new(crate::told::tests::course(&["train"], 5)),
            workers: 2,
            features,
            invocation: String::new(),
            at_ms: 0,
        };
        Ledger::start(started).unwrap()
    }

    fn status(outstanding: usize, failures: usize) -> Status {
        status_of("Storage", outstanding, failures)
    }

    fn status_of(kind: &str, outstanding: usize, failures: usize) -> Status {
        let failure = GivenUp {
            request_id: "1".into(),
            condition: "RetriesExhausted".into(),
            attempts: 3,
            request_payload: r#"{"workerno":1,"workers":2,"epochsdone":0}"#.into(),
            response_payload: json!({"errorType": kind, "errorMessage": "the disk is full"}).to_string(),
            at_ms: 0,
        };
        let (function, endpoint) = (String::new(), String::new());
        let (counts, failures) = (Counts::default(), vec![failure; failures]);
        Status {
            function,
            endpoint,
            counts,
            outstanding,
            retrying: 0,
            queued: 0,
            processes: vec![],
            failures,
            kills: vec![],
        }
    }

    #[test]
    fn a_run_is_left_alone_when_an_event_was_given_up_and_nothing_is_on_its_way_and_not_before() {
        let (mut ledger, mut standstill) = (ledger(), Standstill::new(Duration::ZERO));
        assert!(standstill.look(&ledger, &status(0, 0)).is_ok(), "nothing was given up");
        assert!(standstill.look(&ledger, &status(1, 1)).is_ok(), "another event is on its way");
        let failing = Status { retrying: 1, ..status(1, 1) };
        assert!(standstill.look(&ledger, &failing).is_err(), "what is on its way has failed as well");
        let failure = standstill.look(&ledger, &status(0, 1)).unwrap_err();
        assert!(failure.code == 4 && failure.message.contains("the disk is full"), "{failure}");
        let crashed = status_of("Runtime.ExitError", 0, 1);
        assert!(Standstill::new(Duration::ZERO).look(&ledger, &crashed).is_ok(), "the watchdog's business");
        ledger.workers[0].leg = 1;
        assert!(standstill.look(&ledger, &status(0, 1)).is_ok(), "it has moved since");
    }

    #[test]
    fn a_process_that_died_is_told_from_a_function_that_failed() {
        let said = |kind: &str| Error::Failed(json!({"errorType": kind, "errorMessage": "x"}).to_string());
        assert!(died(&said("Runtime.ExitError")) && died(&said("Sandbox.Timedout")));
        assert!(!died(&said("Storage")) && !died(&Error::Closed));
    }
}
