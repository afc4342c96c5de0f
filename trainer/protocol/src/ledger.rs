//! The ledger: where a run stands, folded from the log of its facts.
//!
//! Invariants: recording a known fact changes nothing; a worker counts once in a stage; the stage moves on only
//! by its combine, which needs every worker's result; nothing is due once the run has ended; every event that is
//! ever sent is counted in [`Spend::sent`] by a fact that was recorded before.

use crate::fact::Lease;
use crate::hold::Hold;
use crate::{
    Combined, Ending, Error, Fact, FeatureStore, FileRef, Job, LEDGER_SCHEMA, Reason, RunId, Spend, Target,
};

/// Legs without progress, one after the other, before the run is given up.
const MOST_IDLE_LEGS: u32 = 2;

/// Where a run stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Ledger {
    /// The run.
    pub run: RunId,
    /// What it trains.
    pub job: Job,
    /// Its feature store.
    pub features: FeatureStore,
    /// When it started.
    pub started_ms: u64,
    /// The stage at hand.
    pub stage: u32,
    /// Its workers.
    pub workers: Vec<WorkerState>,
    /// Its combine.
    pub combine: Hold,
    /// The last combined stage.
    pub last: Option<Combined>,
    /// The combined round with the best score.
    pub best: Option<Combined>,
    /// What the run has cost.
    pub spend: Spend,
    /// Set when nothing more is to be trained: the run is to be ended for this reason.
    pub over: Option<Reason>,
    /// How it ended.
    pub ending: Option<Ending>,
    /// Rounds whose combined state may still be read; older ones are given back by [`Ledger::record`].
    kept: Vec<u32>,
    /// The invocation that opened the stage at hand (a start, or the combine before), and the one that brought the last worker's result.
    pub(crate) combined_by: String,
    pub(crate) completed_by: String,
    facts: usize,
}

/// One worker in the stage at hand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkerState {
    /// The leg that is due or in hand, from 0.
    pub leg: u32,
    /// Where that leg goes on.
    pub place: Option<FileRef>,
    /// Images that are done.
    pub done: u64,
    /// Its result, once it has published it.
    pub result: Option<FileRef>,
    /// Who holds the leg.
    pub hold: Hold,
    /// Legs without progress, one after the other.
    idle_legs: u32,
    /// The invocation that recorded the leg before.
    pub(crate) leg_by: String,
}

/// What recording a fact came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recorded {
    /// False if the fact was known: then it changed nothing and is not to be appended.
    pub new: bool,
    /// What is due because of it. After a known fact only for its own recorder, who may have died before sending.
    pub due: Vec<Target>,
    /// Stages whose combined state nobody reads any more.
    pub retired: Vec<u32>,
}

impl Ledger {
    /// Folds a log of facts.
    ///
    /// # Errors
    /// [`Error::Schema`] for a later schema, [`Error::Contradiction`] for a log that cannot be.
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
        let Fact::Started { schema, run, job, workers, features, invocation, at_ms } = first else {
            return Err(Error::Contradiction { at: 0, what: "the first fact is not `started`".into() });
        };
        if schema > LEDGER_SCHEMA {
            return Err(Error::Schema {
                what: format!("the ledger of {run}"),
                found: schema,
                known: LEDGER_SCHEMA,
            });
        }
        let mut ledger = Ledger {
            run,
            job: *job,
            stage: u32::from(features.manifest.is_some()),
            features,
            started_ms: at_ms,
            workers: vec![WorkerState::default(); workers as usize],
            combine: Hold::default(),
            last: None,
            best: None,
            spend: Spend::default(),
            over: None,
            ending: None,
            kept: Vec::new(),
            combined_by: invocation,
            completed_by: String::new(),
            facts: 1,
        };
        ledger.open_stage(at_ms);
        Ok(ledger)
    }

    /// Records a fact and says what is due because of it. A known fact changes nothing.
    ///
    /// # Errors
    /// [`Error::Contradiction`] when the fact cannot follow what is recorded.
    pub fn record(&mut self, fact: &Fact) -> Result<Recorded, Error> {
        self.facts += 1;
        let mut recorded = Recorded { new: true, ..Recorded::default() };
        match fact {
            Fact::Started { .. } => return Err(self.contradiction("a second `started`")),
            Fact::Begun { target, lease } => self.begun(*target, lease),
            Fact::SentAgain { targets, at_ms } => self.sent_again(targets, *at_ms),
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
            Fact::Ended { ending, .. } if self.ending.is_none() => self.ending = Some(ending.clone()),
            Fact::Ended { .. } => recorded.new = false,
            Fact::LegDone { target, invocation, at_ms, .. }
            | Fact::WorkerDone { target, invocation, at_ms, .. } => {
                self.spend.end(*target, invocation, *at_ms);
                recorded.new = self.worker_fact(fact, *target, invocation, *at_ms)?;
                recorded.due = self.due_after_worker(*target, invocation);
            }
            Fact::CombineDone { combined, invocation, at_ms } => {
                self.spend.end(Target::combine(combined.stage), invocation, *at_ms);
                // What was needed until now stays until the next combine: this one might have to be done again.
                recorded.retired = self.retire();
                recorded.new = self.combine_done(combined, invocation, *at_ms)?;
                recorded.due = self.due_after_combine(combined.stage, invocation);
            }
        }
        Ok(recorded)
    }

    /// Whether every worker of the stage at hand has published its result.
    pub fn all_done(&self) -> bool {
        self.workers.iter().all(|w| w.result.is_some())
    }

    /// Rounds that are complete.
    pub fn rounds_done(&self) -> u32 {
        self.last.as_ref().map_or(0, |last| self.job.rounds_in(last.stage))
    }

    /// Why the run is to be ended, if it is and has not been.
    pub fn must_end(&self, now_ms: u64) -> Option<Reason> {
        if self.ending.is_some() {
            return None;
        }
        let limit = || self.spend.over(&self.job.limits, self.started_ms, now_ms).map(Reason::Limit);
        self.over.clone().or_else(limit)
    }

    /// The work that is due in the stage at hand.
    pub fn due(&self) -> Vec<Target> {
        self.unfinished().into_iter().map(|(target, _)| target).collect()
    }

    /// The work of a stage at hand, with who holds it: its unfinished workers, or its combine.
    pub(crate) fn unfinished(&self) -> Vec<(Target, &Hold)> {
        if self.all_done() {
            return vec![(Target::combine(self.stage), &self.combine)];
        }
        let unfinished = |(n, w): (usize, &'_ WorkerState)| {
            w.result.is_none().then_some((Target::worker(self.stage, n as u32, w.leg), n))
        };
        let found = self.workers.iter().enumerate().filter_map(unfinished);
        found.map(|(target, n)| (target, &self.workers[n].hold)).collect()
    }

    fn open_stage(&mut self, at_ms: u64) {
        for worker in &mut self.workers {
            *worker = WorkerState { hold: Hold::sent(at_ms), ..WorkerState::default() };
        }
        self.combine = Hold::default();
        self.spend.sent += self.workers.len() as u64;
    }

    fn hold_mut(&mut self, target: Target) -> Option<&mut Hold> {
        let (stage, all_done) = (self.stage, self.all_done());
        match target.worker {
            None => (target.stage == stage && all_done).then_some(&mut self.combine),
            Some(n) => {
                let worker = self.workers.get_mut(n as usize)?;
                let at_hand = target.stage == stage && target.leg == worker.leg && worker.result.is_none();
                at_hand.then_some(&mut worker.hold)
            }
        }
    }

    fn begun(&mut self, target: Target, lease: &Lease) {
        self.spend.begin(target, lease.clone());
        let Some(hold) = self.hold_mut(target) else { return };
        hold.begin(lease);
        if let Some(why) = hold.begun_too_often() {
            self.over.get_or_insert(Reason::Failed(format!("{target} {why}")));
        }
    }

    fn sent_again(&mut self, targets: &[Target], at_ms: u64) {
        self.spend.sent += targets.len() as u64;
        for target in targets {
            let Some(hold) = self.hold_mut(*target) else { continue };
            hold.send_again(at_ms);
        }
    }

    /// Applies a worker's fact; false if it is known.
    fn worker_fact(&mut self, fact: &Fact, target: Target, by: &str, at_ms: u64) -> Result<bool, Error> {
        let (stage, legs) = (self.stage, self.job.limits.legs_per_worker);
        let worker = target.worker.and_then(|n| self.workers.get_mut(n as usize));
        let Some(worker) = worker else { return Err(self.contradiction(&format!("no such work: {target}"))) };
        if target.stage < stage
            || (target.stage == stage && (worker.result.is_some() || target.leg < worker.leg))
        {
            return Ok(false);
        }
        if target.stage > stage || target.leg > worker.leg {
            return Err(self.contradiction(&format!("{target} ended before it was due")));
        }
        match fact {
            Fact::LegDone { place, done, .. } => {
                worker.idle_legs = if *done > worker.done { 0 } else { worker.idle_legs + 1 };
                worker.leg += 1;
                worker.place = Some(place.clone());
                worker.done = *done;
                worker.hold = Hold::sent(at_ms);
                worker.leg_by = by.into();
                let (leg, idle) = (worker.leg, worker.idle_legs);
                if leg >= legs {
                    let what = format!("{leg} legs of one worker in a stage, of {legs} allowed ({target})");
                    self.over.get_or_insert(Reason::Limit(what));
                } else if idle >= MOST_IDLE_LEGS {
                    let what = format!(
                        "{idle} legs in a row made no progress (the last: {target}): the time limit is too short \
                         for one batch; raise the function's time limit or memory"
                    );
                    self.over.get_or_insert(Reason::Failed(what));
                }
                self.spend.sent += 1;
            }
            Fact::WorkerDone { result, .. } => {
                worker.result = Some(result.clone());
                if self.all_done() {
                    self.completed_by = by.into();
                    self.combine = Hold::sent(at_ms);
                    self.spend.sent += 1;
                }
            }
            _ => {}
        }
        Ok(true)
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
        self.combined_by = by.into();
        self.last = Some(combined.clone());
        if combined.stage > 0 {
            self.kept.push(combined.stage);
        }
        let round = self.job.completed_by(combined.stage);
        let better = match (&self.best, &combined.score) {
            // Rungs are no rounds of one model: each compares what the one before has left, and the range test has none.
            (_, score) if self.job.tune.is_some() => score.is_some(),
            (Some(Combined { score: Some(best), .. }), Some(score)) => score.beats(best),
            (Some(Combined { score: Some(_), .. }), None) => false,
            // Until a round is scored the last one counts.
            _ => true,
        };
        if round.is_some() && better {
            self.best = Some(combined.clone());
        }
        let since_best = |best: &Combined| round.map_or(0, |round| round - self.job.rounds_in(best.stage));
        if round.is_some_and(|round| round >= self.job.rounds_in_all()) {
            self.over.get_or_insert(Reason::Rounds);
        } else if combined.score.is_some()
            && self.job.patience.is_some_and(|patience| self.best.as_ref().map_or(0, since_best) >= patience)
        {
            self.over.get_or_insert(Reason::Patience);
        } else {
            self.stage += 1;
            self.open_stage(at_ms);
        }
        Ok(true)
    }

    fn due_after_worker(&self, target: Target, by: &str) -> Vec<Target> {
        if self.ending.is_some() || self.over.is_some() || target.stage != self.stage {
            return Vec::new();
        }
        let worker = &self.workers[target.worker.unwrap_or(0) as usize];
        if self.all_done() {
            let due = self.completed_by == by && self.combine.lease.is_none();
            return if due { vec![Target::combine(self.stage)] } else { Vec::new() };
        }
        let due = worker.result.is_none() && worker.leg_by == by && worker.hold.lease.is_none();
        if due { vec![Target { leg: worker.leg, ..target }] } else { Vec::new() }
    }

    /// What the combine of `stage` makes due for the invocation that recorded it.
    pub(crate) fn due_after_combine(&self, stage: u32, by: &str) -> Vec<Target> {
        if self.ending.is_some() || self.over.is_some() || stage + 1 != self.stage || self.combined_by != by {
            return Vec::new();
        }
        let waiting = |(target, hold): (Target, &Hold)| hold.lease.is_none().then_some(target);
        self.unfinished().into_iter().filter(|(t, _)| t.worker.is_some()).filter_map(waiting).collect()
    }

    /// What a worker's event that is behind makes due for the invocation that recorded its end.
    pub(crate) fn due_after_leg(&self, target: Target, by: &str) -> Vec<Target> {
        self.due_after_worker(target, by)
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
