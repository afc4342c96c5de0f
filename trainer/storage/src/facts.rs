//! A log whose records are facts of one type, as JSON: the form of a run's ledger.

use crate::log::{Created, Log};
use crate::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A log of facts of type `T`.
#[derive(Clone, Debug)]
pub struct FactLog<T> {
    log: Log,
    facts: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> FactLog<T> {
    /// Begins the log with `first` unless it has facts; `true` when `first` is ours. See [`Log::create`].
    ///
    /// # Errors
    /// As [`FactLog::update`].
    pub fn create(path: impl Into<PathBuf>, first: &T, wait: Duration) -> Result<(FactLog<T>, bool)> {
        let path = path.into();
        let first = encode(&path, first)?;
        Ok(match Log::create(path, &first, wait)? {
            Created::New(log) => (log.into(), true),
            Created::Exists(log) => (log.into(), false),
        })
    }

    /// The log at `path`, which someone has created. See [`Log::open`].
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn open(path: impl Into<PathBuf>) -> Result<FactLog<T>> {
        Log::open(path).map(FactLog::from)
    }

    /// The file that the log lies in.
    pub fn path(&self) -> &Path {
        self.log.path()
    }

    /// All facts, oldest first.
    ///
    /// # Errors
    /// As [`FactLog::update`].
    pub fn read(&self, wait: Duration) -> Result<Vec<T>> {
        decode(self.path(), &self.log.read(wait)?)
    }

    /// Gives all facts to `f` under the lock and appends those that it returns; see [`Log::update`].
    ///
    /// # Errors
    /// Those of [`Log::update`], and [`Error::Damaged`] for a record that is not such a fact.
    pub fn update<R, E: From<Error>>(
        &self,
        wait: Duration,
        f: impl FnOnce(Vec<T>) -> Result<(Vec<T>, R), E>,
    ) -> Result<R, E> {
        self.log.update(wait, |records| {
            let (append, result) = f(decode(self.path(), records)?)?;
            let append = append.iter().map(|fact| encode(self.path(), fact)).collect::<Result<_>>()?;
            Ok((append, result))
        })
    }
}

impl<T> From<Log> for FactLog<T> {
    fn from(log: Log) -> FactLog<T> {
        FactLog { log, facts: PhantomData }
    }
}

fn encode<T: Serialize>(path: &Path, fact: &T) -> Result<Vec<u8>> {
    let unfit = |error: serde_json::Error| {
        Error::unfit(
            format!("a fact for {}", path.display()),
            "something that JSON can hold",
            error.to_string(),
        )
    };
    serde_json::to_vec(fact).map_err(unfit)
}

fn decode<T: DeserializeOwned>(path: &Path, records: &[Vec<u8>]) -> Result<Vec<T>> {
    let fact = |(index, record): (usize, &Vec<u8>)| {
        serde_json::from_slice(record).map_err(|error| {
            let found = format!("{} ({error})", excerpt(record));
            Error::damaged(path, format!("a fact that this version of Baton knows as record {index}"), found)
        })
    };
    records.iter().enumerate().map(fact).collect()
}

/// The beginning of a record, for a message.
fn excerpt(record: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(&record[..record.len().min(80)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(5);

    #[test]
    fn facts_are_appended_and_read_back_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let (log, new) = FactLog::create(&path, &(1, "begun".to_owned()), WAIT).unwrap();
        assert!(new);
        let seen = log
            .update(WAIT, |facts| Ok::<_, Error>((vec![(2, "é".into()), (3, "".into())], facts.len())))
            .unwrap();
        assert_eq!(seen, 1);
        let facts = FactLog::<(u32, String)>::open(&path).unwrap().read(WAIT).unwrap();
        assert_eq!(facts, [(1, "begun".to_owned()), (2, "é".to_owned()), (3, String::new())]);
        assert!(!FactLog::create(&path, &(9, String::new()), WAIT).unwrap().1);
    }

    #[test]
    fn a_record_that_is_no_such_fact_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::create(folder.path().join("ledger"), b"{\"worker\": 3}", WAIT).unwrap().into_log();
        let error = FactLog::<u32>::from(log).read(WAIT).unwrap_err().to_string();
        assert!(
            error.contains("ledger") && error.contains("record 0") && error.contains("worker"),
            "{error}"
        );
    }
}
