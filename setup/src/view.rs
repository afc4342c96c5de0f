//! How a run stands, read from the DynamoDB table, on AWS and in the local cloud alike; or from the facts in its folder.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use protocol::items::{JobItem, ModelItem, RunItem, StageItem, WorkerItem};
use protocol::timeline::Timeline;
use protocol::{Fact, Ledger, RunId, Score};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::path::Path;
use std::time::Duration;
use storage::{FactLog, Root};

mod pictures;

type Item = HashMap<String, AttributeValue>;

/// How long the lock of a ledger that is looked at is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// What a model's item says of an image: its number, the true class, the predicted one, with what probability; classes by
/// their place among the item's names.
pub type Example = (u64, usize, usize, f64);

/// A run as its items tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct View {
    /// The run's id.
    pub run: String,
    /// Where it stands.
    #[serde(flatten)]
    pub state: RunItem,
    /// Its stages: times, score, bars.
    pub stages: BTreeMap<u32, StageItem>,
    /// Workers as they last reported.
    pub reports: BTreeMap<u32, WorkerItem>,
    /// Its job, as JSON.
    pub job: Option<JobItem>,
    /// What its model takes for what.
    pub confusion: Option<ModelItem>,
    /// The images that the model's item tells of, as data addresses, where they can be read.
    #[serde(skip)]
    pub pictures: BTreeMap<u64, String>,
}

impl View {
    /// What the model says of some images, and its surest mistakes.
    pub fn examples(&self) -> [Vec<Example>; 2] {
        let read = |text: &String| serde_json::from_str(text).unwrap_or_default();
        self.confusion.as_ref().map(|item| [&item.examples, &item.mistakes].map(read)).unwrap_or_default()
    }

    /// Reads a run's items with one query; `None` when the table knows no such run.
    ///
    /// # Errors
    /// What DynamoDB said, in words.
    pub async fn read(client: &Client, table: &str, run: &str) -> Result<Option<View>, String> {
        let mut view = View { run: run.into(), ..View::default() };
        let mut found = false;
        for item in query(client, table, run).await? {
            found |= view.take(&item);
        }
        // Of a run that had the same id before, and was removed.
        view.stages.retain(|_, stage| stage.began_ms >= view.state.started_ms);
        Ok(found.then_some(view))
    }

    /// Reads a run from the facts in its folder, for when no table has it; `None` when there is no such run.
    ///
    /// # Errors
    /// In words: a damaged ledger, or one that cannot be read.
    pub fn of_folder(root: &Root, run: &RunId) -> Result<Option<View>, String> {
        // Opening waits for a file that another machine may just have made. Here none is waited for.
        if !root.run(run).ledger().is_file() {
            return Ok(None);
        }
        let log = FactLog::<Fact>::open(root.run(run).ledger()).map_err(|error| error.to_string())?;
        let facts = log.read(LOCK_WAIT).map_err(|error| error.to_string())?;
        let mut timeline = Timeline::default();
        facts.iter().for_each(|fact| timeline.take(fact));
        let Some(ledger) = Ledger::fold(facts).map_err(|error| error.to_string())? else { return Ok(None) };
        let described = |(stage, times)| (stage, StageItem::of(&timeline, times));
        let confusion = learning::model::Model::open(&root.run(run).model()).ok().map(|model| model.item());
        Ok(Some(View {
            run: run.to_string(),
            state: RunItem::of(&ledger, timeline.last_ms),
            stages: timeline.stages.iter().map(|(stage, times)| described((*stage, times))).collect(),
            reports: BTreeMap::new(),
            job: Some(JobItem::of(&ledger)),
            confusion,
            pictures: BTreeMap::new(),
        }))
    }

    /// Reads the pictures that its examples are of, as far as its data set lies in the same folder.
    pub fn read_pictures(&mut self, root: &Root) {
        let images = self.examples().into_iter().flatten().map(|(image, ..)| image);
        self.pictures = pictures::read(root, &self.state.dataset, images);
    }

    /// Takes one item; true if it is the run's own.
    fn take(&mut self, item: &Item) -> bool {
        let key = sort_key(item);
        if let Some(stage) = key.strip_prefix("stage#").and_then(|stage| stage.parse().ok()) {
            self.stages.insert(stage, typed(item));
        } else if let Some(worker) = key.strip_prefix("worker#").and_then(|worker| worker.parse().ok()) {
            self.reports.insert(worker, typed(item));
        } else if key == "job" {
            self.job = Some(typed(item));
        } else if key == "model" {
            self.confusion = Some(typed(item));
        } else if key == "run" {
            self.state = typed(item);
            return true;
        }
        false
    }

    /// Rounds that were scored, with their scores.
    pub fn scores(&self) -> impl Iterator<Item = (u32, Score)> {
        self.stages.iter().filter_map(|(stage, item)| Some((self.state.part(*stage).round(), item.score?)))
    }

    /// The newest report of a stage, by worker.
    fn reports_of_stage(&self) -> impl Iterator<Item = &WorkerItem> {
        self.reports.values().filter(|report| report.stage == self.state.stage)
    }

    /// Share of the stage at hand that is done, 0 to 1, by the workers' own reports.
    pub fn share(&self) -> f64 {
        let (done, of) =
            self.reports_of_stage().fold((0, 0), |(done, of), report| (done + report.done, of + report.of));
        if of == 0 { 0.0 } else { done as f64 / of as f64 }
    }

    /// Images a second of the workers that reported in this stage within 15 s of the newest report.
    pub fn images_per_second(&self) -> f64 {
        let newest = self.reports.values().map(|report| report.at_ms).max().unwrap_or(0);
        let live = |r: &&WorkerItem| r.done < r.of && r.at_ms + 15_000 >= newest;
        self.reports_of_stage().filter(live).fold(0.0, |sum, report| sum + report.images_per_second)
    }

    /// Seconds until the stage at hand is done, if it can be told.
    pub fn seconds_left(&self) -> Option<f64> {
        let rate = self.images_per_second();
        let left: u64 = self.reports_of_stage().map(|report| report.of.saturating_sub(report.done)).sum();
        (rate > 0.0).then(|| left as f64 / rate)
    }

    /// Milliseconds until the last round is done if those that are left take as long as the last five; none before the
    /// first is done.
    pub fn rounds_left_ms(&self) -> Option<u64> {
        let each = self.state.stages_in_round.max(1);
        let lasted =
            self.stages.range(1..).rev().filter_map(|(_, s)| Some(s.ended_ms?.saturating_sub(s.began_ms)));
        let lasted: Vec<u64> = lasted.take(5 * each as usize).collect();
        let left = u64::from((self.state.rounds * each + 1).saturating_sub(self.state.stage));
        Some(lasted.iter().sum::<u64>().checked_div(lasted.len() as u64)? * left)
    }

    /// How long a round took, all its stages together.
    pub fn round_ms(&self, round: u32) -> u64 {
        let stages = self.stages.iter().filter(|(stage, _)| self.state.part(**stage).round() == round);
        stages.map(|(_, s)| s.ended_ms.unwrap_or(s.began_ms).saturating_sub(s.began_ms)).sum()
    }

    /// Whether it is a tuning, whose rounds are rungs.
    pub fn is_tuning(&self) -> bool {
        let job = self.job.as_ref().and_then(|item| serde_json::from_str::<Value>(&item.job).ok());
        job.is_some_and(|job| job.get("tune").is_some())
    }

    /// What its rounds are called.
    pub fn word(&self) -> &'static str {
        if self.is_tuning() { "rung" } else { "round" }
    }

    /// The round with the most right answers; of a tuning the last rung that was scored.
    pub fn best(&self) -> Option<(u32, Score)> {
        if self.is_tuning() {
            return self.scores().last();
        }
        self.scores().fold(None, |best, next| match best {
            Some((_, score)) if !next.1.beats(&score) => best,
            _ => Some(next),
        })
    }
}

/// Every run that the table lists, by its id.
///
/// # Errors
/// What DynamoDB said, in words.
pub async fn runs(client: &Client, table: &str) -> Result<BTreeMap<String, RunItem>, String> {
    let items = query(client, table, "runs").await?;
    Ok(items.iter().map(|item| (sort_key(item).to_owned(), typed(item))).collect())
}

/// Adds the runs with a ledger in the folder that are not there yet. One that cannot be read is left out.
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

/// An error and what it came from, in words.
fn words(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn sort_key(item: &Item) -> &str {
    item.get("sk").and_then(|value| value.as_s().ok()).map_or("", String::as_str)
}

/// An item's fields; what is missing or of another kind gives the default.
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
