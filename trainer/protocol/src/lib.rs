//! The rules of a run: events, job, ledger, decisions. Pure: no files, no clock, no environment.
//!
//! ```text
//! event ─ decide(&Ledger, &Event, now) ─▶ Decision ─ (the handler works) ─▶ Fact
//! Fact ─ Ledger::record ─▶ events due
//! ```

mod ceiling;
pub mod check;
mod course;
mod decide;
mod errand;
mod error;
mod event;
mod fact;
mod hold;
mod ids;
pub mod items;
mod job;
mod keys;
mod ledger;
mod limits;
pub mod timeline;

#[cfg(test)]
mod tests;

pub use ceiling::{Ceiling, Need, Share, Shares, date, day_of};
pub use course::{At, Best, Course, Measure, Score};
pub use decide::Decision;
pub use errand::{Errand, Manifest, Pushed};
pub use error::Error;
pub use event::{Event, StartEvent, WorkerEvent};
pub use fact::{Combined, Ending, Fact, FeatureStore, Lease, Reason, Target, reserve_ms};
pub use hold::{Hold, Moment};
pub use ids::{FileRef, RunId, utc};
pub use job::{JOB_SCHEMA, Job, Limits};
pub use keys::{Keys, refuse_rest};
pub use ledger::{CutShort, End, Ledger, Piece, Recorded, end_events};
pub use limits::Spend;

/// The schema of facts in the ledger; another one is refused by name.
pub const LEDGER_SCHEMA: u32 = 2;
