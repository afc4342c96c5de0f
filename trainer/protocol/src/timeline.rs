//! The attempts of a run and their times, computed from its facts, for people. No decision depends on it.

mod text;

pub use text::{Bar, Row, rows, write_rows};

use crate::ledger::GRACE_MS;
use crate::{Fact, Score, Target};
use std::collections::BTreeMap;

/// The attempts at a run's stages, as far as its facts were read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    /// The stages.
    pub stages: BTreeMap<u32, StageTimes>,
    /// When the run started.
    pub started_ms: u64,
    /// The time of the last fact.
    pub last_ms: u64,
    workers: u32,
    /// The stage of the end.
    end: u32,
    facts: u64,
    /// Whether the last fact was a leg that was told to end.
    interrupted: bool,
}

/// One stage, from its opening to its combine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StageTimes {
    /// When it was opened.
    pub began_ms: u64,
    /// When it was combined.
    pub ended_ms: Option<u64>,
    /// The score of its combine.
    pub score: Option<Score>,
    /// Events that were sent again in it because nothing moved.
    pub resent: u64,
    /// Every attempt at its work, in the order in which they began.
    pub attempts: Vec<Attempt>,
}

/// One invocation's attempt at a piece of work.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// The work.
    pub target: Target,
    /// When it began.
    pub began_ms: u64,
    /// When it ended; while it runs, the time at which the platform will end it.
    pub until_ms: u64,
    /// Its end.
    pub end: AttemptEnd,
    invocation: String,
}

/// The end of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttemptEnd {
    /// Its fact counts.
    Done,
    /// It is running, as far as anybody knows.
    Running,
    /// It ended without a fact: killed, crashed or out of time. The work was begun again.
    Died,
    /// Another attempt at the same work was first.
    Duplicate,
    /// The run ended in the meantime.
    Stopped,
}

impl Timeline {
    /// Takes the next fact. `started` begins anew.
    pub fn take(&mut self, fact: &Fact) {
        self.facts += 1;
        let told = matches!(fact, Fact::Interrupted { .. });
        let interrupted = std::mem::replace(&mut self.interrupted, told);
        match fact {
            Fact::Started { workers, course, features, at_ms, .. } => {
                let (started_ms, workers) = (*at_ms, *workers);
                *self = Timeline { started_ms, last_ms: *at_ms, workers, facts: 1, ..Timeline::default() };
                self.open(course.first(features.manifest.is_some()), *at_ms);
                self.end = course.end();
            }
            Fact::Begun { target, lease } => {
                self.last_ms = lease.at_ms;
                if target.stage == self.end {
                    self.open(self.end, lease.at_ms);
                }
                let Some(stage) = self.stages.get_mut(&target.stage) else { return };
                stage.give_up(*target, &lease.invocation, lease.at_ms);
                let (began_ms, until_ms) = (lease.at_ms, lease.until_ms);
                let (end, invocation) = (AttemptEnd::Running, lease.invocation.clone());
                stage.attempts.push(Attempt { target: *target, began_ms, until_ms, end, invocation });
            }
            Fact::LegDone { target, invocation, at_ms, .. }
            | Fact::Interrupted { target, invocation, at_ms, .. }
            | Fact::WorkerDone { target, invocation, at_ms, .. } => self.done(*target, invocation, *at_ms),
            Fact::CombineDone { combined, invocation, at_ms } => {
                self.done(Target::combine(combined.stage), invocation, *at_ms);
                if let Some(stage) = self.stages.get_mut(&combined.stage) {
                    (stage.ended_ms, stage.score) = (Some(*at_ms), combined.score.clone());
                }
                self.open(combined.stage + 1, *at_ms);
            }
            Fact::SentAgain { targets, forced, at_ms } => {
                if *forced {
                    self.everybody_ended(if interrupted { self.last_ms + GRACE_MS } else { *at_ms });
                }
                self.last_ms = *at_ms;
                for target in targets {
                    self.stages.entry(target.stage).and_modify(|stage| stage.resent += 1);
                }
            }
            Fact::Hindered { target, invocation, at_ms, .. } => {
                self.last_ms = *at_ms;
                let Some(stage) = self.stages.get_mut(&target.stage) else { return };
                stage.give_up(*target, invocation, *at_ms);
            }
            Fact::Closed { at_ms, .. } => self.stop(*at_ms),
            Fact::Ended { ending, at_ms } => {
                if ending.model.is_some() {
                    self.published(*at_ms);
                }
                self.stop(*at_ms);
            }
            Fact::Cut { at_ms, .. } | Fact::Seen { at_ms } => self.last_ms = *at_ms,
            Fact::Reopened { at_ms, .. } => {
                self.last_ms = *at_ms;
                self.stages.entry(self.newest()).and_modify(|stage| stage.ended_ms = None);
            }
        }
    }

    /// Forgets the stages before `stage`.
    pub fn forget_before(&mut self, stage: u32) {
        self.stages = self.stages.split_off(&stage);
    }

    /// The version of a timeline; of two the larger is the newer. It is the number of facts added to the
    /// run's start, so that a run that reuses the id of a removed run counts as newer, too.
    pub fn version(&self) -> u64 {
        self.started_ms + self.facts
    }

    /// The number of workers.
    pub fn workers(&self) -> u32 {
        self.workers
    }

    fn open(&mut self, stage: u32, at_ms: u64) {
        self.stages.entry(stage).or_insert_with(|| StageTimes { began_ms: at_ms, ..StageTimes::default() });
    }

    fn done(&mut self, target: Target, invocation: &str, at_ms: u64) {
        self.last_ms = at_ms;
        let Some(stage) = self.stages.get_mut(&target.stage) else { return };
        for attempt in stage.running().filter(|attempt| attempt.target == target) {
            let outlived = attempt.until_ms <= at_ms;
            attempt.end = match attempt.invocation == invocation {
                true => AttemptEnd::Done,
                false if outlived => AttemptEnd::Died,
                false => AttemptEnd::Duplicate,
            };
            attempt.until_ms = attempt.until_ms.min(at_ms);
        }
    }

    /// Whoever was at work has ended, at `at_ms` at the latest: its work is begun again.
    fn everybody_ended(&mut self, at_ms: u64) {
        for attempt in self.stages.values_mut().flat_map(StageTimes::running) {
            (attempt.end, attempt.until_ms) = (AttemptEnd::Died, attempt.until_ms.min(at_ms));
        }
    }

    /// The stage that was opened last.
    fn newest(&self) -> u32 {
        self.stages.keys().next_back().copied().unwrap_or(0)
    }

    /// The end is done: the last of its running attempts has published the model.
    fn published(&mut self, at_ms: u64) {
        let Some(stage) = self.stages.get_mut(&self.end) else { return };
        stage.ended_ms = Some(at_ms);
        if let Some(attempt) = stage.running().last() {
            (attempt.end, attempt.until_ms) = (AttemptEnd::Done, attempt.until_ms.min(at_ms));
        }
    }

    fn stop(&mut self, at_ms: u64) {
        self.last_ms = at_ms;
        for attempt in self.stages.values_mut().flat_map(StageTimes::running) {
            attempt.end = if attempt.until_ms <= at_ms { AttemptEnd::Died } else { AttemptEnd::Stopped };
            attempt.until_ms = attempt.until_ms.min(at_ms);
        }
        // A stage that was opened by the last combine and never begun does not count.
        self.stages.retain(|_, stage| !stage.attempts.is_empty());
    }
}

impl StageTimes {
    fn running(&mut self) -> impl Iterator<Item = &mut Attempt> {
        self.attempts.iter_mut().filter(|attempt| attempt.end == AttemptEnd::Running)
    }

    /// Work is begun: earlier attempts at it whose time is over, or whose event this is again, have died.
    fn give_up(&mut self, target: Target, invocation: &str, at_ms: u64) {
        for attempt in self.running().filter(|attempt| attempt.target == target) {
            if attempt.until_ms <= at_ms || attempt.invocation == invocation {
                attempt.end = AttemptEnd::Died;
                attempt.until_ms = attempt.until_ms.min(at_ms);
            }
        }
    }
}

#[cfg(test)]
mod tests;
