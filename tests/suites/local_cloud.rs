//! The local cloud with the real clients: `lambda_runtime` as the function, the AWS SDKs as the callers.

use std::{collections::HashMap, env, time::Duration};

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_dynamodb::{
    error::ProvideErrorMetadata,
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use aws_sdk_lambda::{operation::invoke::InvokeError, primitives::Blob, types::InvocationType};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use local_cloud::{Address, Faults, LocalCloud, Options};
use serde_json::{Value, json};

/// Not a test by itself: the local cloud starts this binary at this place as its function.
#[test]
fn function() -> Result<(), Error> {
    if env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(lambda_runtime::run(service_fn(handle)))
}

/// Answers, fails, panics, or invokes itself, with all settings from the environment as on AWS.
async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
    match event.payload["do"].as_str().unwrap_or("answer") {
        "answer" => {
            let left = event.context.deadline().duration_since(std::time::SystemTime::now())?;
            Ok(json!({
                "pid": std::process::id(),
                "id": event.context.request_id,
                "left_ms": left.as_millis() as u64,
                "memory_mb": event.context.env_config.memory,
            }))
        }
        "error" => Err("as told".into()),
        "panic" => panic!("as told"),
        "chain" => {
            let left = event.payload["left"].as_u64().unwrap_or(0);
            let config = plain_http().load().await;
            count(&config).await?;
            if left > 0 {
                let next = json!({ "do": "chain", "left": left - 1 }).to_string();
                let name = env::var("AWS_LAMBDA_FUNCTION_NAME")?;
                let call = aws_sdk_lambda::Client::new(&config).invoke().function_name(name);
                call.invocation_type(InvocationType::Event).payload(Blob::new(next)).send().await?;
            }
            Ok(json!({}))
        }
        other => Err(format!("unknown script {other:?}").into()),
    }
}

/// Counts the links of the chain in the table.
async fn count(config: &SdkConfig) -> Result<(), Error> {
    let call = aws_sdk_dynamodb::Client::new(config).update_item().table_name("t");
    let call = call.key("pk", text("chain")).key("sk", text("links"));
    call.update_expression("ADD links :one").expression_attribute_values(":one", number(1)).send().await?;
    Ok(())
}

fn plain_http() -> aws_config::ConfigLoader {
    let http = aws_smithy_http_client::Builder::new().build_http();
    aws_config::defaults(BehaviorVersion::latest()).http_client(http)
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn number(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

async fn start(change: impl FnOnce(&mut Options)) -> (LocalCloud, SdkConfig) {
    let mut options = Options::new(env::current_exe().unwrap());
    options.arguments = ["--exact", "function", "--nocapture"].map(String::from).to_vec();
    options.retry_waits = vec![Duration::from_millis(20), Duration::from_millis(40)];
    options.time_limit = Duration::from_secs(20);
    options.tables = vec!["t".into()];
    change(&mut options);
    let cloud = LocalCloud::start(options).await.unwrap();
    let Address { endpoint, token } = cloud.address();
    let token = Some(token.text().to_owned());
    let credentials = aws_sdk_lambda::config::Credentials::new("local", "local", token, None, "test");
    let loader = plain_http().endpoint_url(endpoint).region("us-east-1").credentials_provider(credentials);
    (cloud, loader.load().await)
}

async fn idle(cloud: &LocalCloud) {
    let ended = tokio::time::timeout(Duration::from_secs(30), cloud.idle()).await;
    ended.unwrap_or_else(|_| panic!("events did not end within 30 s: {:?}", cloud.status()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_invokes_and_lambda_runtime_answers() {
    let (cloud, config) = start(|options| options.memory_mb = 640).await;
    let lambda = aws_sdk_lambda::Client::new(&config);
    let call = |event: Value| {
        let call = lambda.invoke().function_name("baton").payload(Blob::new(event.to_string()));
        async { call.send().await.unwrap() }
    };
    let answer = call(json!({})).await;
    assert_eq!(
        (answer.status_code(), answer.function_error(), answer.executed_version()),
        (200, None, Some("$LATEST"))
    );
    let first: Value = serde_json::from_slice(answer.payload().unwrap().as_ref()).unwrap();
    assert_eq!(first["memory_mb"], 640);
    assert!((15_000..=20_000).contains(&first["left_ms"].as_u64().unwrap()), "{first}");

    let failed = call(json!({ "do": "error" })).await;
    assert_eq!((failed.status_code(), failed.function_error()), (200, Some("Unhandled")));
    assert!(String::from_utf8_lossy(failed.payload().unwrap().as_ref()).contains("as told"));
    // lambda_runtime catches a panic, and the process lives on.
    assert_eq!(call(json!({ "do": "panic" })).await.function_error(), Some("Unhandled"));
    let last: Value = serde_json::from_slice(call(json!({})).await.payload().unwrap().as_ref()).unwrap();
    assert_eq!(last["pid"], first["pid"]);
    assert_ne!(last["id"], first["id"]);
    assert_eq!((cloud.counts().errors, cloud.counts().cold_starts), (2, 1));

    let dry =
        lambda.invoke().function_name("baton").invocation_type(InvocationType::DryRun).send().await.unwrap();
    assert_eq!(dry.status_code(), 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_knows_every_refusal_of_invoke_by_its_type() {
    let (cloud, config) = start(|_| ()).await;
    let once = aws_sdk_lambda::config::retry::RetryConfig::disabled();
    let config = aws_sdk_lambda::config::Builder::from(&config).retry_config(once).build();
    let lambda = aws_sdk_lambda::Client::from_conf(config);
    let event = |name: &'static str, payload: Vec<u8>| {
        let call = lambda.invoke().function_name(name).invocation_type(InvocationType::Event);
        let call = call.payload(Blob::new(payload));
        async { call.send().await.unwrap_err().into_service_error() }
    };
    let missing = event("other", b"{}".to_vec()).await;
    assert!(matches!(missing, InvokeError::ResourceNotFoundException(_)), "{missing:?}");
    let damaged = event("baton", b"{".to_vec()).await;
    assert!(matches!(damaged, InvokeError::InvalidRequestContentException(_)), "{damaged:?}");
    let large = event("baton", format!("\"{}\"", "x".repeat(1 << 20)).into_bytes()).await;
    assert!(matches!(large, InvokeError::RequestTooLargeException(_)), "{large:?}");
    cloud.set_faults(Faults { throttle: 1.0, ..Faults::default() }).unwrap();
    let throttled = event("baton", b"{}".to_vec()).await;
    assert!(matches!(throttled, InvokeError::TooManyRequestsException(_)), "{throttled:?}");
    cloud.set_faults(Faults { lose_reply: 1.0, ..Faults::default() }).unwrap();
    let lost = event("baton", b"{}".to_vec()).await;
    assert!(matches!(lost, InvokeError::ServiceException(_)), "{lost:?}");
    idle(&cloud).await;
    assert_eq!((cloud.counts().accepted, cloud.counts().invocations), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_retries_a_lost_reply_and_so_doubles_the_event() {
    let (cloud, config) =
        start(|options| options.faults = Faults { seed: 3, lose_reply: 0.5, ..Faults::default() }).await;
    let call = aws_sdk_lambda::Client::new(&config).invoke().function_name("baton");
    let call = call.invocation_type(InvocationType::Event).payload(Blob::new("{}"));
    let mut accepted = 0;
    for _ in 0..8 {
        accepted += u64::from(call.clone().send().await.is_ok());
    }
    idle(&cloud).await;
    assert!(
        cloud.counts().accepted > accepted,
        "{:?} for {accepted} that the SDK saw accepted",
        cloud.counts()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_passes_the_lineage_on_and_the_chain_is_cut() {
    let chain = Blob::new(json!({ "do": "chain", "left": 30 }).to_string());
    for (allowed, links, cut) in [(false, "16", 1), (true, "31", 0)] {
        let (cloud, config) = start(|options| options.recursion_allowed = allowed).await;
        let call =
            aws_sdk_lambda::Client::new(&config).invoke().function_name("baton").payload(chain.clone());
        let accepted = call.invocation_type(InvocationType::Event).send().await.unwrap();
        assert_eq!(accepted.status_code(), 202);
        idle(&cloud).await;
        let tables = aws_sdk_dynamodb::Client::new(&config);
        let got =
            tables.get_item().table_name("t").key("pk", text("chain")).key("sk", text("links")).send().await;
        assert_eq!(got.unwrap().item().unwrap()["links"], AttributeValue::N(links.into()));
        assert_eq!((cloud.counts().recursions, cloud.failures().len()), (cut, cut as usize));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_reads_and_writes_tables() {
    let (_cloud, config) = start(|_| ()).await;
    let tables = aws_sdk_dynamodb::Client::new(&config);
    let item = |sk: &str| {
        HashMap::from([("pk".into(), text("run")), ("sk".into(), text(sk)), ("n".into(), number(1))])
    };
    for sk in ["worker#1", "worker#0", "run"] {
        let put = tables.put_item().table_name("t").set_item(Some(item(sk)));
        put.condition_expression("attribute_not_exists(pk)").send().await.unwrap();
    }
    let again = tables.put_item().table_name("t").set_item(Some(item("run")));
    let again = again.condition_expression("attribute_not_exists(pk)");
    let again = again.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    let refused = again.send().await.unwrap_err().into_service_error();
    let aws_sdk_dynamodb::operation::put_item::PutItemError::ConditionalCheckFailedException(refused) =
        refused
    else {
        panic!("{refused:?}")
    };
    assert_eq!(refused.item(), Some(&item("run")));

    let update = tables.update_item().table_name("t").key("pk", text("run")).key("sk", text("run"));
    let update = update.update_expression("SET #status = :running, n = if_not_exists(n, :one) + :one");
    let update = update.expression_attribute_names("#status", "status").return_values(ReturnValue::AllNew);
    let update = update.expression_attribute_values(":running", text("running"));
    let updated = update.expression_attribute_values(":one", number(1)).send().await.unwrap();
    assert_eq!(updated.attributes().unwrap()["n"], number(2));

    let query =
        tables.query().table_name("t").key_condition_expression("pk = :run AND begins_with(sk, :worker)");
    let query = query.expression_attribute_values(":run", text("run"));
    let query = query.expression_attribute_values(":worker", text("worker#")).limit(1);
    let mut pages = query.into_paginator().items().send();
    let mut found = Vec::new();
    while let Some(item) = pages.next().await {
        found.push(item.unwrap()["sk"].clone());
    }
    assert_eq!(found, [text("worker#0"), text("worker#1")]);

    let deleted = tables.delete_item().table_name("t").key("pk", text("run")).key("sk", text("run"));
    let deleted = deleted.return_values(ReturnValue::AllOld).send().await.unwrap();
    assert_eq!(deleted.attributes().unwrap()["status"], text("running"));

    let described = tables.describe_table().table_name("t").send().await.unwrap();
    assert_eq!(described.table().unwrap().key_schema().len(), 2);
    let missing = tables.describe_table().table_name("none").send().await.unwrap_err().into_service_error();
    assert!(missing.is_resource_not_found_exception(), "{missing:?}");
    let unknown = tables.scan().table_name("t").send().await.unwrap_err().into_service_error();
    assert_eq!(unknown.code(), Some("UnknownOperationException"));
}
