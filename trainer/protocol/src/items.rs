//! What the progress table's items hold, without their keys; docs/progress.md describes the table.
//!
//! Who writes an item and who reads it use the same type. A reader takes what is missing as the default: an item may be
//! of an older version.

use crate::timeline::{StageTimes, Timeline, write_rows};
use crate::{Course, Ledger, Score};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Bytes that an item has at the most, four write units: two hundred of them fit into one page of a Query.
pub const LARGEST_ITEM: usize = 4_096;
/// Bytes that the longest text of an item may have.
const MOST_TEXT: usize = LARGEST_ITEM - 496;
/// Classes of which the whole confusion matrix is kept; of more, the worst mistakes.
pub const MOST_CLASSES: usize = 20;
/// Mistakes that are kept of more classes.
const MOST_MISTAKES: usize = 20;
/// Characters of a class's name that are kept: the most that leave the item its size.
const CLASS_CHARS: [usize; 3] = [24, 8, 2];

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunItem {
    /// "running", or why it ended.
    pub status: String,
    /// Whether it has ended.
    pub ended: bool,
    /// The run in a few words.
    pub title: String,
    /// The stage at hand, as the course counts.
    pub stage: u32,
    /// Rounds that are complete.
    pub rounds_done: u32,
    /// The run's stages, as JSON.
    pub course: String,
    /// Number of workers.
    pub workers: u32,
    /// Workers that are done with the stage.
    pub workers_done: u32,
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
    /// The score of its combine, as JSON; empty where there is none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub score: String,
    /// Events that were sent again in it.
    pub resent: u64,
    /// Workers that share a row of `bars`.
    pub share: u32,
    /// The bars; see [`crate::timeline`].
    pub bars: String,
}

/// How far a worker said that it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerItem {
    /// Its stage then.
    pub stage: u32,
    /// Its leg then.
    pub leg: u32,
    /// How much was done, in the course's units.
    pub done: u64,
    /// Of how much.
    pub of: u64,
    /// Units per second in this leg.
    pub units_per_second: f64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Whether the leg ended with this.
    pub leg_ended: bool,
}

/// What the run was asked to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobItem {
    /// The job, as JSON.
    pub job: String,
}

/// What the run's model takes for what, on the validation split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelItem {
    /// Number of classes.
    pub classes: u64,
    /// The names that `confusion` speaks of, cut, as a JSON list.
    pub names: String,
    /// `[true][predicted]` as a JSON list of lists; of more than 20 classes the worst mistakes instead, each
    /// `[true, predicted, images]` with numbers into `names`.
    pub confusion: String,
    /// Some images, evenly spread, as a JSON list: each `[image, true, predicted, probability]` with numbers into `names`.
    pub examples: String,
    /// The surest mistakes, in the same form.
    pub mistakes: String,
}

/// What a model says of one image of a split.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// The image's place in its split, from 0.
    pub image: u64,
    /// Its class.
    pub truth: u32,
    /// The class that the model gives it.
    pub predicted: u32,
    /// With this probability.
    pub probability: f32,
}

impl RunItem {
    /// What a ledger says.
    pub fn of(ledger: &Ledger, now_ms: u64) -> RunItem {
        let limits = &ledger.job.limits;
        let value = |score: &Score| score.values.first().copied();
        let best = ledger.best.as_ref().and_then(|best| Some((best.stage, value(best.score.as_ref()?)?)));
        let ending = ledger.ending.as_ref();
        RunItem {
            status: ending.map_or("running".into(), |ending| ending.why.to_string()),
            ended: ending.is_some(),
            title: ledger.course.title.clone(),
            stage: ledger.stage,
            rounds_done: ledger.last.as_ref().map_or(0, |last| ledger.course.rounds_in(last.stage)),
            course: serde_json::to_string(&ledger.course).unwrap_or_default(),
            workers: ledger.workers.len() as u32,
            workers_done: ledger.workers.iter().filter(|worker| worker.result.is_some()).count() as u32,
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

    /// The run's stages; none of an item that does not say them.
    pub fn course(&self) -> Option<Course> {
        serde_json::from_str(&self.course).ok()
    }
}

impl StageItem {
    /// What a timeline says of one of its stages.
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
    /// A confusion matrix, as much of it as an item holds; some examples, and the surest mistakes.
    pub fn of(classes: &[String], confusion: &[Vec<u64>], examples: [&[Example]; 2]) -> ModelItem {
        let worst = (classes.len() > MOST_CLASSES).then(|| worst(confusion));
        let named: Vec<usize> = match &worst {
            None => (0..classes.len()).collect(),
            Some(worst) => {
                let told = examples.iter().copied().flatten();
                let told = told.flat_map(|example| [example.truth as usize, example.predicted as usize]);
                let named = worst.iter().flat_map(|&(_, truth, predicted)| [truth, predicted]).chain(told);
                named.collect::<BTreeSet<usize>>().into_iter().collect()
            }
        };
        let place = |class: usize| named.binary_search(&class).unwrap_or(0) as u64;
        let confusion: Value = match worst {
            None => confusion.into(),
            Some(worst) => {
                let rows = worst.into_iter().map(|(images, t, p)| vec![place(t), place(p), images]);
                rows.collect::<Vec<_>>().into()
            }
        };
        let confusion = confusion.to_string();
        let [examples, mistakes] = examples.map(|examples| {
            let row = |e: &Example| {
                let percent = (f64::from(e.probability) * 1_000.0).round() / 1_000.0;
                json!([e.image, place(e.truth as usize), place(e.predicted as usize), percent])
            };
            Value::from(examples.iter().map(row).collect::<Vec<_>>()).to_string()
        });
        let names = |chars: usize| {
            let name =
                |class: &usize| classes.get(*class).map(|name| name.chars().take(chars).collect::<String>());
            Value::from(named.iter().map(name).collect::<Vec<_>>()).to_string()
        };
        let others = confusion.len() + examples.len() + mistakes.len();
        let fits = |names: &String| names.len() + others <= MOST_TEXT;
        let names = CLASS_CHARS.into_iter().map(names).find(fits).unwrap_or_else(|| "[]".into());
        ModelItem { classes: classes.len() as u64, names, confusion, examples, mistakes }
    }
}

/// The worst mistakes: how many images of a class were taken for those of another.
fn worst(confusion: &[Vec<u64>]) -> Vec<(u64, usize, usize)> {
    let mut found: Vec<(u64, usize, usize)> = Vec::new();
    for (truth, row) in confusion.iter().enumerate() {
        let wrong = row.iter().enumerate().filter(|(predicted, images)| *predicted != truth && **images > 0);
        found.extend(wrong.map(|(predicted, images)| (*images, truth, predicted)));
    }
    found.sort_by_key(|&(images, truth, predicted)| (Reverse(images), truth, predicted));
    found.truncate(MOST_MISTAKES);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_few_classes_the_matrix_is_kept_and_of_many_the_worst_mistakes() {
        let classes = ["cat".to_owned(), "d".repeat(99)];
        let example = |image, truth, predicted| Example { image, truth, predicted, probability: 0.98765 };
        let few = ModelItem::of(&classes, &[vec![2, 0], vec![1, 1]], [&[example(7, 1, 0)], &[]]);
        assert_eq!((few.examples.as_str(), few.mistakes.as_str()), ("[[7,1,0,0.988]]", "[]"));
        assert_eq!(few.confusion, "[[2,0],[1,1]]");
        assert_eq!(few.names, format!("[\"cat\",\"{}\"]", "d".repeat(24)));
        let many: Vec<String> = (0..1_000).map(|class| format!("class {class} {}", "é".repeat(80))).collect();
        let mut confusion = vec![vec![1_000_000; 1_000]; 1_000];
        (confusion[3][4], confusion[9][1]) = (1_000_007, 1_000_008);
        let examples: Vec<Example> =
            (0..8).map(|n| example(49_990 + u64::from(n), 900 + n, 800 + n)).collect();
        let item = ModelItem::of(&many, &confusion, [&examples, &examples]);
        let mistakes: Vec<[u64; 3]> = serde_json::from_str(&item.confusion).unwrap();
        let names: Vec<String> = serde_json::from_str(&item.names).unwrap();
        assert_eq!((mistakes.len(), mistakes[0][2], mistakes[1][2]), (20, 1_000_008, 1_000_007));
        assert!(names[mistakes[0][0] as usize].starts_with("class 9 "), "{names:?}");
        let shown: Vec<(u64, usize, usize, f64)> = serde_json::from_str(&item.mistakes).unwrap();
        assert!(names[shown[3].1].starts_with("class 90"), "{names:?}");
        let bytes = item.names.len() + item.confusion.len() + item.examples.len() + item.mistakes.len();
        assert!(bytes <= MOST_TEXT, "{item:?}");
    }
}
