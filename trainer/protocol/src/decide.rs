//! Decides about an event, from the ledger alone.

use crate::hold::{Hold, Moment};
use crate::{Ending, Error, Event, Ledger, Reason, Target, WorkerEvent};

/// A decision. The handler only obeys.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Do this leg of a worker's share, of a combine or of the end.
    Work(Target),
    /// Settle that the run ends, and send the events that are then due.
    Close(Reason),
    /// Settle that the product is published without scores, and send the events that are then due.
    Cut(String),
    /// Record this end: nothing is left to do.
    End(Ending),
    /// Reopen the run, which was given up, and send the events that are then due.
    Reopen,
    /// Send these again.
    Resend(Vec<Target>),
    /// Record that a clock went back, and wait.
    Wait(String),
    /// A stale or duplicate event, or nothing to do: report it, send nothing.
    Ignore(String),
    /// The event is newer than the ledger that this process sees: fail, so that it is delivered again.
    Ahead(String),
}

/// How long an event may take to begin before a second `start` sends it again.
const START_GRACE_MS: u64 = 10_000;

impl Ledger {
    /// Decides what to do with an event of this run.
    ///
    /// # Errors
    /// [`Error::Refused`] when the event contradicts the run (another number of workers).
    pub fn decide(&self, event: &Event, moment: Moment<'_>) -> Result<Decision, Error> {
        if let Some(ending) = &self.ending {
            let again = matches!(event, Event::Start(_)) && self.may_reopen();
            let ended =
                || Decision::Ignore(format!("run {} has ended: {}", self.run, self.words(&ending.why)));
            return Ok(if again { Decision::Reopen } else { ended() });
        }
        if let Some(ending) = self.ready() {
            return Ok(Decision::End(ending));
        }
        // Who forces a start says until when somebody worked: limits are looked at when that is recorded.
        if !event.is_forced() {
            if let Some(reason) = self.must_end(moment.now_ms) {
                return Ok(Decision::Close(reason));
            }
            if let Some(why) = self.must_cut(moment.now_ms) {
                return Ok(Decision::Cut(why));
            }
        }
        match event {
            Event::Stop { .. } => Ok(match &self.over {
                None => Decision::Close(Reason::Stopped),
                Some(why) => Decision::Ignore(format!("run {} is ending: {why}", self.run)),
            }),
            Event::Start(start) => {
                // Its own recorder died before everything was sent.
                let own = !self.opened_by.is_empty() && self.opened_by == moment.invocation;
                let due = |hold: &Hold| {
                    start.force
                        || (own && hold.lease.is_none())
                        || hold.overdue(moment.now_ms, START_GRACE_MS)
                };
                Ok(self.move_on(due))
            }
            Event::Tick { .. } => Ok(self.tick(moment)),
            Event::Worker(worker) => self.decide_worker(worker, moment),
            Event::Combine { workers, epochs_done, stage, leg, .. } => {
                self.check_workers(*workers)?;
                let stage = self.resolve(*epochs_done, *stage)?;
                let leg = leg.unwrap_or(if stage == self.stage { self.combine.leg } else { 0 });
                self.decide_piece(Target { stage, worker: None, leg }, moment)
            }
        }
    }

    fn decide_worker(&self, event: &WorkerEvent, moment: Moment<'_>) -> Result<Decision, Error> {
        self.check_workers(event.workers)?;
        let stage = self.resolve(event.epochs_done, event.stage)?;
        let leg = event.leg.unwrap_or(self.workers[event.worker as usize].leg);
        self.decide_piece(Target::worker(stage, event.worker, leg), moment)
    }

    fn decide_piece(&self, target: Target, moment: Moment<'_>) -> Result<Decision, Error> {
        if self.at_hand(target) {
            let piece = self.piece(target.worker).map(|piece| &piece.hold);
            return Ok(
                piece.map_or_else(|| Decision::Ignore(String::new()), |hold| work(target, hold, moment))
            );
        }
        if self.is_ahead(target) {
            let at = self.course.words(self.stage);
            return Ok(Decision::Ahead(format!(
                "{target} is not due yet: the run is in stage {} ({at})",
                self.stage
            )));
        }
        Ok(resend(self.due_behind(target, moment.invocation), format!("{target} is done")))
    }

    /// Whether a leg is later than the one that is due or in hand.
    fn is_ahead(&self, target: Target) -> bool {
        let at = (target.stage, target.worker.is_none(), target.leg);
        let leg = |number: Option<u32>| self.piece(number).map_or(0, |piece| piece.leg);
        match target.worker {
            None => at > (self.stage, self.all_done(), leg(None)),
            Some(_) if self.all_done() => target.stage > self.stage,
            Some(worker) => {
                let piece = self.piece(Some(worker));
                let done = piece.is_some_and(|piece| piece.result.is_some());
                target.stage > self.stage || (!done && at > (self.stage, false, leg(Some(worker))))
            }
        }
    }

    /// The work that an event behind the ledger makes due for the invocation that recorded the end of its
    /// work.
    fn due_behind(&self, target: Target, by: &str) -> Vec<Target> {
        match target.worker {
            None if target.stage < self.stage => self.due_after_combine(target.stage, by),
            _ => self.due_after_piece(target, by),
        }
    }

    fn move_on(&self, due: impl Fn(&Hold) -> bool) -> Decision {
        let targets = self.unfinished().into_iter().filter(|(_, hold)| due(hold)).map(|(t, _)| t).collect();
        resend(targets, format!("everything that is due in stage {} is in hand", self.stage))
    }

    fn tick(&self, moment: Moment<'_>) -> Decision {
        let lost = |hold: &Hold| self.is_lost(hold, moment);
        let given_up = |(target, hold): (Target, &Hold)| {
            let why =
                hold.resent_too_often(self.is_heard()).filter(|_| lost(hold) && self.is_unheard(hold))?;
            Some(format!("{target} {why}"))
        };
        match self.unfinished().into_iter().find_map(given_up) {
            Some(why) => self.goes_no_further(Reason::GaveUp, why),
            None if self.has_future(moment.now_ms) => {
                Decision::Wait("work was begun in the future: a clock went back, or was ahead".into())
            }
            None => self.move_on(lost),
        }
    }

    /// The next step if the work at hand cannot continue: the end, then the end without scores, then nothing.
    pub fn goes_no_further(&self, reason: fn(String) -> Reason, why: String) -> Decision {
        match (&self.over, &self.end.unscored) {
            (None, _) => Decision::Close(reason(why)),
            (Some(_), None) => Decision::Cut(why),
            (Some(_), Some(_)) => Decision::End(self.without_product(&why)),
        }
    }

    /// The stage of an event: the one that it names, or the one that follows from its `epochsdone`.
    fn resolve(&self, epochs_done: u32, stage: Option<u32>) -> Result<u32, Error> {
        match stage {
            Some(stage) if self.course.rounds_before(stage) != epochs_done => {
                let expected = format!("{} in stage {stage}", self.course.rounds_before(stage));
                Err(Error::refused("epochsdone", epochs_done.to_string(), expected))
            }
            Some(stage) => Ok(stage),
            None if self.course.rounds_before(self.stage) == epochs_done => Ok(self.stage),
            None => Ok(self.course.opens_after(epochs_done)),
        }
    }

    fn check_workers(&self, workers: u32) -> Result<(), Error> {
        if workers as usize == self.workers.len() {
            return Ok(());
        }
        let expected = format!("{}, as run {} was started with", self.workers.len(), self.run);
        Err(Error::refused("workers", workers.to_string(), expected))
    }

    /// Checks that the end is still the one that was settled in the ledger `before`: its model is about to
    /// count.
    ///
    /// # Errors
    /// [`Error::Contradiction`]: facts were written over, by a server that gave the lock to two at once.
    pub fn check_settled(&self, before: &Ledger) -> Result<(), Error> {
        let settled = self.over.is_some()
            && self.over == before.over
            && self.best == before.best
            && self.cut_short() == before.cut_short()
            && self.end.unscored == before.end.unscored;
        if self.ending.is_some() || settled {
            return Ok(());
        }
        let words = |ledger: &Ledger| {
            let why = ledger.over.as_ref().map_or("not at all".into(), Reason::to_string);
            format!("{why}, stage {} the best", ledger.best.as_ref().map_or(0, |best| best.stage))
        };
        let what = format!(
            "the end was settled ({}), and is now settled otherwise ({}): \
             facts were written over; does the file system keep its locks?",
            words(before),
            words(self)
        );
        Err(self.contradiction(&what))
    }

    /// The event that asks for a piece of work of this run.
    pub fn event(&self, target: Target) -> Event {
        let (run, workers) = (Some(self.run.clone()), self.workers.len() as u32);
        let (epochs_done, stage) = (self.course.rounds_before(target.stage), Some(target.stage));
        let leg = Some(target.leg);
        match target.worker {
            None => Event::Combine { run, workers, epochs_done, stage, leg },
            Some(worker) => Event::Worker(WorkerEvent { run, worker, workers, epochs_done, stage, leg }),
        }
    }
}

fn work(target: Target, hold: &Hold, moment: Moment<'_>) -> Decision {
    match hold.in_hand(moment) {
        Some(lease) => {
            Decision::Ignore(format!("{target} is in hand: invocation {} has it", lease.invocation))
        }
        None => Decision::Work(target),
    }
}

fn resend(targets: Vec<Target>, otherwise: String) -> Decision {
    if targets.is_empty() { Decision::Ignore(otherwise) } else { Decision::Resend(targets) }
}
