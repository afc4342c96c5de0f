//! Facts: events of a run that have happened and are safe on disk. The ledger is computed from their log.

use crate::{Course, FileRef, Job, RunId, Score};
use serde::{Deserialize, Serialize};

/// One fact. Times are milliseconds since 1970, by the clock of the process that records it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fact {
    /// The run exists. Always the first fact.
    Started {
        /// Schema of this ledger.
        schema: u32,
        /// The run.
        run: RunId,
        /// Its job.
        job: Box<Job>,
        /// Its stages.
        course: Box<Course>,
        /// Number of workers.
        workers: u32,
        /// Its feature store; with a manifest if it existed already.
        features: FeatureStore,
        /// The invocation that recorded it.
        invocation: String,
        /// When.
        at_ms: u64,
    },
    /// An invocation has begun a piece of work.
    Begun {
        /// The work.
        target: Target,
        /// The invocation, and its possible cost.
        lease: Lease,
    },
    /// A worker, a combine or the end ran out of time and saved its place.
    LegDone {
        /// The leg that ended.
        target: Target,
        /// Where the next leg continues, in the stage's folder.
        place: FileRef,
        /// How much of the piece is done, in the course's units.
        done: u64,
        /// The invocation that recorded it.
        invocation: String,
        /// When.
        at_ms: u64,
    },
    /// A leg ended before its time, since its process was told to end. What it had done is kept.
    Interrupted {
        /// The leg that ended.
        target: Target,
        /// Where the next leg goes on, in the stage's folder; none if this one had not done a step.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<FileRef>,
        /// How much of the piece is done, in the course's units.
        done: u64,
        /// By which invocation.
        invocation: String,
        /// When.
        at_ms: u64,
    },
    /// A worker has published its result of a stage.
    WorkerDone {
        /// The leg that ended it.
        target: Target,
        /// The result, in the stage's folder.
        result: FileRef,
        /// The invocation that recorded it.
        invocation: String,
        /// When.
        at_ms: u64,
    },
    /// A stage is combined.
    CombineDone {
        /// Its result.
        combined: Combined,
        /// The invocation that recorded it.
        invocation: String,
        /// When.
        at_ms: u64,
    },
    /// Work that did not move is sent again. This is recorded first, so that the events are counted.
    SentAgain {
        /// The work that is sent.
        targets: Vec<Target>,
        /// Whether the sender says that nobody works at it any more.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        forced: bool,
        /// When.
        at_ms: u64,
    },
    /// The watchdog saw work that was sent or begun in the future by its own clock: somebody's was ahead,
    /// or its own went back. From here on it counts the time of such work from now.
    Seen {
        /// When.
        at_ms: u64,
    },
    /// An invocation could not do its work, for this reason; its event will be delivered again.
    Hindered {
        /// The work.
        target: Target,
        /// The failure, in words.
        why: String,
        /// Which invocation.
        invocation: String,
        /// When.
        at_ms: u64,
    },
    /// It is settled that the run ends, and why. No combine counts after this, so that the best model is
    /// fixed before it is published: everyone who publishes it publishes the same, however often.
    Closed {
        /// Why.
        why: Reason,
        /// The invocation that recorded it.
        invocation: String,
        /// When.
        at_ms: u64,
    },
    /// The product is published without scores, because scoring has failed.
    Cut {
        /// Why, in words.
        why: String,
        /// The invocation that recorded it.
        invocation: String,
        /// When.
        at_ms: u64,
    },
    /// A run that was given up is reopened where it stopped.
    Reopened {
        /// The invocation that recorded it.
        invocation: String,
        /// When.
        at_ms: u64,
    },
    /// The run has ended. Nothing is due after it, unless it is reopened.
    Ended {
        /// Why, and with which model.
        ending: Ending,
        /// When.
        at_ms: u64,
    },
}

impl Fact {
    /// The invocation of a fact that may open the end of the run, and its time.
    pub(crate) fn by(&self) -> (&str, u64) {
        match self {
            Fact::Begun { lease, .. } => (&lease.invocation, lease.at_ms),
            Fact::Started { invocation, at_ms, .. }
            | Fact::LegDone { invocation, at_ms, .. }
            | Fact::Interrupted { invocation, at_ms, .. }
            | Fact::WorkerDone { invocation, at_ms, .. }
            | Fact::CombineDone { invocation, at_ms, .. }
            | Fact::Hindered { invocation, at_ms, .. }
            | Fact::Closed { invocation, at_ms, .. }
            | Fact::Cut { invocation, at_ms, .. }
            | Fact::Reopened { invocation, at_ms } => (invocation, *at_ms),
            Fact::SentAgain { at_ms, .. } | Fact::Seen { at_ms } | Fact::Ended { at_ms, .. } => ("", *at_ms),
        }
    }

    /// When, in milliseconds since 1970.
    pub fn at_ms(&self) -> u64 {
        self.by().1
    }

    /// The fact as all who read the ledger will see it.
    ///
    /// JSON may change the last bit of a number, and then two equal scores are not equal any more. The
    /// recorder of a score must judge it as everybody else does.
    pub fn read_back(&self) -> Fact {
        let text = serde_json::to_vec(self);
        text.and_then(|text| serde_json::from_slice(&text)).unwrap_or_else(|_| self.clone())
    }
}

/// A piece of work that can be sent as an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The stage, as the course counts.
    pub stage: u32,
    /// The worker; none means the combine, or in the stage of the end the publishing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<u32>,
    /// The leg of this piece of the stage, from 0.
    pub leg: u32,
}

impl Target {
    /// A worker's leg.
    pub fn worker(stage: u32, worker: u32, leg: u32) -> Target {
        Target { stage, worker: Some(worker), leg }
    }

    /// A stage's combine.
    pub fn combine(stage: u32) -> Target {
        Target { stage, worker: None, leg: 0 }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.worker {
            Some(worker) => write!(f, "leg {} of worker {worker} in stage {}", self.leg, self.stage),
            None if self.leg > 0 => write!(f, "leg {} of the combine of stage {}", self.leg, self.stage),
            None => write!(f, "the combine of stage {}", self.stage),
        }
    }
}

/// One invocation's hold on a piece of work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// Lambda's request id. A redelivery of the same event has the same.
    pub invocation: String,
    /// When it began.
    pub at_ms: u64,
    /// When the platform ends it.
    pub until_ms: u64,
    /// Billed memory, in MB.
    pub memory_mb: u32,
}

impl Lease {
    /// The time by which a living leg has handed over: the middle of its reserve.
    pub fn handed_over_ms(&self) -> u64 {
        self.until_ms.saturating_sub(reserve_ms(self.at_ms, self.until_ms) / 2).max(self.at_ms)
    }

    /// How long it lasts at most, in milliseconds.
    pub(crate) fn length_ms(&self) -> u64 {
        self.until_ms.saturating_sub(self.at_ms)
    }
}

/// Time of a leg that is kept for saving, recording and sending, in milliseconds: a tenth of it,
/// from half a second to 20 seconds.
pub fn reserve_ms(at_ms: u64, until_ms: u64) -> u64 {
    (until_ms.saturating_sub(at_ms) / 10).clamp(500, 20_000)
}

/// The feature store of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureStore {
    /// Its folder under `features/`: the hash of everything that it depends on.
    pub key: String,
    /// Its manifest, once it is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<FileRef>,
}

/// The result of a combine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Combined {
    /// The stage.
    pub stage: u32,
    /// The weights and the optimizer's state, in `combined/`; none for `features`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<FileRef>,
    /// The manifest of the feature store; only for `features`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<FileRef>,
    /// The score on the validation split; none for a stage that is not scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Score>,
}

/// Why a run ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", content = "detail", rename_all = "snake_case")]
pub enum Reason {
    /// All rounds are done.
    Rounds,
    /// The score has not become better for the course's patience.
    Patience,
    /// A `stop` event.
    Stopped,
    /// A limit of the job, in words.
    Limit(String),
    /// The run cannot go on, in words.
    Failed(String),
    /// The run was tried too often because of trouble that may pass, in words.
    GaveUp(String),
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reason::Rounds => f.write_str("all rounds done"),
            Reason::Patience => f.write_str("no better score for the job's patience"),
            Reason::Stopped => f.write_str("stopped"),
            Reason::Limit(what) => write!(f, "limit reached: {what}"),
            Reason::Failed(what) => write!(f, "failed: {what}"),
            Reason::GaveUp(what) => write!(f, "gave up: {what}"),
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ending {
    /// Why.
    pub why: Reason,
    /// The best model, in `model/`; none if no round was complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<FileRef>,
    /// Why the model has no scores, if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unscored: Option<String>,
}
