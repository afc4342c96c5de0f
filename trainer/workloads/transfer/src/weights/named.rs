//! The weights that a job names.

use super::installed::{Installed, open_installed};
use crate::job::Job;
use crate::{Error, Result};
use storage::Root;

/// The weights that a job names.
pub(crate) fn open_weights(root: &Root, job: &Job) -> Result<Installed> {
    let folder = root.weights(job.weights())?;
    let installed = open_installed(&folder)?;
    if installed.network != job.network {
        let expected = format!("weights of {}", job.network);
        return Err(Error::argument("job.weights", expected, format!("those of {}", installed.network)));
    }
    Ok(installed)
}
