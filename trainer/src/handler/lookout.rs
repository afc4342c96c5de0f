//! When a working leg checks whether its run has been ended: before every batch, as long as the check takes
//! almost no time.

/// A leg works at least this many times as long as its last check took before the next one; and the most time
/// between two checks, in milliseconds.
const SPARE: u64 = 50;
const LONGEST_MS: u64 = 2_000;

/// The time of the next check, in milliseconds since 1970.
pub(super) struct Lookout {
    next_ms: u64,
}

impl Lookout {
    /// The ledger was just read.
    pub(super) fn new(now_ms: u64) -> Lookout {
        Lookout { next_ms: now_ms + 1 }
    }

    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        // A look that is further away than any is one of a clock that went back.
        now_ms >= self.next_ms || self.next_ms > now_ms + LONGEST_MS
    }

    pub(super) fn looked(&mut self, begun_ms: u64, ended_ms: u64) {
        self.next_ms = ended_ms + (SPARE * ended_ms.saturating_sub(begun_ms)).min(LONGEST_MS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_costs_little_and_is_never_far() {
        let mut lookout = Lookout::new(1_000);
        assert!(!lookout.is_due(1_000) && lookout.is_due(1_001));
        for (took_ms, next_ms) in [(0, 2_000), (3, 2_153), (500, 4_500)] {
            lookout.looked(2_000, 2_000 + took_ms);
            assert!(lookout.is_due(next_ms) && !lookout.is_due(next_ms - 1), "after {took_ms} ms");
        }
        assert!(lookout.is_due(100), "the clock went back");
    }
}
