//! The combine of a stage: reduce the results of its workers, score them, open the next stage.

use super::leg::{self, Ended};
use super::{Reply, Turn, stage};
use crate::Error;
use protocol::{Combined, Fact, FileRef, Ledger, Target};
use std::sync::Arc;

pub(super) fn combine(turn: &Turn<'_>, ledger: Arc<Ledger>, target: Target) -> Result<Reply, Error> {
    let services = turn.services;
    let results: Vec<FileRef> = ledger.shares.results().cloned().collect();
    let stage = stage(services, &ledger, target.stage);
    let mut work =
        services.workloads.find(&ledger.job)?.combine(&stage, &results, ledger.combine.place.as_ref())?;
    let fact = match leg::run(turn, target, &mut *work, |_, _| ())? {
        Ended::NotWanted(why) => return Ok(Reply::ignored(why)),
        Ended::CutShort(fact) => fact,
        Ended::Finished(work::Combined { state, features, score }) => {
            let combined = Combined { stage: target.stage, state, features, score };
            let (invocation, at_ms) = (turn.invocation.id.clone(), turn.now_ms());
            Fact::CombineDone { combined, invocation, at_ms }
        }
    };
    drop(work);
    tell_divergence(&ledger, &fact);
    drop(ledger);
    let (recorded, ledger) = turn.record(fact)?;
    let reply = turn.send(&ledger, &recorded.due)?;
    tidy_up(turn, &ledger, target.stage, &recorded.retired);
    Ok(reply)
}

/// Says in the log that training diverges, while it happens.
fn tell_divergence(ledger: &Ledger, fact: &Fact) {
    let Fact::CombineDone { combined: Combined { stage, score: Some(score), .. }, .. } = fact else { return };
    let Some(Combined { stage: best_stage, score: Some(best), .. }) = &ledger.best else { return };
    if ledger.course.diverges(score, best) {
        let (now, then) = (ledger.course.words(*stage), ledger.course.words(*best_stage));
        let (found, lowest) = (&score.values, &best.values);
        tracing::warn!(run = %ledger.run, now, ?found, then, ?lowest, "training diverges: lower the rate");
    }
}

/// Removes files that nobody reads any more. If it is cut short, some kilobytes are left, which does no harm.
fn tidy_up(turn: &Turn<'_>, ledger: &Ledger, stage: u32, retired: &[u32]) {
    let folder = turn.services.root.run(&ledger.run);
    let combined = retired.iter().map(|&old| folder.remove_combined(old, &[]));
    let stages = stage.checked_sub(2).map(|old| folder.remove_stage(old).map(drop));
    for error in combined.chain(stages).filter_map(Result::err) {
        tracing::warn!(run = %ledger.run, stage, %error, "an old file was not removed");
    }
}
