//! The Lambda function's process: environment to services to `lambda_runtime`, nothing else.

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::{Value, json};
use std::env;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use trainer::cloud::{DynamoProgress, LambdaInvoke, NoProgress, SystemClock, configuration};
use trainer::handler::handle;
use trainer::services::{Invocation, Learning, Ledgers, Progress, Services, Settings};

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_env_filter(tracing_subscriber::EnvFilter::new(
            env::var("BATON_LOG").unwrap_or_else(|_| "info,lambda_runtime=warn".into()),
        ))
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let services = Arc::new(services().await?);
    lambda_runtime::run(service_fn(move |event| invoked(services.clone(), event))).await
}

async fn invoked(services: Arc<Services>, event: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
    let invocation = Invocation {
        id: event.context.request_id.clone(),
        deadline_ms: event.context.deadline,
        memory_mb: u32::try_from(event.context.env_config.memory).unwrap_or(0),
    };
    let payload = event.payload.to_string();
    let span = span(&event.payload, &invocation);
    let answer = tokio::task::spawn_blocking(move || {
        let _entered = span.enter();
        tracing::info!("begins");
        let answer = handle(&services, payload.as_bytes(), &invocation);
        match &answer {
            Ok(reply) => tracing::info!(reply = %reply.to_json(), "ends"),
            Err(error) => tracing::error!(%error, "fails, to be delivered again"),
        }
        answer
    });
    match answer.await {
        Ok(Ok(reply)) => Ok(reply.to_json().clone()),
        Ok(Err(error)) => {
            Err(Diagnostic { error_type: error.kind().into(), error_message: error.to_string() })
        }
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// Run, stage, worker and leg, on every line that is logged for an event.
fn span(event: &Value, invocation: &Invocation) -> tracing::Span {
    let field = |key: &str| event.get(key).map_or(String::new(), |value| value.to_string().replace('"', ""));
    tracing::info_span!(
        "event",
        run = field("run"),
        stage = field("stage"),
        worker = field("workerno"),
        leg = field("leg"),
        invocation = invocation.id,
    )
}

/// The services as the environment says.
async fn services() -> Result<Services, lambda_runtime::Error> {
    let root = env::var("BATON_ROOT").unwrap_or_else(|_| "/mnt/baton".into());
    let function = env::var("AWS_LAMBDA_FUNCTION_NAME")?;
    let config = configuration().await;
    let progress: Box<dyn Progress> = match env::var("BATON_TABLE") {
        Ok(table) if !table.is_empty() => Box::new(DynamoProgress::new(&config, table, Handle::current())),
        _ => Box::new(NoProgress),
    };
    Ok(Services {
        root: storage::Root::open(root)?,
        invoke: Box::new(LambdaInvoke::new(&config, function, Handle::current())),
        progress,
        clock: Box::new(SystemClock),
        learner: Box::new(Learning),
        settings: Settings {
            threads: number("BATON_THREADS")?
                .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
            lock_wait: Duration::from_secs(30),
            patience_ms: number("BATON_PATIENCE_MS")?.unwrap_or(180_000),
        },
        ledgers: Ledgers::default(),
    })
}

/// A number from the environment, if it is there.
fn number<T: std::str::FromStr>(key: &str) -> Result<Option<T>, lambda_runtime::Error> {
    let Ok(text) = env::var(key) else { return Ok(None) };
    let refused = || json!({"key": key, "found": text, "expected": "a whole number"}).to_string();
    text.parse().map(Some).map_err(|_| refused().into())
}
