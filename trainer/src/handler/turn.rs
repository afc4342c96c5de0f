//! One invocation's turn at a run: decide and record under the ledger's lock, send outside it.

use crate::Error;
use crate::handler::{Reply, ceiling};
use crate::services::{Invocation, Services};
use protocol::{
    Decision, Ending, Event, Fact, Lease, Ledger, Moment, Need, Reason, Recorded, RunId, Target, day_of,
};
use std::sync::Arc;
use storage::{FactLog, NewFacts};

/// How often an update whose lock was lost is done again.
const LOCK_TRIES: usize = 5;
/// The most characters of a reason in a fact.
const MOST_WORDS: usize = 1_500;

/// A decision, and the run's need before it can be carried out.
type Decided = (Decision, Option<Need>);

pub(super) struct Turn<'a> {
    pub(super) services: &'a Services,
    pub(super) invocation: &'a Invocation,
    run: RunId,
    log: FactLog<Fact>,
}

impl<'a> Turn<'a> {
    /// A turn at a run that exists.
    pub(super) fn open(
        services: &'a Services,
        invocation: &'a Invocation,
        run: &RunId,
    ) -> Result<Turn<'a>, Error> {
        let log = match FactLog::open(services.root.run(run).ledger()) {
            Err(storage::Error::Missing { .. }) => return Err(Error::NoRun { found: run.to_string() }),
            opened => opened?,
        };
        Ok(Turn::with(services, invocation, run, log))
    }

    pub(super) fn with(
        services: &'a Services,
        invocation: &'a Invocation,
        run: &RunId,
        log: FactLog<Fact>,
    ) -> Turn<'a> {
        Turn { services, invocation, run: run.clone(), log }
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.services.clock.now_ms()
    }

    /// Decides what to do with an event and records that it begins, or is sent again, under one lock.
    ///
    /// Work begins only with the whole of its time in the run's share of the operator's ceiling.
    pub(super) fn decide(&self, event: &Event) -> Result<(Decision, Arc<Ledger>), Error> {
        loop {
            let ((decision, need), ledger) = self.update(|ledger| self.decide_once(event, ledger))?;
            self.services.progress.ledger(&ledger, false, self.now_ms());
            let Some(need) = need else { return Ok((decision, ledger)) };
            if let Err(why) = ceiling::grant(self.services, &need)? {
                return Ok((ledger.goes_no_further(Reason::Limit, why), ledger));
            }
        }
    }

    /// Decides what to do with an event and records it; or returns the run's need before that.
    fn decide_once(&self, event: &Event, ledger: &mut Ledger) -> Result<(Option<Fact>, Decided), Error> {
        let now_ms = self.now_ms();
        let patience_ms = self.services.settings.patience_ms;
        let moment = Moment { now_ms, invocation: &self.invocation.id, patience_ms };
        let decision = ledger.decide(event, moment)?;
        let fact = match &decision {
            Decision::Work(target) => {
                let (lease, allowed) = (self.lease(now_ms), &self.services.settings.ceiling);
                let need = ledger.need(&lease);
                if !self.services.ledgers.of_shares(|shares| shares.cover(&need, day_of(now_ms), allowed)) {
                    return Ok((None, (decision, Some(need))));
                }
                Some(Fact::Begun { target: *target, lease })
            }
            Decision::Resend(targets) => {
                let (targets, forced) = (targets.clone(), event.is_forced());
                Some(Fact::SentAgain { targets, forced, at_ms: now_ms })
            }
            Decision::Wait(_) => Some(Fact::Seen { at_ms: now_ms }),
            _ => None,
        };
        let recorded = fact.as_ref().map(|fact| ledger.record(fact)).transpose()?;
        // Who begins work once too often ends the run by that.
        let due = recorded.map(|recorded| recorded.due).filter(|due| !due.is_empty());
        Ok((fact, (due.map_or(decision, Decision::Resend), None)))
    }

    /// Records a fact.
    pub(super) fn record(&self, fact: Fact) -> Result<(Recorded, Arc<Ledger>), Error> {
        self.record_if(fact, |_| Ok(()))
    }

    /// Records a fact, if the ledger allows it.
    fn record_if(
        &self,
        fact: Fact,
        allowed: impl Fn(&Ledger) -> Result<(), Error>,
    ) -> Result<(Recorded, Arc<Ledger>), Error> {
        let read_back = fact.read_back();
        let found = self.update(|ledger| {
            allowed(ledger)?;
            let recorded = ledger.record(&read_back)?;
            if recorded.new {
                return Ok((Some(fact.clone()), recorded));
            }
            // The fact is known: only the sending is recorded, so that it is counted.
            let (targets, at_ms) = (recorded.due.clone(), self.now_ms());
            let again = Fact::SentAgain { targets, forced: false, at_ms };
            if recorded.due.is_empty() {
                return Ok((None, recorded));
            }
            ledger.record(&again)?;
            Ok((Some(again), recorded))
        })?;
        let milestone = matches!(
            fact,
            Fact::CombineDone { .. } | Fact::Closed { .. } | Fact::Ended { .. } | Fact::Reopened { .. }
        );
        self.services.progress.ledger(&found.1, milestone, self.now_ms());
        Ok(found)
    }

    /// Records why work failed, if that can be recorded. The event is delivered again in either case.
    pub(super) fn hindered(&self, target: Target, error: &Error) {
        let why = shortened(&error.to_string());
        let invocation = self.invocation.id.clone();
        if let Err(error) = self.record(Fact::Hindered { target, why, invocation, at_ms: self.now_ms() }) {
            tracing::warn!(%target, %error, "what went wrong was not recorded");
        }
    }

    /// Records the end, if it is still the one settled in `before`, and shows the run's product.
    pub(super) fn end(&self, before: &Ledger, ending: Ending) -> Result<Reply, Error> {
        let services = self.services;
        let fact = Fact::Ended { ending, at_ms: self.now_ms() };
        let (_, ledger) = self.record_if(fact, |ledger| Ok(ledger.check_settled(before)?))?;
        let published = ledger.ending.as_ref().is_some_and(|ending| ending.model.is_some());
        if published
            && let Ok(workload) = services.workloads.find(&ledger.job)
            && let Some(model) = workload.show(&services.root, &ledger.run)
        {
            services.progress.model(&ledger.run, &model, self.now_ms());
        }
        if let Err(error) = ceiling::settle(services, &ledger) {
            tracing::warn!(run = %ledger.run, %error, "what the run has not spent stays with it today");
        }
        Ok(Reply::done(&ledger, &[]))
    }

    /// Settles that the run ends, and sends the events that are then due.
    pub(super) fn close(&self, why: Reason) -> Result<Reply, Error> {
        let (invocation, at_ms) = (self.invocation.id.clone(), self.now_ms());
        self.record_and_send(Fact::Closed { why, invocation, at_ms })
    }

    /// Settles that the product is published without scores, and sends the events that are then due.
    pub(super) fn cut(&self, why: String) -> Result<Reply, Error> {
        let (invocation, at_ms) = (self.invocation.id.clone(), self.now_ms());
        self.record_and_send(Fact::Cut { why, invocation, at_ms })
    }

    /// Reopens the run, which was given up.
    pub(super) fn reopen(&self, ledger: &Ledger) -> Result<Reply, Error> {
        ceiling::admit(self.services, &ledger.need(&self.lease(self.now_ms())))?;
        let (invocation, at_ms) = (self.invocation.id.clone(), self.now_ms());
        self.record_and_send(Fact::Reopened { invocation, at_ms })
    }

    /// For work that trying again cannot help: the run is closed; its end continues without scores, then
    /// without a product.
    pub(super) fn halt(&self, target: Target, error: &Error) -> Result<Reply, Error> {
        let ledger = self.read()?;
        let why = shortened(&error.to_string());
        if ledger.over.is_none() {
            self.close(Reason::Failed(why))
        } else if !ledger.at_hand(target) {
            Ok(Reply::ignored(why))
        } else if ledger.end.unscored.is_none() {
            self.cut(why)
        } else {
            self.end(&ledger, ledger.without_product(&why))
        }
    }

    fn record_and_send(&self, fact: Fact) -> Result<Reply, Error> {
        let (recorded, ledger) = self.record(fact)?;
        self.send(&ledger, &recorded.due)
    }

    /// Why a running leg is not wanted any more; none if it still is. The ledger is read, under its lock,
    /// only if it has changed.
    pub(super) fn not_wanted(&self, target: Target) -> Result<Option<String>, Error> {
        let known = self.services.ledgers.known(self.log.path());
        // If the look fails, the ledger is read, and the error says why.
        if !self.log.has_changed(&known).unwrap_or(true) {
            return Ok(None);
        }
        let ledger = self.read()?;
        let over = ledger.ending.as_ref().map(|ending| &ending.why).or(ledger.over.as_ref());
        Ok(match over {
            Some(why) if !ledger.at_hand(target) => Some(format!("the run was ended meanwhile: {why}")),
            _ => None,
        })
    }

    /// The current ledger.
    pub(super) fn read(&self) -> Result<Arc<Ledger>, Error> {
        self.update(|_| Ok((None, ()))).map(|((), ledger)| ledger)
    }

    /// Sends the events that are due. If that would pass a limit, the run is closed instead, or its end cut
    /// short.
    pub(super) fn send(&self, ledger: &Ledger, targets: &[Target]) -> Result<Reply, Error> {
        if let Some(ending) = ledger.ready() {
            return self.end(ledger, ending);
        }
        if let Some(reason) = ledger.must_end(self.now_ms()) {
            return self.close(reason);
        }
        if let Some(why) = ledger.must_cut(self.now_ms()) {
            return self.cut(why);
        }
        for target in targets {
            self.services.invoke.send(&ledger.event(*target))?;
        }
        Ok(Reply::done(ledger, targets))
    }

    fn lease(&self, now_ms: u64) -> Lease {
        self.invocation.lease(now_ms)
    }

    /// One update under the lock. A lost lock means that nothing counted: all of it is done again. The ledger
    /// is copied only if somebody still uses an older one.
    fn update<R>(
        &self,
        change: impl Fn(&mut Ledger) -> Result<(Option<Fact>, R), Error>,
    ) -> Result<(R, Arc<Ledger>), Error> {
        let mut tries = 0;
        loop {
            let mut seen = self.services.ledgers.take(self.log.path());
            let updated = self.log.update_after(self.services.settings.lock_wait, &mut seen.known, |new| {
                self.services.progress.facts(&self.run, &new.facts);
                let mut ledger =
                    caught_up(seen.ledger.take(), new)?.ok_or_else(|| Error::NoRun { found: self.name() })?;
                let (fact, result) = change(Arc::make_mut(&mut ledger))?;
                Ok::<_, Error>((fact.clone().into_iter().collect(), (result, ledger, fact)))
            });
            tries += 1;
            match updated {
                Ok((result, ledger, fact)) => {
                    self.services.progress.facts(&self.run, fact.as_slice());
                    seen.ledger = Some(ledger.clone());
                    self.services.ledgers.put(self.log.path(), seen);
                    return Ok((result, ledger));
                }
                Err(Error::Storage(storage::Error::LockLost { .. })) if tries < LOCK_TRIES => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn name(&self) -> String {
        format!("an empty ledger, {}", self.log.path().display())
    }
}

/// The ledger with the facts that are new to this process.
fn caught_up(ledger: Option<Arc<Ledger>>, new: NewFacts<Fact>) -> Result<Option<Arc<Ledger>>, Error> {
    let (false, Some(mut ledger)) = (new.all, ledger) else {
        return Ok(Ledger::fold(new.facts)?.map(Arc::new));
    };
    for fact in &new.facts {
        Arc::make_mut(&mut ledger).record(fact)?;
    }
    Ok(Some(ledger))
}

/// The words of a reason, cut to a length.
fn shortened(words: &str) -> String {
    words.chars().take(MOST_WORDS).collect()
}
