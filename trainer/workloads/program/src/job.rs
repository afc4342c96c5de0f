//! A job of a user's program.

use protocol::check::{name, number, whole};
use protocol::{Error, Keys, RunId, refuse_rest};
use serde::{Deserialize, Serialize};

/// A job of a user's program over independent units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// The folder under `programs/`, with the executable `run`.
    pub program: String,
    /// The units: a folder under `datasets/`.
    pub dataset: String,
    /// Arguments of the program.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// The time limit of a unit, in seconds.
    #[serde(default = "seconds")]
    pub seconds: f64,
    /// The program's limit of addresses, in MB; none means no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<u32>,
    /// The largest number of units of one process.
    #[serde(default = "batch")]
    pub batch: u32,
    /// The number of tries before a unit is a dead letter.
    #[serde(default = "tries")]
    pub tries: u32,
    /// A run whose dead letters are the units of this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<RunId>,
    /// Whether the run continues when nothing but failures occurs.
    #[serde(default)]
    pub keep_going: bool,
}

/// The largest time limit of a unit: the unit must fit into a leg.
const MOST_SECONDS: f64 = 840.0;

impl Keys for Job {
    const NAMES: &[&str] =
        &["program", "dataset", "arguments", "seconds", "memory_mb", "batch", "tries", "again", "keep_going"];
    const ALIASES: &[(&str, &str)] = &[
        ("command", "program"),
        ("executable", "program"),
        ("units", "dataset"),
        ("data", "dataset"),
        ("args", "arguments"),
        ("timeout", "seconds"),
        ("memory", "memory_mb"),
        ("batch_size", "batch"),
        ("retries", "tries"),
    ];
}

impl Job {
    /// Reads and checks the keys of a job.
    ///
    /// # Errors
    /// [`Error::Refused`] with the key.
    pub fn of(job: &protocol::Job) -> Result<Job, Error> {
        let mut keys = job.keys.clone();
        let job = Job::take(&mut keys)?;
        refuse_rest(&keys, &[Job::NAMES], &[Job::ALIASES])?;
        name("program", &job.program)?;
        name("dataset", &job.dataset)?;
        let allowed = |x| (0.01..=MOST_SECONDS).contains(&x);
        number("seconds", job.seconds, "from 0.01 to 840: a leg has to hold a unit", allowed)?;
        whole("memory_mb", job.memory_mb.unwrap_or(1), 1, 1 << 20)?;
        whole("batch", job.batch, 1, 1 << 20)?;
        whole("tries", job.tries, 1, units::MOST_TRIES)?;
        if let Some(argument) = job.arguments.iter().find(|argument| argument.contains('\0')) {
            return Err(Error::refused("job.arguments", format!("{argument:?}"), "texts without a NUL"));
        }
        Ok(job)
    }

    /// The job with these keys, all of them explicit.
    #[must_use]
    pub fn written(&self, job: &protocol::Job) -> protocol::Job {
        let mut keys = job.keys.clone();
        self.put(&mut keys);
        job.with_keys(keys)
    }
}

fn seconds() -> f64 {
    60.0
}
fn batch() -> u32 {
    1_024
}
fn tries() -> u32 {
    3
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(changes: Value) -> Result<Job, Error> {
        let mut job = json!({"kind": "program", "program": "count", "dataset": "lines"});
        job.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        Job::of(&protocol::Job::from_value(job)?)
    }

    #[test]
    fn a_job_needs_a_program_and_units() {
        let job = read(json!({})).unwrap();
        assert_eq!((job.seconds, job.batch, job.tries, job.again.as_ref()), (60.0, 1_024, 3, None));
        let written = job.written(&protocol::Job::from_value(json!({"kind": "program"})).unwrap());
        assert_eq!((Job::of(&written).unwrap(), written.kind.as_deref()), (job, Some("program")));
        let all = json!({"memory_mb": 100, "again": "a-run"});
        let mut names = Job::NAMES.to_vec();
        names.sort_unstable();
        let job = protocol::Job::from_value(json!({})).unwrap();
        assert_eq!(read(all).unwrap().written(&job).keys.keys().collect::<Vec<_>>(), names);
    }

    #[test]
    fn bad_jobs_are_refused_by_key() {
        for (key, value) in [
            ("program", json!("../run")),
            ("dataset", json!("")),
            ("seconds", json!(0)),
            ("seconds", json!(900)),
            ("memory_mb", json!(0)),
            ("batch", json!(0)),
            ("tries", json!(11)),
            ("arguments", json!(["a\u{0}b"])),
            ("arguments", json!("-x")),
            ("network", json!("vgg19")),
            ("timeout", json!(3)),
        ] {
            let error = read(json!({key: value})).unwrap_err().to_string();
            assert!(error.contains(&format!("job.{key}")), "{key}: {error}");
        }
    }
}
