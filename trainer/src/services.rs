//! The ports of the handler: all its calls of the outside world go through one of these.

use crate::Error;
use protocol::items::{DayItem, ModelItem};
use protocol::{Ceiling, Event, Fact, Lease, Ledger, RunId, Shares};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use storage::{Known, Root};
use work::Registry;

/// The handler's world.
pub struct Services {
    /// The shared file system.
    pub root: Root,
    /// Sends events to copies of this function.
    pub invoke: Box<dyn Invoke>,
    /// Shows the run's progress; losing it never stops or changes training.
    pub progress: Box<dyn Progress>,
    /// The time.
    pub clock: Box<dyn Clock>,
    /// The kinds of jobs that it carries out.
    pub workloads: Registry,
    /// This sandbox's settings.
    pub settings: Settings,
    /// The ledgers that this process has read, so that a long one is read once.
    pub ledgers: Ledgers,
    /// Whether this process was told to end.
    pub notice: Notice,
}

/// Whether a process was told to end: it has two seconds then, in which a leg saves its place.
#[derive(Clone, Debug, Default)]
pub struct Notice(Arc<AtomicBool>);

impl Notice {
    /// Tells the process to end.
    pub fn give(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was told to.
    pub fn is_given(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Ledgers as this process last saw them, by their files. They are only a view: each is brought up to date
/// under its lock.
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

/// The settings of a sandbox.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Compute threads.
    pub threads: usize,
    /// How long to wait for the ledger's lock.
    pub lock_wait: Duration,
    /// The operator's bounds, whatever event comes.
    pub ceiling: Ceiling,
    /// How long after its due time a `tick` counts work as lost, in milliseconds.
    pub patience_ms: u64,
}

/// One delivery of an event by the platform.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Lambda's request id; a redelivery has the same.
    pub id: String,
    /// When it arrived, by this sandbox's clock, in milliseconds since 1970.
    pub arrived_ms: u64,
    /// When the platform kills this invocation, in milliseconds since 1970.
    pub deadline_ms: u64,
    /// The function's memory, in MB.
    pub memory_mb: u32,
}

impl Invocation {
    /// Its hold on work that it begins at that time.
    pub(crate) fn lease(&self, at_ms: u64) -> Lease {
        let (invocation, memory_mb) = (self.id.clone(), self.memory_mb);
        Lease { invocation, at_ms, until_ms: self.deadline_at(at_ms), memory_mb }
    }

    /// Its deadline by a clock that shows `now_ms`. If the clock is behind the arrival, it went back, and the
    /// deadline goes back with it.
    pub(crate) fn deadline_at(&self, now_ms: u64) -> u64 {
        self.deadline_ms.saturating_sub(self.arrived_ms.saturating_sub(now_ms))
    }
}

/// Sends events, asynchronously: each is queued by the platform when this returns.
pub trait Invoke: Send + Sync {
    /// Queues one event.
    ///
    /// # Errors
    /// [`Error::Send`]; the event may have been queued nevertheless.
    fn send(&self, event: &Event) -> Result<(), Error>;

    /// Switches the rule that sends ticks on or off; it is done when this returns. Outside AWS the local
    /// cloud ticks all the time, and there is nothing to switch.
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
    /// A ledger has changed; at a milestone (a start, a combine, an end) the report must not be dropped.
    fn ledger(&self, ledger: &Ledger, milestone: bool, now_ms: u64);
    /// Facts of a run, each durable, in their order: those that this process reads, and those that it
    /// records. `started` is the first, and comes again if all are read again.
    fn facts(&self, run: &RunId, facts: &[Fact]);
    /// A run has ended with this model.
    fn model(&self, run: &RunId, model: &ModelItem, now_ms: u64);
    /// All runs of a day have this much of it.
    fn day(&self, _day: &DayItem, _now_ms: u64) {}
    /// A worker's progress.
    fn worker(&self, report: &WorkerReport<'_>);
    /// Sends all reports now, or gives up within a second: the sandbox is about to freeze.
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
    /// Images done in this worker's stage.
    pub done: u64,
    /// All of the worker's images in this stage.
    pub of: u64,
    /// Images per second in this leg.
    pub units_per_second: f64,
    /// When.
    pub now_ms: u64,
    /// Whether the leg ends with this.
    pub last: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_goes_back_makes_no_lease_longer() {
        let invocation =
            Invocation { id: "i".into(), arrived_ms: 3_600_000, deadline_ms: 3_606_000, memory_mb: 1_769 };
        let until_ms = |at_ms| invocation.lease(at_ms).until_ms;
        assert_eq!(until_ms(3_602_000), 3_606_000);
        assert_eq!(until_ms(1_000_000), 1_006_000, "the hour before is no part of it");
    }
}
