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

    /// A step has ended. Where the clock went back meanwhile, the deadline goes back with it,
    /// as far as is known.
    pub(super) fn stepped(&mut self, now_ms: u64) {
        let back_ms = self.last_ms.saturating_sub(now_ms);
        self.deadline_ms = self.deadline_ms.saturating_sub(back_ms);
        self.begun_ms = self.begun_ms.saturating_sub(back_ms);
        self.longest_step_ms = self.longest_step_ms.max(now_ms.saturating_sub(self.last_ms));
        self.last_ms = now_ms;
        self.steps += 1;
    }

    pub(super) fn has_stepped(&self) -> bool {
        self.steps > 0
    }

    /// Whether another step of the longest length so far, and half as much again, would eat into the time for
    /// saving. The first step is always tried: without it the leg would be for nothing.
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

    #[test]
    fn a_clock_that_goes_back_gives_a_leg_no_more_time() {
        let mut pace = Pace::new(3_600_000, 3_605_000);
        pace.stepped(3_601_000);
        pace.stepped(1_000);
        assert!(!pace.must_stop(2_000) && pace.must_stop(3_001), "4,000 of its 5,000 ms were left");
    }
}
