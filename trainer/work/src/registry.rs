//! The workloads, by the kinds in jobs.

use crate::{Failed, Workload};
use protocol::Job;

/// Every kind of job, with its workload. A job without a kind is of the first.
pub struct Registry(Vec<(&'static str, Box<dyn Workload>)>);

impl Registry {
    /// The kind of a job, as its workload is listed here; none if there is no such workload.
    pub fn kind(&self, job: &Job) -> Option<&'static str> {
        self.entry(job).map(|(kind, _)| *kind)
    }

    fn entry(&self, job: &Job) -> Option<&(&'static str, Box<dyn Workload>)> {
        self.0.iter().find(|(kind, _)| job.kind.as_deref().is_none_or(|asked| asked == *kind))
    }

    /// The registry of these workloads.
    pub fn new(all: Vec<(&'static str, Box<dyn Workload>)>) -> Registry {
        Registry(all)
    }

    /// The workload of a job.
    ///
    /// # Errors
    /// [`Failed`] names the kind if there is no such workload.
    pub fn find(&self, job: &Job) -> Result<&dyn Workload, Failed> {
        match self.entry(job) {
            Some((_, workload)) => Ok(&**workload),
            None => {
                let kinds: Vec<&str> = self.0.iter().map(|(kind, _)| *kind).collect();
                let found = job.kind.as_deref().unwrap_or("none");
                Err(protocol::Error::refused("job.kind", format!("{found:?}"), kinds.join(" or ")).into())
            }
        }
    }
}
