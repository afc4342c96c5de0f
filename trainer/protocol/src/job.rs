//! A job: the work of a run, and its limits. Fixed for the life of a run.
//!
//! The protocol knows the keys of this file. All other keys belong to the workload that the kind names.

use crate::Error;
use crate::check::{name, number, whole};
use crate::error::short;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The newest schema of `job.json`.
pub const JOB_SCHEMA: u32 = 1;

/// The most workers that a run may have.
pub(crate) const MAX_WORKERS: u32 = 1_000;

/// The work of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Schema of this description.
    #[serde(default = "schema")]
    pub schema: u32,
    /// The workload that carries it out; none means the registry's first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Number of workers, if the `start` event has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<u32>,
    /// The most that the run may cost.
    #[serde(default)]
    pub limits: Limits,
    /// The keys of its workload, which checks them.
    #[serde(flatten)]
    pub keys: Map<String, Value>,
}

/// The limits of a run's cost. At a limit the run ends with its best model so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Events that the run may send.
    pub invocations: u64,
    /// US dollars of Lambda time and requests, by the ledger's own account.
    pub dollars: f64,
    /// Hours from its start.
    pub hours: f64,
    /// Legs of one worker in one stage.
    pub legs_per_worker: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { invocations: 20_000, dollars: 5.0, hours: 24.0, legs_per_worker: 400 }
    }
}

impl Job {
    /// Reads and checks a job, but not the keys of its workload.
    ///
    /// # Errors
    /// [`Error::Schema`] for a later schema, [`Error::Refused`] with the key for anything else.
    pub fn from_value(value: Value) -> Result<Job, Error> {
        if !value.is_object() {
            return Err(Error::refused("job", short(&value), "an object"));
        }
        if let Some(found) = value.get("schema").and_then(Value::as_u64)
            && found > u64::from(JOB_SCHEMA)
        {
            let found = u32::try_from(found).unwrap_or(u32::MAX);
            return Err(Error::Schema { what: "the job".into(), found, known: JOB_SCHEMA });
        }
        let job: Job = serde_json::from_value(value).map_err(|e| {
            Error::refused("job", e.to_string(), "the keys and values of docs/formats.md, \"job.json\"")
        })?;
        job.check()?;
        Ok(job.read_back())
    }

    /// Parses and checks a job's text, as [`Job::from_value`].
    pub fn parse(text: &[u8]) -> Result<Job, Error> {
        let value = serde_json::from_slice(text)
            .map_err(|e| Error::refused("job", e.to_string(), "JSON text with one object"))?;
        Job::from_value(value)
    }

    /// The job with other keys for its workload.
    #[must_use]
    pub fn with_keys(&self, keys: Map<String, Value>) -> Job {
        Job { keys, ..self.clone() }.read_back()
    }

    /// The job in the form that everybody reads: JSON may change the last bit of a number, and then the same
    /// text, read and written again, would be another job.
    fn read_back(self) -> Job {
        let read =
            |job: &Job| -> Option<Job> { serde_json::from_str(&serde_json::to_string(job).ok()?).ok() };
        let mut job = self;
        // Each reading changes a number by at most one bit, to one with a shorter text.
        for _ in 0..8 {
            match read(&job) {
                Some(again) if again != job => job = again,
                _ => break,
            }
        }
        job
    }

    fn check(&self) -> Result<(), Error> {
        whole("schema", self.schema, 1, JOB_SCHEMA)?;
        if let Some(kind) = &self.kind {
            name("kind", kind)?;
        }
        if let Some(workers) = self.workers {
            whole("workers", workers, 1, MAX_WORKERS)?;
        }
        self.limits.check()
    }
}

/// The most events of a run.
const MAX_INVOCATIONS: u64 = 1_000_000_000;

impl Limits {
    fn check(&self) -> Result<(), Error> {
        if !(1..=MAX_INVOCATIONS).contains(&self.invocations) {
            let (found, expected) = (self.invocations.to_string(), format!("1 to {MAX_INVOCATIONS}"));
            return Err(Error::refused("job.limits.invocations", found, expected));
        }
        number("limits.dollars", self.dollars, "from 0.000000001 to 1000000", |x| (1e-9..=1e6).contains(&x))?;
        number("limits.hours", self.hours, "from 0.000000001 to 8760", |x| (1e-9..=8_760.0).contains(&x))?;
        whole("limits.legs_per_worker", self.legs_per_worker, 1, 1_000_000)
    }
}

fn schema() -> u32 {
    JOB_SCHEMA
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_of_a_workload_are_kept_as_they_are() {
        let text = json!({"kind": "sums", "workers": 3, "numbers": [1, 2.5], "deep": {"a": null}});
        let job = Job::from_value(text.clone()).unwrap();
        assert_eq!(
            (job.kind.as_deref(), job.workers, job.limits),
            (Some("sums"), Some(3), Limits::default())
        );
        assert_eq!((job.keys.len(), &job.keys["numbers"]), (2, &text["numbers"]));
        let again = Job::from_value(serde_json::to_value(&job).unwrap()).unwrap();
        assert_eq!(job, again);
    }

    #[test]
    fn a_number_that_loses_its_last_bit_makes_the_same_job() {
        for bits in 0..2_000u64 {
            let number = f64::from_bits(0x3f50_624d_d2f1_a9fc_u64.wrapping_add(bits * 0x1234_5678_9abd));
            let job = Job::from_value(json!({"rate": number})).unwrap();
            let again = Job::from_value(serde_json::to_value(&job).unwrap()).unwrap();
            let text = Job::parse(&serde_json::to_vec(&job).unwrap()).unwrap();
            assert_eq!((&again, &text), (&job, &job), "{number:?}");
        }
    }

    #[test]
    fn bad_jobs_are_refused_by_key() {
        for (key, value) in [
            ("limits", json!({"dollars": 0})),
            ("limits", json!({"euros": 1})),
            ("limits", json!({"dollars": 1e300})),
            ("limits", json!({"dollars": 1e-300})),
            ("limits", json!({"hours": 8761})),
            ("limits", json!({"invocations": u64::MAX})),
            ("limits", json!({"invocations": 0})),
            ("schema", json!(2)),
            ("workers", json!(0)),
            ("kind", json!("../transfer")),
        ] {
            let error = Job::from_value(json!({key: value})).unwrap_err().to_string();
            assert!(error.contains(key) || error.contains("euros"), "{key}: {error}");
        }
    }
}
