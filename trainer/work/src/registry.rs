//! The workloads, by the kinds in jobs.

use crate::{Failed, Workload};
use protocol::Job;

/// Every kind of job, with its workload. A job without a kind is of the first.
pub struct Registry(Vec<(&'static str, Box<dyn Workload>)>);

impl Registry {
    /// The registry of these workloads.
    pub fn new(all: Vec<(&'static str, Box<dyn Workload>)>) -> Registry {
        Registry(all)
    }

    /// The workload of a job.
    ///
    /// # Errors
    /// [`Failed`] names the kind if there is no such workload.
    pub fn find(&self, job: &Job) -> Result<&dyn Workload, Failed> {
        let asked = |(kind, _): &&(&str, _)| job.kind.as_deref().is_none_or(|asked| asked == *kind);
        match self.0.iter().find(asked) {
            Some((_, workload)) => Ok(&**workload),
            None => {
                let kinds: Vec<&str> = self.0.iter().map(|(kind, _)| *kind).collect();
                let found = job.kind.as_deref().unwrap_or("none");
                Err(protocol::Error::refused("job.kind", format!("{found:?}"), kinds.join(" or ")).into())
            }
        }
    }
}
