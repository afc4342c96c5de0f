//! The cost of a kill: the time until the work that the killed process held up continues elsewhere.

use super::TICK;
use local_cloud::Kill;
use protocol::{Decision, Event, Fact, Ledger, Moment, Target};

/// Milliseconds lost by each kill, by the run's own facts.
///
/// A killed attempt at unfinished work loses all of the attempt, and the time until the work continues: until
/// it is begun again, or someone else has done it, or another process has it that is also killed and counts
/// separately. If the work was done, and the process died before it had sent the events that were then due,
/// this wait is lost; if nothing was due, nothing is. A killed start or tick holds up the events that it was
/// about to send.
pub(crate) fn lost_ms(kills: &[Kill], facts: &[Fact]) -> Vec<u64> {
    let held_up: Vec<Vec<HeldUp>> = kills.iter().map(|kill| held_up(kill, facts)).collect();
    let lost = |(kill, held): (&Kill, &Vec<HeldUp>)| {
        let lost = |held: &HeldUp| {
            let others = kills.iter().zip(&held_up).filter(|(other, _)| other.started_ms > kill.at_ms);
            let tried = others.filter(|(_, its)| its.iter().any(|other| other.what == held.what));
            let tried = tried.map(|(other, _)| other.started_ms).min();
            let goes_on = goes_on_ms(held.what, kill.at_ms, facts);
            tried.map_or(goes_on, |tried| tried.min(goes_on)).saturating_sub(held.since_ms)
        };
        held.iter().map(lost).max().unwrap_or(0)
    };
    kills.iter().zip(&held_up).map(lost).collect()
}

/// Work that waits because a process was killed, and since when.
struct HeldUp {
    what: Target,
    since_ms: u64,
}

fn held_up(kill: &Kill, facts: &[Fact]) -> Vec<HeldUp> {
    let Ok(event) = Event::parse(kill.request_payload.as_bytes()) else { return Vec::new() };
    let until = |now_ms| facts.iter().take_while(|fact| fact.at_ms() <= now_ms).count();
    let (until_begin, until_end) = (until(kill.started_ms), until(kill.at_ms));
    let (at_begin, at_end) = (ledger(&facts[..until_begin]), ledger(&facts[..until_end]));
    let all =
        |whats: Vec<Target>, since_ms| whats.into_iter().map(|what| HeldUp { what, since_ms }).collect();
    let Some(at_end) = at_end else { return all(vec![Target::worker(0, 0, 0)], kill.started_ms) };
    let waits = |what: &Target| !facts[..until_end].iter().any(|fact| begins(fact, *what));
    match (target(&event), at_begin) {
        // The start that recorded its fact and died.
        (_, None) => all(at_end.due().into_iter().filter(waits).collect(), kill.at_ms),
        (None, Some(at_begin)) => {
            let patience_ms = TICK.as_millis() as u64;
            let moment = Moment { now_ms: kill.at_ms, invocation: "a killed one", patience_ms };
            let Ok(Decision::Resend(mut whats)) = at_begin.decide(&event, moment) else { return Vec::new() };
            // Work that has begun in between had been sent already.
            whats.retain(|what| !facts[until_begin..until_end].iter().any(|fact| begins(fact, *what)));
            all(whats, kill.started_ms)
        }
        (Some(what), Some(_)) if at_end.due().contains(&what) => all(vec![what], kill.started_ms),
        (Some(done), Some(at_begin)) => {
            let follows = |due: &Target| match (done.worker, due.worker) {
                (Some(worker), Some(next)) => next == worker && due.stage == done.stage,
                (Some(_), None) => due.stage == done.stage,
                (None, _) => due.worker.is_some() && due.stage == done.stage + 1,
            };
            let whats = at_end.due().into_iter().filter(|due| follows(due) && waits(due)).collect();
            all(whats, if at_begin.due().contains(&done) { kill.at_ms } else { kill.started_ms })
        }
    }
}

/// The ledger of these facts; none before the run's start.
fn ledger(facts: &[Fact]) -> Option<Ledger> {
    Ledger::fold(facts.to_vec()).expect("a sound ledger")
}

/// When the work is begun again, or someone else has done it, or the run is over.
fn goes_on_ms(what: Target, since_ms: u64, facts: &[Fact]) -> u64 {
    let shows = |fact: &&Fact| match fact {
        Fact::LegDone { target, .. } | Fact::WorkerDone { target, .. } => *target == what,
        Fact::CombineDone { combined, .. } => what == Target::combine(combined.stage),
        other => begins(other, what),
    };
    let mut after = facts.iter().filter(|fact| fact.at_ms() > since_ms);
    after.clone().find(shows).or(after.next_back()).map_or(since_ms, Fact::at_ms)
}

fn target(event: &Event) -> Option<Target> {
    match event {
        Event::Worker(event) => Some(Target::worker(event.stage?, event.worker, event.leg?)),
        Event::Combine { stage, leg, .. } => Some(Target { stage: (*stage)?, worker: None, leg: (*leg)? }),
        _ => None,
    }
}

fn begins(fact: &Fact, what: Target) -> bool {
    matches!(fact, Fact::Begun { target, .. } if *target == what)
}
