//! A piece of work from the moment that it is due: who holds it, how often it was tried, and when it is held to be lost.

use crate::Moment;
use crate::fact::Lease;

/// How often the platform delivers an event: once, and two retries.
const DELIVERIES: u32 = 3;
/// Times that one leg may begin without ending before the run is given up.
const MOST_BEGINNINGS: u32 = 12;
/// Times that work which does not move is sent again before the run is given up.
const MOST_RESENDS: u32 = 6;

/// A piece of work that is due or in hand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hold {
    /// When it was last sent.
    pub sent_ms: u64,
    /// The invocation that last began it.
    pub lease: Option<Lease>,
    /// How often it has begun.
    pub begun: u32,
    /// How often it was sent again because it did not move.
    pub resent: u32,
    /// How often it has begun by the event that was sent last, as far as is known: each delivery has its invocation's id.
    pub deliveries: u32,
    /// How often it was sent again, one after the other, and nobody has begun it.
    pub unheard: u32,
    /// Why the last attempt failed that could say so.
    trouble: Option<String>,
}

impl Hold {
    pub(crate) fn sent(at_ms: u64) -> Hold {
        Hold { sent_ms: at_ms, ..Hold::default() }
    }

    pub(crate) fn begin(&mut self, lease: &Lease) {
        let again = self.lease.as_ref().is_some_and(|last| last.invocation == lease.invocation);
        self.deliveries = if again { self.deliveries + 1 } else { 1 };
        self.lease = Some(lease.clone());
        (self.begun, self.unheard) = (self.begun + 1, 0);
    }

    pub(crate) fn send_again(&mut self, at_ms: u64) {
        (self.sent_ms, self.deliveries) = (at_ms, 0);
        (self.resent, self.unheard) = (self.resent + 1, self.unheard + 1);
    }

    pub(crate) fn hinder(&mut self, why: &str) {
        self.trouble = Some(why.to_owned());
    }

    /// Why the run is given up, once the work has begun too often without an end.
    pub(crate) fn begun_too_often(&self) -> Option<String> {
        let memory_mb = self.lease.as_ref().map_or(0, |lease| lease.memory_mb);
        let unknown = || {
            format!("the function crashed, ran out of memory ({memory_mb} MB) or of time; its log says which")
        };
        let why = self.trouble.clone().unwrap_or_else(unknown);
        (self.begun > MOST_BEGINNINGS).then(|| format!("began {} times and never ended: {why}", self.begun))
    }

    /// Why the run is given up, once the work was sent again too often.
    pub(crate) fn resent_too_often(&self) -> Option<String> {
        let why = self.trouble.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let words = || format!("was sent again {} times and did not end{why}", self.resent);
        (self.resent >= MOST_RESENDS).then(words)
    }

    /// Whether the work has not begun, or not ended, this long after it should have.
    pub(crate) fn overdue(&self, now_ms: u64, grace_ms: u64) -> bool {
        let expected_ms = self.lease.as_ref().map_or(self.sent_ms, |lease| lease.until_ms.max(self.sent_ms));
        now_ms > expected_ms.saturating_add(grace_ms)
    }

    /// Whether a tick holds the work to be lost.
    ///
    /// An event that may still be delivered has time for that, and twice as much each time that it was sent again and
    /// nobody began it. One that began for the last time is waited for no longer than it may run.
    pub(crate) fn lost(&self, moment: Moment<'_>) -> bool {
        let last = self.deliveries >= DELIVERIES;
        let grace_ms = if last { 0 } else { moment.patience_ms << self.unheard.min(16) };
        self.overdue(moment.now_ms, grace_ms)
    }
}
