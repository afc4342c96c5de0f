//! A piece of work from the moment that it is due: who holds it, how often it was tried, and when it counts
//! as lost.

use crate::fact::Lease;

/// Times that one leg may begin without ending before the run is given up.
const MOST_BEGINNINGS: u32 = 12;
/// How far two clocks may differ before work counts as begun in the future, in milliseconds.
const SKEW_MS: u64 = 60_000;
/// Times that work which does not move is sent again before the run is given up.
const MOST_RESENDS: u32 = 6;

/// The invocation that decides, and the time.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// Now, in milliseconds since 1970.
    pub now_ms: u64,
    /// Lambda's request id of this invocation.
    pub invocation: &'a str,
    /// How long an event may take to begin before a tick counts it as lost; doubled each time that it is sent
    /// again.
    pub patience_ms: u64,
}

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
    /// How often it was sent again, one after the other, and nobody has begun it since.
    pub unheard: u32,
    /// Why the last attempt failed that could record its reason.
    trouble: Option<String>,
    /// When the watchdog saw it whose clock was behind the times above.
    seen_ms: Option<u64>,
}

impl Hold {
    pub(crate) fn sent(at_ms: u64) -> Hold {
        Hold { sent_ms: at_ms, ..Hold::default() }
    }

    pub(crate) fn begin(&mut self, lease: &Lease) {
        self.lease = Some(lease.clone());
        (self.begun, self.unheard, self.seen_ms) = (self.begun + 1, 0, None);
    }

    pub(crate) fn send_again(&mut self, at_ms: u64) {
        (self.sent_ms, self.seen_ms) = (at_ms, None);
        (self.resent, self.unheard) = (self.resent + 1, self.unheard + 1);
    }

    /// It is sent again by somebody who says that nobody has it in hand any more. Who had it was ended on
    /// purpose, as far as anybody knows, and that is no crash.
    pub(crate) fn send_anew(&mut self, at_ms: u64) {
        if self.unheard == 0 {
            self.begun = self.begun.saturating_sub(1);
        }
        if let Some(lease) = &mut self.lease {
            lease.until_ms = lease.until_ms.min(at_ms);
        }
        (self.sent_ms, self.seen_ms, self.unheard) = (at_ms, None, 1);
    }

    /// Somebody sees it whose clock is behind the time since when it could have begun, or has.
    pub(crate) fn see(&mut self, free_ms: u64, at_ms: u64) {
        if self.is_future(free_ms, at_ms) {
            self.seen_ms = Some(at_ms);
        }
    }

    /// Whether it was sent or begun in the future by this clock, and nobody has seen that yet.
    pub(crate) fn is_future(&self, free_ms: u64, now_ms: u64) -> bool {
        let future = |ms: u64| ms > now_ms.saturating_add(SKEW_MS);
        let begun_ms = self.lease.as_ref().map_or(0, |lease| lease.at_ms);
        future(begun_ms.max(free_ms)) && self.seen_ms.is_none_or(future)
    }

    /// How long ago a time of this work was, in milliseconds. Of one in the future nothing is known but that
    /// it has passed since somebody saw it.
    fn since(&self, ms: u64, now_ms: u64) -> u64 {
        let seen = || self.seen_ms.map_or(0, |seen_ms| now_ms.saturating_sub(seen_ms));
        now_ms.checked_sub(ms).unwrap_or_else(seen)
    }

    /// Whether somebody has it in hand who has not handed over and could have.
    pub(crate) fn is_held(&self, now_ms: u64) -> bool {
        let held = |lease: &Lease| self.since(lease.at_ms, now_ms) < lease.handed_over_ms() - lease.at_ms;
        self.unheard == 0 && self.lease.as_ref().is_some_and(held)
    }

    pub(crate) fn hinder(&mut self, why: &str) {
        self.trouble = Some(why.to_owned());
    }

    /// Why the run is given up, once the work has begun too often without an end.
    pub(crate) fn begun_too_often(&self) -> Option<String> {
        let words = || format!("began {} times and never ended: {}", self.begun, self.why(true));
        (self.begun > MOST_BEGINNINGS).then(words)
    }

    /// Why the run is given up, once the work was sent again too often.
    ///
    /// `heard` says whether anything of the run was ever begun.
    pub(crate) fn resent_too_often(&self, heard: bool) -> Option<String> {
        let words = || format!("was sent again {} times and did not end: {}", self.resent, self.why(heard));
        (self.resent >= MOST_RESENDS).then(words)
    }

    /// Why it does not end, as far as is known.
    fn why(&self, heard: bool) -> String {
        match (&self.trouble, &self.lease) {
            (Some(trouble), _) => trouble.clone(),
            (None, Some(Lease { memory_mb, .. })) => format!(
                "the function crashed, ran out of memory ({memory_mb} MB) or of time; its log says which"
            ),
            (None, None) if heard => "its events were never begun, though others of the run were".into(),
            (None, None) => "its events were never begun; does the function start? its log says".into(),
        }
    }

    /// Whether the work has not begun, or not ended, this long after it should have.
    pub(crate) fn overdue(&self, now_ms: u64, grace_ms: u64) -> bool {
        let ended =
            |lease: &Lease| self.since(lease.at_ms, now_ms) > lease.length_ms().saturating_add(grace_ms);
        self.lease.as_ref().is_none_or(ended) && self.since(self.sent_ms, now_ms) > grace_ms
    }

    /// Whether a tick counts the work as lost, which could have begun since `free_ms`.
    ///
    /// If it was begun, the tick waits as long as a living leg takes to hand over. Later deliveries by the
    /// platform are then ignored. An event that nobody has begun has a patience to arrive, and twice as much
    /// each time that it was sent again.
    pub(crate) fn lost(&self, free_ms: u64, moment: Moment<'_>) -> bool {
        let patience_ms = moment.patience_ms << self.unheard.min(16);
        match &self.lease {
            Some(lease) if self.unheard == 0 => {
                self.since(lease.at_ms, moment.now_ms) > lease.handed_over_ms() - lease.at_ms
            }
            _ => self.overdue(moment.now_ms, patience_ms) && self.since(free_ms, moment.now_ms) > patience_ms,
        }
    }

    /// The other holder of the work: it was begun by another event, may still run, and was not sent again
    /// since.
    pub(crate) fn in_hand(&self, moment: Moment<'_>) -> Option<&Lease> {
        let alive = |lease: &&Lease| {
            lease.invocation != moment.invocation
                && self.since(lease.at_ms, moment.now_ms) < lease.length_ms()
        };
        self.lease.as_ref().filter(alive).filter(|_| self.unheard == 0)
    }
}
