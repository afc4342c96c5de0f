//! The handler of one event, from parsing to reply.
//!
//! ```text
//! parse ─ decide under the lock ─ work outside it ─ publish ─ record under the lock
//!       ─ send what is due ─ report
//! ```

mod ceiling;
mod combine;
mod finish;
mod leg;
mod lookout;
mod pace;
mod reply;
#[cfg(test)]
mod sandbox;
mod start;
mod tick;
mod turn;
mod worker;

pub use ceiling::today;
pub use reply::Reply;

use crate::services::{Invocation, Services};
use crate::{Error, Fate};
use protocol::{Decision, Event, Ledger, RunId, Target};
use turn::Turn;
use work::Stage;

/// Carries out one event.
///
/// # Errors
/// Only those whose [`Fate`] is [`Fate::Retry`]: the platform must deliver the event again, and keeps what
/// has failed as often as it tries. What is no event of ours at all is one of these. Everything else is
/// answered.
pub fn handle(services: &Services, payload: &[u8], invocation: &Invocation) -> Result<Reply, Error> {
    let reply = Event::parse(payload).map_err(Error::from).and_then(|event| match &event {
        Event::Start(start) => start::start(services, start, &event, invocation),
        Event::Tick { run: None } => tick::tick_all(services, &event, invocation),
        _ => {
            let run = current_run(services, &event)?;
            act(Turn::open(services, invocation, &run)?, &event)
        }
    });
    services.progress.flush();
    match reply {
        Err(error) if error.fate() != Fate::Retry => Ok(Reply::refused(error.to_string())),
        reply => reply,
    }
}

/// Carries out the ledger's decision on an event.
fn act(turn: Turn<'_>, event: &Event) -> Result<Reply, Error> {
    let (decision, ledger) = turn.decide(event)?;
    match decision {
        Decision::Work(target) => {
            let done = match target.worker {
                Some(worker) => worker::leg(&turn, ledger, target, worker),
                None if ledger.over.is_some() => finish::leg(&turn, ledger, target),
                None => combine::combine(&turn, ledger, target),
            };
            halt_or_retry(&turn, target, done)
        }
        Decision::Close(reason) => turn.close(reason),
        Decision::Cut(why) => turn.cut(why),
        Decision::End(ending) => turn.end(&ledger, ending),
        Decision::Reopen => turn.reopen(&ledger),
        Decision::Resend(targets) => turn.send(&ledger, &targets),
        Decision::Wait(why) | Decision::Ignore(why) => Ok(Reply::ignored(why)),
        Decision::Ahead(why) => Err(Error::Ahead(why)),
    }
}

/// A run that cannot continue is closed as failed, with its best model so far. An end that cannot be scored
/// continues without scores. Trouble that may pass is recorded as well: if the run is given up after many
/// tries, this is the reason.
fn halt_or_retry(turn: &Turn<'_>, target: Target, done: Result<Reply, Error>) -> Result<Reply, Error> {
    match &done {
        Err(error) if error.fate() == Fate::Halt => turn.halt(target, error),
        Err(error) if error.is_lasting() => {
            turn.hindered(target, error);
            done
        }
        _ => done,
    }
}

/// A stage of a run, as its workload sees it.
fn stage<'a>(services: &'a Services, ledger: &'a Ledger, number: u32) -> Stage<'a> {
    Stage {
        root: &services.root,
        run: &ledger.run,
        job: &ledger.job,
        course: &ledger.course,
        number,
        workers: ledger.workers.len() as u32,
        features: &ledger.features,
        state: ledger.last.as_ref().and_then(|last| last.state.as_ref()),
        threads: services.settings.threads,
    }
}

/// The run of an event: the one it names, or the one that was started last.
fn current_run(services: &Services, event: &Event) -> Result<RunId, Error> {
    if let Some(run) = event.run() {
        return Ok(run.clone());
    }
    match start::runs(services)?.pop() {
        Some(run) => Ok(run),
        None => Err(Error::NoRun { found: "none, and no run was ever started".into() }),
    }
}
