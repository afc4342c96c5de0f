//! One leg of any work: it steps until the work or the time ends, or the process is told to end.
//! Then it makes the result, or the place for the next leg.

use super::Turn;
use super::lookout::Lookout;
use super::pace::Pace;
use crate::Error;
use protocol::{Fact, Target};
use work::Work;

/// How a leg ended.
pub(super) enum Ended<Made> {
    /// With the result of the work.
    Finished(Made),
    /// Before the work was done: this fact must be recorded.
    CutShort(Fact),
    /// The work is not wanted any more; the reason in words.
    NotWanted(String),
}

/// Carries out a leg; `report` is called after each step with the work and its pace.
pub(super) fn run<Made>(
    turn: &Turn<'_>,
    target: Target,
    work: &mut dyn Work<Made>,
    mut report: impl FnMut(&dyn Work<Made>, &Pace),
) -> Result<Ended<Made>, Error> {
    let begun_ms = turn.now_ms();
    let mut pace = Pace::new(begun_ms, turn.invocation.deadline_at(begun_ms));
    let mut lookout = Lookout::new(begun_ms);
    loop {
        let now_ms = turn.now_ms();
        if work.progress().finished() {
            return Ok(Ended::Finished(work.publish()?));
        }
        if turn.services.notice.is_given() {
            // A leg that has not done a step leaves the place of the one before.
            let place = if pace.has_stepped() { Some(work.save()?) } else { None };
            let (done, invocation) = (work.progress().done, turn.invocation.id.clone());
            let at_ms = turn.now_ms();
            return Ok(Ended::CutShort(Fact::Interrupted { target, place, done, invocation, at_ms }));
        }
        if pace.must_stop(now_ms) {
            let (done, place) = (work.progress().done, work.save()?);
            let (invocation, at_ms) = (turn.invocation.id.clone(), turn.now_ms());
            return Ok(Ended::CutShort(Fact::LegDone { target, place, done, invocation, at_ms }));
        }
        if lookout.is_due(now_ms) {
            if let Some(why) = turn.not_wanted(target)? {
                return Ok(Ended::NotWanted(why));
            }
            lookout.looked(now_ms, turn.now_ms());
        }
        work.step()?;
        pace.stepped(turn.now_ms());
        report(work, &pace);
    }
}
