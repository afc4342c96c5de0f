//! Files of a stage that were damaged at rest are computed again: a damaged place costs the leg's start, a
//! damaged result the worker's stage.
//!
//! The new file is the same, because it depends only on the job, the stage and the worker.

use crate::{Failed, Fate, Stage, Work};
use protocol::FileRef;
use std::path::Path;

/// A worker's opened share of a stage.
pub type Opened = Result<Box<dyn Work>, Failed>;

/// Opens a worker's share of a stage with `open`, from its start if the place is damaged.
///
/// # Errors
/// Those of `open`.
pub fn resumed(
    stage: &Stage<'_>,
    place: Option<&FileRef>,
    open: impl Fn(Option<&FileRef>) -> Opened,
) -> Opened {
    let opened = open(place);
    match (&opened, place) {
        (Err(failed), Some(place)) if failed.fate == Fate::Halt => {
            let folder = stage.root.run(stage.run).stage(stage.number);
            if is_damaged(&folder, place) { open(None) } else { opened }
        }
        _ => opened,
    }
}

/// Reads a stage's results with `read`. If a worker's result is damaged, its share is computed again first:
/// `open` opens it from its start.
///
/// # Errors
/// Those of `open` and `read`; an error if the new result differs.
pub fn on_results<T>(
    stage: &Stage<'_>,
    results: &[FileRef],
    open: impl Fn(u32) -> Opened,
    read: impl Fn(&[FileRef]) -> Result<T, Failed>,
) -> Result<T, Failed> {
    let first = read(results);
    if !matches!(&first, Err(failed) if failed.fate == Fate::Halt) {
        return first;
    }
    let folder = stage.root.run(stage.run).stage(stage.number);
    let mut results = results.to_vec();
    let mut again = false;
    for (worker, result) in results.iter_mut().enumerate() {
        if is_damaged(&folder, result) {
            let mut work = open(worker as u32)?;
            *result = made_again(&mut *work, stage.number, &folder.join(&result.name), result)?;
            again = true;
        }
    }
    if again { read(&results) } else { first }
}

/// Whether a file has other bytes than were published.
fn is_damaged(folder: &Path, file: &FileRef) -> bool {
    let verified = storage::open(folder, file).and_then(|opened| opened.verify());
    verified.is_err_and(|error| error.fate() == Fate::Halt)
}

/// A worker's result, computed from the start of the stage.
fn made_again(work: &mut dyn Work, stage: u32, path: &Path, lost: &FileRef) -> Result<FileRef, Failed> {
    while !work.progress().finished() {
        work.step()?;
    }
    let made = work.publish()?;
    // The features stage gives its shards new names; each of them has its own checksum.
    if stage > 0 && (made.bytes, &made.xxh3) != (lost.bytes, &lost.xxh3) {
        let found = format!("xxh3 {} when it was computed again", made.xxh3);
        return Err(Failed::damaged(path, format!("xxh3 {}", lost.xxh3), found));
    }
    Ok(made)
}
