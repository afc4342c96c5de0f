//! `baton start` and `baton stop`: an event to the function, local or on AWS.

use crate::Failure;
use crate::cloud::{Cloud, FUNCTION};
use protocol::{Event, Fact, Job, Ledger, Reason, RunId, StartEvent};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;
use storage::{FactLog, Root};
use terminal::{note, say};

/// How long to wait for the ledger's lock.
const LOCK: Duration = Duration::from_secs(30);

/// Starts a run, or makes one that exists move.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    baton start --root efs --job job.json --run my-run --workers 4   on the local cloud\n  \
    baton start --run my-run   makes a run on AWS that stands still move")]
pub struct Start {
    /// The folder of a local cloud; without it AWS is asked, with the SDK's own credentials.
    #[arg(long)]
    pub root: Option<PathBuf>,
    /// The job; without it the function takes job.json at the root of its file system.
    #[arg(long)]
    pub job: Option<PathBuf>,
    /// The run's id; without it one is made from the time.
    #[arg(long)]
    pub run: Option<String>,
    /// Number of workers.
    #[arg(long)]
    pub workers: Option<u32>,
    /// The function's name.
    #[arg(long, default_value = FUNCTION)]
    pub function: String,
    /// Only print the event, for the test console.
    #[arg(long)]
    pub print: bool,
}

/// Ends a run with its best model so far.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  baton stop --root efs --run my-run")]
pub struct Stop {
    /// The folder of a local cloud; without it AWS is asked, with the SDK's own credentials.
    #[arg(long)]
    pub root: Option<PathBuf>,
    /// The run; without it the current one.
    #[arg(long)]
    pub run: Option<String>,
    /// The function's name.
    #[arg(long, default_value = FUNCTION)]
    pub function: String,
}

impl Start {
    /// Sends the event and prints the answer.
    ///
    /// # Errors
    /// In words: a job or id that is not allowed, or the cloud's error.
    pub async fn run(&self) -> Result<(), Failure> {
        let event = event(self.job.as_deref(), self.run.as_deref(), self.workers, false)?;
        if self.print {
            say!("{}", event.to_json());
            return Ok(());
        }
        let cloud = Cloud::find(self.root.as_deref()).await?;
        match cloud.ask(&self.function, &event).await? {
            Some(reply) => answer(&reply),
            None => {
                let event = named(event);
                cloud.queue(&self.function, &event).await?;
                queued(event.run());
                Ok(())
            }
        }
    }
}

impl Stop {
    /// Sends the event and prints the answer.
    ///
    /// # Errors
    /// In words: an id that is not allowed, or the cloud's error.
    pub async fn run(&self) -> Result<(), Failure> {
        let run = run_id(self.run.as_deref())?;
        let cloud = Cloud::find(self.root.as_deref()).await?;
        let event = Event::Stop { run };
        if let Some(reply) = cloud.ask(&self.function, &event).await? {
            return answer(&reply);
        }
        // The function has no room: this command writes the fact into the ledger itself, and workers look
        // there.
        if let (Some(root), Some(run)) = (&self.root, event.run()) {
            close(root, run)?;
        }
        cloud.queue(&self.function, &event).await?;
        queued(event.run());
        Ok(())
    }
}

/// A start with an id of its own: an event in a queue can be delivered twice.
fn named(event: Event) -> Event {
    match event {
        Event::Start(StartEvent { run: None, workers, job, force }) => {
            Event::Start(StartEvent { run: Some(RunId::from_time(crate::now_ms())), workers, job, force })
        }
        event => event,
    }
}

/// Settles the end of a run in its ledger, if it is not settled yet.
fn close(root: &Path, run: &RunId) -> Result<(), Failure> {
    let log = FactLog::<Fact>::open(Root::open(root)?.run(run).ledger())?;
    log.update(LOCK, |facts| {
        let ledger = Ledger::fold(facts.iter().cloned()).map_err(Failure::input)?;
        let Some(ledger) = ledger else {
            return Err(Failure::input(format!("run {run} has an empty ledger: start it again")));
        };
        let (invocation, at_ms) = ("baton stop".into(), crate::now_ms());
        let closed = Fact::Closed { why: Reason::Stopped, invocation, at_ms };
        Ok((if ledger.over.is_some() { Vec::new() } else { vec![closed] }, ()))
    })
}

/// Reports that an event waits for room.
fn queued(run: Option<&RunId>) {
    note!("baton: the function has no room now; the platform delivers the event as soon as it has");
    say!("{}", serde_json::json!({"queued": true, "run": run}));
}

/// A `start` event from the command line's values.
///
/// # Errors
/// In words: the job's file, key or value that is not allowed.
pub fn event(
    job: Option<&Path>,
    run: Option<&str>,
    workers: Option<u32>,
    force: bool,
) -> Result<Event, Failure> {
    let job = job.map(read_job).transpose()?.map(Box::new);
    let start = StartEvent { workers, run: run_id(run)?, job, force };
    // Through the parser: only the parser knows the ranges of an event.
    Event::from_value(Event::Start(start).to_json()).map_err(Failure::input)
}

/// Reads and checks a job.
///
/// # Errors
/// In words: the file, and the key that is not allowed.
pub fn read_job(path: &Path) -> Result<Job, Failure> {
    let text = std::fs::read(path).map_err(Failure::io("read", path))?;
    let refused = |error: &dyn Display| Failure::input(format!("{}: {error}", path.display()));
    let job = Job::parse(&text).map_err(|error| refused(&error))?;
    let workloads = workloads::all();
    workloads.find(&job).and_then(|workload| workload.check(&job)).map_err(|error| refused(&error))?;
    Ok(job)
}

fn run_id(run: Option<&str>) -> Result<Option<RunId>, Failure> {
    run.map(RunId::new).transpose().map_err(Failure::input)
}

/// Prints the function's answer; a refusal is an error, and so is what no function of Baton says.
pub(crate) fn answer(reply: &str) -> Result<(), Failure> {
    let value = match serde_json::from_str(reply) {
        Ok(value @ serde_json::Value::Object(_)) => value,
        _ => {
            let begins: String = reply.chars().take(120).collect();
            let why = "is there a log-in page, or a proxy, between?";
            return Err(Failure::from(format!("what answered is no function of Baton ({begins:?}): {why}")));
        }
    };
    say!("{reply}");
    match value.get("refused").and_then(|why| why.as_str()) {
        Some(why) => Err(Failure::input(format!("refused: {why}"))),
        None => Ok(()),
    }
}
