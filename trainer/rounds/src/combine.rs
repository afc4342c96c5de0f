//! The combine of a round: one state from all workers' results, scored. If the workers make the state in
//! slices, it is the list of the files to sum, and a stage later the index of the slices.

use super::chunked::{self, Notes};
use super::merge::merge;
use super::moving::model_array;
use super::round::Round;
use super::saved::{notes, number};
use super::slices::RESULTS;
use super::state::{Common, SLICES, json, parsed};
use super::trainable::Trainable;
use crate::Result;
use frozen::Buffer;
use protocol::{At, FileRef};
use std::path::Path;
use std::sync::Arc;
use work::{Combined, Failed, Stage};

/// Combines a stage of a round, without a score; gives the parameters that are to be scored, if they are.
pub(super) fn merge_stage<T: Trainable>(
    at: &Stage<'_>,
    results: &[FileRef],
    of: Arc<T>,
) -> Result<(Combined, Option<Buffer>)> {
    let folder = at.root.run(at.run).combined();
    let round = Round::at(at, of);
    let (file, parameters) = match at.course.at(at.number) {
        At::Round { step: 1.., .. } => index(at, results, &round, &folder)?,
        _ if at.course.completes(at.number).is_none() => {
            let text = list(at, results)?;
            let file = chunked::publish(&folder, &stem(at.number), &[], &text)?;
            return Ok((Combined { state: Some(file), features: None, score: None }, None));
        }
        _ => whole(at, results, &round, &folder)?,
    };
    let combined = Combined { state: Some(file), features: None, score: None };
    Ok((combined, at.course.scores(at.number).then_some(parameters)))
}

/// The whole state in one file, and its parameters that are scored.
fn whole<T: Trainable>(
    at: &Stage<'_>,
    results: &[FileRef],
    round: &Round<T>,
    folder: &Path,
) -> Result<(FileRef, Buffer)> {
    let mut merged = merge(at, results, round, &(0..round.length()))?;
    let text = merged.text(round.number, at.number);
    let file = chunked::publish(folder, &stem(at.number), &merged.tensors(round), &text)?;
    let of_model =
        round.combined_arrays().iter().position(|name| *name == model_array(&round.training)).unwrap_or(0);
    Ok((file, merged.arrays.swap_remove(of_model)))
}

/// The list of the files that the workers of the next stage sum.
fn list(at: &Stage<'_>, results: &[FileRef]) -> Result<Notes> {
    Ok(notes([
        (RESULTS, json(&results)?),
        ("state", json(&at.state)?),
        ("trained_in", at.number.to_string()),
        ("round", at.course.at(at.number).round().to_string()),
    ]))
}

/// The index of the workers' slices, and the parameters in them that are scored.
fn index<T: Trainable>(
    at: &Stage<'_>,
    results: &[FileRef],
    round: &Round<T>,
    folder: &Path,
) -> Result<(FileRef, Buffer)> {
    let stage = at.root.run(at.run).stage(at.number);
    let mut slices: Vec<FileRef> = Vec::new();
    let mut text = Notes::new();
    for (worker, result) in results.iter().enumerate() {
        let (file, read) = (stage.join(&result.name), storage::read_tensors(&stage, result)?.metadata);
        if number::<usize>(&file, &read, "worker")? != worker {
            return Err(Failed::damaged(&file, format!("worker {worker}'s"), "another's"));
        }
        slices.push(parsed(&file, &read, "slice")?);
        text = read;
    }
    ["worker", "slice"].into_iter().for_each(|key| drop(text.remove(key)));
    text.insert(SLICES.into(), json(&slices)?);
    let file = chunked::publish(folder, &stem(at.number), &[], &text)?;
    let common = Common::open(folder, &file, round.length())?;
    let mut parameters =
        Buffer::zeroed(round.length()).map_err(storage::Error::io("find memory for", folder))?;
    common.read(model_array(&round.training), 0, &mut parameters)?;
    Ok((file, parameters))
}

fn stem(stage: u32) -> String {
    format!("{stage:04}")
}
