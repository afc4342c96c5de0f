//! A log whose records are facts of one type, as JSON: the form of a run's ledger.

use crate::log::{Created, Known, Log};
use crate::{Error, Result};
use protocol::{Fact, LEDGER_SCHEMA, Share};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A record of a log of facts.
pub trait Record: Serialize + DeserializeOwned {
    /// The newest schema that can be read; the first record of a log has the log's schema in `schema`.
    const SCHEMA: u32;
}

impl Record for Share {
    const SCHEMA: u32 = Share::SCHEMA;
}

impl Record for Fact {
    const SCHEMA: u32 = LEDGER_SCHEMA;
}

/// A log of facts of type `T`.
#[derive(Clone, Debug)]
pub struct FactLog<T> {
    log: Log,
    facts: PhantomData<fn() -> T>,
}

impl<T: Record> FactLog<T> {
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

    /// The log's file.
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

    /// Whether there may be facts after `known`; see [`Log::has_changed`].
    ///
    /// # Errors
    /// As [`Log::has_changed`].
    pub fn has_changed(&self, known: &Known) -> Result<bool> {
        self.log.has_changed(known)
    }

    /// Passes all facts to `f` under the lock and appends those that it returns; see [`Log::update`].
    ///
    /// # Errors
    /// Those of [`Log::update`], and [`Error::Damaged`] for a record that is not such a fact.
    pub fn update<R, E: From<Error>>(
        &self,
        wait: Duration,
        f: impl FnOnce(Vec<T>) -> Result<(Vec<T>, R), E>,
    ) -> Result<R, E> {
        self.update_after(wait, &mut Known::default(), |new| f(new.facts))
    }

    /// As [`FactLog::update`], but passes only the facts after `known` to `f`; see [`Log::update_after`].
    ///
    /// # Errors
    /// As [`FactLog::update`].
    pub fn update_after<R, E: From<Error>>(
        &self,
        wait: Duration,
        known: &mut Known,
        f: impl FnOnce(NewFacts<T>) -> Result<(Vec<T>, R), E>,
    ) -> Result<R, E> {
        self.log.update_after(wait, known, |news| {
            let new = NewFacts { all: news.all, facts: decode(self.path(), news.records)? };
            let (append, result) = f(new)?;
            let append = append.iter().map(|fact| encode(self.path(), fact)).collect::<Result<_>>()?;
            Ok((append, result))
        })
    }
}

/// The facts that a reader does not know yet; see [`crate::News`].
#[derive(Clone, Debug)]
pub struct NewFacts<T> {
    /// Whether these are all facts.
    pub all: bool,
    /// The facts, oldest first.
    pub facts: Vec<T>,
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

fn decode<T: Record>(path: &Path, records: &[Vec<u8>]) -> Result<Vec<T>> {
    check_schema::<T>(path, records)?;
    let fact = |(index, record): (usize, &Vec<u8>)| {
        serde_json::from_slice(record).map_err(|error| {
            let found = format!("{} ({error})", excerpt(record));
            Error::damaged(path, format!("a fact that this version of Baton knows as record {index}"), found)
        })
    };
    records.iter().enumerate().map(fact).collect()
}

/// Refuses a later version's log by name, before an unknown part of it looks like damage.
fn check_schema<T: Record>(path: &Path, records: &[Vec<u8>]) -> Result<()> {
    #[derive(Deserialize)]
    struct First {
        schema: u32,
    }
    let first = records.first().and_then(|record| serde_json::from_slice::<First>(record).ok());
    match first {
        Some(First { schema: found }) if found > T::SCHEMA => {
            Err(Error::Schema { file: path.to_owned(), found, known: T::SCHEMA })
        }
        _ => Ok(()),
    }
}

/// The beginning of a record, for a message.
fn excerpt(record: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(&record[..record.len().min(80)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_folders::temporary;

    const WAIT: Duration = Duration::from_secs(5);

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "fact", deny_unknown_fields)]
    enum Event {
        Begun { schema: u32 },
        Said { what: String },
    }

    impl Record for Event {
        const SCHEMA: u32 = 3;
    }

    fn said(what: &str) -> Event {
        Event::Said { what: what.into() }
    }

    #[test]
    fn facts_are_appended_and_read_back_in_order() {
        let folder = temporary();
        let path = folder.path().join("ledger");
        let (log, new) = FactLog::create(&path, &Event::Begun { schema: 3 }, WAIT).unwrap();
        assert!(new);
        let append = |facts: Vec<Event>| Ok::<_, Error>((vec![said("é"), said("")], facts.len()));
        assert_eq!(log.update(WAIT, append).unwrap(), 1);
        let facts = FactLog::<Event>::open(&path).unwrap().read(WAIT).unwrap();
        assert_eq!(facts, [Event::Begun { schema: 3 }, said("é"), said("")]);
        assert!(!FactLog::create(&path, &said("late"), WAIT).unwrap().1);
    }

    #[test]
    fn a_record_that_is_no_such_fact_is_named() {
        let folder = temporary();
        let log = Log::create(folder.path().join("ledger"), b"{\"worker\": 3}", WAIT).unwrap().into_log();
        let error = FactLog::<Event>::from(log).read(WAIT).unwrap_err().to_string();
        assert!(
            error.contains("ledger") && error.contains("record 0") && error.contains("worker"),
            "{error}"
        );
    }

    #[test]
    fn a_later_schema_is_named_even_when_its_facts_are_not_known() {
        let folder = temporary();
        let first = b"{\"fact\": \"Begun\", \"schema\": 4, \"new\": 1}";
        let log = Log::create(folder.path().join("ledger"), first, WAIT).unwrap().into_log();
        let error = FactLog::<Event>::from(log).read(WAIT).unwrap_err();
        assert!(matches!(error, Error::Schema { found: 4, known: 3, .. }), "{error}");
    }
}
