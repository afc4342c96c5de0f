//! The point at which a job's network is cut: frozen below it, trained above.

use crate::Result;
use crate::job::{Head, Job};
use networks::Network;

/// The point up to which a job's network is frozen.
pub(crate) fn cut(job: &Job, whole: &Network) -> Result<String> {
    Ok(match (&job.cut, &job.head) {
        (Some(cut), _) => cut.clone(),
        (None, Head::Classifier) => whole.below_classifier()?.to_owned(),
        (None, _) => whole.default_cut.to_owned(),
    })
}
