//! The watchdog's tick: it sends again the overdue work of every run that has not ended.

use super::start::{runs, watch};
use super::{Reply, Turn, act};
use crate::Error;
use crate::services::{Invocation, Services};
use protocol::{Event, RunId};

/// Ticks every run, the newest first. One run's trouble does not delay the others.
///
/// When all have ended the watchdog is switched off. A run that starts at the same time is in the index
/// before it switches the watchdog on. So the tick looks again after switching it off, and switches it on if
/// it finds one: the watchdog is on whenever a run is.
pub(super) fn tick_all(services: &Services, event: &Event, invocation: &Invocation) -> Result<Reply, Error> {
    let mut replies = Vec::new();
    let mut failed = None;
    for run in runs(services)?.into_iter().rev() {
        match Turn::open(services, invocation, &run).and_then(|turn| act(turn, event)) {
            Ok(reply) => replies.push((run, reply)),
            Err(error) => {
                tracing::warn!(%run, %error, "the tick of a run failed");
                failed = Some(error);
            }
        }
    }
    if all_ended(services, invocation) {
        watch(services, false);
        if !all_ended(services, invocation) {
            watch(services, true);
        }
    }
    match failed {
        Some(error) if replies.is_empty() => Err(error),
        _ => Ok(Reply::ticked(replies)),
    }
}

/// Whether no run is active. A run that cannot be read counts as active.
fn all_ended(services: &Services, invocation: &Invocation) -> bool {
    let ended = |run: &RunId| match Turn::open(services, invocation, run).and_then(|turn| turn.read()) {
        Ok(ledger) => ledger.ending.is_some(),
        Err(Error::NoRun { .. }) => true,
        Err(_) => false,
    };
    runs(services).is_ok_and(|runs| runs.iter().all(ended))
}

#[cfg(test)]
mod tests;
