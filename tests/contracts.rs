//! What the trainer and the commands ask of DynamoDB, held against every DynamoDB at hand: the local cloud's, and those
//! that others wrote (moto, MiniStack, dynalite). One suite, unchanged on each.

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use local_cloud::{LocalCloud, Options};
use protocol::{Fact, FeatureStore, Job, LEDGER_SCHEMA, Ledger, RunId, Score};
use serde_json::json;
use setup::view::View;
use std::collections::HashMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use trainer::cloud::{DynamoProgress, Names, probe};
use trainer::services::{Progress, WorkerReport};

const TABLE: &str = "baton";
/// No item is larger: a thousand of them fit into one page of a Query, which has a megabyte.
const LARGEST_ITEM: usize = 1_000;

type Item = HashMap<String, AttributeValue>;

/// A server of another language, which ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server on a free port of the loopback and waits until it takes calls.
async fn serve(program: PathBuf, arguments: impl Fn(u16) -> Vec<String>) -> (Server, SdkConfig) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(program);
    command.args(arguments(port)).stdout(Stdio::null()).stderr(Stdio::null());
    command
        .env("BIND_HOST", "127.0.0.1")
        .env("GATEWAY_PORT", port.to_string())
        .env("TMPDIR", std::env::temp_dir());
    let server = Server(command.spawn().unwrap());
    let config = config(&format!("http://127.0.0.1:{port}")).await;
    let begun = Instant::now();
    while Client::new(&config).list_tables().send().await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the server does not answer");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    (server, config)
}

async fn config(endpoint: &str) -> SdkConfig {
    let key = aws_sdk_dynamodb::config::Credentials::new("test", "test", None, None, "test");
    let http = aws_smithy_http_client::Builder::new().build_http();
    let loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http).region("us-east-1");
    loader.endpoint_url(endpoint).credentials_provider(key).load().await
}

/// The table as the template makes it; a local cloud has it from its start.
async fn create_table(client: &Client) {
    let attribute = |name: &str| {
        let kind = ScalarAttributeType::S;
        AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().unwrap()
    };
    let key = |name: &str, kind: KeyType| {
        KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap()
    };
    let create = client.create_table().table_name(TABLE).billing_mode(BillingMode::PayPerRequest);
    let create = create.attribute_definitions(attribute("pk")).attribute_definitions(attribute("sk"));
    create.key_schema(key("pk", KeyType::Hash)).key_schema(key("sk", KeyType::Range)).send().await.unwrap();
    for _ in 0..100 {
        let described = client.describe_table().table_name(TABLE).send().await.unwrap();
        let status = described.table().and_then(|table| table.table_status().cloned());
        if status.is_some_and(|status| status.as_str() == "ACTIVE") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the table does not become active");
}

fn ledger(run: &str, workers: u32) -> Ledger {
    let job = json!({"dataset": "a".repeat(100), "network": "vgg19", "rounds": 200});
    Ledger::start(Fact::Started {
        schema: LEDGER_SCHEMA,
        run: RunId::new(run).unwrap(),
        job: Box::new(Job::from_value(job).unwrap()),
        workers,
        features: FeatureStore { key: "key".into(), manifest: None },
        invocation: String::new(),
        at_ms: 1_795_000_000_000,
    })
    .unwrap()
}

/// Reports as the handler does, from a thread that is no task of the runtime.
async fn report(config: &SdkConfig, reports: impl FnOnce(&DynamoProgress) + Send + 'static) {
    let runtime = tokio::runtime::Handle::current();
    let progress = DynamoProgress::new(config, TABLE.into(), runtime);
    tokio::task::spawn_blocking(move || {
        reports(&progress);
        progress.flush();
    })
    .await
    .unwrap();
}

/// Every item under a key, page by page.
async fn items(client: &Client, pk: &str) -> Vec<Item> {
    let query = client.query().table_name(TABLE).key_condition_expression("pk = :pk");
    let query = query.expression_attribute_values(":pk", AttributeValue::S(pk.into()));
    let mut pages = query.into_paginator().items().send();
    let mut found = Vec::new();
    while let Some(item) = pages.next().await {
        found.push(item.unwrap());
    }
    found
}

/// An item's size as DynamoDB counts it: names and text in UTF-8, numbers by their digits, a byte for a truth value.
fn size(item: &Item) -> usize {
    let of = |value: &AttributeValue| match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(digits) => digits.len() / 2 + 2,
        AttributeValue::Bool(_) => 1,
        other => panic!("{other:?} is not something that progress has"),
    };
    item.iter().map(|(name, value)| name.len() + of(value)).sum()
}

/// The whole suite. Every stand-in passes it; none has a way around.
async fn suite(config: SdkConfig) {
    let client = Client::new(&config);
    reports_are_read_back(&config, &client).await;
    a_report_overwrites_the_one_before(&config, &client).await;
    a_page_holds_a_thousand_workers_in_order(&client).await;
    a_condition_that_does_not_hold_writes_nothing(&config, &client).await;
    what_is_missing_is_told(&client).await;
}

async fn reports_are_read_back(config: &SdkConfig, client: &Client) {
    let run = ledger("a-run", 5);
    let score = Score { loss: 0.123_456_789_012_345_68, top1: 1.0 / 3.0, top5: 1.0, images: 10_000 };
    report(config, move |progress| {
        progress.ledger(&run, true, 1_795_000_000_001);
        progress.score(&run.run, 7, &score, 1_795_000_000_002);
        progress.worker(&WorkerReport {
            run: &run.run,
            workers: 5,
            stage: 7,
            worker: 3,
            leg: 1,
            done: 1 << 40,
            of: 1 << 41,
            images_per_second: 1e-7,
            now_ms: 1_795_000_000_003,
            last: false,
        });
    })
    .await;
    let view = View::read(client, TABLE, "a-run").await.unwrap().expect("the run");
    assert_eq!((view.rounds, view.workers, view.ended, view.dollars_limit), (200, 5, false, 5.0));
    assert_eq!(view.scores[&7].loss.to_bits(), score.loss.to_bits(), "numbers come back to the last bit");
    assert_eq!(view.scores[&7].top1.to_bits(), score.top1.to_bits());
    let worker = view.reports[&3];
    assert_eq!((worker.leg, worker.done, worker.of, worker.images_per_second), (1, 1 << 40, 1 << 41, 1e-7));
    for item in items(client, "a-run").await.iter().chain(&items(client, "runs").await) {
        assert!(size(item) <= LARGEST_ITEM, "{} bytes: {item:?}", size(item));
        let AttributeValue::N(expires) = &item["expires"] else { panic!("{item:?}") };
        assert_eq!(expires.parse::<u64>().unwrap(), 1_795_000_000 + 90 * 86_400, "seconds, 90 days on");
    }
    assert_eq!(items(client, "runs").await.len(), 1);
}

async fn a_report_overwrites_the_one_before(config: &SdkConfig, client: &Client) {
    for at_ms in [1_795_000_000_100, 1_795_000_000_200, 1_795_000_000_200] {
        let run = ledger("b-run", 2);
        report(config, move |progress| progress.ledger(&run, true, at_ms)).await;
    }
    let found = items(client, "b-run").await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["at_ms"], AttributeValue::N("1795000000200".into()));
}

async fn a_page_holds_a_thousand_workers_in_order(client: &Client) {
    for worker in (0..1_000).rev() {
        let put = client.put_item().table_name(TABLE).item("pk", AttributeValue::S("large".into()));
        let put = put.item("sk", AttributeValue::S(format!("worker#{worker:04}")));
        put.item("pad", AttributeValue::S("x".repeat(LARGEST_ITEM))).send().await.unwrap();
    }
    let found = items(client, "large").await;
    let keys: Vec<_> = found.iter().map(|item| item["sk"].as_s().unwrap().clone()).collect();
    assert_eq!(keys.len(), 1_000);
    assert!(keys.is_sorted());
}

async fn a_condition_that_does_not_hold_writes_nothing(config: &SdkConfig, client: &Client) {
    let names = Names { function: "none".into(), table: Some(TABLE.into()), ..Names::default() };
    let found = probe(config, &names).await;
    assert_eq!(found["table"]["ok"], true, "{found}");
    assert!(items(client, "probe").await.is_empty());
    let elsewhere = Names { table: Some("other".into()), ..names };
    assert_eq!(probe(config, &elsewhere).await["table"]["ok"], false);
}

async fn what_is_missing_is_told(client: &Client) {
    assert!(View::read(client, TABLE, "no-such-run").await.unwrap().is_none());
    let error = View::read(client, "no-such-table", "a-run").await.unwrap_err();
    assert!(error.contains("no-such-table") && error.contains("ResourceNotFound"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_clouds_table() {
    let mut options = Options::new(std::env::current_exe().unwrap());
    options.tables = vec![TABLE.into()];
    let cloud = LocalCloud::start(options).await.unwrap();
    suite(config(&cloud.endpoint()).await).await;
}

/// A program of the tests' Python environment, which tests/run makes.
fn python(what: &str) -> Option<PathBuf> {
    let found = std::env::var_os("BATON_CLOUD_PYTHON").map(PathBuf::from);
    if found.is_none() {
        println!("SKIPPED: {what} is not asked: tests/run installs it where there is python3");
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn motos_table() {
    let Some(python) = python("moto") else { return };
    let arguments = |port: u16| {
        ["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()].map(String::from).to_vec()
    };
    let (_server, config) = serve(python, arguments).await;
    create_table(&Client::new(&config)).await;
    suite(config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ministacks_table() {
    let Some(python) = python("MiniStack") else { return };
    let (_server, config) = serve(python, |_| ["-m", "ministack"].map(String::from).to_vec()).await;
    create_table(&Client::new(&config)).await;
    suite(config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dynalites_table() {
    let Some(dynalite) = std::env::var_os("BATON_DYNALITE").map(PathBuf::from) else {
        return println!(
            "SKIPPED: dynalite is not asked: tests/run installs it where there are node and npm"
        );
    };
    let arguments = |port: u16| {
        let port = port.to_string();
        ["--host", "127.0.0.1", "--port", &port, "--createTableMs", "0"].map(String::from).to_vec()
    };
    let (_server, config) = serve(dynalite, arguments).await;
    create_table(&Client::new(&config)).await;
    suite(config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_workers_stay_under_the_rate() {
    // One of them, as fast as it can: of 10,000 reports one is written now, the next after 500 s. A thousand such
    // processes together write twice a second.
    let mut options = Options::new(std::env::current_exe().unwrap());
    options.tables = vec![TABLE.into()];
    let cloud = LocalCloud::start(options).await.unwrap();
    let config = config(&cloud.endpoint()).await;
    let run = RunId::new("wide").unwrap();
    report(&config, move |progress| {
        for done in 0..10_000 {
            progress.worker(&WorkerReport {
                run: &run,
                workers: 1_000,
                stage: 1,
                worker: 0,
                leg: 0,
                done,
                of: 10_000,
                images_per_second: 1.0,
                now_ms: done,
                last: false,
            });
        }
    })
    .await;
    let found = items(&Client::new(&config), "wide").await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["done"], AttributeValue::N("0".into()), "the later ones were held back");
}
