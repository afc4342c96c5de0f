//! What a kill costs: the time from the begin of the attempt that was killed until its work goes on elsewhere.

use local_cloud::Kill;
use protocol::{Event, Fact, Ledger, Target};

/// Milliseconds lost by each kill of a worker or a combine, by the run's own facts.
///
/// Work goes on when it is begun again, when someone else has done it, or when another attempt at it starts that is
/// killed in its turn and counts by itself. If the killed attempt's work was not done yet, all of the attempt is lost, and the time until another one begins
/// that work. If it was done, and the process died before it had sent what is due next, only that wait is lost; if
/// nothing was due by it, nothing.
pub(crate) fn lost_ms(kills: &[Kill], facts: &[Fact]) -> Vec<u64> {
    kills.iter().filter_map(|kill| Some(lost(kill, target(&kill.request_payload)?, kills, facts))).collect()
}

fn lost(kill: &Kill, target: Target, kills: &[Kill], facts: &[Fact]) -> u64 {
    let split = facts.iter().position(|fact| at_ms(fact) > kill.at_ms).unwrap_or(facts.len());
    let (before, after) = facts.split_at(split);
    let ledger = Ledger::fold(before.to_vec()).expect("a sound ledger").expect("a start");
    let goes_on_ms = |what: Target| {
        let fact = after.iter().find(|fact| concerns(fact, what)).or(after.last()).map_or(kill.at_ms, at_ms);
        let others = kills.iter().filter(|other| other.started_ms > kill.at_ms);
        let tried =
            others.filter(|other| self::target(&other.request_payload) == Some(what)).map(|o| o.started_ms);
        tried.min().map_or(fact, |tried| tried.min(fact))
    };
    if ledger.due().contains(&target) {
        return goes_on_ms(target).saturating_sub(kill.started_ms);
    }
    let owed = |due: &Target| {
        let next_leg = due.worker.is_some() && due.worker == target.worker && due.stage == target.stage;
        let combine = due.worker.is_none() && due.stage == target.stage;
        let next_stage = target.worker.is_none() && due.stage == target.stage + 1;
        (next_leg || combine || next_stage) && !before.iter().any(|fact| begins(fact, *due))
    };
    let waits = ledger.due().into_iter().filter(owed).map(|due| goes_on_ms(due).saturating_sub(kill.at_ms));
    waits.max().unwrap_or(0)
}

fn target(payload: &str) -> Option<Target> {
    match Event::parse(payload.as_bytes()).ok()? {
        Event::Worker(event) => Some(Target::worker(event.stage?, event.worker, event.leg?)),
        Event::Combine { stage, .. } => Some(Target::combine(stage?)),
        _ => None,
    }
}

fn begins(fact: &Fact, what: Target) -> bool {
    matches!(fact, Fact::Begun { target, .. } if *target == what)
}

/// Whether this fact shows that the work goes on: it is begun again, or someone else has done it.
fn concerns(fact: &Fact, what: Target) -> bool {
    match fact {
        Fact::LegDone { target, .. } | Fact::WorkerDone { target, .. } => *target == what,
        Fact::CombineDone { combined, .. } => what == Target::combine(combined.stage),
        other => begins(other, what),
    }
}

fn at_ms(fact: &Fact) -> u64 {
    match fact {
        Fact::Begun { lease, .. } => lease.at_ms,
        Fact::Started { at_ms, .. }
        | Fact::LegDone { at_ms, .. }
        | Fact::WorkerDone { at_ms, .. }
        | Fact::CombineDone { at_ms, .. }
        | Fact::SentAgain { at_ms, .. }
        | Fact::Hindered { at_ms, .. }
        | Fact::Closed { at_ms, .. }
        | Fact::Ended { at_ms, .. } => *at_ms,
    }
}
