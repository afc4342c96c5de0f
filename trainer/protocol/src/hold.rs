//! A piece of work from the moment that it is due: who holds it, how often it was tried, and when it counts
//! as lost.

use crate::fact::Lease;

/// Times that one leg may begin without ending before the run is given up.
const MOST_BEGINNINGS: u32 = 12;
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
}

impl Hold {
    pub(crate) fn sent(at_ms: u64) -> Hold {
        Hold { sent_ms: at_ms, ..Hold::default() }
    }

    pub(crate) fn begin(&mut self, lease: &Lease) {
        self.lease = Some(lease.clone());
        (self.begun, self.unheard) = (self.begun + 1, 0);
    }

    pub(crate) fn send_again(&mut self, at_ms: u64) {
        self.sent_ms = at_ms;
        (self.resent, self.unheard) = (self.resent + 1, self.unheard + 1);
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
        let expected_ms = self.lease.as_ref().map_or(self.sent_ms, |lease| lease.until_ms.max(self.sent_ms));
        now_ms > expected_ms.saturating_add(grace_ms)
    }

    /// Whether a tick counts the work as lost, which could have begun since `free_ms`.
    ///
    /// If it was begun, the tick waits as long as a living leg takes to hand over. Later deliveries by the
    /// platform are then ignored. An event that nobody has begun has a patience to arrive, and twice as much
    /// each time that it was sent again.
    pub(crate) fn lost(&self, free_ms: u64, moment: Moment<'_>) -> bool {
        let patience_ms = moment.patience_ms << self.unheard.min(16);
        match &self.lease {
            Some(lease) if self.unheard == 0 => moment.now_ms > lease.handed_over_ms(),
            _ => {
                self.overdue(moment.now_ms, patience_ms)
                    && moment.now_ms > free_ms.saturating_add(patience_ms)
            }
        }
    }

    /// The other holder of the work: it was begun by another event, may still run, and was not sent again
    /// since.
    pub(crate) fn in_hand(&self, moment: Moment<'_>) -> Option<&Lease> {
        let alive = |lease: &&Lease| lease.invocation != moment.invocation && lease.until_ms > moment.now_ms;
        self.lease.as_ref().filter(alive).filter(|_| self.unheard == 0)
    }
}
