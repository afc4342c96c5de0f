//! Tests the function's connections: Lambda, its watchdog, the table and the bucket, each with a harmless
//! request.

use super::client::words;
use aws_config::SdkConfig;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_lambda::types::InvocationType;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long to wait for each service.
const PATIENCE: Duration = Duration::from_secs(8);

/// The names of the function's services; a missing one is not tested.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// The function itself.
    pub function: String,
    /// The function that switches the watchdog.
    pub watchdog: Option<String>,
    /// The table.
    pub table: Option<String>,
    /// The bucket.
    pub bucket: Option<String>,
}

/// Asks every service and returns for each whether it answered, how fast, or why not.
pub async fn probe(config: &SdkConfig, names: &Names) -> Value {
    let lambda = aws_sdk_lambda::Client::new(config);
    let mut found = json!({"lambda": ask(dry_run(&lambda, &names.function)).await});
    if let Some(watchdog) = &names.watchdog {
        found["watchdog"] = ask(dry_run(&lambda, watchdog)).await;
    }
    if let Some(table) = &names.table {
        found["table"] = ask(table_answers(config, table)).await;
    }
    if let Some(bucket) = &names.bucket {
        let bucket = super::S3Bucket::new(config, bucket.clone(), tokio::runtime::Handle::current());
        found["bucket"] = ask(bucket.touch("runs/.probe")).await;
    }
    found
}

async fn ask(question: impl Future<Output = Result<(), String>>) -> Value {
    let begun = Instant::now();
    match tokio::time::timeout(PATIENCE, question).await {
        Ok(Ok(())) => json!({"ok": true, "ms": begun.elapsed().as_millis() as u64}),
        Ok(Err(why)) => json!({"ok": false, "why": why}),
        Err(_) => json!({"ok": false, "why": format!("no answer within {} s", PATIENCE.as_secs())}),
    }
}

/// An invocation that is checked but not carried out.
async fn dry_run(lambda: &aws_sdk_lambda::Client, function: &str) -> Result<(), String> {
    let call = lambda.invoke().function_name(function).invocation_type(InvocationType::DryRun);
    call.send().await.map(drop).map_err(words)
}

/// A write under a condition that never holds: nothing is written, and the answer shows that it could have
/// been.
async fn table_answers(config: &SdkConfig, table: &str) -> Result<(), String> {
    let key = |text: &str| AttributeValue::S(text.into());
    let put = aws_sdk_dynamodb::Client::new(config).put_item().table_name(table);
    let put = put.item("pk", key("#probe")).item("sk", key("probe"));
    match put.condition_expression("attribute_exists(pk)").send().await {
        Ok(_) => Ok(()),
        Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
            Ok(())
        }
        Err(error) => Err(words(error)),
    }
}
