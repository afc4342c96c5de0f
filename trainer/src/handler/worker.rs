//! One leg of one worker: compute until the work or the time ends, publish, record, hand over to the next
//! leg.

use super::leg::{self, Ended};
use super::{Reply, Turn, stage};
use crate::Error;
use crate::services::WorkerReport;
use protocol::{Fact, Ledger, Target};
use std::sync::Arc;

pub(super) fn leg(turn: &Turn<'_>, ledger: Arc<Ledger>, target: Target, worker: u32) -> Result<Reply, Error> {
    let services = turn.services;
    let share = ledger.workers[worker as usize].share;
    let place = ledger.workers[worker as usize].place.as_ref();
    let mut work =
        services.workloads.find(&ledger.job)?.open(&stage(services, &ledger, target.stage), share, place)?;
    let first = work.progress().done;
    let mut last = None;
    let ended = leg::run(turn, target, &mut *work, |work, pace| {
        let progress = work.progress();
        let report = WorkerReport {
            run: &ledger.run,
            workers: ledger.workers.len() as u32,
            stage: target.stage,
            worker,
            leg: target.leg,
            done: progress.done,
            of: progress.of,
            units_per_second: progress.done.saturating_sub(first) as f64 / pace.seconds(),
            now_ms: turn.now_ms(),
            last: false,
        };
        services.progress.worker(&report);
        last = Some(report);
    })?;
    let fact = match ended {
        Ended::NotWanted(why) => return Ok(Reply::ignored(why)),
        Ended::CutShort(fact) => fact,
        Ended::Finished(result) => {
            let (invocation, at_ms) = (turn.invocation.id.clone(), turn.now_ms());
            Fact::WorkerDone { target, result, invocation, at_ms }
        }
    };
    if let Some(last) = last {
        services.progress.worker(&WorkerReport { last: true, ..last });
    }
    drop(ledger);
    let (recorded, ledger) = turn.record(fact)?;
    turn.send(&ledger, &recorded.due)
}

#[cfg(test)]
mod tests;
