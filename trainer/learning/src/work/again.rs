//! What a stage's files lost at rest is computed again: a damaged place costs the leg's start, a damaged result the
//! worker's stage.
//!
//! It gives the same, because what is published depends only on the job, the stage and the worker.

use super::{Assignment, CombineOrder, Work};
use crate::{Error, Fate, Result};
use protocol::FileRef;
use std::path::Path;

/// Takes up a worker's stage with `open`; from its start when the place in it is damaged.
pub(super) fn work(
    assignment: &Assignment<'_>,
    open: impl Fn(&Assignment<'_>) -> Result<Box<dyn Work>>,
) -> Result<Box<dyn Work>> {
    let opened = open(assignment);
    match (&opened, assignment.place) {
        (Err(error), Some(place)) if error.fate() == Fate::Halt => {
            let stage = assignment.root.run(assignment.run).stage(assignment.stage);
            if is_damaged(&stage, place) { open(&Assignment { place: None, ..*assignment }) } else { opened }
        }
        _ => opened,
    }
}

/// Reads a stage's results with `read`; workers whose results are damaged have their stage computed again first.
pub(crate) fn on_results<T>(
    order: &CombineOrder<'_>,
    read: impl Fn(&CombineOrder<'_>) -> Result<T>,
) -> Result<T> {
    let first = read(order);
    if !matches!(&first, Err(error) if error.fate() == Fate::Halt) {
        return first;
    }
    let stage = order.root.run(order.run).stage(order.stage);
    let mut results = order.results.to_vec();
    let mut again = false;
    for (worker, result) in results.iter_mut().enumerate() {
        if is_damaged(&stage, result) {
            *result = result_again(order, worker as u32, &stage.join(&result.name), result)?;
            again = true;
        }
    }
    if again { read(&CombineOrder { results: &results, ..*order }) } else { first }
}

/// Whether a file has other bytes than were published.
fn is_damaged(folder: &Path, file: &FileRef) -> bool {
    let verified = storage::open(folder, file).and_then(|opened| opened.verify());
    verified.is_err_and(|error| Error::from(error).fate() == Fate::Halt)
}

/// A worker's result, computed from the start of the stage.
fn result_again(order: &CombineOrder<'_>, worker: u32, path: &Path, lost: &FileRef) -> Result<FileRef> {
    let mut work = super::open(&Assignment {
        root: order.root,
        run: order.run,
        job: order.job,
        workers: order.workers,
        stage: order.stage,
        worker,
        features: order.features,
        place: None,
        state: order.state,
        threads: order.threads,
    })?;
    while !work.progress().finished() {
        work.step()?;
    }
    let made = work.publish()?;
    // The features stage names its shards anew; each of them has its own checksum.
    if order.stage > 0 && (made.bytes, &made.xxh3) != (lost.bytes, &lost.xxh3) {
        let found = format!("xxh3 {} when it was computed again", made.xxh3);
        return Err(Error::damaged(path, format!("xxh3 {}", lost.xxh3), found));
    }
    Ok(made)
}
