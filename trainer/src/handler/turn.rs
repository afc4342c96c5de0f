//! One invocation's turn at a run: decide and record under the ledger's lock, send outside it.

use crate::Error;
use crate::handler::Reply;
use crate::services::{Invocation, Services};
use protocol::{Decision, Ending, Event, Fact, Lease, Ledger, Moment, Reason, Recorded, RunId, Target};
use std::sync::Arc;
use storage::{FactLog, NewFacts};

/// How often an update whose lock was lost is done again.
const LOCK_TRIES: usize = 5;
/// The longest that a fact says in words, in characters.
const MOST_WORDS: usize = 500;

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

    /// Decides what to do with an event and records that it begins, or is sent again, in one holding of the lock.
    pub(super) fn decide(&self, event: &Event) -> Result<(Decision, Arc<Ledger>), Error> {
        let found = self.update(|ledger| {
            let now_ms = self.now_ms();
            let patience_ms = self.services.settings.patience_ms;
            let moment = Moment { now_ms, invocation: &self.invocation.id, patience_ms };
            let decision = ledger.decide(event, moment)?;
            let fact = match &decision {
                Decision::Work(target) => Some(Fact::Begun { target: *target, lease: self.lease(now_ms) }),
                Decision::Resend(targets) => {
                    Some(Fact::SentAgain { targets: targets.clone(), at_ms: now_ms })
                }
                _ => None,
            };
            if let Some(fact) = &fact {
                ledger.record(fact)?;
            }
            Ok((fact, decision))
        })?;
        self.services.progress.ledger(&found.1, false, self.now_ms());
        Ok(found)
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
            // Known: only what is sent again is recorded, so that it is paid for.
            let again = Fact::SentAgain { targets: recorded.due.clone(), at_ms: self.now_ms() };
            if recorded.due.is_empty() {
                return Ok((None, recorded));
            }
            ledger.record(&again)?;
            Ok((Some(again), recorded))
        })?;
        let milestone = matches!(fact, Fact::CombineDone { .. } | Fact::Ended { .. });
        self.services.progress.ledger(&found.1, milestone, self.now_ms());
        Ok(found)
    }

    /// Records why work failed, if that can be recorded: the event will be delivered again whatever becomes of this.
    pub(super) fn hindered(&self, target: Target, error: &Error) {
        let why: String = error.to_string().chars().take(MOST_WORDS).collect();
        let invocation = self.invocation.id.clone();
        if let Err(error) = self.record(Fact::Hindered { target, why, invocation, at_ms: self.now_ms() }) {
            tracing::warn!(%target, %error, "what went wrong was not recorded");
        }
    }

    /// Records the end, if it is still the one that was settled in `before`.
    pub(super) fn end(&self, before: &Ledger, ending: Ending) -> Result<Arc<Ledger>, Error> {
        let fact = Fact::Ended { ending, at_ms: self.now_ms() };
        Ok(self.record_if(fact, |ledger| Ok(ledger.check_settled(before)?))?.1)
    }

    /// Why the run is over, if it is. Only when the ledger has changed is it read, under its lock.
    pub(super) fn over(&self) -> Result<Option<Reason>, Error> {
        let known = self.services.ledgers.known(self.log.path());
        // What cannot be looked at is read, which says why.
        if self.log.has_changed(&known).unwrap_or(true) { Ok(self.read()?.over.clone()) } else { Ok(None) }
    }

    /// The ledger as it stands.
    pub(super) fn read(&self) -> Result<Arc<Ledger>, Error> {
        self.update(|_| Ok((None, ()))).map(|((), ledger)| ledger)
    }

    /// Sends what is due, unless that would pass a limit: then the run ends.
    pub(super) fn send(&self, ledger: &Arc<Ledger>, targets: &[Target]) -> Result<Reply, Error> {
        if let Some(reason) = ledger.must_end(self.now_ms()) {
            return super::finish::finish(self, ledger, reason);
        }
        for target in targets {
            self.services.invoke.send(&ledger.event(*target))?;
        }
        Ok(Reply::done(ledger, targets))
    }

    fn lease(&self, now_ms: u64) -> Lease {
        Lease {
            invocation: self.invocation.id.clone(),
            at_ms: now_ms,
            until_ms: self.invocation.deadline_ms,
            memory_mb: self.invocation.memory_mb,
        }
    }

    /// One holding of the lock. A lost lock means that nothing counted: all of it is done again. The ledger is copied only
    /// while somebody has an older one in hand.
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
