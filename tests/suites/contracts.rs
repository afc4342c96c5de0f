//! The DynamoDB calls of the trainer and the commands, tested on every available DynamoDB: the local cloud's,
//! and stand-ins that others wrote (moto, MiniStack, dynalite). The same suite runs on each.

#[path = "contracts/run.rs"]
mod run;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use local_cloud::{Address, LocalCloud, Options};
use protocol::items::{LARGEST_ITEM, ModelItem, RUNS_KEY};
use protocol::timeline::rows;
use protocol::{Fact, Ledger, RunId, Score};
use run::{START, course, file, first_round, ledger, score, shown, started};
use setup::view::View;
use std::collections::HashMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use trainer::cloud::{DynamoProgress, Names, probe};
use trainer::services::{Progress, WorkerReport};

const TABLE: &str = "baton";

type Item = HashMap<String, AttributeValue>;

/// A server of another language, which ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server on a free port of the loopback and waits until it accepts calls.
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
    config_with(endpoint, None).await
}

async fn config_of(cloud: &LocalCloud) -> SdkConfig {
    let Address { endpoint, token } = cloud.address();
    config_with(endpoint, Some(token.text().to_owned())).await
}

async fn config_with(endpoint: &str, token: Option<String>) -> SdkConfig {
    let key = aws_sdk_dynamodb::config::Credentials::new("test", "test", token, None, "test");
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

/// Reports facts as the handler does, and the ledger that they make.
fn tell(progress: &DynamoProgress, facts: &[Fact], now_ms: u64) {
    let ledger = Ledger::fold(facts.to_vec()).unwrap().unwrap();
    progress.facts(&ledger.run, facts);
    progress.ledger(&ledger, true, now_ms);
}

/// Reports as the handler does, from a thread that is not a task of the runtime.
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

/// An item's size as DynamoDB counts it: names and text in UTF-8, numbers by their digits,
/// a byte for a truth value.
fn size(item: &Item) -> usize {
    let of = |value: &AttributeValue| match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(digits) => digits.len() / 2 + 2,
        AttributeValue::Bool(_) => 1,
        other => panic!("{other:?} is not something that progress has"),
    };
    item.iter().map(|(name, value)| name.len() + of(value)).sum()
}

/// The whole suite. Every stand-in must pass it without exceptions.
async fn suite(config: SdkConfig) {
    let client = Client::new(&config);
    reports_are_read_back(&config, &client).await;
    no_run_is_named_as_something_else(&config, &client).await;
    a_report_overwrites_what_is_not_newer(&config, &client).await;
    the_widest_run_stays_within_an_items_size(&config, &client).await;
    a_page_holds_a_thousand_workers_in_order(&client).await;
    a_condition_that_does_not_hold_writes_nothing(&config, &client).await;
    what_is_missing_is_told(&client).await;
}

async fn reports_are_read_back(config: &SdkConfig, client: &Client) {
    report(config, move |progress| {
        tell(progress, &first_round("a-run", 5, 2), START + 1);
        progress.model(&RunId::new("a-run").unwrap(), &ModelItem::of(shown()), START + 2);
        progress.worker(&WorkerReport {
            run: &RunId::new("a-run").unwrap(),
            workers: 5,
            stage: 2,
            worker: 3,
            leg: 1,
            done: 1 << 40,
            of: 1 << 41,
            units_per_second: 1e-7,
            now_ms: START + 3,
            last: false,
        });
    })
    .await;
    let view = View::read(client, TABLE, "a-run").await.unwrap().expect("the run");
    let state = &view.state;
    assert_eq!((state.stage, state.rounds_done, state.workers, state.ended), (2, 1, 5, false));
    assert_eq!((&view.course, state.title.len()), (&course(), 200));
    assert_eq!((state.dollars_limit, state.best_stage, state.sent_limit), (5.0, Some(1), 20_000));
    let stage = &view.stages[&1];
    let bits = |score: Score| (score.values.into_iter().map(f64::to_bits).collect::<Vec<_>>(), score.of);
    assert_eq!(bits(stage.score().expect("a score")), bits(score()), "numbers come back to the last bit");
    assert_eq!(state.best_value, Some(1.0 / 3.0));
    assert_eq!((stage.began_ms, stage.ended_ms, stage.share), (START, Some(START + 2_540_000), 1));
    assert_eq!(rows(&stage.bars).iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2, 2, 2, 1]);
    assert!(view.job.is_some_and(|job| job.job.contains("\"network\":\"vgg19\"")));
    assert_eq!(view.shown, Some(shown()));
    let worker = view.reports[&3];
    assert_eq!((worker.leg, worker.done, worker.of, worker.units_per_second), (1, 1 << 40, 1 << 41, 1e-7));
    for item in items(client, "a-run").await.iter().chain(&items(client, RUNS_KEY).await) {
        assert!(size(item) <= LARGEST_ITEM, "{} bytes: {item:?}", size(item));
        let AttributeValue::N(expires) = &item["expires"] else { panic!("{item:?}") };
        assert_eq!(expires.parse::<u64>().unwrap(), 1_795_000_000 + 90 * 86_400, "seconds, 90 days on");
    }
    assert_eq!(setup::view::runs(client, TABLE).await.unwrap()["a-run"].course(), Some(course()));
}

/// Of a run that is called as other things are, each item is its own.
async fn no_run_is_named_as_something_else(config: &SdkConfig, client: &Client) {
    let ids = ["runs", "run", "days", "probe", "index"];
    for id in ids {
        let facts = first_round(id, 2, 1);
        report(config, move |progress| tell(progress, &facts, START + 1)).await;
    }
    let listed = setup::view::runs(client, TABLE).await.unwrap();
    for id in ids {
        let view = View::read(client, TABLE, id).await.unwrap().expect("the run");
        assert_eq!((view.state.workers, view.state.stage), (2, listed[id].stage), "{id}");
        assert!(!listed.contains_key("stage#000001") && !listed.contains_key("job"), "{:?}", listed.keys());
    }
}

async fn a_report_overwrites_what_is_not_newer(config: &SdkConfig, client: &Client) {
    let facts = first_round("b-run", 2, 1);
    // A delayed report comes last: it is older, and may not undo newer data.
    for (known, at_ms) in
        [(3, START + 100), (facts.len(), START + 200), (facts.len(), START + 300), (4, START + 400)]
    {
        let facts = facts[..known].to_vec();
        report(config, move |progress| tell(progress, &facts, at_ms)).await;
    }
    let view = View::read(client, TABLE, "b-run").await.unwrap().unwrap();
    assert_eq!((view.state.stage, view.state.at_ms), (2, START + 300));
    assert!(view.stages[&1].ended_ms.is_some(), "the stage stays combined: {view:?}");
    // The id is used again, after the run's folder was removed: this run is newer.
    let again = vec![started("b-run", 3, Some(file()), START + 3_600_000)];
    report(config, move |progress| tell(progress, &again, START + 3_600_001)).await;
    let view = View::read(client, TABLE, "b-run").await.unwrap().unwrap();
    assert_eq!((view.state.workers, view.stages.len()), (3, 0), "and has no stage of the older one");
}

async fn the_widest_run_stays_within_an_items_size(config: &SdkConfig, client: &Client) {
    for (run, workers, legs) in [("wide", 1_000, 1), ("long", 64, 40)] {
        let facts = first_round(run, workers, legs);
        report(config, move |progress| tell(progress, &facts, START + 1)).await;
        let view = View::read(client, TABLE, run).await.unwrap().unwrap();
        let attempts: u32 = rows(&view.stages[&1].bars).iter().flatten().map(|bar| bar.attempts).sum();
        assert_eq!(attempts, workers * legs + 1, "every attempt is in a bar");
        for item in items(client, run).await {
            assert!(size(&item) <= LARGEST_ITEM, "{} bytes: {:?}", size(&item), item["sk"]);
        }
    }
}

async fn a_page_holds_a_thousand_workers_in_order(client: &Client) {
    for worker in (0..1_000).rev() {
        let put = client.put_item().table_name(TABLE).item("pk", AttributeValue::S("large".into()));
        let put = put.item("sk", AttributeValue::S(format!("worker#{worker:04}")));
        put.item("pad", AttributeValue::S("x".repeat(1_000))).send().await.unwrap();
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
    assert!(items(client, "#probe").await.is_empty());
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
    suite(config_of(&cloud).await).await;
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
    // One of them, as fast as it can: of 10,000 reports on itself and on the run, one each is written now,
    // the next after 500 s. A thousand such processes together write twice per second on workers, and twice
    // on the run.
    let mut options = Options::new(std::env::current_exe().unwrap());
    options.tables = vec![TABLE.into()];
    let cloud = LocalCloud::start(options).await.unwrap();
    let config = config_of(&cloud).await;
    let (run, ledger) = (RunId::new("wide").unwrap(), ledger("wide", 1_000));
    report(&config, move |progress| {
        for done in 0..10_000 {
            progress.ledger(&ledger, false, done);
            progress.worker(&WorkerReport {
                run: &run,
                workers: 1_000,
                stage: 1,
                worker: 0,
                leg: 0,
                done,
                of: 10_000,
                units_per_second: 1.0,
                now_ms: done,
                last: false,
            });
        }
    })
    .await;
    let found = items(&Client::new(&config), "wide").await;
    let keys: Vec<_> = found.iter().map(|item| item["sk"].as_s().unwrap().as_str()).collect();
    assert_eq!(keys, ["run", "worker#0000"]);
    assert_eq!(found[1]["done"], AttributeValue::N("0".into()), "the later ones were held back");
    assert_eq!(found[0]["at_ms"], AttributeValue::N("0".into()));
}
