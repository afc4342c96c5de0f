//! The waist: everything that the handler knows about a workload, and everything that a workload knows about
//! a run.
//!
//! The handler opens a piece of work, steps it until it is finished or its time is up, and publishes its
//! result or saves its place. A result depends only on (the job, stage, worker): never on when or how often
//! it was computed, where its legs were cut, how many threads there were, or who finished first.

mod again;
mod at_once;
mod failed;
mod registry;
mod stage;
mod workload;

pub use again::{Opened, on_results, resumed};
pub use at_once::at_once;
pub use failed::{Failed, Fate};
pub use registry::Registry;
pub use stage::{Progress, Stage, Work};
pub use workload::{Combined, Last, Plan, Workload};
