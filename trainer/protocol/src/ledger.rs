//! The ledger: the state of a run, computed from the log of its facts.
//!
//! Invariants: recording a known fact changes nothing; a worker counts once in a stage; only a combine, which
//! needs every worker's result, moves the run to the next stage; nothing is due once the run has ended; a
//! fact that was recorded before counts every event that is sent in [`Spend::sent`].

mod end;
mod pause;
mod piece;
mod queue;
mod shares;

pub use end::{CutShort, End, end_events};
pub(crate) use pause::GRACE_MS;
use pause::Pauses;
pub use piece::Piece;

use crate::hold::Hold;
use crate::{
    Combined, Course, Ending, Error, Fact, FeatureStore, Job, LEDGER_SCHEMA, Reason, RunId, Spend, Target,
};
use queue::Queue;
use shares::Shares;

/// The state of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Ledger {
    /// The run.
    pub run: RunId,
    /// Its job.
    pub job: Job,
    /// Its stages.
    pub course: Course,
    /// Its feature store.
    pub features: FeatureStore,
    /// When it started.
    pub started_ms: u64,
    /// The current stage.
    pub stage: u32,
    /// The pieces of its workers.
    pub workers: Vec<Piece>,
    /// The shares of the stage.
    pub shares: Shares,
    /// Its combine; at the end, the publishing of the product.
    pub combine: Piece,
    /// The last combined stage.
    pub last: Option<Combined>,
    /// The combined round with the best score.
    pub best: Option<Combined>,
    /// The cost of the run so far.
    pub spend: Spend,
    /// Set when nothing more is to be trained: the run is in its end, for this reason.
    pub over: Option<Reason>,
    /// The state of the end.
    pub end: End,
    /// How it ended.
    pub ending: Option<Ending>,
    /// The known state of the platform's queue.
    queue: Queue,
    pauses: Pauses,
    /// Rounds whose combined state may still be read; [`Ledger::record`] returns older ones.
    kept: Vec<u32>,
    /// The invocation that opened the current stage, and the one that recorded the last worker's result.
    pub(crate) opened_by: String,
    pub(crate) completed_by: String,
    facts: usize,
}

/// The result of recording a fact.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recorded {
    /// False if the fact was known: then it changed nothing and must not be appended.
    pub new: bool,
    /// The work that is due because of it. After a known fact only its own recorder gets this, because it may
    /// have died before sending.
    pub due: Vec<Target>,
    /// Stages whose combined state nobody reads any more.
    pub retired: Vec<u32>,
}

impl Ledger {
    /// Computes a ledger from a log of facts.
    ///
    /// # Errors
    /// [`Error::Schema`] for another schema, [`Error::Contradiction`] for an impossible log.
    pub fn fold(facts: impl IntoIterator<Item = Fact>) -> Result<Option<Ledger>, Error> {
        let mut facts = facts.into_iter();
        let Some(first) = facts.next() else { return Ok(None) };
        let mut ledger = Ledger::start(first)?;
        for fact in facts {
            ledger.record(&fact)?;
        }
        Ok(Some(ledger))
    }

    /// The ledger of a run that has just started.
    pub fn start(first: Fact) -> Result<Ledger, Error> {
        let Fact::Started { schema, run, job, course, workers, features, invocation, at_ms } = first else {
            return Err(Error::Contradiction { at: 0, what: "the first fact is not `started`".into() });
        };
        if schema != LEDGER_SCHEMA {
            let what = format!("the ledger of {run}");
            return Err(Error::Schema { what, found: schema, known: LEDGER_SCHEMA });
        }
        let mut ledger = Ledger {
            run,
            job: *job,
            stage: course.first(features.manifest.is_some()),
            course: *course,
            features,
            started_ms: at_ms,
            workers: vec![Piece::default(); workers as usize],
            shares: Shares::default(),
            combine: Piece::default(),
            last: None,
            best: None,
            spend: Spend::default(),
            over: None,
            end: End::default(),
            ending: None,
            queue: Queue::default(),
            pauses: Pauses::default(),
            kept: Vec::new(),
            opened_by: String::new(),
            completed_by: String::new(),
            facts: 1,
        };
        ledger.open_stage(&invocation, at_ms);
        Ok(ledger)
    }

    /// Records a fact and returns the work that is due because of it. A known fact changes nothing.
    ///
    /// # Errors
    /// [`Error::Contradiction`] if the fact cannot follow the recorded facts.
    pub fn record(&mut self, fact: &Fact) -> Result<Recorded, Error> {
        self.facts += 1;
        let mut recorded = Recorded { new: true, ..Recorded::default() };
        let trained = self.over.is_none();
        let forced = matches!(fact, Fact::SentAgain { forced: true, .. });
        self.goes_on(fact.at_ms(), matches!(fact, Fact::Interrupted { .. }), forced);
        match fact {
            Fact::Started { .. } => return Err(self.contradiction("a second `started`")),
            Fact::Begun { target, lease } => recorded.due = self.begun(*target, lease),
            Fact::SentAgain { targets, at_ms, .. } => self.sent_again(targets, forced, *at_ms),
            Fact::Seen { at_ms } => self.seen(*at_ms),
            Fact::Hindered { target, why, invocation, at_ms } => {
                self.spend.end(*target, invocation, *at_ms);
                let hold = self.hold_mut(*target);
                recorded.new = hold.is_some();
                hold.into_iter().for_each(|hold| hold.hinder(why));
            }
            Fact::Closed { why, .. } => {
                recorded.new = self.over.is_none() && self.ending.is_none();
                self.over.get_or_insert_with(|| why.clone());
            }
            Fact::Cut { why, invocation, at_ms } => {
                recorded.new = self.cut(why, invocation, *at_ms);
                recorded.due = self.due_at_end(invocation);
            }
            Fact::Ended { ending, at_ms } => {
                recorded.new = self.ending.is_none();
                self.ending.get_or_insert_with(|| ending.clone());
                self.spend.end_all(self.course.end(), *at_ms);
            }
            Fact::Reopened { invocation, at_ms } => {
                recorded.new = self.reopen(invocation, *at_ms);
                recorded.due = self.due_after_opening(invocation);
            }
            Fact::LegDone { target, invocation, at_ms, .. }
            | Fact::Interrupted { target, invocation, at_ms, .. }
            | Fact::WorkerDone { target, invocation, at_ms, .. } => {
                self.spend.end(*target, invocation, *at_ms);
                self.queue.ends(&self.held(*at_ms), *at_ms);
                recorded.new = self.piece_fact(fact, *target, invocation, *at_ms)?;
                recorded.due = self.due_after_piece(*target, invocation);
            }
            Fact::CombineDone { combined, invocation, at_ms } => {
                self.spend.end_any(combined.stage, invocation, *at_ms);
                // States that were needed until now are kept until the next combine: this one might have to
                // be done again.
                recorded.retired = self.retire();
                recorded.new = self.combine_done(combined, invocation, *at_ms)?;
                recorded.due = self.due_after_combine(combined.stage, invocation);
            }
        }
        if trained && self.over.is_some() {
            let (invocation, at_ms) = fact.by();
            self.open_end(invocation, at_ms);
            recorded.due = self.due_at_end(invocation);
        }
        Ok(recorded)
    }

    /// Whether every worker of the current stage has published its result; at the end there is nothing to
    /// wait for.
    pub fn all_done(&self) -> bool {
        self.over.is_some() || self.workers.iter().all(|w| w.result.is_some())
    }

    /// A reason to end, in the words of the course.
    pub fn words(&self, reason: &Reason) -> String {
        match reason {
            Reason::Rounds if self.course.rounds == 0 => format!("all {} done", self.course.unit),
            reason => reason.to_string(),
        }
    }

    /// Rounds that are complete.
    pub fn rounds_done(&self) -> u32 {
        self.last.as_ref().map_or(0, |last| self.course.rounds_in(last.stage))
    }

    /// Why the run must be closed: a limit that it has reached while it trains.
    pub fn must_end(&self, now_ms: u64) -> Option<Reason> {
        if self.ending.is_some() || self.over.is_some() {
            return None;
        }
        self.spend.over(&self.job.limits, self.worked_ms(now_ms), now_ms).map(Reason::Limit)
    }

    /// The work that is due in the current stage.
    pub fn due(&self) -> Vec<Target> {
        self.unfinished().into_iter().map(|(target, _)| target).collect()
    }

    /// The work of the current stage, with its holders: its unfinished workers, or its combine.
    pub(crate) fn unfinished(&self) -> Vec<(Target, &Hold)> {
        if self.ready().is_some() || self.ending.is_some() {
            return Vec::new();
        }
        let target = |worker, piece: &Piece| Target { stage: self.stage, worker, leg: piece.leg };
        if self.all_done() {
            return vec![(target(None, &self.combine), &self.combine.hold)];
        }
        let workers = self.workers.iter().enumerate().filter(|(_, piece)| piece.result.is_none());
        workers.map(|(number, piece)| (target(Some(number as u32), piece), &piece.hold)).collect()
    }

    fn open_stage(&mut self, by: &str, at_ms: u64) {
        for (share, worker) in (0..).zip(&mut self.workers) {
            *worker = Piece::of_share(share, at_ms);
        }
        let workers = self.workers.len() as u32;
        self.shares = Shares::opened(self.course.shares(self.stage, workers), workers);
        self.combine = Piece::default();
        self.opened_by = by.into();
        self.spend.sent += self.workers.len() as u64;
    }

    fn sent_again(&mut self, targets: &[Target], forced: bool, at_ms: u64) {
        self.spend.sent += targets.len() as u64;
        for target in targets {
            let Some(hold) = self.hold_mut(*target) else { continue };
            if forced { hold.send_anew(at_ms) } else { hold.send_again(at_ms) }
        }
        self.bound_end();
    }

    /// Applies a combine's fact; false if it is known.
    fn combine_done(&mut self, combined: &Combined, by: &str, at_ms: u64) -> Result<bool, Error> {
        if combined.stage < self.stage || self.over.is_some() {
            return Ok(false);
        }
        if combined.stage > self.stage || !self.all_done() {
            return Err(self.contradiction(&format!("stage {} combined before it was due", combined.stage)));
        }
        if combined.features.is_some() {
            self.features.manifest = combined.features.clone();
        }
        self.last = Some(combined.clone());
        if combined.state.is_some() {
            self.kept.push(combined.stage);
        }
        self.judge(combined);
        if self.over.is_none() {
            self.stage += 1;
            self.open_stage(by, at_ms);
        }
        Ok(true)
    }

    /// Judges a combine's state: whether it is the best so far, and whether it is the last.
    fn judge(&mut self, combined: &Combined) {
        let Some(round) = self.course.completes(combined.stage) else { return };
        let best = self.best.as_ref();
        let score = |best: &Combined| best.score.clone();
        if self.course.better(combined.score.as_ref(), best.and_then(score).as_ref()) {
            self.best = Some(combined.clone());
        }
        let since_best = |best: &Combined| round - self.course.rounds_in(best.stage);
        let since_best = self.best.as_ref().map_or(0, since_best);
        if combined.stage + 1 == self.course.end() {
            self.over.get_or_insert(Reason::Rounds);
        } else if combined.score.is_some() && self.course.patience.is_some_and(|most| since_best >= most) {
            self.over.get_or_insert(Reason::Patience);
        }
    }

    /// The work that the combine of `stage` makes due for the invocation that recorded it.
    pub(crate) fn due_after_combine(&self, stage: u32, by: &str) -> Vec<Target> {
        if stage < self.stage { self.due_after_opening(by) } else { Vec::new() }
    }

    /// The work of the current stage that nobody has begun, for the invocation that opened it.
    fn due_after_opening(&self, by: &str) -> Vec<Target> {
        if self.opened_by != by {
            return Vec::new();
        }
        if self.over.is_some() {
            return self.due_at_end(by);
        }
        let waiting = |(target, hold): (Target, &Hold)| hold.lease.is_none().then_some(target);
        self.unfinished().into_iter().filter(|(t, _)| t.worker.is_some()).filter_map(waiting).collect()
    }

    fn retire(&mut self) -> Vec<u32> {
        let (last, best) =
            (self.last.as_ref().map_or(0, |c| c.stage), self.best.as_ref().map_or(0, |c| c.stage));
        let (kept, retired): (Vec<_>, Vec<_>) =
            self.kept.drain(..).partition(|&stage| stage == best || stage + 1 >= last);
        self.kept = kept;
        retired
    }

    pub(crate) fn contradiction(&self, what: &str) -> Error {
        Error::Contradiction { at: self.facts - 1, what: what.into() }
    }
}
