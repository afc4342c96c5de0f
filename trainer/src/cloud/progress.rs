//! Progress in DynamoDB: a view for people, written in the background; a report is dropped rather than waited
//! for.
//!
//! One table, keys `pk` and `sk`, described in docs/progress.md. `pk` = the run's id has the items `run` (its
//! progress), `job`, `stage#0007` (its times, score and bars), `worker#0003` (a worker's progress) and
//! `model`; `pk` = `#runs` has one item a run, for listing. An item is overwritten whole, and only by one
//! that is not older (`seq`): a lost, late or doubled write does no harm.

use crate::services::{Progress, WorkerReport};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use protocol::items::{DAYS_KEY, DayItem, JobItem, ModelItem, RUNS_KEY, RunItem, StageItem, WorkerItem};
use protocol::timeline::Timeline;
use protocol::{Fact, Ledger, RunId};
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

/// Reports that may wait; more are dropped.
const QUEUE: usize = 64;
/// The most reports per second of all workers of a run together on the run, and as many on workers.
const REPORTS_A_SECOND: f64 = 2.0;
/// How long the end of an invocation waits for its reports.
const FLUSH: Duration = Duration::from_millis(800);
/// Items are removed by DynamoDB this long after their last change, in seconds.
const KEEP_S: u64 = 90 * 24 * 3_600;
/// The largest and the smallest numbers that DynamoDB holds, nearly.
const LARGEST: f64 = 1e125;
const SMALLEST: f64 = 1e-129;
/// Never overwrites a newer item.
const NOT_OLDER: &str = "attribute_not_exists(seq) OR seq <= :seq";

type Item = HashMap<String, AttributeValue>;

enum Order {
    Put(Item),
    Flush(oneshot::Sender<()>),
}

/// Writes reports to a table.
pub struct DynamoProgress {
    queue: mpsc::Sender<Order>,
    runtime: Handle,
    last_ledger: Mutex<Option<Instant>>,
    last_worker: Mutex<Option<Instant>>,
    /// Runs according to the facts that this process has seen.
    timelines: Mutex<HashMap<RunId, Timeline>>,
}

impl DynamoProgress {
    /// Writes to `table`, on `runtime`.
    pub fn new(config: &aws_config::SdkConfig, table: String, runtime: Handle) -> DynamoProgress {
        let (queue, orders) = mpsc::channel(QUEUE);
        runtime.spawn(write(Client::new(config), table, orders));
        let (last_ledger, last_worker) = (Mutex::new(None), Mutex::new(None));
        DynamoProgress { queue, runtime, last_ledger, last_worker, timelines: Mutex::default() }
    }

    /// Orders an item to be written; `seq` says which of two is the newer.
    fn put(&self, (pk, sk): (&str, &str), seq: u64, now_ms: u64, fields: &impl Serialize) {
        let mut item = attributes(fields);
        item.insert("pk".into(), AttributeValue::S(pk.into()));
        item.insert("sk".into(), AttributeValue::S(sk.into()));
        for (key, value) in [("seq", seq), ("at_ms", now_ms), ("expires", now_ms / 1_000 + KEEP_S)] {
            item.entry(key.into()).or_insert_with(|| AttributeValue::N(value.to_string()));
        }
        // A full queue drops the report: the next one is more recent.
        let _ = self.queue.try_send(Order::Put(item));
    }

    fn put_stage(&self, run: &str, number: u32, timeline: &Timeline, now_ms: u64) {
        let Some(stage) = timeline.stages.get(&number).filter(|stage| !stage.attempts.is_empty()) else {
            return;
        };
        let item = StageItem::of(timeline, stage);
        self.put((run, &format!("stage#{number:06}")), timeline.version(), now_ms, &item);
    }

    fn timelines(&self) -> MutexGuard<'_, HashMap<RunId, Timeline>> {
        self.timelines.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Whether a report is due, so that the processes of all `workers` together stay under the bound.
    fn due(&self, last: &Mutex<Option<Instant>>, workers: u32) -> bool {
        let pause = Duration::from_secs_f64((f64::from(workers) / REPORTS_A_SECOND).max(1.0));
        let mut last = last.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let due = last.is_none_or(|last| last.elapsed() >= pause);
        if due {
            *last = Some(Instant::now());
        }
        due
    }
}

async fn write(client: Client, table: String, mut orders: mpsc::Receiver<Order>) {
    while let Some(order) = orders.recv().await {
        let item = match order {
            Order::Put(item) => item,
            Order::Flush(done) => {
                let _ = done.send(());
                continue;
            }
        };
        let put = client.put_item().table_name(&table).condition_expression(NOT_OLDER);
        let put = put.expression_attribute_values(":seq", item["seq"].clone()).set_item(Some(item)).send();
        match tokio::time::timeout(Duration::from_secs(2), put).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => match error.into_service_error() {
                error if error.is_conditional_check_failed_exception() => {}
                error => tracing::warn!(%error, "progress was not written"),
            },
            Err(_) => tracing::warn!("progress was not written within 2 s"),
        }
    }
}

impl Progress for DynamoProgress {
    fn ledger(&self, ledger: &Ledger, milestone: bool, now_ms: u64) {
        if !milestone && !self.due(&self.last_ledger, ledger.workers.len() as u32) {
            return;
        }
        let run = ledger.run.as_str();
        let mut timelines = self.timelines();
        let timeline = timelines.entry(ledger.run.clone()).or_default();
        // A report on a run after its end has the time of its end.
        let item = RunItem::of(ledger, if ledger.ending.is_some() { timeline.last_ms } else { now_ms });
        self.put((run, "run"), timeline.version(), now_ms, &item);
        self.put_stage(run, ledger.stage, timeline, now_ms);
        if milestone {
            self.put((RUNS_KEY, run), timeline.version(), now_ms, &item);
            self.put((run, "job"), timeline.version(), now_ms, &JobItem::of(ledger));
            if let Some(combined) = ledger.last.as_ref().filter(|last| last.stage != ledger.stage) {
                self.put_stage(run, combined.stage, timeline, now_ms);
            }
            timeline.forget_before(ledger.stage);
        }
    }

    fn facts(&self, run: &RunId, facts: &[Fact]) {
        if facts.is_empty() {
            return;
        }
        let mut timelines = self.timelines();
        let timeline = timelines.entry(run.clone()).or_default();
        for fact in facts {
            timeline.take(fact);
            // A combined stage is reported at once or never; an old one needs no space.
            if let Fact::CombineDone { combined, .. } = fact {
                timeline.forget_before(combined.stage);
            }
        }
    }

    fn model(&self, run: &RunId, model: &ModelItem, now_ms: u64) {
        self.put((run.as_str(), "model"), now_ms, now_ms, model);
    }

    fn day(&self, day: &DayItem, now_ms: u64) {
        self.put((DAYS_KEY, &day.day), now_ms, now_ms, day);
    }

    fn worker(&self, report: &WorkerReport<'_>) {
        let last_of_features = report.last && report.stage == 0;
        if !last_of_features && !self.due(&self.last_worker, report.workers) {
            return;
        }
        let item = WorkerItem {
            stage: report.stage,
            leg: report.leg,
            done: report.done,
            of: report.of,
            units_per_second: report.units_per_second,
            at_ms: report.now_ms,
            leg_ended: report.last,
        };
        let sk = format!("worker#{:04}", report.worker);
        self.put((report.run.as_str(), &sk), report.now_ms, report.now_ms, &item);
    }

    fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.queue.try_send(Order::Flush(done)).is_ok() {
            let _ = self.runtime.block_on(async { tokio::time::timeout(FLUSH, flushed).await });
        }
    }
}

/// Shows nothing: for a function without a table.
pub struct NoProgress;

impl Progress for NoProgress {
    fn ledger(&self, _: &Ledger, _: bool, _: u64) {}
    fn facts(&self, _: &RunId, _: &[Fact]) {}
    fn model(&self, _: &RunId, _: &ModelItem, _: u64) {}
    fn worker(&self, _: &WorkerReport<'_>) {}
    fn flush(&self) {}
}

/// A number as DynamoDB can hold it: from 1e-130 to 1e126. One that it refused would cost the whole item.
fn held(number: &serde_json::Number) -> String {
    match number.as_f64().map(f64::abs) {
        Some(size) if size >= LARGEST => format!("{}", LARGEST.copysign(number.as_f64().unwrap_or(1.0))),
        Some(size) if size < SMALLEST => "0".into(),
        _ => number.to_string(),
    }
}

/// An item's fields in DynamoDB's types: text, numbers and truth values.
fn attributes(fields: &impl Serialize) -> Item {
    let Ok(Value::Object(fields)) = serde_json::to_value(fields) else { return Item::new() };
    let attribute = |value| match value {
        Value::String(text) => Some(AttributeValue::S(text)),
        Value::Number(number) => Some(AttributeValue::N(held(&number))),
        Value::Bool(truth) => Some(AttributeValue::Bool(truth)),
        _ => None,
    };
    fields.into_iter().filter_map(|(key, value)| Some((key, attribute(value)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_makes_an_item_unwritable() {
        for (number, held) in [(1e300, 1e125), (-1e300, -1e125), (1e-300, 0.0), (0.25, 0.25), (0.0, 0.0)] {
            let fields = attributes(&serde_json::json!({"best_value": number}));
            let written = fields["best_value"].as_n().unwrap().parse::<f64>().unwrap();
            assert_eq!(written, held, "{number}");
        }
        let fields = attributes(&serde_json::json!({"sent": u64::MAX}));
        assert_eq!(fields["sent"].as_n().unwrap(), &u64::MAX.to_string());
    }
}
