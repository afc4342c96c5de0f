//! The end of a run is work like any other: begun, cut into legs, counted, bounded.
//!
//! The product of the best state is scored and published. If scoring does not fit into the end's own bounds,
//! it is published without scores, in one step. If this fails too often, the run ends without it.

use super::{Ledger, Piece, Shares};
use crate::{Best, Ending, FileRef, Limits, Reason, Target};

/// Events that an end may send on top of a tenth of the run's limit before it goes on without scores.
const EVENTS: u64 = 8;
/// Events that an end may send without scores: the first, and those that are sent again.
const EVENTS_UNSCORED: u64 = 8;
/// The part of a run's limits in dollars and hours that its end may use for scores.
const PART: f64 = 0.1;

/// The state of the end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct End {
    /// Why the product is published without scores, if it is.
    pub unscored: Option<String>,
    /// Why the product cannot be published.
    lost: Option<String>,
    /// How long the run had worked when its end was opened, and the events and money that it had used.
    worked_ms: u64,
    sent: u64,
    dollars: f64,
    /// The stage that was current, to continue if the run is reopened.
    suspended: Option<Box<Suspended>>,
}

/// A stage that was at hand: its number, its workers, its shares, its combine.
type Suspended = (u32, Vec<Piece>, Shares, Piece);

/// The results of a stage that the end has cut short.
#[derive(Clone, Debug, PartialEq)]
pub struct CutShort {
    /// The stage.
    pub stage: u32,
    /// The results and the places of its shares, by the numbers of the shares; some shares have neither.
    pub shares: Vec<(u32, FileRef)>,
    /// Why the run ends.
    pub why: String,
}

/// The most events that the end of a run with these limits may send.
pub fn end_events(limits: &Limits) -> u64 {
    limits.invocations / 10 + EVENTS + EVENTS_UNSCORED
}

impl Ledger {
    /// The state that the product is made from; none while no round is complete.
    pub fn product(&self) -> Option<&FileRef> {
        let of = if self.course.best == Best::All { &self.last } else { &self.best };
        of.as_ref().and_then(|combined| combined.state.as_ref())
    }

    /// The stage that the end has cut short, if its results belong to the product and it has some.
    pub fn cut_short(&self) -> Option<CutShort> {
        let (stage, workers, shares, _) = self.end.suspended.as_deref()?;
        let combined = self.last.as_ref().is_some_and(|last| last.stage >= *stage);
        if combined || self.course.best != Best::All {
            return None;
        }
        let unfinished = workers.iter().filter(|piece| piece.result.is_none());
        let places = unfinished.filter_map(|piece| Some((piece.share, piece.place.clone()?)));
        let shares: Vec<_> =
            shares.numbered().map(|(share, file)| (share, file.clone())).chain(places).collect();
        let why = self.over.as_ref().map(|why| self.words(why)).unwrap_or_default();
        (!shares.is_empty()).then_some(CutShort { stage: *stage, shares, why })
    }

    /// Whether the run has something to publish.
    pub fn has_product(&self) -> bool {
        self.product().is_some() || self.cut_short().is_some()
    }

    /// The ending of the run, if nothing is left to do: it has no state to publish, or publishing was given
    /// up.
    pub fn ready(&self) -> Option<Ending> {
        let why = self.over.clone().filter(|_| self.ending.is_none())?;
        match &self.end.lost {
            Some(lost) => Some(self.without_product(lost)),
            None if self.has_product() => None,
            None => Some(Ending { why, model: None, unscored: None }),
        }
    }

    /// The ending of a run whose product could not be published.
    pub fn without_product(&self, lost: &str) -> Ending {
        let over = self.over.as_ref().map_or(String::new(), Reason::to_string);
        let why = Reason::GaveUp(format!("{over}; then the model could not be published: {lost}"));
        Ending { why, model: None, unscored: None }
    }

    /// Why the end must continue without scores: it has reached a bound of its own.
    ///
    /// Its first leg always runs.
    pub fn must_cut(&self, now_ms: u64) -> Option<String> {
        if self.over.is_none() || self.ending.is_some() || self.end.unscored.is_some() {
            return None;
        }
        let limits = &self.job.limits;
        let sent = self.spend.sent - self.end.sent;
        let dollars = self.spend.dollars(now_ms) - self.end.dollars;
        let hours = self.worked_ms(now_ms).saturating_sub(self.end.worked_ms) as f64 / 3_600_000.0;
        if sent > limits.invocations / 10 + EVENTS {
            Some(format!("scoring took {sent} invocations, and more were needed"))
        } else if self.combine.legs() == 0 && self.combine.hold.resent == 0 {
            None
        } else if dollars > limits.dollars * PART {
            Some(format!("scoring took {dollars:.4} dollars, and more were needed"))
        } else if hours > limits.hours * PART {
            Some(format!("scoring took {hours:.2} hours, and more were needed"))
        } else {
            None
        }
    }

    /// Opens the end.
    pub(super) fn open_end(&mut self, by: &str, at_ms: u64) {
        let fresh = vec![Piece::default(); self.workers.len()];
        let workers = std::mem::replace(&mut self.workers, fresh);
        let shares = std::mem::take(&mut self.shares);
        let combine = std::mem::replace(&mut self.combine, Piece::sent(at_ms));
        self.end = End {
            worked_ms: self.worked_ms(at_ms),
            sent: self.spend.sent,
            dollars: self.spend.dollars(at_ms),
            suspended: Some(Box::new((self.stage, workers, shares, combine))),
            ..End::default()
        };
        self.stage = self.course.end();
        self.opened_by = by.into();
        self.spend.sent += u64::from(self.has_product());
    }

    /// Continues without scores; false if this is settled already, or the run does not end.
    pub(super) fn cut(&mut self, why: &str, by: &str, at_ms: u64) -> bool {
        if self.over.is_none() || self.ending.is_some() || self.end.unscored.is_some() {
            return false;
        }
        self.end.unscored = Some(why.to_owned());
        self.combine = self.combine.sent_anew(at_ms);
        self.opened_by = by.into();
        self.spend.sent += 1;
        true
    }

    /// Gives up the work of the end in its present form: it continues without scores first, then without a
    /// product.
    pub(super) fn give_up_end(&mut self, why: &str, by: &str, at_ms: u64) {
        if !self.cut(why, by, at_ms) {
            self.end.lost.get_or_insert_with(|| why.to_owned());
        }
    }

    /// An end whose events were sent too often, whoever sent them, is given up.
    pub(super) fn bound_end(&mut self) {
        let sent = self.spend.sent - self.end.sent;
        let over = self.over.is_some() && self.ending.is_none() && self.end.unscored.is_some();
        if over && sent > end_events(&self.job.limits) {
            let lost = || format!("{sent} events were sent for it, and it did not end");
            self.end.lost.get_or_insert_with(lost);
        }
    }

    /// The end's work, for the invocation that opened it, as long as nobody has begun it.
    pub(super) fn due_at_end(&self, by: &str) -> Vec<Target> {
        let due = self.over.is_some() && self.opened_by == by && self.combine.hold.lease.is_none();
        if due { self.due() } else { Vec::new() }
    }

    /// Whether a `start` reopens the run: it was given up because of trouble that may have passed.
    ///
    /// A run that has published a model is final.
    pub fn may_reopen(&self) -> bool {
        let given_up = |ending: &Ending| ending.model.is_none() && matches!(ending.why, Reason::GaveUp(_));
        self.ending.as_ref().is_some_and(given_up)
    }

    /// Reopens a run that was given up, where it stopped; false if it cannot be reopened.
    pub(super) fn reopen(&mut self, by: &str, at_ms: u64) -> bool {
        if !self.may_reopen() {
            return false;
        }
        self.ending = None;
        let (Some(Reason::GaveUp(_)), Some(suspended)) = (&self.over, self.end.suspended.take()) else {
            let anew = self.combine.sent_anew(at_ms);
            self.open_end(by, at_ms);
            self.combine = anew;
            return true;
        };
        (self.stage, self.workers, self.shares, self.combine) = *suspended;
        (self.over, self.end) = (None, End::default());
        self.workers.iter_mut().chain([&mut self.combine]).for_each(|piece| *piece = piece.held_anew(at_ms));
        self.opened_by = by.into();
        self.spend.sent += self.unfinished().len() as u64;
        true
    }
}
