//! The operator's ceiling: shares of a day's dollars, asked for under one lock that all runs have together.
//!
//! Who has that lock asks for no other one.

use crate::Error;
use crate::services::Services;
use protocol::items::DayItem;
use protocol::{Ledger, Need, RunId, Share, Shares, day_of};
use storage::FactLog;

/// The operator's ceiling, and how much of it all runs of this day have.
///
/// # Errors
/// As the log's: see [`FactLog::update`].
pub fn today(services: &Services) -> Result<DayItem, Error> {
    if !services.settings.ceiling.counts_runs() {
        return Ok(of_day(services, &Shares::default()));
    }
    update(services, |shares| (None, of_day(services, shares)))
}

/// Gets a run what it needs; else says why it may not go on.
pub(super) fn grant(services: &Services, need: &Need) -> Result<Result<(), String>, Error> {
    let (ceiling, day) = (&services.settings.ceiling, today_is(services));
    update(services, |shares| match shares.grant(need, day, ceiling) {
        Ok(share) => (Some(share), Ok(())),
        Err(why) => (None, Err(why)),
    })
}

/// Takes a run among those that are active, with what it needs at its start.
///
/// # Errors
/// [`Error::Ceiling`] when that would pass what the operator allows.
pub(super) fn admit(services: &Services, need: &Need) -> Result<(), Error> {
    let (ceiling, day) = (&services.settings.ceiling, today_is(services));
    need.check(ceiling).map_err(Error::Ceiling)?;
    if !ceiling.counts_runs() {
        return Ok(());
    }
    let granted = update(services, |shares| {
        match shares.admit(&need.run, ceiling).and_then(|()| shares.grant(need, day, ceiling)) {
            Ok(share) => (Some(share), Ok(())),
            Err(why) => (None, Err(why)),
        }
    });
    granted?.map_err(Error::Ceiling)
}

/// The runs that are held to be active.
pub(super) fn active(services: &Services) -> Result<Vec<RunId>, Error> {
    update(services, |shares| (None, shares.active().iter().cloned().collect()))
}

/// There is no such run.
pub(super) fn forget(services: &Services, run: &RunId) -> Result<(), Error> {
    let day = today_is(services);
    update(services, |shares| (shares.forget(run, day), ()))
}

/// A run has ended: what it has not spent is free for others.
pub(super) fn settle(services: &Services, ledger: &Ledger) -> Result<(), Error> {
    if !services.settings.ceiling.counts_runs() {
        return Ok(());
    }
    let day = today_is(services);
    update(services, |shares| (shares.settle(ledger, day), ()))
}

fn today_is(services: &Services) -> u64 {
    day_of(services.clock.now_ms())
}

fn of_day(services: &Services, shares: &Shares) -> DayItem {
    let (ceiling, day) = (&services.settings.ceiling, today_is(services));
    DayItem {
        day: protocol::date(day),
        dollars: shares.dollars(day),
        dollars_limit: ceiling.dollars_per_day.unwrap_or(0.0),
        run_dollars_limit: ceiling.dollars_per_run.unwrap_or(0.0),
        workers_limit: ceiling.workers.unwrap_or(0),
        active: shares.active().len() as u32,
        active_limit: ceiling.active_runs.unwrap_or(0),
    }
}

/// One holding of the lock: the shares as they stand, and the one that is recorded.
fn update<R>(services: &Services, change: impl FnOnce(&Shares) -> (Option<Share>, R)) -> Result<R, Error> {
    let log = FactLog::<Share>::from(services.root.spent_log()?);
    let mut seen = services.ledgers.take_shares();
    let (result, changed) = log.update_after(services.settings.lock_wait, &mut seen.known, |new| {
        if new.all {
            seen.shares = Shares::default();
        }
        new.facts.into_iter().for_each(|share| seen.shares.record(share));
        let (share, result) = change(&seen.shares);
        Ok::<_, Error>((share.clone().into_iter().collect(), (result, share)))
    })?;
    if let Some(share) = changed {
        seen.shares.record(share);
        services.progress.day(&of_day(services, &seen.shares), services.clock.now_ms());
    }
    services.ledgers.put_shares(seen);
    Ok(result)
}

#[cfg(test)]
mod tests;
