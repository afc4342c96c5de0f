//! A dead letter: a unit without a result, and the reason.

use serde::{Deserialize, Serialize};

/// A unit that is lost; after the last try it is dead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Letter {
    /// The unit's number.
    pub unit: u64,
    /// Why it has no result.
    pub why: String,
    /// The end of what was written to standard error.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub said: String,
    /// How often it was tried.
    pub tries: u32,
}
