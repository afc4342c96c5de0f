//! How a run stands, read from the DynamoDB table: on AWS and in the local cloud alike.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

type Item = HashMap<String, AttributeValue>;

/// A run as its table items tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct View {
    /// The run's id.
    pub run: String,
    /// "running", or why it ended.
    pub status: String,
    /// Whether it has ended.
    pub ended: bool,
    /// The stage at hand; 0 is `features`.
    pub stage: u32,
    /// Rounds of the job.
    pub rounds: u32,
    /// Number of workers.
    pub workers: u32,
    /// Workers that are done with the stage.
    pub workers_done: u32,
    /// What is trained on what.
    pub network: String,
    /// The data set.
    pub dataset: String,
    /// When it started, in milliseconds since 1970.
    pub started_ms: u64,
    /// When this was last reported.
    pub at_ms: u64,
    /// Events sent.
    pub sent: u64,
    /// Lambda's GB-seconds by the ledger's account.
    pub gb_seconds: f64,
    /// US dollars by the ledger's account.
    pub dollars: f64,
    /// The job's limit in dollars.
    pub dollars_limit: f64,
    /// The model's file name, once there is one.
    pub model: Option<String>,
    /// Scores by round.
    pub scores: BTreeMap<u32, RoundScore>,
    /// Workers as they last reported.
    pub reports: BTreeMap<u32, WorkerReport>,
}

/// A round's score on the validation split.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RoundScore {
    /// Mean cross-entropy.
    pub loss: f64,
    /// Share of right answers.
    pub top1: f64,
    /// Share of right answers among five.
    pub top5: f64,
}

/// How far a worker said that it was.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct WorkerReport {
    /// Its stage then.
    pub stage: u32,
    /// Its leg then.
    pub leg: u32,
    /// Images done.
    pub done: u64,
    /// Of how many.
    pub of: u64,
    /// Images a second.
    pub images_per_second: f64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

impl View {
    /// Reads a run's items with one query; `None` when the table knows no such run.
    ///
    /// # Errors
    /// What DynamoDB said, in words.
    pub async fn read(client: &Client, table: &str, run: &str) -> Result<Option<View>, String> {
        let mut pages = client
            .query()
            .table_name(table)
            .key_condition_expression("pk = :run")
            .expression_attribute_values(":run", AttributeValue::S(run.into()))
            .into_paginator()
            .items()
            .send();
        let mut view = View { run: run.into(), ..View::default() };
        let mut found = false;
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| format!("table {table}: {}", DisplayErrorContext(error)))?;
            found |= view.take(&item);
        }
        Ok(found.then_some(view))
    }

    /// Takes one item; true if it is the run's own.
    fn take(&mut self, item: &Item) -> bool {
        let key = text(item, "sk");
        if let Some(stage) = key.strip_prefix("stage#").and_then(|stage| stage.parse().ok()) {
            let score = RoundScore {
                loss: float(item, "loss"),
                top1: float(item, "top1"),
                top5: float(item, "top5"),
            };
            self.scores.insert(stage, score);
        } else if let Some(worker) = key.strip_prefix("worker#").and_then(|worker| worker.parse().ok()) {
            let report = WorkerReport {
                stage: whole(item, "stage") as u32,
                leg: whole(item, "leg") as u32,
                done: whole(item, "done"),
                of: whole(item, "of"),
                images_per_second: float(item, "images_per_second"),
                at_ms: whole(item, "at_ms"),
            };
            self.reports.insert(worker, report);
        } else if key == "run" {
            self.take_run(item);
            return true;
        }
        false
    }

    fn take_run(&mut self, item: &Item) {
        self.status = text(item, "status");
        self.ended = matches!(item.get("ended"), Some(AttributeValue::Bool(true)));
        self.stage = whole(item, "stage") as u32;
        self.rounds = whole(item, "rounds") as u32;
        self.workers = whole(item, "workers") as u32;
        self.workers_done = whole(item, "workers_done") as u32;
        self.network = text(item, "network");
        self.dataset = text(item, "dataset");
        self.started_ms = whole(item, "started_ms");
        self.at_ms = whole(item, "at_ms");
        self.sent = whole(item, "sent");
        self.gb_seconds = float(item, "gb_seconds");
        self.dollars = float(item, "dollars");
        self.dollars_limit = float(item, "dollars_limit");
        self.model = item.get("model").map(|_| text(item, "model"));
    }

    /// Share of the stage at hand that is done, 0 to 1, by the workers' own reports.
    pub fn share(&self) -> f64 {
        let reports = self.reports.values().filter(|report| report.stage == self.stage);
        let (done, of) = reports.fold((0, 0), |(done, of), report| (done + report.done, of + report.of));
        if of == 0 { 0.0 } else { done as f64 / of as f64 }
    }

    /// Images a second of the workers that reported in this stage within 15 s of the newest report.
    pub fn images_per_second(&self) -> f64 {
        let newest = self.reports.values().map(|report| report.at_ms).max().unwrap_or(0);
        let live = |r: &&WorkerReport| r.stage == self.stage && r.done < r.of && r.at_ms + 15_000 >= newest;
        self.reports
            .values()
            .filter(live)
            .map(|report| report.images_per_second)
            .fold(0.0, |sum, rate| sum + rate)
    }

    /// Seconds until the stage at hand is done, if it can be told.
    pub fn seconds_left(&self) -> Option<f64> {
        let rate = self.images_per_second();
        let reports = self.reports.values().filter(|report| report.stage == self.stage);
        let left: u64 = reports.map(|report| report.of.saturating_sub(report.done)).sum();
        (rate > 0.0).then(|| left as f64 / rate)
    }

    /// The round with the most right answers.
    pub fn best(&self) -> Option<(u32, RoundScore)> {
        let better = |a: &(u32, RoundScore), b: &(u32, RoundScore)| {
            a.1.top1.total_cmp(&b.1.top1).then(b.1.loss.total_cmp(&a.1.loss)).then(b.0.cmp(&a.0))
        };
        self.scores.iter().map(|(stage, score)| (*stage, *score)).max_by(better)
    }
}

fn text(item: &Item, key: &str) -> String {
    item.get(key).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default()
}

fn float(item: &Item, key: &str) -> f64 {
    let number = item.get(key).and_then(|value| value.as_n().ok());
    number.and_then(|number| number.parse().ok()).unwrap_or(0.0)
}

fn whole(item: &Item, key: &str) -> u64 {
    float(item, key) as u64
}
