//! The Lambda function's process: environment to services to `lambda_runtime`, nothing else.

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use protocol::{Ceiling, Errand};
use serde_json::{Value, json};
use std::env;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use trainer::cloud::{DynamoProgress, LambdaInvoke, Names, NoProgress, S3Bucket, SystemClock};
use trainer::cloud::{configuration, probe};
use trainer::errand::{Bucket, Desk};
use trainer::handler::{handle, today};
use trainer::services::{Invocation, Ledgers, Notice, Progress, Services, Settings};

/// How long an answer may take to get out of a process that was told to end.
const ANSWER: Duration = Duration::from_millis(200);

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
    let function = Arc::new(Function::of_environment().await?);
    let serving = function.clone();
    tokio::select! {
        ended = lambda_runtime::run(service_fn(move |event| invoked(serving.clone(), event))) => ended,
        told = told_to_end(&function) => Ok(told?),
    }
}

/// Waits until the process is told to end and the event in hand is answered: its leg saves its place.
async fn told_to_end(function: &Function) -> std::io::Result<()> {
    let (mut terminate, mut interrupt, mut hangup) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hangup.recv() => {}
    }
    function.services.notice.give();
    if *function.busy.borrow() {
        // The sender lives in the function, so the wait cannot fail.
        let _ = function.busy.subscribe().wait_for(|busy| !busy).await;
        tokio::time::sleep(ANSWER).await;
    }
    Ok(())
}

async fn invoked(function: Arc<Function>, event: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
    let invocation = Invocation {
        id: event.context.request_id.clone(),
        arrived_ms: function.services.clock.now_ms(),
        deadline_ms: event.context.deadline,
        memory_mb: u32::try_from(event.context.env_config.memory).unwrap_or(0),
    };
    let span = span(&event.payload, &invocation);
    function.busy.send_replace(true);
    let busy = function.clone();
    let answer = tokio::task::spawn_blocking(move || {
        let _entered = span.enter();
        tracing::info!("begins");
        let answer = function.answer(&event.payload, &invocation);
        match &answer {
            Ok(reply) => tracing::info!(%reply, "ends"),
            Err(error) => tracing::error!(%error, "fails, to be delivered again"),
        }
        answer
    });
    let answer = answer.await;
    busy.busy.send_replace(false);
    match answer {
        Ok(Ok(reply)) => Ok(reply),
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

/// The function: the services of events and of errands.
struct Function {
    services: Services,
    bucket: Option<S3Bucket>,
    config: aws_config::SdkConfig,
    names: Names,
    /// Whether an event is in hand.
    busy: watch::Sender<bool>,
}

impl Function {
    async fn of_environment() -> Result<Function, lambda_runtime::Error> {
        let config = configuration().await;
        let names = Names {
            function: env::var("AWS_LAMBDA_FUNCTION_NAME")?,
            watchdog: name("BATON_WATCHDOG"),
            table: name("BATON_TABLE"),
            bucket: name("BATON_BUCKET"),
        };
        let bucket = names.bucket.clone().map(|name| S3Bucket::new(&config, name, Handle::current()));
        let services = services(&config, &names)?;
        Ok(Function { services, bucket, config, names, busy: watch::Sender::new(false) })
    }

    fn answer(&self, payload: &Value, invocation: &Invocation) -> Result<Value, trainer::Error> {
        match Errand::from_value(payload) {
            Ok(None) => {
                let reply = handle(&self.services, payload.to_string().as_bytes(), invocation)?;
                Ok(reply.to_json().clone())
            }
            Ok(Some(errand)) => self.carry_out(&errand, invocation),
            Err(refused) => Ok(json!({"refused": refused.to_string()})),
        }
    }

    /// The services that are reached, and the operator's ceiling.
    fn probe(&self) -> Value {
        let mut found = Handle::current().block_on(probe(&self.config, &self.names));
        found["ceiling"] = match today(&self.services) {
            Ok(day) => json!(day),
            Err(error) => json!({"ok": false, "why": error.to_string()}),
        };
        found
    }

    fn carry_out(&self, errand: &Errand, invocation: &Invocation) -> Result<Value, trainer::Error> {
        let desk = Desk {
            root: &self.services.root,
            bucket: self.bucket.as_ref().map(|bucket| bucket as &dyn Bucket),
            probe: &|| self.probe(),
            now_ms: &|| self.services.clock.now_ms(),
            deadline_ms: invocation.deadline_ms,
        };
        match desk.carry_out(errand) {
            Err(error) if error.fate() != trainer::Fate::Retry => Ok(json!({"refused": error.to_string()})),
            answer => answer,
        }
    }
}

/// The services, configured by the environment.
fn services(config: &aws_config::SdkConfig, names: &Names) -> Result<Services, lambda_runtime::Error> {
    let root = env::var("BATON_ROOT").unwrap_or_else(|_| "/mnt/baton".into());
    let progress: Box<dyn Progress> = match &names.table {
        Some(table) => Box::new(DynamoProgress::new(config, table.clone(), Handle::current())),
        None => Box::new(NoProgress),
    };
    let (function, watchdog) = (names.function.clone(), names.watchdog.clone());
    Ok(Services {
        root: storage::Root::open(root)?,
        invoke: Box::new(LambdaInvoke::new(config, function, watchdog, Handle::current())),
        progress,
        clock: Box::new(SystemClock),
        workloads: workloads::all(),
        settings: Settings {
            threads: number("BATON_THREADS")?
                .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
            ceiling: ceiling()?,
            lock_wait: Duration::from_secs(30),
            patience_ms: number("BATON_PATIENCE_MS")?.unwrap_or(180_000),
        },
        ledgers: Ledgers::default(),
        notice: Notice::default(),
    })
}

/// The operator's ceiling; 0 is no bound.
fn ceiling() -> Result<Ceiling, lambda_runtime::Error> {
    let dollars = |key| match number::<f64>(key)? {
        Some(bad) if !bad.is_finite() || bad < 0.0 => Err(refused(key, &bad.to_string(), "dollars")),
        found => Ok(found.filter(|dollars| *dollars > 0.0)),
    };
    let count = |key| number::<u32>(key).map(|found| found.filter(|count| *count > 0));
    Ok(Ceiling {
        dollars_per_run: dollars("BATON_MAX_DOLLARS_PER_RUN")?,
        dollars_per_day: dollars("BATON_MAX_DOLLARS_PER_DAY")?,
        workers: count("BATON_MAX_WORKERS")?,
        active_runs: count("BATON_MAX_ACTIVE_RUNS")?,
    })
}

/// A name from the environment, unless it is missing or empty.
fn name(key: &str) -> Option<String> {
    env::var(key).ok().filter(|name| !name.is_empty())
}

/// A number from the environment, unless it is missing.
fn number<T: std::str::FromStr>(key: &str) -> Result<Option<T>, lambda_runtime::Error> {
    let Some(text) = name(key) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| refused(key, &text, "a number"))
}

fn refused(key: &str, found: &str, expected: &str) -> lambda_runtime::Error {
    json!({"key": key, "found": found, "expected": expected}).to_string().into()
}
