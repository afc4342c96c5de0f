//! Names in facts and events: a run's id, a published file.

use crate::Error;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A run's id: 1 to 48 characters of `[a-z0-9-]`, not starting with `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

impl RunId {
    /// Checks and takes a run id.
    ///
    /// # Errors
    /// [`Error::Refused`] names the character or length that is not allowed.
    pub fn new(id: impl Into<String>) -> Result<RunId, Error> {
        let id = id.into();
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if id.is_empty() || id.len() > 48 || id.starts_with('-') || !id.chars().all(allowed) {
            return Err(Error::refused("run", format!("{id:?}"), "1 to 48 characters of a-z, 0-9 and '-'"));
        }
        Ok(RunId(id))
    }

    /// The id of a run that was started without one, made from the time, in UTC: `run-20261121-023652-123`.
    pub fn from_time(now_ms: u64) -> RunId {
        let ([year, month, day], [h, m, s]) = utc(now_ms);
        let ms = now_ms % 1_000;
        RunId(format!("run-{year:04}{month:02}{day:02}-{h:02}{m:02}{s:02}-{ms:03}"))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Year, month and day, and hour, minute and second, in UTC, of a time in milliseconds since 1970.
pub fn utc(ms: u64) -> ([u64; 3], [u64; 3]) {
    let (year, month, day) = civil(ms / 86_400_000);
    ([year, month, day], [ms / 3_600_000 % 24, ms / 60_000 % 60, ms / 1_000 % 60])
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let leap = |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    (year, month as u64 + 1, days + 1)
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for RunId {
    type Error = Error;
    fn try_from(id: String) -> Result<RunId, Error> {
        RunId::new(id)
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> String {
        id.0
    }
}

/// A published file in the ledger: never rewritten, checked whenever it is opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRef {
    /// Its name, relative to the folder that it belongs to.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// xxh3-128 of all its bytes, 32 hexadecimal digits.
    pub xxh3: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_from_time_are_utc() {
        assert_eq!(RunId::from_time(0).as_str(), "run-19700101-000000-000");
        assert_eq!(RunId::from_time(1_709_210_096_007).as_str(), "run-20240229-123456-007");
    }

    #[test]
    fn run_ids_that_leave_their_folder_are_refused() {
        for id in ["", "../x", "a/b", "A", "a.b", "-a", "ü", &"a".repeat(49)] {
            let error = RunId::new(id).unwrap_err().to_string();
            assert!(error.contains("run"), "{error}");
        }
    }
}
