//! When a leg must stop: it measures its own steps and leaves time to save its place and pass it on.

use protocol::reserve_ms;

/// A leg's pace. Times are milliseconds since 1970.
pub(super) struct Pace {
    begun_ms: u64,
    deadline_ms: u64,
    last_ms: u64,
    longest_step_ms: u64,
    steps: u64,
}

impl Pace {
    pub(super) fn new(now_ms: u64, deadline_ms: u64) -> Pace {
        Pace { begun_ms: now_ms, deadline_ms, last_ms: now_ms, longest_step_ms: 0, steps: 0 }
    }

    pub(super) fn stepped(&mut self, now_ms: u64) {
        self.longest_step_ms = self.longest_step_ms.max(now_ms.saturating_sub(self.last_ms));
        self.last_ms = now_ms;
        self.steps += 1;
    }

    /// Whether another step of the longest length so far, and half as much again, would use time that is kept
    /// for saving. The first step is always tried: without it the leg would be useless.
    pub(super) fn must_stop(&self, now_ms: u64) -> bool {
        let step_ms = self.longest_step_ms + self.longest_step_ms / 2;
        let reserve_ms = reserve_ms(self.begun_ms, self.deadline_ms);
        self.steps > 0 && now_ms + step_ms + reserve_ms > self.deadline_ms
    }

    pub(super) fn seconds(&self) -> f64 {
        self.last_ms.saturating_sub(self.begun_ms).max(1) as f64 / 1_000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_stops_while_there_is_time_to_save() {
        let mut pace = Pace::new(1_000, 6_000);
        assert!(!pace.must_stop(5_900), "the first step is always tried");
        pace.stepped(2_000);
        assert!(!pace.must_stop(4_000), "4,000 + 1,500 + 500 is not past 6,000");
        assert!(pace.must_stop(4_001));
    }
}
