//! Events: the requests to a Lambda invocation, in the JSON that users type and Baton sends.
//!
//! The short forms that a user types work as they are. Every key that is unknown, has the wrong type or
//! contradicts another is refused by name: an event is never read in part.

use crate::error::short;
use crate::job::MAX_WORKERS;
use crate::{Error, Job, RunId};
use serde::Serialize;
use serde_json::{Map, Value};

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Begin a run, or make a run that exists move.
    Start(StartEvent),
    /// Do one worker's next leg of a stage.
    Worker(WorkerEvent),
    /// Combine the results of a stage's workers.
    Combine {
        /// The run; none means the current one.
        run: Option<RunId>,
        /// The run's number of workers.
        workers: u32,
        /// Rounds that were complete when the event was sent.
        epochs_done: u32,
        /// The stage, if the sender names it.
        stage: Option<u32>,
        /// The leg, if the sender names it, counted from 0.
        leg: Option<u32>,
    },
    /// End a run now, with its best model so far.
    Stop {
        /// The run; none means the current one.
        run: Option<RunId>,
    },
    /// Look for due work that has not moved, and send it again.
    Tick {
        /// The run; none means the current one.
        run: Option<RunId>,
    },
}

/// `{"start": true, …}`
#[derive(Clone, Debug, PartialEq)]
pub struct StartEvent {
    /// Number of workers; none takes the job's, or 5.
    pub workers: Option<u32>,
    /// The run's id; none makes one from the time.
    pub run: Option<RunId>,
    /// The job; none takes `job.json` at the root of the file system.
    pub job: Option<Box<Job>>,
    /// Send everything again that is not done, also work that seems to be in hand: for a cloud that knows
    /// that no function is alive.
    pub force: bool,
}

/// `{"workerno": 3, "workers": 5, "epochsdone": 6, …}`
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerEvent {
    /// The run; none means the current one.
    pub run: Option<RunId>,
    /// The worker, counted from 0.
    pub worker: u32,
    /// The run's number of workers.
    pub workers: u32,
    /// Rounds that were complete when the event was sent.
    pub epochs_done: u32,
    /// The stage, if the sender names it.
    pub stage: Option<u32>,
    /// The leg, if the sender names it, counted from 0.
    pub leg: Option<u32>,
}

impl Event {
    /// Parses an event.
    ///
    /// # Errors
    /// [`Error::Malformed`] when it is not a JSON object, [`Error::Refused`] with the key otherwise.
    pub fn parse(text: &[u8]) -> Result<Event, Error> {
        let value: Value = serde_json::from_slice(text).map_err(|e| Error::Malformed(e.to_string()))?;
        Event::from_value(value)
    }

    /// Reads an event from a JSON value; see [`Event::parse`].
    pub fn from_value(value: Value) -> Result<Event, Error> {
        let Value::Object(map) = value else {
            return Err(Error::Malformed(format!("found {}, expected an object", short(&value))));
        };
        let kinds = ["start", "workerno", "combine", "stop", "tick"];
        let found: Vec<_> = kinds.into_iter().filter(|k| map.contains_key(*k)).collect();
        let [kind] = found[..] else {
            let [kinds, both] = [kinds.join(", "), found.join(" and ")];
            if found.is_empty() {
                return Err(unknown(&Value::Object(map), &kinds));
            }
            return Err(Error::refused(&kinds, both, "exactly one of these keys"));
        };
        Keys { map }.read(kind)
    }

    /// Whether it is a start of a cloud that knows that no function is alive.
    pub fn is_forced(&self) -> bool {
        matches!(self, Event::Start(StartEvent { force: true, .. }))
    }

    /// The run that the event names, if it does.
    pub fn run(&self) -> Option<&RunId> {
        match self {
            Event::Start(start) => start.run.as_ref(),
            Event::Worker(worker) => worker.run.as_ref(),
            Event::Combine { run, .. } | Event::Stop { run } | Event::Tick { run } => run.as_ref(),
        }
    }

    /// The event as Baton sends it; [`Event::parse`] reads it back.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        let mut put = |key: &str, value: Value| {
            if !value.is_null() {
                map.insert(key.into(), value);
            }
        };
        match self {
            Event::Start(start) => {
                put("start", true.into());
                put("workers", json(&start.workers));
                put("job", json(&start.job));
                put("force", if start.force { true.into() } else { Value::Null });
            }
            Event::Worker(w) => {
                put("workerno", w.worker.into());
                put("workers", w.workers.into());
                put("epochsdone", w.epochs_done.into());
                put("stage", json(&w.stage));
                put("leg", json(&w.leg));
            }
            Event::Combine { workers, epochs_done, stage, leg, .. } => {
                put("combine", true.into());
                put("workers", (*workers).into());
                put("epochsdone", (*epochs_done).into());
                put("stage", json(stage));
                put("leg", json(leg));
            }
            Event::Stop { .. } => put("stop", true.into()),
            Event::Tick { .. } => put("tick", true.into()),
        }
        put("run", json(&self.run()));
        Value::Object(map)
    }
}

/// Receipts of a message after which it is refused: a queue that feeds the function would deliver it for
/// ever.
const RECEIPTS: u64 = 3;

/// The error for something that is not an event of Baton's. An event inside it is not looked for: the sender
/// must send the event itself.
fn unknown(value: &Value, kinds: &str) -> Error {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
    let service = text("/Records/0/eventSource").or_else(|| text("/Records/0/EventSource"));
    let receipts = text("/Records/0/attributes/ApproximateReceiveCount").and_then(|text| text.parse().ok());
    let by = match (service, value.get("detail-type")) {
        (Some(service), _) => format!("an event that {service} has wrapped"),
        (None, Some(_)) => {
            "an event that EventBridge has wrapped: give the rule's target a constant input".into()
        }
        (None, None) => short(value),
    };
    match receipts {
        Some(RECEIPTS..) => Error::refused("Records", by, "the event itself, sent by Lambda's Invoke"),
        _ => Error::Malformed(format!("found {by}, expected exactly one of the keys {kinds}")),
    }
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// The keys of an event that are not read yet.
struct Keys {
    map: Map<String, Value>,
}

impl Keys {
    fn read(mut self, kind: &str) -> Result<Event, Error> {
        let event = match kind {
            "start" => {
                self.flag("start")?;
                let workers = self.number("workers", 1, MAX_WORKERS)?;
                let job = self.map.remove("job").map(Job::from_value).transpose()?.map(Box::new);
                let force = if self.map.contains_key("force") { self.flag("force")? } else { false };
                Event::Start(StartEvent { workers, run: self.run()?, job, force })
            }
            "workerno" => self.worker()?,
            "combine" => {
                self.flag("combine")?;
                let workers = self.needed("workers", 1, MAX_WORKERS)?;
                let (epochs_done, stage) = self.place()?;
                let leg = self.number("leg", 0, u32::MAX)?;
                Event::Combine { run: self.run()?, workers, epochs_done, stage, leg }
            }
            "stop" => {
                self.flag("stop")?;
                Event::Stop { run: self.run()? }
            }
            _ => {
                self.flag("tick")?;
                Event::Tick { run: self.run()? }
            }
        };
        match self.map.into_iter().next() {
            None => Ok(event),
            Some((key, value)) => {
                Err(Error::refused(&key, short(&value), format!("no such key in a {kind:?} event")))
            }
        }
    }

    fn worker(&mut self) -> Result<Event, Error> {
        let workers = self.needed("workers", 1, MAX_WORKERS)?;
        let worker = self.needed("workerno", 0, workers - 1)?;
        let (epochs_done, stage) = self.place()?;
        let leg = self.number("leg", 0, u32::MAX)?;
        Ok(Event::Worker(WorkerEvent { run: self.run()?, worker, workers, epochs_done, stage, leg }))
    }

    /// `epochsdone` and `stage`; the run's course says whether they agree.
    fn place(&mut self) -> Result<(u32, Option<u32>), Error> {
        let epochs_done = self.needed("epochsdone", 0, u32::MAX - 1)?;
        Ok((epochs_done, self.number("stage", 0, u32::MAX)?))
    }

    fn run(&mut self) -> Result<Option<RunId>, Error> {
        match self.map.remove("run") {
            None => Ok(None),
            Some(Value::String(id)) => RunId::new(id).map(Some),
            Some(other) => Err(Error::refused("run", short(&other), "a run id as text")),
        }
    }

    fn flag(&mut self, key: &str) -> Result<bool, Error> {
        match self.map.remove(key) {
            Some(Value::Bool(true)) => Ok(true),
            other => Err(Error::refused(key, short(&other.unwrap_or(Value::Null)), "true")),
        }
    }

    fn number(&mut self, key: &str, low: u32, high: u32) -> Result<Option<u32>, Error> {
        let Some(value) = self.map.remove(key) else { return Ok(None) };
        let number = value.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| (low..=high).contains(n));
        match number {
            Some(number) => Ok(Some(number)),
            None => {
                let expected = format!("a whole number from {low} to {high}");
                Err(Error::refused(key, short(&value), expected))
            }
        }
    }

    fn needed(&mut self, key: &str, low: u32, high: u32) -> Result<u32, Error> {
        self.number(key, low, high)?
            .ok_or_else(|| Error::refused(key, "nothing", format!("a whole number from {low} to {high}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Event, Error> {
        Event::parse(text.as_bytes())
    }

    #[test]
    fn short_forms_work_as_they_stand() {
        let start = parse(r#"{"start": true, "workers": 5}"#).unwrap();
        assert_eq!(start, Event::Start(StartEvent { workers: Some(5), run: None, job: None, force: false }));
        let worker = parse(r#"{"workerno": 3, "workers": 5, "epochsdone": 6}"#).unwrap();
        let Event::Worker(worker) = worker else { panic!("{worker:?}") };
        assert_eq!((worker.worker, worker.workers, worker.epochs_done, worker.stage), (3, 5, 6, None));
        assert!(matches!(
            parse(r#"{"combine": true, "workers": 5, "epochsdone": 6}"#).unwrap(),
            Event::Combine { workers: 5, epochs_done: 6, stage: None, .. }
        ));
        assert_eq!(parse(r#"{"tick": true}"#).unwrap(), Event::Tick { run: None });
    }

    #[test]
    fn what_is_sent_is_read_back() {
        for text in [
            r#"{"start":true,"workers":5,"run":"a","force":true}"#,
            r#"{"workerno":0,"workers":1,"epochsdone":0,"run":"a-1","stage":0,"leg":17}"#,
            r#"{"combine":true,"workers":5,"epochsdone":6,"run":"a","stage":7,"leg":2}"#,
            r#"{"stop":true,"run":"a"}"#,
            r#"{"tick":true}"#,
        ] {
            let event = parse(text).unwrap();
            assert_eq!(Event::from_value(event.to_json()).unwrap(), event, "{text}");
        }
    }

    #[test]
    fn wrapped_events_are_not_understood_and_a_queue_delivers_one_three_times_at_most() {
        let sqs = |receipts: &str| {
            let attributes = serde_json::json!({"ApproximateReceiveCount": receipts});
            let record =
                serde_json::json!({"eventSource": "aws:sqs", "body": "{}", "attributes": attributes});
            Event::from_value(serde_json::json!({"Records": [record]})).unwrap_err()
        };
        for (error, words) in [
            (sqs("1"), "aws:sqs has wrapped"),
            (
                parse(r#"{"Records":[{"EventSource":"aws:sns","Sns":{}}]}"#).unwrap_err(),
                "aws:sns has wrapped",
            ),
            (parse(r#"{"detail-type":"x","detail":{"tick":true}}"#).unwrap_err(), "a constant input"),
        ] {
            assert!(matches!(&error, Error::Malformed(why) if why.contains(words)), "{error}");
        }
        assert!(matches!(sqs("3"), Error::Refused { .. }) && matches!(sqs("12"), Error::Refused { .. }));
    }

    #[test]
    fn bad_events_are_refused_by_key() {
        for (text, key) in [
            (r#"{"start": true, "workers": 0}"#, "workers: found 0"),
            (r#"{"start": true, "workers": 1000000}"#, "workers: found 1000000"),
            (r#"{"start": false}"#, "start: found false"),
            (r#"{"start": true, "colour": 1}"#, "colour: found 1"),
            (r#"{"stop": true, "run": "../x"}"#, "run: found \"../x\""),
            (r#"{"workerno": 5, "workers": 5, "epochsdone": 0}"#, "workerno: found 5"),
            (r#"{"workerno": -1, "workers": 5, "epochsdone": 0}"#, "workerno: found -1"),
            (r#"{"workerno": 1, "workers": 5}"#, "epochsdone: found nothing"),
            (r#"{"workerno": 1, "workers": 5, "epochsdone": 3, "stage": -3}"#, "stage: found -3"),
            (r#"{"combine": true, "stop": true}"#, "combine and stop"),
            (r#"{}"#, "found {}, expected exactly one of the keys start"),
            (r#"[1]"#, "found [1], expected an object"),
            (r#"{"#, "not understood"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(key), "{text}: {error}");
        }
    }
}
