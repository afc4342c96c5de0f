//! The registry of workloads: what a job's kind names, one line each.

pub use transfer::Transfer;

use work::Workload;

/// Every kind of job, with what carries it out.
const ALL: [(&str, &dyn Workload); 1] = [("transfer", &Transfer)];

/// The workload of a kind; none when there is no such kind.
pub fn find(kind: &str) -> Option<&'static dyn Workload> {
    ALL.iter().find(|(name, _)| *name == kind).map(|(_, workload)| *workload)
}

/// The kinds that there are.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|(name, _)| *name)
}
