//! The conditions at every step and at the end of every schedule.

use super::code::protocol::{Decision, Event, Ledger, Moment, Reason};
use super::setting::Setting;
use super::world::World;

/// In which a run is done whose clocks jump, and by how much a bill may differ, in milliseconds.
const SOON_MS: u64 = 40 * 60_000;
const SLACK_MS: u64 = 1_000;

/// The promised end of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// All rounds, or the job's patience; nothing was sent again.
    Undisturbed,
    /// All rounds, or the job's patience.
    Done,
    /// Or at a limit, or stopped.
    DoneOrLimit,
    /// Or it gave up with the reason.
    AnyEnd,
    /// All rounds, or the job's patience; with a model without scores, because scoring is impossible.
    Unscored,
    /// All rounds, or the job's patience, however often its cloud left; and what is billed is what ran.
    Interrupted,
    /// All rounds, or the job's patience, in less than an hour, whatever the clocks show.
    Soon,
    /// Or every reader of its ledger sees that it is wrong, or its start is refused.
    EndOrRefusal,
}

/// An event is sent: it must be due by durable facts, and counted, except for facts that were durable and
/// were written over.
pub(crate) fn sent(w: &mut World, event: &Event) {
    let lost = w.truth.lost_sends;
    if w.truth.broken {
        return;
    }
    let Some(ledger) = &w.truth.ledger else {
        // The start itself may have been written over: the events that it had counted are still sent, and no
        // more.
        if w.tally.sends > lost {
            w.violate(format!("{event:?} is sent before the start"));
        }
        return;
    };
    let moment = Moment { now_ms: w.epoch_ms(), invocation: "nobody", patience_ms: 180_000 };
    let wrong = match ledger.decide(event, moment) {
        Ok(Decision::Ahead(why)) if !w.truth.unhonoured => {
            Some(format!("an event is sent ahead of what is durable: {why}"))
        }
        Err(error) => Some(error.to_string()),
        _ if w.tally.sends > ledger.spend.sent + lost => {
            Some(format!("{} events are sent, {} are recorded", w.tally.sends, ledger.spend.sent))
        }
        _ if ledger.over.is_none() && w.tally.sends > w.setting.invocations + lost => Some(format!(
            "{} events are sent in training, {} are allowed",
            w.tally.sends, w.setting.invocations
        )),
        _ if w.tally.sends > w.setting.most_sent() + lost => {
            Some(format!("{} events are sent, {} are allowed", w.tally.sends, w.setting.most_sent()))
        }
        _ => None,
    };
    if let Some(what) = wrong {
        w.violate(what);
    }
}

/// A ledger is reported: it must be durable.
pub(crate) fn reported(w: &mut World, ledger: &Ledger) {
    w.look();
    if w.truth.unhonoured {
        return;
    }
    let Some(durable) = &w.truth.ledger else {
        return w.violate("a run is reported that is not durable".into());
    };
    let ahead = ledger.stage > durable.stage
        || ledger.spend.begun > durable.spend.begun
        || ledger.spend.sent > durable.spend.sent
        || (ledger.ending.is_some() && durable.ending.is_none());
    if ahead {
        w.violate("what is reported is not durable".into());
    }
}

/// Work was done: that of all runs of the day is within the operator's ceiling. An event that the platform
/// delivers twice at once does its leg twice, and is one to the ledger.
pub(crate) fn worked(w: &mut World) {
    let Some(most) = w.setting.dollars_per_day else { return };
    let twice = w.tally.duplicates as f64 * Setting::dollars(w.setting.limit_ms);
    let dollars = Setting::dollars(w.tally.worked_ms);
    if dollars > most + twice {
        w.violate(format!("work of {dollars:.6} dollars was done in a day, {most:.6} are allowed"));
    }
}

/// The most invocations that a run may cause: the formula of `docs/protocol.md`.
pub(crate) fn bound(w: &World, sent: u64) -> u64 {
    3 * (sent + w.tally.outside) + w.tally.duplicates
}

/// The fault of the scores of a run that was trained to its end: they must be there, unless scoring is
/// impossible.
fn unscored(w: &World, ledger: &Ledger, promise: Promise) -> Option<String> {
    let ending = ledger.ending.as_ref()?;
    let unscored = ending.unscored.as_deref();
    match promise {
        Promise::Unscored if unscored.is_none() || ending.model.is_none() => {
            Some("scores cannot be had, and the model has them or is not there".into())
        }
        Promise::Undisturbed | Promise::Done | Promise::Interrupted | Promise::Soon => {
            unscored.map(|why| format!("the model has no scores: {why}"))
        }
        _ if w.setting.endless && unscored.is_none() => Some("scores that cannot be had are there".into()),
        _ => None,
    }
}

/// The fault of a run whose cloud has come and gone, if it has one.
fn interrupted(w: &World, ledger: &Ledger) -> Option<String> {
    let billed_ms = ledger.spend.gb_seconds(u64::MAX) * 1_000.0;
    let most_ms = w.lasted_ms + w.forgiven_ms + SLACK_MS;
    if billed_ms > most_ms as f64 {
        return Some(format!("{billed_ms:.0} ms are billed, {} ms have run", w.lasted_ms));
    }
    let worked_ms = ledger.worked_ms(w.epoch_ms());
    let short = w.setting.step_ms <= 1_000 && w.forgiven_ms > 0;
    short.then(|| format!("a leg of short steps did not end in two seconds; {worked_ms} ms of work"))
}

/// Checks the end of a schedule.
pub(crate) fn ended(w: &mut World, promise: Promise) {
    w.look();
    if w.violation.is_some() {
        return;
    }
    if promise == Promise::EndOrRefusal && w.refused.is_some() {
        return;
    }
    let Some(ledger) = &w.truth.ledger else { return w.violate("the run was never begun".into()) };
    let rounds = ledger.rounds_done();
    let wrong = match w.truth.ending() {
        None => Some("the run does not end".into()),
        Some(Reason::Rounds) if rounds != w.setting.rounds => Some(format!("ended after {rounds} rounds")),
        Some(Reason::Rounds | Reason::Patience) => unscored(w, ledger, promise),
        Some(Reason::Limit(_) | Reason::Stopped) if promise == Promise::DoneOrLimit => None,
        Some(_) if matches!(promise, Promise::AnyEnd | Promise::EndOrRefusal) => None,
        Some(why) => Some(format!("the run ended: {why}")),
    };
    let wrong = wrong.or_else(|| match promise {
        Promise::Interrupted => interrupted(w, ledger),
        Promise::Soon => {
            let late_ms = w.truth.ended_ms?.saturating_sub(1_000_000);
            (late_ms > SOON_MS).then(|| format!("it has taken {} minutes", late_ms / 60_000))
        }
        _ => None,
    });
    let guess = |why: &Reason| ledger.spend.begun > 0 && why.to_string().contains("does the function start");
    let wrong = wrong.or_else(|| {
        let why = w.truth.ending().filter(|why| guess(why))?;
        Some(format!("the reason is not what was seen: {why}"))
    });
    let stages: Vec<u32> = (0..w.truth.combined.len() as u32).collect();
    let lost = w.truth.lost_sends;
    let most = w.setting.most_sent() + lost;
    // Facts after a break in the ledger cannot be read any more: the events that were really sent count
    // instead.
    let recorded = ledger.spend.sent + lost;
    let sent = if w.truth.broken { recorded.max(w.tally.sends) } else { recorded };
    let wrong = wrong.or_else(|| {
        if w.truth.combined != stages {
            Some(format!("stages were combined in this order: {:?}", w.truth.combined))
        } else if w.tally.invocations > bound(w, sent) || w.tally.invocations > bound(w, most) {
            Some(format!("{} invocations, at most {} are possible", w.tally.invocations, bound(w, sent)))
        } else if promise == Promise::Undisturbed && w.truth.resent > 0 {
            Some(format!("{} events were sent again although nothing failed", w.truth.resent))
        } else {
            None
        }
    });
    if let Some(what) = wrong {
        w.violate(what);
    }
}
