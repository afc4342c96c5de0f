//! A worker's training in a round, for each way of agreement.

use super::average::AverageWork;
use super::gradient::GradientWork;
use super::keys::Agreement;
use super::trainable::Trainable;
use protocol::FileRef;
use std::sync::Arc;
use work::{Opened, Stage};

/// Opens a worker's training where its last leg left it.
pub(super) fn open<T: Trainable>(at: &Stage<'_>, worker: u32, place: Option<&FileRef>, of: Arc<T>) -> Opened {
    Ok(match of.training().agree {
        Agreement::Gradient => Box::new(GradientWork::open(at, worker, place, of)?),
        Agreement::Average | Agreement::Diloco => Box::new(AverageWork::open(at, worker, place, of)?),
    })
}
