//! The state of a run, read from the DynamoDB table on AWS and in the local cloud, or from the facts in its
//! folder.

use crate::told;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use protocol::items::{
    DAYS_KEY, DayItem, JobItem, ModelItem, RUNS_KEY, RunItem, Shown, StageItem, WorkerItem,
};
use protocol::timeline::Timeline;
use protocol::{At, Course, Fact, Ledger, RunId, Score};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::path::Path;
use std::time::Duration;
use storage::{FactLog, Root};

mod pictures;

type Item = HashMap<String, AttributeValue>;

/// How long to wait for the lock of a ledger.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// A run according to its items.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct View {
    /// The run's id.
    pub run: String,
    /// Its state.
    #[serde(flatten)]
    pub state: RunItem,
    /// Its stages, from `state`.
    #[serde(skip)]
    pub course: Course,
    /// Its stages: times, score, bars.
    pub stages: BTreeMap<u32, StageItem>,
    /// Workers as they last reported.
    pub reports: BTreeMap<u32, WorkerItem>,
    /// Its job, as JSON.
    pub job: Option<JobItem>,
    /// Tables and samples of its product.
    pub shown: Option<Shown>,
    /// The images of the samples as data addresses, as far as they can be read: by the place of the samples
    /// among all, and the image's in its split.
    #[serde(skip)]
    pub pictures: BTreeMap<(usize, u64), String>,
}

impl View {
    /// A run of which only the state is known.
    pub fn new(run: &str, state: RunItem) -> View {
        View {
            run: run.into(),
            course: told::course(&state),
            state,
            stages: BTreeMap::new(),
            reports: BTreeMap::new(),
            job: None,
            shown: None,
            pictures: BTreeMap::new(),
        }
    }

    /// It as JSON, its course and its scores opened.
    pub fn to_json(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        value["course"] = json!(self.course);
        for (stage, item) in &self.stages {
            if let Some(score) = item.score() {
                value["stages"][stage.to_string()]["score"] = told::score_as_json(&self.course, &score);
            }
        }
        value
    }

    /// Reads a run's items with one query; `None` if the table has no such run.
    ///
    /// # Errors
    /// DynamoDB's error, in words.
    pub async fn read(client: &Client, table: &str, run: &str) -> Result<Option<View>, String> {
        let items = query(client, table, run).await?;
        let Some(state) = items.iter().find(|item| sort_key(item) == "run") else { return Ok(None) };
        let mut view = View::new(run, typed(state));
        items.iter().for_each(|item| view.take(item));
        // These are of a removed run that had the same id before.
        view.stages.retain(|_, stage| stage.began_ms >= view.state.started_ms);
        Ok(Some(view))
    }

    /// Reads a run from the facts in its folder, if no table has it; `None` if there is no such run.
    ///
    /// # Errors
    /// In words: a damaged ledger, or one that cannot be read.
    pub fn of_folder(root: &Root, run: &RunId) -> Result<Option<View>, String> {
        // Opening waits for a file that another machine may just have made. This is not needed here.
        if !root.run(run).ledger().is_file() {
            return Ok(None);
        }
        let log = FactLog::<Fact>::open(root.run(run).ledger()).map_err(|error| error.to_string())?;
        let facts = log.read(LOCK_WAIT).map_err(|error| error.to_string())?;
        let mut timeline = Timeline::default();
        facts.iter().for_each(|fact| timeline.take(fact));
        let Some(ledger) = Ledger::fold(facts).map_err(|error| error.to_string())? else { return Ok(None) };
        let described = |(stage, times)| (stage, StageItem::of(&timeline, times));
        let published = ledger.ending.as_ref().is_some_and(|ending| ending.model.is_some());
        let workloads = workloads::all();
        let workload = workloads.find(&ledger.job).ok().filter(|_| published);
        Ok(Some(View {
            stages: timeline.stages.iter().map(|(stage, times)| described((*stage, times))).collect(),
            job: Some(JobItem::of(&ledger)),
            shown: workload.and_then(|workload| workload.show(root, run)).map(|item| item.shown()),
            ..View::new(run.as_str(), RunItem::of(&ledger, timeline.last_ms))
        }))
    }

    /// Reads the images of the samples, as far as their data sets are in the same folder.
    pub fn read_pictures(&mut self, root: &Root) {
        let samples = self.shown.iter().flat_map(|shown| &shown.samples).enumerate();
        for (place, samples) in samples {
            let Some((dataset, split)) = &samples.images_of else { continue };
            let images =
                samples.groups.iter().flat_map(|(_, samples)| samples).filter_map(|sample| sample.image);
            for (image, picture) in pictures::read(root, (dataset, split), images) {
                self.pictures.insert((place, image), picture);
            }
        }
    }

    /// Takes one item.
    fn take(&mut self, item: &Item) {
        let key = sort_key(item);
        if let Some(stage) = key.strip_prefix("stage#").and_then(|stage| stage.parse().ok()) {
            self.stages.insert(stage, typed(item));
        } else if let Some(worker) = key.strip_prefix("worker#").and_then(|worker| worker.parse().ok()) {
            self.reports.insert(worker, typed(item));
        } else if key == "job" {
            self.job = Some(typed(item));
        } else if key == "model" {
            self.shown = Some(typed::<ModelItem>(item).shown());
        }
    }

    /// The current round; at the end the last complete one, and 0 before the first.
    pub fn round(&self) -> u32 {
        told::round(&self.course, &self.state)
    }

    /// Rounds that were scored, with their scores.
    pub fn scores(&self) -> impl Iterator<Item = (u32, Score)> {
        self.stages.iter().filter_map(|(stage, item)| Some((self.course.at(*stage).round(), item.score()?)))
    }

    /// The newest report of a stage, by worker.
    fn reports_of_stage(&self) -> impl Iterator<Item = &WorkerItem> {
        self.reports.values().filter(|report| report.stage == self.state.stage)
    }

    /// The finished share of the current stage, 0 to 1, by the workers' own reports.
    pub fn share(&self) -> f64 {
        let (done, of) =
            self.reports_of_stage().fold((0, 0), |(done, of), report| (done + report.done, of + report.of));
        if of == 0 { 0.0 } else { done as f64 / of as f64 }
    }

    /// Units per second of the workers that reported in this stage within 15 s of the newest report.
    pub fn units_per_second(&self) -> f64 {
        let newest = self.reports.values().map(|report| report.at_ms).max().unwrap_or(0);
        let live = |r: &&WorkerItem| r.done < r.of && r.at_ms + 15_000 >= newest;
        self.reports_of_stage().filter(live).fold(0.0, |sum, report| sum + report.units_per_second)
    }

    /// Seconds until the current stage is done, if known.
    pub fn seconds_left(&self) -> Option<f64> {
        let rate = self.units_per_second();
        let left: u64 = self.reports_of_stage().map(|report| report.of.saturating_sub(report.done)).sum();
        (rate > 0.0).then(|| left as f64 / rate)
    }

    /// Milliseconds until the last round is done, if the remaining rounds take as long as the last five; none
    /// before the first is done, and none at the end.
    pub fn rounds_left_ms(&self) -> Option<u64> {
        let stages = 5 * self.course.round.len().max(1);
        let rounds =
            self.stages.iter().rev().filter(|(stage, _)| matches!(self.course.at(**stage), At::Round { .. }));
        let lasted = rounds.filter_map(|(_, s)| Some(s.ended_ms?.saturating_sub(s.began_ms)));
        let lasted: Vec<u64> = lasted.take(stages).collect();
        let left = u64::from(self.course.end().checked_sub(self.state.stage).filter(|left| *left > 0)?);
        Some(lasted.iter().sum::<u64>().checked_div(lasted.len() as u64)?.saturating_mul(left))
    }

    /// How long a round took, all its stages together.
    pub fn round_ms(&self, round: u32) -> u64 {
        let stages = self.stages.iter().filter(|(stage, _)| self.course.at(**stage).round() == round);
        stages.map(|(_, s)| s.ended_ms.unwrap_or(s.began_ms).saturating_sub(s.began_ms)).sum()
    }

    /// The round whose state is the best according to the course, with its score.
    pub fn best(&self) -> Option<(u32, Score)> {
        self.scores().fold(None, |best: Option<(u32, Score)>, next| {
            let better = self.course.better(Some(&next.1), best.as_ref().map(|(_, score)| score));
            if better { Some(next) } else { best }
        })
    }
}

/// Every run that the table lists, by its id.
///
/// # Errors
/// DynamoDB's error, in words.
pub async fn runs(client: &Client, table: &str) -> Result<BTreeMap<String, RunItem>, String> {
    let items = query(client, table, RUNS_KEY).await?;
    Ok(items.iter().map(|item| (sort_key(item).to_owned(), typed(item))).collect())
}

/// The newest day in the table, if there is one.
///
/// # Errors
/// DynamoDB's message, in words.
pub async fn day(client: &Client, table: &str) -> Result<Option<DayItem>, String> {
    Ok(query(client, table, DAYS_KEY).await?.last().map(typed))
}

/// Adds the missing runs that have a ledger in the folder. One that cannot be read is left out.
pub fn add_runs_of_folder(runs: &mut BTreeMap<String, RunItem>, folder: &Path) {
    let Ok(root) = Root::open(folder) else { return };
    let entries = std::fs::read_dir(folder.join("runs")).into_iter().flatten().flatten();
    for name in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
        if let Some(Ok(run)) = (!runs.contains_key(&name)).then(|| RunId::new(&name))
            && let Ok(Some(view)) = View::of_folder(&root, &run)
        {
            runs.insert(name, view.state);
        }
    }
}

/// Every item under a key.
async fn query(client: &Client, table: &str, pk: &str) -> Result<Vec<Item>, String> {
    let query = client.query().table_name(table).key_condition_expression("pk = :pk");
    let query = query.expression_attribute_values(":pk", AttributeValue::S(pk.into()));
    let mut pages = query.into_paginator().items().send();
    let mut items = Vec::new();
    while let Some(item) = pages.next().await {
        items.push(item.map_err(|error| format!("table {table}: {}", words(&error)))?);
    }
    Ok(items)
}

/// An error and its causes, in words.
fn words(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn sort_key(item: &Item) -> &str {
    item.get("sk").and_then(|value| value.as_s().ok()).map_or("", String::as_str)
}

/// An item's fields; a missing field, or one of another type, has the default.
fn typed<T: DeserializeOwned + Default>(item: &Item) -> T {
    let value = |attribute: &AttributeValue| match attribute {
        AttributeValue::S(text) => Some(Value::from(text.as_str())),
        AttributeValue::Bool(truth) => Some(Value::from(*truth)),
        AttributeValue::N(digits) => {
            digits.parse::<u64>().map(Value::from).or_else(|_| digits.parse::<f64>().map(Value::from)).ok()
        }
        _ => None,
    };
    let fields: Map<_, _> = item.iter().filter_map(|(key, it)| Some((key.clone(), value(it)?))).collect();
    serde_json::from_value(fields.into()).unwrap_or_default()
}
