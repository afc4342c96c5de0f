//! The ports that the handler needs: whatever it asks of the world goes through one of these.

use crate::Error;
use protocol::items::{DayItem, ModelItem};
use protocol::{Ceiling, Event, Fact, Lease, Ledger, RunId, Shares};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use storage::{Known, Root};
use work::Workload;

/// The handler's world.
pub struct Services {
    /// The shared file system.
    pub root: Root,
    /// Sends events to copies of this function.
    pub invoke: Box<dyn Invoke>,
    /// Shows how the run stands; losing it never stops or changes training.
    pub progress: Box<dyn Progress>,
    /// The time.
    pub clock: Box<dyn Clock>,
    /// What trains.
    pub workload: Box<dyn Workload>,
    /// This sandbox's settings.
    pub settings: Settings,
    /// The ledgers that this process has read, so that a long one is read once.
    pub ledgers: Ledgers,
}

/// Ledgers as this process last saw them, by their files. A view only: each is caught up under its lock.
#[derive(Default)]
pub struct Ledgers {
    runs: Mutex<HashMap<PathBuf, Seen>>,
    shares: Mutex<SeenShares>,
}

/// A ledger as far as it was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) known: Known,
    pub(crate) ledger: Option<Arc<Ledger>>,
}

/// The log of all runs' shares as far as it was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeenShares {
    pub(crate) known: Known,
    pub(crate) shares: Shares,
}

impl Ledgers {
    pub(crate) fn take_shares(&self) -> SeenShares {
        std::mem::take(&mut *self.shares.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    pub(crate) fn put_shares(&self, seen: SeenShares) {
        *self.shares.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = seen;
    }

    /// Asks the shares as they were last read.
    pub(crate) fn of_shares<R>(&self, ask: impl FnOnce(&Shares) -> R) -> R {
        ask(&self.shares.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).shares)
    }

    pub(crate) fn take(&self, file: &Path) -> Seen {
        self.runs.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).remove(file).unwrap_or_default()
    }

    /// How far a ledger was read, if it was.
    pub(crate) fn known(&self, file: &Path) -> Known {
        let ledgers = self.runs.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        ledgers.get(file).map(|seen| seen.known.clone()).unwrap_or_default()
    }

    pub(crate) fn put(&self, file: &Path, seen: Seen) {
        self.runs.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(file.to_owned(), seen);
    }
}

/// What a sandbox is set to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Compute threads.
    pub threads: usize,
    /// How long the ledger's lock is waited for.
    pub lock_wait: Duration,
    /// What the operator allows, whatever event comes.
    pub ceiling: Ceiling,
    /// How long after its time a `tick` holds work to be lost, in milliseconds.
    pub patience_ms: u64,
}

/// One delivery of an event by the platform.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Lambda's request id; a redelivery has the same.
    pub id: String,
    /// When the platform kills this invocation, in milliseconds since 1970.
    pub deadline_ms: u64,
    /// The function's memory, in MB.
    pub memory_mb: u32,
}

impl Invocation {
    /// Its hold on work that it begins at that time.
    pub(crate) fn lease(&self, at_ms: u64) -> Lease {
        let (invocation, memory_mb) = (self.id.clone(), self.memory_mb);
        Lease { invocation, at_ms, until_ms: self.deadline_ms, memory_mb }
    }
}

/// Sends events, asynchronously: each is queued by the platform when this returns.
pub trait Invoke: Send + Sync {
    /// Queues one event.
    ///
    /// # Errors
    /// [`Error::Send`]; the event may have been queued all the same.
    fn send(&self, event: &Event) -> Result<(), Error>;

    /// Switches the rule that sends ticks on or off; when this returns it is done. Elsewhere than on AWS who
    /// runs the function ticks all the time, and there is nothing to switch.
    ///
    /// # Errors
    /// [`Error::Send`].
    fn watch(&self, _on: bool) -> Result<(), Error> {
        Ok(())
    }
}

/// The time.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;
}

/// Shows progress. Never blocks for long, never fails.
pub trait Progress: Send + Sync {
    /// A ledger has changed; at a milestone (a start, a combine, an end) the report is not to be dropped.
    fn ledger(&self, ledger: &Ledger, milestone: bool, now_ms: u64);
    /// Facts of a run, each durable, in their order: what this process reads of them, and what it records.
    /// `started` is the first, and comes again when all are read again.
    fn facts(&self, run: &RunId, facts: &[Fact]);
    /// A run has ended with this model.
    fn model(&self, run: &RunId, model: &ModelItem, now_ms: u64);
    /// All runs of a day have this much of it.
    fn day(&self, _day: &DayItem, _now_ms: u64) {}
    /// A worker is this far.
    fn worker(&self, report: &WorkerReport<'_>);
    /// What was reported is passed on now, or given up within a second: the sandbox is about to freeze.
    fn flush(&self);
}

/// How far a worker is.
#[derive(Clone, Debug)]
pub struct WorkerReport<'a> {
    /// The run.
    pub run: &'a RunId,
    /// The run's number of workers.
    pub workers: u32,
    /// The stage.
    pub stage: u32,
    /// The worker.
    pub worker: u32,
    /// Its leg.
    pub leg: u32,
    /// Images done, of how many in this worker's stage.
    pub done: u64,
    /// All of the worker's images in this stage.
    pub of: u64,
    /// Images a second in this leg.
    pub units_per_second: f64,
    /// When.
    pub now_ms: u64,
    /// Whether the leg ends with this.
    pub last: bool,
}
