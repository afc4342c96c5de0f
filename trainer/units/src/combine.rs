//! The results of the shares of a stage become one list: all of them when the stage is combined, and those
//! that there are if the run ends within it.

use crate::dealing::Dealt;
use crate::state::{Share, State};
use crate::{Letter, Numbers, Units, open};
use protocol::{At, CutShort, FileRef};
use std::collections::{BTreeMap, BTreeSet};
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
    let mut state = State::before(at)?;
    let tried = std::mem::take(&mut state.lost);
    let mut settled = 0;
    for (share, result) in (0..).zip(results) {
        let found = read(at, share, result)?;
        settled += found.settled as u64;
        state.add(at, found);
    }
    let first = at.course.at(at.number) == At::Before(0);
    let of: BTreeSet<u64> = tried.iter().map(|letter| letter.unit).collect();
    let others = state.lost.iter().filter(|letter| !first && !of.contains(&letter.unit)).count();
    if (!first && settled != tried.len() as u64) || others > 0 {
        let expected = format!("{} units that were lost before", tried.len());
        return Err(Failed::argument(
            at.course.words(at.number),
            expected,
            format!("{settled}, {others} of them others"),
        ));
    }
    state.done += settled - state.lost.len() as u64;
    state.lost.sort_by_key(|letter| letter.unit);
    Ok(state)
}

/// The results of a run that ended within a stage. A unit that this stage did not settle keeps the reason of
/// the try before, or has none but the end of the run.
pub(crate) fn cut_short(at: &Stage<'_>, cut: &CutShort, numbers: &Numbers) -> Result<State, Failed> {
    let at = &Stage { number: cut.stage, ..*at };
    let (mut state, dealt) = (State::before(at)?, Dealt::open(at, numbers)?);
    let tried = std::mem::take(&mut state.lost).into_iter().map(|letter| (letter.unit, letter));
    let mut tried: BTreeMap<u64, Letter> = tried.collect();
    let mut some: BTreeMap<u32, &FileRef> = cut.shares.iter().map(|(share, file)| (*share, file)).collect();
    for share in 0..at.course.shares(at.number, at.workers) {
        let units = dealt.share(share);
        let found = match some.remove(&share) {
            Some(file) => read(at, share, file)?,
            None => Share::begun(at, share),
        };
        for unit in units.into_iter().skip(found.settled) {
            let why = || format!("no result when the run ended: {}", cut.why);
            let letter = tried.remove(&unit);
            state.lost.push(letter.unwrap_or_else(|| Letter {
                unit,
                why: why(),
                said: String::new(),
                tries: 0,
            }));
        }
        state.add(at, found);
    }
    state.done = numbers.count() - state.lost.len() as u64;
    state.lost.sort_by_key(|letter| letter.unit);
    Ok(state)
}

fn read(at: &Stage<'_>, share: u32, file: &FileRef) -> Result<Share, Failed> {
    let folder = at.root.run(at.run).stage(at.number);
    Share::read(&folder, file)?.checked(&Share::begun(at, share), usize::MAX, &folder.join(&file.name))
}
