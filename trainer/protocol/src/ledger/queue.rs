//! The platform's queue, as far as the ledger shows it: an event that nobody begins may wait for a free
//! place.
//!
//! The number of the platform's places is unknown. There are at least as many as were ever taken at once.
//! While this many are taken, an event that nobody has begun is not lost: it waits.

use super::Ledger;
use crate::hold::Hold;
use crate::{Moment, Target};

/// Places that were taken, and when.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Queue {
    /// The most pieces that were in hand at once.
    most: usize,
    /// When this many were last in hand.
    full_ms: u64,
    /// When something was last begun.
    pub(super) begun_ms: u64,
}

impl Queue {
    /// Something has begun; `held` is in hand now.
    pub(super) fn begins(&mut self, held: &[Target], at_ms: u64) {
        self.begun_ms = self.begun_ms.max(at_ms);
        self.most = self.most.max(held.len());
        self.ends(held, at_ms);
    }

    /// Something is about to end; `held` is in hand until now.
    pub(super) fn ends(&mut self, held: &[Target], at_ms: u64) {
        if self.is_full(held) {
            self.full_ms = self.full_ms.max(at_ms);
        }
    }

    /// Whether as many are in hand as ever were at once.
    pub(super) fn is_full(&self, held: &[Target]) -> bool {
        self.most > 0 && held.len() >= self.most
    }

    /// The time since when an event that was sent at `sent_ms` could have begun.
    pub(super) fn free_ms(&self, sent_ms: u64) -> u64 {
        self.full_ms.max(sent_ms)
    }
}

impl Ledger {
    /// Whether a piece of work is lost: begun, and its time is over; or not begun,
    /// although there was a place for it.
    pub(crate) fn is_lost(&self, hold: &Hold, moment: Moment<'_>) -> bool {
        let begun = hold.lease.is_some() && hold.unheard == 0;
        let waits = || self.queue.is_full(&self.held(moment.now_ms));
        hold.lost(self.queue.free_ms(hold.sent_ms), moment) && (begun || !waits())
    }

    /// Whether work that is due was sent or begun in the future by this clock.
    pub(crate) fn has_future(&self, now_ms: u64) -> bool {
        self.unfinished()
            .into_iter()
            .any(|(_, hold)| hold.is_future(self.queue.free_ms(hold.sent_ms), now_ms))
    }

    /// The watchdog has seen such work.
    pub(super) fn seen(&mut self, at_ms: u64) {
        let full_ms = self.queue.full_ms;
        let pieces = self.workers.iter_mut().chain([&mut self.combine]);
        for hold in pieces.map(|piece| &mut piece.hold) {
            hold.see(full_ms.max(hold.sent_ms), at_ms);
        }
    }

    /// Whether anything of this run was ever begun: then the function starts.
    pub(crate) fn is_heard(&self) -> bool {
        self.spend.begun > 0
    }

    /// Whether nothing of this run has begun since the work was last sent: as long as others begin,
    /// the queue moves.
    pub(crate) fn is_unheard(&self, hold: &Hold) -> bool {
        hold.lease.is_some() || self.queue.begun_ms <= hold.sent_ms
    }
}
