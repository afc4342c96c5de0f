//! One leg of one worker: compute until the work or the time ends, publish, record, pass the baton on.

use super::lookout::Lookout;
use super::pace::Pace;
use super::{Reply, Turn, stage};
use crate::Error;
use crate::services::WorkerReport;
use protocol::{Fact, Ledger, Target};
use std::sync::Arc;
use work::Work;

pub(super) fn leg(turn: &Turn<'_>, ledger: Arc<Ledger>, target: Target, worker: u32) -> Result<Reply, Error> {
    let services = turn.services;
    let mut pace = Pace::new(turn.now_ms(), turn.invocation.deadline_ms);
    let mut lookout = Lookout::new(turn.now_ms());
    let place = ledger.workers[worker as usize].place.as_ref();
    let mut work = services.workload.open(&stage(services, &ledger, target.stage), worker, place)?;
    let first = work.progress().done;
    let finished = loop {
        let now_ms = turn.now_ms();
        if work.progress().finished() || pace.must_stop(now_ms) {
            break work.progress().finished();
        }
        if lookout.is_due(now_ms) {
            if let Some(why) = turn.over()? {
                return Ok(Reply::ignored(format!("the run was ended meanwhile: {why}")));
            }
            lookout.looked(now_ms, turn.now_ms());
        }
        work.step()?;
        pace.stepped(turn.now_ms());
        services.progress.worker(&report(&ledger, target, worker, &*work, first, &pace, turn.now_ms()));
    };
    let last = report(&ledger, target, worker, &*work, first, &pace, turn.now_ms());
    let fact = end_leg(turn, target, &mut *work, finished)?;
    services.progress.worker(&WorkerReport { last: true, ..last });
    drop(ledger);
    let (recorded, ledger) = turn.record(fact)?;
    turn.send(&ledger, &recorded.due)
}

/// Publishes the result or the place.
fn end_leg(turn: &Turn<'_>, target: Target, work: &mut dyn Work, finished: bool) -> Result<Fact, Error> {
    let invocation = turn.invocation.id.clone();
    if finished {
        let result = work.publish()?;
        return Ok(Fact::WorkerDone { target, result, invocation, at_ms: turn.now_ms() });
    }
    let done = work.progress().done;
    let place = work.save()?;
    Ok(Fact::LegDone { target, place, done, invocation, at_ms: turn.now_ms() })
}

fn report<'a>(
    ledger: &'a Ledger,
    target: Target,
    worker: u32,
    work: &dyn Work,
    first: u64,
    pace: &Pace,
    now_ms: u64,
) -> WorkerReport<'a> {
    let progress = work.progress();
    WorkerReport {
        run: &ledger.run,
        workers: ledger.workers.len() as u32,
        stage: target.stage,
        worker,
        leg: target.leg,
        done: progress.done,
        of: progress.of,
        images_per_second: progress.done.saturating_sub(first) as f64 / pace.seconds(),
        now_ms,
        last: false,
    }
}

#[cfg(test)]
mod tests;
