//! A piece of the current stage: a worker's share, or the combine. It is done in legs, one after the other.

use super::Ledger;
use crate::fact::Lease;
use crate::hold::Hold;
use crate::{Error, Fact, FileRef, Reason, Target};

/// Legs without progress, one after the other, before the run is given up.
const MOST_IDLE_LEGS: u32 = 2;

/// One piece of the current stage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Piece {
    /// The leg that is due or in hand, from 0.
    pub leg: u32,
    /// The share of the stage that a worker has, from 0.
    pub share: u32,
    /// Where that leg continues.
    pub place: Option<FileRef>,
    /// Units done, as the course counts.
    pub done: u64,
    /// A worker's last result, once it has published it and no share is left.
    pub result: Option<FileRef>,
    /// The holder of the leg.
    pub hold: Hold,
    /// Legs without progress, one after the other.
    idle_legs: u32,
    /// Legs that ended since they were told to.
    interrupted: u32,
    /// The invocation that recorded the leg before.
    pub(crate) leg_by: String,
}

impl Piece {
    /// A piece whose first leg has just been sent.
    pub(super) fn sent(at_ms: u64) -> Piece {
        Piece { hold: Hold::sent(at_ms), ..Piece::default() }
    }

    /// The piece of a worker with this share.
    pub(super) fn of_share(share: u32, at_ms: u64) -> Piece {
        Piece { share, ..Piece::sent(at_ms) }
    }

    /// The same piece from its start, as a leg of its own.
    pub(super) fn sent_anew(&self, at_ms: u64) -> Piece {
        Piece { leg: self.leg + 1, interrupted: self.interrupted, ..Piece::sent(at_ms) }
    }

    /// The same piece at its place, as if its leg was sent just now.
    pub(super) fn held_anew(&self, at_ms: u64) -> Piece {
        Piece { hold: Hold::sent(at_ms), idle_legs: 0, ..self.clone() }
    }

    /// The next leg is due, from `place` on.
    fn hand_over(&mut self, place: &FileRef, done: u64, by: &str, at_ms: u64) {
        self.idle_legs = if done > self.done { 0 } else { self.idle_legs + 1 };
        self.leg += 1;
        self.place = Some(place.clone());
        self.done = done;
        self.hold = Hold::sent(at_ms);
        self.leg_by = by.into();
    }

    /// The worker has done its share, and takes the next: its next leg is due.
    fn take(&mut self, share: u32, by: &str, at_ms: u64) {
        *self = Piece {
            leg: self.leg + 1,
            leg_by: by.into(),
            interrupted: self.interrupted,
            ..Piece::of_share(share, at_ms)
        };
    }

    /// The leg was told to end; the next one is due where it stopped.
    fn interrupt(&mut self, place: Option<&FileRef>, done: u64, by: &str, at_ms: u64) {
        if let Some(place) = place {
            self.idle_legs = if done > self.done { 0 } else { self.idle_legs };
            (self.place, self.done) = (Some(place.clone()), done);
        }
        (self.leg, self.hold, self.leg_by) = (self.leg + 1, Hold::sent(at_ms), by.into());
        self.interrupted += 1;
    }

    /// Legs that ended because their time was over.
    pub(super) fn legs(&self) -> u32 {
        self.leg.saturating_sub(self.interrupted)
    }

    /// Why the piece is given up, if it is: too many legs, or too many without progress.
    fn given_up(&self, target: Target, most_legs: u32) -> Option<Reason> {
        if self.legs() >= most_legs {
            let what =
                format!("{} legs of one worker in a stage, of {most_legs} allowed ({target})", self.legs());
            return Some(Reason::Limit(what));
        }
        let words = || {
            format!(
                "{} legs in a row made no progress (the last: {target}): the time limit is too short \
                 for one batch; raise the function's time limit or memory",
                self.idle_legs
            )
        };
        (self.idle_legs >= MOST_IDLE_LEGS).then(|| Reason::Failed(words()))
    }
}

impl Ledger {
    /// The piece of a worker, or of the combine, in the current stage.
    pub(crate) fn piece(&self, worker: Option<u32>) -> Option<&Piece> {
        match worker {
            None => Some(&self.combine),
            Some(number) => self.workers.get(number as usize),
        }
    }

    fn piece_mut(&mut self, worker: Option<u32>) -> Option<&mut Piece> {
        match worker {
            None => Some(&mut self.combine),
            Some(number) => self.workers.get_mut(number as usize),
        }
    }

    /// Whether this leg is the one that is due or in hand.
    pub fn at_hand(&self, target: Target) -> bool {
        let waits = target.worker.is_none() != self.all_done();
        let leg = |piece: &Piece| piece.leg == target.leg && piece.result.is_none();
        self.ending.is_none()
            && target.stage == self.stage
            && !waits
            && self.piece(target.worker).is_some_and(leg)
    }

    pub(super) fn hold_mut(&mut self, target: Target) -> Option<&mut Hold> {
        if !self.at_hand(target) {
            return None;
        }
        self.piece_mut(target.worker).map(|piece| &mut piece.hold)
    }

    /// An invocation begins a piece of work. If it has begun too often, the run ends, and the work that is
    /// then due is returned.
    pub(super) fn begun(&mut self, target: Target, lease: &Lease) -> Vec<Target> {
        self.spend.begin(target, lease.clone());
        let Some(hold) = self.hold_mut(target) else { return Vec::new() };
        hold.begin(lease);
        let given_up = hold.begun_too_often().map(|why| format!("{target} {why}"));
        let held = self.held(lease.at_ms);
        self.queue.begins(&held, lease.at_ms);
        match given_up {
            Some(why) if self.over.is_some() => {
                self.give_up_end(&why, &lease.invocation, lease.at_ms);
                self.due_at_end(&lease.invocation)
            }
            Some(why) => {
                self.over = Some(Reason::GaveUp(why));
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    /// The pieces in the hands of an invocation whose time is not over.
    pub(super) fn held(&self, now_ms: u64) -> Vec<Target> {
        let held = |(target, hold): &(Target, &Hold)| self.at_hand(*target) && hold.is_held(now_ms);
        self.unfinished().into_iter().filter(held).map(|(target, _)| target).collect()
    }

    /// Applies the end of a leg, or of a worker's share; false if it is known.
    pub(super) fn piece_fact(
        &mut self,
        fact: &Fact,
        target: Target,
        by: &str,
        at_ms: u64,
    ) -> Result<bool, Error> {
        let Some(piece) = self.piece(target.worker) else {
            return Err(self.contradiction(&format!("no such work: {target}")));
        };
        let stage = self.stage;
        if self.ending.is_some()
            || target.stage < stage
            || (target.stage == stage && (piece.result.is_some() || target.leg < piece.leg))
        {
            return Ok(false);
        }
        if !self.at_hand(target) {
            return Err(self.contradiction(&format!("{target} ended before it was due")));
        }
        match fact {
            Fact::LegDone { place, done, .. } => self.leg_done(target, place, *done, (by, at_ms)),
            Fact::Interrupted { place, done, .. } => {
                self.spend.sent += 1;
                if let Some(piece) = self.piece_mut(target.worker) {
                    piece.interrupt(place.as_ref(), *done, by, at_ms);
                }
                self.bound_end();
            }
            Fact::WorkerDone { result, .. } => self.share_done(target, result, (by, at_ms)),
            _ => {}
        }
        Ok(true)
    }

    fn leg_done(&mut self, target: Target, place: &FileRef, done: u64, (by, at_ms): (&str, u64)) {
        let most_legs = self.job.limits.legs_per_worker;
        self.spend.sent += 1;
        let Some(piece) = self.piece_mut(target.worker) else { return };
        piece.hand_over(place, done, by, at_ms);
        let given_up = piece.given_up(target, most_legs);
        if self.over.is_some() {
            // Publishing without scores has no legs: it is one step.
            let slow = || format!("{target} did not end in one leg");
            let why = given_up.map(|why| why.to_string());
            if let Some(why) = why.or_else(|| self.end.unscored.is_some().then(slow)) {
                self.give_up_end(&why, by, at_ms);
            }
        } else if let Some(why) = given_up {
            self.over = Some(why);
        }
    }

    fn share_done(&mut self, target: Target, result: &FileRef, (by, at_ms): (&str, u64)) {
        let most_legs = self.job.limits.legs_per_worker;
        let worker = target.worker.and_then(|number| self.workers.get_mut(number as usize));
        let Some(piece) = worker else { return };
        match self.shares.done(piece.share, result) {
            Some(next) => {
                piece.take(next, by, at_ms);
                self.spend.sent += 1;
                let given_up = piece.given_up(target, most_legs);
                self.over = given_up.or(self.over.take());
            }
            None => piece.result = Some(result.clone()),
        }
        if self.all_done() {
            self.completed_by = by.into();
            self.combine = Piece::sent(at_ms);
            self.spend.sent += 1;
        }
    }

    /// The work that the end of a leg, or of a worker's share, makes due for the invocation that recorded it.
    pub(crate) fn due_after_piece(&self, target: Target, by: &str) -> Vec<Target> {
        if self.ending.is_some() || target.stage != self.stage {
            return Vec::new();
        }
        if self.over.is_some() && self.opened_by == by {
            return self.due_at_end(by);
        }
        if target.worker.is_some() && self.all_done() {
            let due = self.completed_by == by && self.combine.hold.lease.is_none() && self.combine.leg == 0;
            return if due { vec![Target::combine(self.stage)] } else { Vec::new() };
        }
        let Some(piece) = self.piece(target.worker) else { return Vec::new() };
        let due = piece.result.is_none() && piece.leg_by == by && piece.hold.lease.is_none();
        if due { vec![Target { leg: piece.leg, ..target }] } else { Vec::new() }
    }
}
