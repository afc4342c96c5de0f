//! Errands: requests to the function besides training, because on AWS only the function reaches the shared
//! file system.

use crate::error::short;
use crate::{Error, RunId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A request to the function besides training. None of these changes a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    /// `{"prepare": "push/….json", "from": 3}`: copy the files of a [`Manifest`] from the bucket, beginning
    /// with that one.
    Prepare {
        /// The manifest's key in the bucket.
        manifest: String,
        /// How many of its files were copied already.
        from: usize,
    },
    /// `{"deliver": "my-run", "from": 1}`: put a run's ledger and model into the bucket, from that file on.
    Deliver {
        /// The run.
        run: RunId,
        /// How many of its files are there already.
        from: usize,
    },
    /// `{"probe": true}`: test the connections.
    Probe,
}

/// The files to copy: they are in the bucket under [`Manifest::key`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`Manifest::SCHEMA`].
    pub schema: u32,
    /// The files, in the order in which they become visible.
    pub files: Vec<Pushed>,
}

/// A file with its expected content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pushed {
    /// Its path under the root: `datasets/cifar10/dataset.json`.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, in hex.
    pub sha256: String,
    /// Whether it is executable.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

impl Manifest {
    /// The schema that this version writes and reads.
    pub const SCHEMA: u32 = 1;

    /// The key of the bytes with this SHA-256 in the bucket.
    pub fn key(sha256: &str) -> String {
        format!("push/files/{sha256}")
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Prepare {
    prepare: String,
    #[serde(default)]
    from: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Deliver {
    deliver: RunId,
    #[serde(default)]
    from: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Probe {
    probe: bool,
}

impl Errand {
    /// Reads an errand from a JSON value; none if it is something else, an event for instance.
    ///
    /// # Errors
    /// [`Error::Refused`] if it is an errand with another key or a value that is not allowed.
    pub fn from_value(value: &Value) -> Result<Option<Errand>, Error> {
        let Some(key) = ["prepare", "deliver", "probe"].into_iter().find(|key| value.get(key).is_some())
        else {
            return Ok(None);
        };
        let refused = |error: serde_json::Error| Error::refused(key, short(value), error.to_string());
        let errand = match key {
            "prepare" => {
                let Prepare { prepare, from } = Prepare::deserialize(value).map_err(refused)?;
                if !prepare.starts_with("push/") {
                    return Err(Error::refused(key, prepare, "the key of a manifest under push/"));
                }
                Errand::Prepare { manifest: prepare, from }
            }
            "deliver" => {
                let Deliver { deliver, from } = Deliver::deserialize(value).map_err(refused)?;
                Errand::Deliver { run: deliver, from }
            }
            _ => match Probe::deserialize(value).map_err(refused)?.probe {
                true => Errand::Probe,
                false => return Err(Error::refused(key, "false", "true")),
            },
        };
        Ok(Some(errand))
    }

    /// The errand in the form that is sent; [`Errand::from_value`] reads it back.
    pub fn to_json(&self) -> Value {
        let json = match self {
            Errand::Prepare { manifest, from } => {
                serde_json::to_value(Prepare { prepare: manifest.clone(), from: *from })
            }
            Errand::Deliver { run, from } => {
                serde_json::to_value(Deliver { deliver: run.clone(), from: *from })
            }
            Errand::Probe => serde_json::to_value(Probe { probe: true }),
        };
        json.unwrap_or(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_sent_is_read_back_and_events_are_left_alone() {
        let run = RunId::new("a-run").unwrap();
        let prepare = Errand::Prepare { manifest: "push/1.json".into(), from: 3 };
        for errand in [prepare, Errand::Deliver { run, from: 2 }, Errand::Probe] {
            assert_eq!(Errand::from_value(&errand.to_json()).unwrap(), Some(errand));
        }
        for event in [json!({"start": true}), json!({}), json!([1]), json!({"tick": true})] {
            assert_eq!(Errand::from_value(&event).unwrap(), None);
        }
    }

    #[test]
    fn what_is_half_an_errand_is_refused_by_name() {
        for (value, words) in [
            (json!({"prepare": 1}), "prepare: found"),
            (json!({"prepare": "runs/x"}), "under push/"),
            (json!({"prepare": "push/x", "start": true}), "unknown field `start`"),
            (json!({"prepare": "push/x", "from": -1}), "from"),
            (json!({"deliver": "../x"}), "deliver: found"),
            (json!({"probe": false}), "probe: found false"),
        ] {
            let error = Errand::from_value(&value).unwrap_err().to_string();
            assert!(error.contains(words), "{value}: {error}");
        }
    }
}
