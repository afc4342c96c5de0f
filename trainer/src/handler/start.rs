//! `start`: begin a run, or make one that exists move.

use super::{Reply, Turn, act, ceiling};
use crate::Error;
use crate::services::{Invocation, Services};
use protocol::{Event, Fact, Job, LEDGER_SCHEMA, Ledger, Need, RunId, StartEvent};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use storage::{FactLog, Record};
use work::Plan;

/// Workers of a run when neither the event nor the job says.
const WORKERS: u32 = 5;

pub(super) fn start(
    services: &Services,
    start: &StartEvent,
    event: &Event,
    invocation: &Invocation,
) -> Result<Reply, Error> {
    let (Plan { job, course, features }, workers) = match plan(services, start) {
        Ok(plan) => plan,
        Err(error) => {
            // A run that exists moves on even if its data set could not be planned with again.
            let Some(run) = &start.run else { return Err(error) };
            let turn = match Turn::open(services, invocation, run) {
                Err(Error::NoRun { .. }) => return Err(error),
                opened => opened?,
            };
            watch(services, true);
            // For a run without a fact the only answer is why it cannot be planned.
            return act(turn, event).map_err(|acted| match acted {
                Error::NoRun { .. } => error,
                acted => acted,
            });
        }
    };
    let at_ms = services.clock.now_ms();
    let run = enlist(services, start, invocation, at_ms, |run| {
        services.settings.ceiling.check(&job, workers)?;
        let need = Need::of_start(run, workers, &invocation.lease(at_ms));
        admit(services, invocation, &need)
    })?;
    let first = Fact::Started {
        schema: LEDGER_SCHEMA,
        run: run.clone(),
        job,
        course,
        workers,
        features,
        invocation: invocation.id.clone(),
        at_ms,
    };
    let folder = services.root.run(&run);
    folder.create()?;
    let (log, new) = FactLog::create(folder.ledger(), &first, services.settings.lock_wait)?;
    let turn = Turn::with(services, invocation, &run, log);
    // After the ledger exists and before anything is sent; `tick` switches it off.
    watch(services, true);
    if !new {
        same_job(&turn, start, &first)?;
        return act(turn, event);
    }
    services.progress.facts(&run, std::slice::from_ref(&first));
    let ledger = Arc::new(Ledger::start(first)?);
    services.progress.ledger(&ledger, true, at_ms);
    turn.send(&ledger, &ledger.due())
}

/// Takes a run among those that are active, if the operator allows one more. Who ended another may have died
/// before that was told, and who started one before there was a ledger: who is refused looks.
fn admit(services: &Services, invocation: &Invocation, need: &Need) -> Result<(), Error> {
    match ceiling::admit(services, need) {
        Err(Error::Ceiling(_)) => {}
        admitted => return admitted,
    }
    for run in ceiling::active(services)? {
        match Turn::open(services, invocation, &run).and_then(|turn| turn.read()) {
            Ok(ledger) if ledger.ending.is_some() => ceiling::settle(services, &ledger)?,
            Err(Error::NoRun { .. }) => ceiling::forget(services, &run)?,
            _ => {}
        }
    }
    ceiling::admit(services, need)
}

/// The plan of the run and its number of workers, after a check of everything that its job names.
fn plan(services: &Services, start: &StartEvent) -> Result<(Plan, u32), Error> {
    let job = match &start.job {
        Some(job) => job.clone(),
        None => Box::new(default_job(services)?),
    };
    let workers = start.workers.or(job.workers).unwrap_or(WORKERS);
    Ok((services.workloads.find(&job)?.plan(&services.root, &job, workers)?, workers))
}

fn default_job(services: &Services) -> Result<Job, Error> {
    let (text, _) = storage::read_whole(&services.root.job_json()).map_err(|error| match error {
        storage::Error::Missing { .. } => {
            protocol::Error::refused("job", format!("none, and {error}"), "a job in the event or there")
                .into()
        }
        trouble => Error::from(trouble),
    })?;
    Ok(Job::parse(&text)?)
}

/// A run's job and its number of workers are fixed: a start with others is refused.
fn same_job(turn: &Turn<'_>, start: &StartEvent, first: &Fact) -> Result<(), Error> {
    let Fact::Started { job, .. } = first else { return Ok(()) };
    let ledger = turn.read()?;
    if start.job.is_some() && ledger.job != **job {
        let expected = "the job that the run was started with, or no job, or another run id";
        let found = format!("another job than run {} has", ledger.run);
        return Err(protocol::Error::refused("job", found, expected).into());
    }
    let has = ledger.workers.len();
    match start.workers {
        Some(workers) if workers as usize != has => {
            let expected = format!("{has}, as run {} was started with, or another run id", ledger.run);
            Err(protocol::Error::refused("workers", workers.to_string(), expected).into())
        }
        _ => Ok(()),
    }
}

/// One start in the index of runs. The last one's run is the current run.
#[derive(Serialize, Deserialize)]
struct Enlisted {
    run: RunId,
    /// The invocation that started it: its redelivery, which has the same, means the same run.
    invocation: String,
}

impl Record for Enlisted {
    const SCHEMA: u32 = 1;
}

/// Adds a run to the index if it is admitted, and names it if the event did not.
fn enlist(
    services: &Services,
    start: &StartEvent,
    invocation: &Invocation,
    now_ms: u64,
    admit: impl FnOnce(&RunId) -> Result<(), Error>,
) -> Result<RunId, Error> {
    let index = FactLog::<Enlisted>::from(services.root.runs_index()?);
    index.update(services.settings.lock_wait, |runs| {
        let ours = |entry: &&Enlisted| match &start.run {
            Some(run) => entry.run == *run,
            None => entry.invocation == invocation.id,
        };
        if let Some(entry) = runs.iter().find(ours) {
            return Ok((Vec::new(), entry.run.clone()));
        }
        let run = start.run.clone().unwrap_or_else(|| RunId::from_time(now_ms));
        admit(&run)?;
        Ok::<_, Error>((vec![Enlisted { run: run.clone(), invocation: invocation.id.clone() }], run))
    })
}

/// All runs in the order of their starts.
pub(super) fn runs(services: &Services) -> Result<Vec<RunId>, Error> {
    let index = FactLog::<Enlisted>::from(services.root.runs_index()?);
    let entries = index.read(services.settings.lock_wait)?;
    Ok(entries.into_iter().map(|entry| entry.run).collect())
}

/// Switches the watchdog. If this fails the run goes on: lost events are rare, and a `start` tries again.
pub(super) fn watch(services: &Services, on: bool) {
    if let Err(error) = services.invoke.watch(on) {
        tracing::warn!(on, %error, "the watchdog was not switched");
    }
}
