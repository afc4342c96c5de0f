//! What to do with an event, from the ledger alone.

use crate::hold::Hold;
use crate::{Error, Event, Ledger, Reason, Target, WorkerEvent};

/// What the handler is to do. It only obeys.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Do this worker's leg, or this combine.
    Work(Target),
    /// Publish the best model and end the run.
    Finish(Reason),
    /// Send these again.
    Resend(Vec<Target>),
    /// A stale or duplicate event, or nothing to do: say so, send nothing.
    Ignore(String),
    /// The event is newer than the ledger that we see: fail, so that it is delivered again.
    Ahead(String),
}

/// Who decides, and when.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// Now, in milliseconds since 1970.
    pub now_ms: u64,
    /// Lambda's request id of this invocation.
    pub invocation: &'a str,
    /// How long an event may take to begin before a tick holds it to be lost; doubled each time that it is sent again.
    pub patience_ms: u64,
}

/// How long what was just sent may take to begin, before a second `start` sends it again.
const START_GRACE_MS: u64 = 10_000;

impl Ledger {
    /// Decides what to do with an event of this run.
    ///
    /// # Errors
    /// [`Error::Refused`] when the event contradicts the run (another number of workers).
    pub fn decide(&self, event: &Event, moment: Moment<'_>) -> Result<Decision, Error> {
        if let Some(ending) = &self.ending {
            return Ok(Decision::Ignore(format!("run {} has ended: {}", self.run, ending.why)));
        }
        if let Some(reason) = self.must_end(moment.now_ms) {
            return Ok(Decision::Finish(reason));
        }
        match event {
            Event::Stop { .. } => Ok(Decision::Finish(Reason::Stopped)),
            Event::Start(start) => {
                // Its own recorder died before all was sent.
                let own = !self.combined_by.is_empty() && self.combined_by == moment.invocation;
                let due = |hold: &Hold| {
                    start.force
                        || (own && hold.lease.is_none())
                        || hold.overdue(moment.now_ms, START_GRACE_MS)
                };
                Ok(self.move_on(due))
            }
            Event::Tick { .. } => Ok(self.tick(moment)),
            Event::Worker(worker) => self.decide_worker(worker, moment),
            Event::Combine { workers, epochs_done, stage, .. } => {
                self.check_workers(*workers)?;
                Ok(self.decide_combine(self.resolve(*epochs_done, *stage), moment))
            }
        }
    }

    fn decide_worker(&self, event: &WorkerEvent, moment: Moment<'_>) -> Result<Decision, Error> {
        self.check_workers(event.workers)?;
        let stage = self.resolve(event.epochs_done, event.stage);
        let worker = &self.workers[event.worker as usize];
        let leg = event.leg.unwrap_or(worker.leg);
        let target = Target::worker(stage, event.worker, leg);
        if stage > self.stage || (stage == self.stage && worker.result.is_none() && leg > worker.leg) {
            return Ok(Decision::Ahead(format!(
                "{target} is not due yet: the run is in stage {}",
                self.stage
            )));
        }
        if stage == self.stage && worker.result.is_none() && leg == worker.leg {
            return Ok(work(target, &worker.hold, moment));
        }
        Ok(resend(self.due_after_leg(target, moment.invocation), format!("{target} is done")))
    }

    fn decide_combine(&self, stage: u32, moment: Moment<'_>) -> Decision {
        let target = Target::combine(stage);
        if stage > self.stage || (stage == self.stage && !self.all_done()) {
            return Decision::Ahead(format!("{target} is not due yet: not every worker is done"));
        }
        if stage == self.stage {
            return work(target, &self.combine, moment);
        }
        resend(self.due_after_combine(stage, moment.invocation), format!("{target} is done"))
    }

    fn move_on(&self, due: impl Fn(&Hold) -> bool) -> Decision {
        let targets = self.unfinished().into_iter().filter(|(_, hold)| due(hold)).map(|(t, _)| t).collect();
        resend(targets, format!("everything that is due in stage {} is in hand", self.stage))
    }

    fn tick(&self, moment: Moment<'_>) -> Decision {
        let lost = |hold: &Hold| hold.lost(moment);
        let given_up = |(target, hold): (Target, &Hold)| {
            let why = hold.resent_too_often().filter(|_| lost(hold))?;
            Some(Reason::Failed(format!("{target} {why}")))
        };
        match self.unfinished().into_iter().find_map(given_up) {
            Some(reason) => Decision::Finish(reason),
            None => self.move_on(lost),
        }
    }

    /// The stage that an event means: what it says, or what follows from its `epochsdone`.
    fn resolve(&self, epochs_done: u32, stage: Option<u32>) -> u32 {
        let features = epochs_done == 0 && self.stage == 0;
        stage.unwrap_or(if features { 0 } else { epochs_done + 1 })
    }

    fn check_workers(&self, workers: u32) -> Result<(), Error> {
        if workers as usize == self.workers.len() {
            return Ok(());
        }
        let expected = format!("{}, as run {} was started with", self.workers.len(), self.run);
        Err(Error::refused("workers", workers.to_string(), expected))
    }

    /// Checks that the end is still the one that was settled when the ledger was `before`: its model is about to count.
    ///
    /// # Errors
    /// [`Error::Contradiction`]: facts were written over, by a server that gave the lock to two at once.
    pub fn check_settled(&self, before: &Ledger) -> Result<(), Error> {
        let settled = self.over.is_some() && self.over == before.over && self.best == before.best;
        if self.ending.is_some() || settled {
            return Ok(());
        }
        let words = |ledger: &Ledger| {
            let why = ledger.over.as_ref().map_or("not at all".into(), Reason::to_string);
            format!("{why}, round {} the best", ledger.best.as_ref().map_or(0, |best| best.stage))
        };
        let what = format!(
            "the end was settled ({}), and is now settled otherwise ({}): facts were written over; does the file system \
             keep its locks?",
            words(before),
            words(self)
        );
        Err(self.contradiction(&what))
    }

    /// The event that asks for a piece of work of this run.
    pub fn event(&self, target: Target) -> Event {
        let (run, workers) = (Some(self.run.clone()), self.workers.len() as u32);
        let (epochs_done, stage) = (target.stage.saturating_sub(1), Some(target.stage));
        match target.worker {
            None => Event::Combine { run, workers, epochs_done, stage },
            Some(worker) => {
                Event::Worker(WorkerEvent { run, worker, workers, epochs_done, stage, leg: Some(target.leg) })
            }
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
