//! The operator's ceiling: what a run may spend, and what all runs of a day may spend together,
//! whatever their jobs say.
//!
//! Before a leg begins, its whole length at the function's full price is in its run's [`Share`] of the day.
//! Shares are granted under one lock, and all of a day together are at most the ceiling.

use crate::fact::Lease;
use crate::{Job, Ledger, RunId, utc};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A share grows by such a part of the day's dollars, so that it is seldom asked for more.
const PART: f64 = 1.0 / 64.0;
/// Legs that a run keeps for its end while it trains: one with scores, one without.
const END_LEGS: u32 = 2;

/// The operator's bounds; none is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ceiling {
    /// US dollars of one run.
    pub dollars_per_run: Option<f64>,
    /// US dollars of all runs together in a day, in UTC.
    pub dollars_per_day: Option<f64>,
    /// Workers of one run.
    pub workers: Option<u32>,
    /// Runs that have not ended.
    pub active_runs: Option<u32>,
}

impl Ceiling {
    /// Whether anything is counted over several runs.
    pub fn counts_runs(&self) -> bool {
        self.dollars_per_day.is_some() || self.active_runs.is_some()
    }

    /// Why a run with this job and so many workers may not be started, if it may not: what was found,
    /// and what is allowed, by the key.
    ///
    /// # Errors
    /// [`crate::Error::Refused`].
    pub fn check(&self, job: &Job, workers: u32) -> Result<(), crate::Error> {
        let refused = |key: &str, found: String, most: String, name: &str| {
            let expected = format!("at most {most}, the operator's ceiling ({name} of the stack)");
            Err(crate::Error::refused(key, found, expected))
        };
        if let Some(most) = self.workers.filter(|most| workers > *most) {
            return refused("workers", workers.to_string(), most.to_string(), "MaxWorkers");
        }
        let dollars = job.limits.dollars;
        match self.dollars_per_run.filter(|most| dollars > *most) {
            Some(most) => {
                refused("limits.dollars", dollars.to_string(), most.to_string(), "MaxDollarsPerRun")
            }
            None => Ok(()),
        }
    }
}

/// The need of a run that is to continue, in US dollars from its start.
#[derive(Clone, Debug, PartialEq)]
pub struct Need {
    /// The run.
    pub run: RunId,
    /// The cost of its invocations that have ended.
    pub settled: f64,
    /// The most that it may have spent later: what runs now at its whole length, what is about to begin, and
    /// what is kept for its end.
    pub dollars: f64,
}

impl Need {
    /// The need of a run that starts with so many workers, each as long as this lease.
    pub fn of_start(run: &RunId, workers: u32, lease: &Lease) -> Need {
        let dollars = lease.dollars() * f64::from(workers.saturating_add(END_LEGS));
        Need { run: run.clone(), settled: 0.0, dollars }
    }

    /// Why one run may not spend as much, if it may not.
    ///
    /// # Errors
    /// In words.
    pub fn check(&self, ceiling: &Ceiling) -> Result<(), String> {
        match ceiling.dollars_per_run.filter(|most| self.dollars > *most) {
            Some(most) => Err(format!(
                "with what runs and its end the run may come to {:.4} dollars, of {most} that the operator \
                 allows a run (MaxDollarsPerRun of the stack)",
                self.dollars
            )),
            None => Ok(()),
        }
    }
}

impl Ledger {
    /// The need of the run before a leg may begin.
    pub fn need(&self, lease: &Lease) -> Need {
        let legs = match (&self.over, &self.end.unscored) {
            (None, _) => END_LEGS,
            (Some(_), None) => 1,
            (Some(_), Some(_)) => 0,
        };
        let dollars = self.spend.committed() + lease.dollars() * f64::from(1 + legs);
        Need { run: self.run.clone(), settled: self.spend.settled(), dollars }
    }
}

/// A run's share of a day: a record of the log that all runs have together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// [`Share::SCHEMA`].
    pub schema: u32,
    /// The run.
    pub run: RunId,
    /// The day, counted from 1970-01-01, in UTC.
    pub day: u64,
    /// Dollars of the run, from its start, that were spent before this day.
    pub from: f64,
    /// Dollars of the run, from its start, up to which it may go on this day.
    pub to: f64,
    /// Whether the run has not ended.
    pub active: bool,
}

impl Share {
    /// The schema that this version writes and reads.
    pub const SCHEMA: u32 = 1;
}

/// The shares of all runs, folded from their log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shares {
    shares: BTreeMap<(u64, RunId), Share>,
    active: BTreeSet<RunId>,
}

/// The day of a time in milliseconds since 1970.
pub fn day_of(now_ms: u64) -> u64 {
    now_ms / 86_400_000
}

impl Shares {
    /// Takes a record of the log.
    pub fn record(&mut self, share: Share) {
        if share.active {
            self.active.insert(share.run.clone());
        } else {
            self.active.remove(&share.run);
        }
        // Clocks differ by less than a day: of the days before the last one nothing is asked any more.
        let oldest = self.shares.last_key_value().map_or(0, |((day, _), _)| day.saturating_sub(1));
        self.shares.retain(|(day, _), _| *day >= oldest);
        self.shares.insert((share.day, share.run.clone()), share);
    }

    /// Runs that have not ended.
    pub fn active(&self) -> &BTreeSet<RunId> {
        &self.active
    }

    /// Dollars of a day that runs have in their shares.
    pub fn dollars(&self, day: u64) -> f64 {
        let shares = self.shares.iter().filter(|((of, _), _)| *of == day);
        shares.map(|(_, share)| share.to - share.from).sum()
    }

    /// Whether a run has what it needs already.
    pub fn cover(&self, need: &Need, day: u64, ceiling: &Ceiling) -> bool {
        let share = || self.shares.get(&(day, need.run.clone()));
        let held = || share().is_some_and(|share| share.active && share.to >= need.dollars);
        need.check(ceiling).is_ok() && (!ceiling.counts_runs() || held())
    }

    /// The share with which a run has what it needs.
    ///
    /// # Errors
    /// In words: how much of the day is left.
    pub fn grant(&self, need: &Need, day: u64, ceiling: &Ceiling) -> Result<Share, String> {
        need.check(ceiling)?;
        let held = self.shares.get(&(day, need.run.clone()));
        let from = held.map_or(need.settled, |share| share.from);
        let mut to = need.dollars.max(held.map_or(0.0, |share| share.to));
        if let Some(most) = ceiling.dollars_per_day {
            let others = self.dollars(day) - held.map_or(0.0, |share| share.to - share.from);
            let left = most - others;
            if to - from > left {
                return Err(format!(
                    "of {most} dollars that the operator allows for all runs of {} (MaxDollarsPerDay of the \
                     stack) other runs have {others:.4}, and this one may come to {:.4} with what runs and \
                     its end",
                    date(day),
                    to - from
                ));
            }
            to = (to + most * PART).min(from + left);
        }
        Ok(Share { schema: Share::SCHEMA, run: need.run.clone(), day, from, to, active: true })
    }

    /// Why one more run may not be active, if it may not.
    ///
    /// # Errors
    /// In words.
    pub fn admit(&self, run: &RunId, ceiling: &Ceiling) -> Result<(), String> {
        match ceiling.active_runs {
            Some(most) if !self.active.contains(run) && self.active.len() >= most as usize => {
                let active: Vec<_> = self.active.iter().take(8).map(RunId::as_str).collect();
                Err(format!(
                    "{} runs are active ({}), of {most} that the operator allows at a time (MaxActiveRuns of \
                     the stack)",
                    self.active.len(),
                    active.join(", ")
                ))
            }
            _ => Ok(()),
        }
    }

    /// The last share of a run of which there is no ledger: what it was granted stays granted.
    pub fn forget(&self, run: &RunId, day: u64) -> Option<Share> {
        let held = self.shares.get(&(day, run.clone())).cloned();
        let none = Share { schema: Share::SCHEMA, run: run.clone(), day, from: 0.0, to: 0.0, active: false };
        let last = held.map_or(none, |share| Share { active: false, ..share });
        self.active.contains(run).then_some(last)
    }

    /// The last share of a run: what it has not spent is free again, unless it may go on.
    /// None if it has none.
    pub fn settle(&self, ledger: &Ledger, day: u64) -> Option<Share> {
        let run = &ledger.run;
        if !self.active.contains(run) {
            return None;
        }
        let spent = ledger.spend.committed();
        let held = self.shares.get(&(day, run.clone()));
        let from = held.map_or(spent, |share| share.from);
        // Who has a share in mind, and does not hear of the end, finds the run ended. A run that may be taken
        // up again keeps what others may have in mind.
        let to = held.filter(|_| ledger.may_reopen()).map_or(spent, |share| share.to);
        Some(Share { schema: Share::SCHEMA, run: run.clone(), day, from, to: to.max(from), active: false })
    }
}

/// A day as people write it: 2026-11-29.
pub fn date(day: u64) -> String {
    let ([year, month, day], _) = utc(day * 86_400_000);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(run: &str, settled: f64, dollars: f64) -> Need {
        Need { run: RunId::new(run).unwrap(), settled, dollars }
    }

    fn day(dollars: f64) -> Ceiling {
        Ceiling { dollars_per_day: Some(dollars), ..Ceiling::default() }
    }

    #[test]
    fn all_runs_of_a_day_together_have_at_most_the_ceiling() {
        let mut shares = Shares::default();
        let (ceiling, mut granted) = (day(5.0), 0);
        for step in 1..200_u32 {
            for run in ["a", "b", "c"] {
                let need = need(run, 0.0, f64::from(step) * 0.03);
                match shares.grant(&need, 7, &ceiling) {
                    _ if shares.cover(&need, 7, &ceiling) => {}
                    Ok(share) => {
                        granted += 1;
                        shares.record(share);
                        assert!(shares.cover(&need, 7, &ceiling));
                    }
                    Err(words) => {
                        assert!(words.contains("of 5 dollars") && words.contains("1970-01-08"), "{words}");
                    }
                }
                assert!(shares.dollars(7) <= 5.0 + 1e-9, "{}", shares.dollars(7));
            }
        }
        assert!(shares.dollars(7) > 4.9, "the day is used");
        assert!(granted < 80, "{granted} grants: a share is seldom asked for more");
    }

    #[test]
    fn a_new_day_begins_with_what_has_ended() {
        let (mut shares, ceiling) = (Shares::default(), day(1.0));
        shares.record(shares.grant(&need("a", 0.0, 1.0), 7, &ceiling).unwrap());
        assert!(shares.grant(&need("a", 0.9, 1.1), 7, &ceiling).is_err());
        assert!(!shares.cover(&need("a", 0.9, 1.0), 8, &ceiling), "a share is of its day");
        let next = shares.grant(&need("a", 0.9, 1.1), 8, &ceiling).unwrap();
        assert_eq!((next.from, next.day), (0.9, 8));
        shares.record(next);
        assert!(shares.dollars(8) < 0.3 && shares.dollars(7) == 1.0);
    }

    #[test]
    fn no_more_runs_are_active_than_are_allowed() {
        let ceiling = Ceiling { active_runs: Some(1), ..Ceiling::default() };
        let mut shares = Shares::default();
        let (a, b) = (need("a", 0.0, 1.0), need("b", 0.0, 1.0));
        shares.record(shares.grant(&a, 7, &ceiling).unwrap());
        assert!(shares.admit(&a.run, &ceiling).is_ok(), "it is active itself");
        let words = shares.admit(&b.run, &ceiling).unwrap_err();
        assert!(words.contains("1 runs are active (a), of 1"), "{words}");
        shares.record(Share { active: false, ..shares.grant(&a, 7, &ceiling).unwrap() });
        assert!(shares.admit(&b.run, &ceiling).is_ok());
    }

    #[test]
    fn a_job_that_passes_the_ceiling_is_refused_by_name() {
        let job = |dollars: f64| {
            let limits = serde_json::json!({"dollars": dollars});
            let value = serde_json::json!({"dataset": "d", "network": "vgg19", "limits": limits});
            Job::from_value(value).unwrap()
        };
        let ceiling = Ceiling { dollars_per_run: Some(2.0), workers: Some(4), ..Ceiling::default() };
        assert!(ceiling.check(&job(2.0), 4).is_ok() && Ceiling::default().check(&job(100.0), 999).is_ok());
        let words = ceiling.check(&job(2.5), 4).unwrap_err().to_string();
        assert!(words.starts_with("limits.dollars: found 2.5, expected at most 2"), "{words}");
        let words = ceiling.check(&job(2.0), 5).unwrap_err().to_string();
        assert!(words.starts_with("workers: found 5, expected at most 4"), "{words}");
        let words = need("a", 0.0, 2.1).check(&ceiling).unwrap_err();
        assert!(words.contains("MaxDollarsPerRun"), "{words}");
    }
}
