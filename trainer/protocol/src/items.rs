//! The items of the progress table, without their keys; docs/progress.md describes the table.
//!
//! Writers and readers of an item use the same type. A reader uses the default for a missing field: an item
//! may be of an older version.

use crate::timeline::{StageTimes, Timeline, write_rows};
use crate::{Course, Ledger, Score};
use serde::{Deserialize, Serialize};

mod shown;

pub use shown::{Cell, Sample, Samples, Shown, Table};

/// The partition keys of what is no run's: each has a `#`, which no run's id has.
pub const RUNS_KEY: &str = "#runs";
/// How the days stand.
pub const DAYS_KEY: &str = "#days";

/// The most bytes of an item, four write units: two hundred items fit into one page of a Query.
pub const LARGEST_ITEM: usize = 4_096;
/// The most bytes of an item's longest text.
const MOST_TEXT: usize = LARGEST_ITEM - 496;
/// The state of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunItem {
    /// "running", or why it ended.
    pub status: String,
    /// Whether it has ended.
    pub ended: bool,
    /// The run in a few words.
    pub title: String,
    /// The current stage, as the course counts.
    pub stage: u32,
    /// Rounds that are complete.
    pub rounds_done: u32,
    /// The run's stages, as JSON.
    pub course: String,
    /// Number of workers.
    pub workers: u32,
    /// Workers that are done with the stage.
    pub workers_done: u32,
    /// The number of shares of the stage, if there are more shares than workers; otherwise 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub shares: u32,
    /// The number of shares that are done, if there are more shares than workers.
    #[serde(skip_serializing_if = "is_zero")]
    pub shares_done: u32,
    /// When it started, in milliseconds since 1970.
    pub started_ms: u64,
    /// When this was last reported.
    pub at_ms: u64,
    /// Events sent.
    pub sent: u64,
    /// Invocations that began work.
    pub begun: u64,
    /// Lambda's GB-seconds by the ledger's account.
    pub gb_seconds: f64,
    /// US dollars by the ledger's account.
    pub dollars: f64,
    /// The job's limit in dollars.
    pub dollars_limit: f64,
    /// The job's limit of events.
    pub sent_limit: u64,
    /// The job's limit in hours.
    pub hours_limit: f64,
    /// The stage with the best score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_stage: Option<u32>,
    /// The deciding number of that score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_value: Option<f64>,
    /// The model's file name, once there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Why the model has no scores, if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unscored: Option<String>,
}

/// One stage: its times, its score, and a bar for each attempt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StageItem {
    /// When it was opened, in milliseconds since 1970.
    pub began_ms: u64,
    /// When it was combined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u64>,
    /// The score of its combine, as JSON; empty if there is none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub score: String,
    /// Events that were sent again in it.
    pub resent: u64,
    /// Workers that share a row of `bars`.
    pub share: u32,
    /// The bars; see [`crate::timeline`].
    pub bars: String,
}

/// A worker's report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerItem {
    /// Its stage then.
    pub stage: u32,
    /// Its leg then.
    pub leg: u32,
    /// Units done.
    pub done: u64,
    /// Units in all.
    pub of: u64,
    /// Units per second in this leg.
    pub units_per_second: f64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Whether the leg ended with this.
    pub leg_ended: bool,
}

/// The operator's ceiling for all runs of a day, and how much of it they have; a limit of 0 is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DayItem {
    /// The day, in UTC: 2026-11-29.
    pub day: String,
    /// US dollars that its runs have in their shares: what they have spent, and what they may yet.
    pub dollars: f64,
    /// At most so many.
    pub dollars_limit: f64,
    /// US dollars of one run at most.
    pub run_dollars_limit: f64,
    /// Workers of one run at most.
    pub workers_limit: u32,
    /// Runs that have not ended.
    pub active: u32,
    /// At most so many.
    pub active_limit: u32,
}

/// The job of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobItem {
    /// The job, as JSON.
    pub job: String,
}

/// Tables and samples of the run's product, for people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelItem {
    /// Tables and samples, as JSON.
    pub shown: String,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl RunItem {
    /// The item of a ledger.
    pub fn of(ledger: &Ledger, now_ms: u64) -> RunItem {
        let limits = &ledger.job.limits;
        let value = |score: &Score| score.values.first().copied();
        let best = ledger.best.as_ref().and_then(|best| Some((best.stage, value(best.score.as_ref()?)?)));
        let ending = ledger.ending.as_ref();
        let finer = ledger.over.is_none() && ledger.shares.count() > ledger.workers.len();
        let shares = |count: usize| if finer { count as u32 } else { 0 };
        RunItem {
            status: ending.map_or("running".into(), |ending| ledger.words(&ending.why)),
            ended: ending.is_some(),
            title: ledger.course.title.clone(),
            stage: ledger.stage,
            rounds_done: ledger.last.as_ref().map_or(0, |last| ledger.course.rounds_in(last.stage)),
            course: serde_json::to_string(&ledger.course).unwrap_or_default(),
            workers: ledger.workers.len() as u32,
            workers_done: ledger.workers.iter().filter(|worker| worker.result.is_some()).count() as u32,
            shares: shares(ledger.shares.count()),
            shares_done: shares(ledger.shares.results().count()),
            started_ms: ledger.started_ms,
            at_ms: now_ms,
            sent: ledger.spend.sent,
            begun: ledger.spend.begun,
            gb_seconds: ledger.spend.gb_seconds(now_ms),
            dollars: ledger.spend.dollars(now_ms),
            dollars_limit: limits.dollars,
            sent_limit: limits.invocations,
            hours_limit: limits.hours,
            best_stage: best.map(|(stage, _)| stage),
            best_value: best.map(|(_, value)| value),
            model: ending.and_then(|ending| ending.model.as_ref()).map(|model| model.name.clone()),
            unscored: ending.and_then(|ending| ending.unscored.clone()),
        }
    }

    /// The run's stages; none if the item does not have them.
    pub fn course(&self) -> Option<Course> {
        serde_json::from_str(&self.course).ok()
    }
}

impl StageItem {
    /// The item of one stage of a timeline.
    pub fn of(timeline: &Timeline, stage: &StageTimes) -> StageItem {
        let (share, bars) = write_rows(stage, timeline.workers(), MOST_TEXT);
        StageItem {
            began_ms: stage.began_ms,
            ended_ms: stage.ended_ms,
            score: stage
                .score
                .as_ref()
                .and_then(|score| serde_json::to_string(score).ok())
                .unwrap_or_default(),
            resent: stage.resent,
            share,
            bars,
        }
    }
}

impl StageItem {
    /// The score of its combine.
    pub fn score(&self) -> Option<Score> {
        serde_json::from_str(&self.score).ok()
    }
}

impl JobItem {
    /// A ledger's job.
    pub fn of(ledger: &Ledger) -> JobItem {
        JobItem { job: serde_json::to_string(&ledger.job).unwrap_or_default() }
    }
}

impl ModelItem {
    /// As much of it as fits into an item.
    pub fn of(shown: Shown) -> ModelItem {
        ModelItem { shown: serde_json::to_string(&shown.bounded()).unwrap_or_default() }
    }

    /// The tables and samples; empty if the item does not have them.
    pub fn shown(&self) -> Shown {
        serde_json::from_str(&self.shown).unwrap_or_default()
    }
}
