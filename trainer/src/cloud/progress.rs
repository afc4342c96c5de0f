//! Progress in DynamoDB: a view for people, written in the background, dropped rather than waited for.
//!
//! One table, keys `pk` and `sk`. `pk` = the run's id holds the items `run` (where it stands), `stage#0007` (a
//! round's score) and `worker#0003` (how far a worker is); `pk` = `runs` holds one item a run, for listing.
//! Each item is overwritten whole by the newest report, so a lost or doubled write does no harm.

use crate::services::{Progress, WorkerReport};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use protocol::{Ledger, RunId, Score};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

/// Reports that may wait; more are dropped.
const QUEUE: usize = 64;
/// Writes a second that all workers of a run make together, at the most.
const WRITES_A_SECOND: f64 = 2.0;
/// How long the end of an invocation waits for its reports.
const FLUSH: Duration = Duration::from_millis(800);
/// Items are removed by DynamoDB this long after their last change, in seconds.
const KEEP_S: u64 = 90 * 24 * 3_600;

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
}

impl DynamoProgress {
    /// Writes to `table`, on `runtime`.
    pub fn new(config: &aws_config::SdkConfig, table: String, runtime: Handle) -> DynamoProgress {
        let (queue, orders) = mpsc::channel(QUEUE);
        runtime.spawn(write(Client::new(config), table, orders));
        DynamoProgress { queue, runtime, last_ledger: Mutex::new(None), last_worker: Mutex::new(None) }
    }

    fn put(&self, pk: &str, sk: String, now_ms: u64, fields: Vec<(&str, AttributeValue)>) {
        let mut item: Item = fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        item.insert("pk".into(), text(pk));
        item.insert("sk".into(), text(sk));
        item.insert("at_ms".into(), number(now_ms));
        item.insert("expires".into(), number(now_ms / 1_000 + KEEP_S));
        // A full queue drops the report: the next one says more.
        let _ = self.queue.try_send(Order::Put(item));
    }

    /// Whether a report is due, so that the processes of all `workers` together stay under the bound.
    fn due(&self, last: &Mutex<Option<Instant>>, workers: u32) -> bool {
        let pause = Duration::from_secs_f64((f64::from(workers) / WRITES_A_SECOND).max(1.0));
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
        match order {
            Order::Put(item) => {
                let put = client.put_item().table_name(&table).set_item(Some(item)).send();
                match tokio::time::timeout(Duration::from_secs(2), put).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => {
                        tracing::warn!(error = %error.into_service_error(), "progress was not written")
                    }
                    Err(_) => tracing::warn!("progress was not written within 2 s"),
                }
            }
            Order::Flush(done) => drop(done.send(())),
        }
    }
}

impl Progress for DynamoProgress {
    fn ledger(&self, ledger: &Ledger, milestone: bool, now_ms: u64) {
        let workers = ledger.workers.len() as u32;
        if !milestone && !self.due(&self.last_ledger, workers) {
            return;
        }
        let run = ledger.run.as_str();
        let done = ledger.workers.iter().filter(|worker| worker.result.is_some()).count();
        let mut fields = vec![
            (
                "status",
                text(ledger.ending.as_ref().map_or("running".into(), |ending| ending.why.to_string())),
            ),
            ("ended", AttributeValue::Bool(ledger.ending.is_some())),
            ("stage", number(ledger.stage)),
            ("rounds", number(ledger.job.rounds)),
            ("workers", number(workers)),
            ("workers_done", number(done)),
            ("network", text(&ledger.job.network)),
            ("dataset", text(&ledger.job.dataset)),
            ("started_ms", number(ledger.started_ms)),
            ("sent", number(ledger.spend.sent)),
            ("begun", number(ledger.spend.begun)),
            ("gb_seconds", number(ledger.spend.gb_seconds(now_ms))),
            ("dollars", number(ledger.spend.dollars(now_ms))),
            ("dollars_limit", number(ledger.job.limits.dollars)),
        ];
        if let Some((stage, score)) = ledger.best.as_ref().and_then(|b| b.score.map(|score| (b.stage, score)))
        {
            fields.push(("best_stage", number(stage)));
            fields.push(("best_top1", number(score.top1)));
        }
        if let Some(model) = ledger.ending.as_ref().and_then(|ending| ending.model.as_ref()) {
            fields.push(("model", text(&model.name)));
        }
        self.put(run, "run".into(), now_ms, fields.clone());
        if milestone {
            self.put("runs", run.into(), now_ms, fields);
        }
    }

    fn score(&self, run: &RunId, stage: u32, score: &Score, now_ms: u64) {
        let fields = vec![
            ("stage", number(stage)),
            ("loss", number(score.loss)),
            ("top1", number(score.top1)),
            ("top5", number(score.top5)),
            ("images", number(score.images)),
        ];
        self.put(run.as_str(), format!("stage#{stage:06}"), now_ms, fields);
    }

    fn worker(&self, report: &WorkerReport<'_>) {
        let last_of_features = report.last && report.stage == 0;
        if !last_of_features && !self.due(&self.last_worker, report.workers) {
            return;
        }
        let fields = vec![
            ("stage", number(report.stage)),
            ("leg", number(report.leg)),
            ("done", number(report.done)),
            ("of", number(report.of)),
            ("images_per_second", number(report.images_per_second)),
            ("leg_ended", AttributeValue::Bool(report.last)),
        ];
        self.put(report.run.as_str(), format!("worker#{:04}", report.worker), report.now_ms, fields);
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
    fn score(&self, _: &RunId, _: u32, _: &Score, _: u64) {}
    fn worker(&self, _: &WorkerReport<'_>) {}
    fn flush(&self) {}
}

fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}
