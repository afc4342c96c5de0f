//! Pauses: the times in which a run stood still on purpose. They do not count in its hours,
//! and nobody is billed for them.
//!
//! A pause begins when a leg was told to end and nobody is at work any more, and ends with the next fact. Who
//! forces a start says that nobody was at work: then it has lasted since the last sign of life.

use super::Ledger;

/// The time that the platform leaves a process that it tells to end, in milliseconds.
pub(crate) const GRACE_MS: u64 = 2_000;

/// The pauses of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Pauses {
    /// How long those lasted that are over, in milliseconds.
    over_ms: u64,
    /// When the last fact was recorded, in milliseconds since 1970.
    fact_ms: u64,
    /// Whether that fact was a leg that was told to end.
    told: bool,
}

impl Ledger {
    /// How long the run was at work up to now, in milliseconds.
    pub fn worked_ms(&self, now_ms: u64) -> u64 {
        let pause_ms = self.pauses.over_ms + self.pause_ms(now_ms, false);
        now_ms.saturating_sub(self.started_ms).saturating_sub(pause_ms)
    }

    /// A fact is about to be recorded: a pause that lasted until then is over.
    pub(super) fn goes_on(&mut self, at_ms: u64, told: bool, forced: bool) {
        self.pauses.over_ms += self.pause_ms(at_ms, forced);
        if forced {
            self.spend.end_everybody(self.last_life_ms(at_ms));
        }
        (self.pauses.fact_ms, self.pauses.told) = (at_ms, told);
    }

    /// How long nobody has been at work, if that is known.
    fn pause_ms(&self, now_ms: u64, forced: bool) -> u64 {
        if !forced && !self.pauses.told {
            return 0;
        }
        let busy_ms = self.spend.busy_ms(if forced { self.last_life_ms(now_ms) } else { u64::MAX });
        now_ms.saturating_sub(busy_ms.max(self.pauses.fact_ms))
    }

    /// Until when somebody may have been at work, where nobody is now.
    fn last_life_ms(&self, now_ms: u64) -> u64 {
        if self.pauses.told { now_ms.min(self.pauses.fact_ms + GRACE_MS) } else { now_ms }
    }
}
