//! A dead letter: a unit without a result, and the reason.

use serde::{Deserialize, Serialize};

/// A unit without a result; after the last try it is dead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Letter {
    /// The unit's number.
    pub unit: u64,
    /// The reason why it has no result.
    pub why: String,
    /// The end of the program's standard error.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub said: String,
    /// The number of tries.
    pub tries: u32,
}
