//! The cost of a run by the ledger's own account, and the comparison with its limits.

use crate::fact::Lease;
use crate::{Limits, Target};

/// Lambda's price per GB-second on x86-64 in us-east-1, mid-2026, the dearer of the two architectures.
const DOLLARS_PER_GB_SECOND: f64 = 0.000_016_666_7;
/// Lambda's price per request.
const DOLLARS_PER_REQUEST: f64 = 0.000_000_2;

/// The cost of a run so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spend {
    /// Events that were sent, or are recorded as about to be.
    pub sent: u64,
    /// Invocations that began work.
    pub begun: u64,
    /// Memory × time of the invocations that have ended, in MB·ms.
    closed_mb_ms: u64,
    /// Invocations that have begun and not been seen to end.
    open: Vec<(Target, Lease)>,
}

impl Spend {
    /// An invocation begins; invocations past their time are closed at their full length.
    pub(crate) fn begin(&mut self, target: Target, lease: Lease) {
        self.begun += 1;
        let now = lease.at_ms;
        self.close(now, |_, open| open.until_ms <= now || open.invocation == lease.invocation);
        self.open.push((target, lease));
    }

    /// An invocation ends its work.
    pub(crate) fn end(&mut self, target: Target, invocation: &str, at_ms: u64) {
        self.close(at_ms, |of, open| *of == target && open.invocation == invocation);
    }

    /// An invocation ends its work on a stage, whichever leg it had.
    pub(crate) fn end_any(&mut self, stage: u32, invocation: &str, at_ms: u64) {
        self.close(at_ms, |of, open| of.stage == stage && open.invocation == invocation);
    }

    /// All work on a stage ends.
    pub(crate) fn end_all(&mut self, stage: u32, at_ms: u64) {
        self.close(at_ms, |of, _| of.stage == stage);
    }

    /// Everybody who was at work has ended, at `at_ms` at the latest.
    pub(crate) fn end_everybody(&mut self, at_ms: u64) {
        self.close(at_ms, |_, _| true);
    }

    /// Until when somebody may have been at work, if that was `at_ms` at the latest; 0 for nobody.
    pub(crate) fn busy_ms(&self, at_ms: u64) -> u64 {
        self.open.iter().map(|(_, lease)| lease.until_ms.min(at_ms)).max().unwrap_or(0)
    }

    fn close(&mut self, now_ms: u64, ended: impl Fn(&Target, &Lease) -> bool) {
        let closed = &mut self.closed_mb_ms;
        self.open.retain(|(target, lease)| {
            let ends = ended(target, lease);
            if ends {
                *closed = closed.saturating_add(cost_mb_ms(lease, now_ms));
            }
            !ends
        });
    }

    /// GB-seconds up to now: ended invocations, and the time so far of the others.
    pub fn gb_seconds(&self, now_ms: u64) -> f64 {
        let open: u64 = self.open.iter().map(|(_, lease)| cost_mb_ms(lease, now_ms)).sum();
        (self.closed_mb_ms.saturating_add(open)) as f64 / 1_024.0 / 1_000.0
    }

    /// US dollars of what has ended.
    pub fn settled(&self) -> f64 {
        self.dollars(0)
    }

    /// US dollars that are spent or may yet be: what has not ended counts up to its time limit.
    pub fn committed(&self) -> f64 {
        self.dollars(u64::MAX)
    }

    /// US dollars up to now.
    pub fn dollars(&self, now_ms: u64) -> f64 {
        self.gb_seconds(now_ms) * DOLLARS_PER_GB_SECOND
            + self.begun.max(self.sent) as f64 * DOLLARS_PER_REQUEST
    }

    /// The limit that is reached, in words, if one is. The run was at work for `worked_ms`.
    pub(crate) fn over(&self, limits: &Limits, worked_ms: u64, now_ms: u64) -> Option<String> {
        let dollars = self.dollars(now_ms);
        let hours = worked_ms as f64 / 3_600_000.0;
        if self.sent > limits.invocations {
            Some(format!("{} invocations, of {} allowed", self.sent, limits.invocations))
        } else if dollars > limits.dollars {
            Some(format!("{dollars:.4} dollars, of {} allowed", limits.dollars))
        } else if hours > limits.hours {
            Some(format!("{hours:.2} hours, of {} allowed", limits.hours))
        } else {
            None
        }
    }
}

impl Lease {
    /// US dollars of the whole of it, its request included.
    pub fn dollars(&self) -> f64 {
        cost_mb_ms(self, u64::MAX) as f64 / 1_024.0 / 1_000.0 * DOLLARS_PER_GB_SECOND + DOLLARS_PER_REQUEST
    }
}

fn cost_mb_ms(lease: &Lease, now_ms: u64) -> u64 {
    u64::from(lease.memory_mb) * now_ms.min(lease.until_ms).saturating_sub(lease.at_ms)
}
