//! The rules of a run: events, job, ledger, decisions. Pure: no files, no clock, no environment.
//!
//! ```text
//! event ─ decide(&Ledger, &Event, now) ─▶ Decision ─ (the handler works) ─▶ Fact ─ Ledger::record ─▶ events due
//! ```

mod error;
mod event;
mod ids;
mod job;
mod validate;

pub use error::Error;
pub use event::{Event, StartEvent, WorkerEvent};
pub use ids::{FileRef, RunId};
pub use job::{
    Agreement, Device, FeatureType, FrozenEngine, Head, JOB_SCHEMA, Job, Limits, Optimizer, Pooling, Schedule,
};

/// The schema of facts in the ledger; a later one is refused by name.
pub const LEDGER_SCHEMA: u32 = 1;
