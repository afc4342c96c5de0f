//! The combine of a stage of units: one list of the results of all shares.

use crate::state::{Share, State};
use crate::{Units, open};
use protocol::{At, FileRef};
use std::collections::BTreeSet;
use std::sync::Arc;
use work::{Combined, Failed, Stage, on_results};

/// Combines the results of the shares of a stage.
///
/// # Errors
/// [`Failed`], when a file is damaged, cannot be read or cannot be written.
pub fn combine(at: &Stage<'_>, results: &[FileRef], units: &Arc<dyn Units>) -> Result<Combined, Failed> {
    let again = |share| open(at, share, None, units.clone());
    on_results(at, results, again, |results| {
        let state = joined(at, results)?;
        Ok(Combined { state: Some(state.write(at)?), ..Combined::default() })
    })
}

fn joined(at: &Stage<'_>, results: &[FileRef]) -> Result<State, Failed> {
    let folder = at.root.run(at.run).stage(at.number);
    let first = at.course.at(at.number) == At::Before(0);
    let mut state = if first { State::default() } else { State::open(at)? };
    let tried = std::mem::take(&mut state.lost);
    let (mut settled, mut lost) = (0, Vec::new());
    for (share, result) in (0..).zip(results) {
        let begun = Share { stage: at.number, share, ..Share::default() };
        let found = Share::read(&folder, result)?.checked(&begun, usize::MAX, &folder.join(&result.name))?;
        settled += found.settled as u64;
        lost.extend(found.lost);
        if first { state.files.push(found.files) } else { state.again.extend(found.files) }
    }
    lost.sort_by_key(|letter| letter.unit);
    let of: BTreeSet<u64> = tried.iter().map(|letter| letter.unit).collect();
    let others = lost.iter().filter(|letter| !first && !of.contains(&letter.unit)).count();
    if (!first && settled != tried.len() as u64) || others > 0 {
        let expected = format!("{} units that were lost before", tried.len());
        return Err(Failed::argument(
            at.course.words(at.number),
            expected,
            format!("{settled}, {others} of them others"),
        ));
    }
    state.done += settled - lost.len() as u64;
    state.lost = lost;
    Ok(state)
}
