//! One attempt at an event: the sandbox that serves it, its cost, and the consequence of its result.

use super::{DoorState, Job, Queue, State, failure};
use crate::{
    Kill,
    faults::{Draw, Plan},
    invocation::{Failed, FailedKind, Invocation, Outcome, Waiter},
    log::Source,
    sandbox::Sandbox,
    system::epoch_ms,
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

impl Queue {
    /// Serves one attempt, puts the sandbox back when it has asked for more, and acts on the result.
    ///
    /// The action comes last, so that the concurrency is free again when the caller has the answer.
    pub(super) async fn run(self: Arc<Self>, job: Job, idle: Option<Sandbox>) {
        let (outcome, sandbox) = self.attempt(&job.invocation, idle).await;
        let rested = match sandbox {
            Some(sandbox) if sandbox.stopped() => {
                self.runtime.spawn(sandbox.go_on_late(self.options.clone()));
                None
            }
            Some(sandbox) if sandbox.alive() => sandbox.rest().await.then_some(sandbox),
            _ => None,
        };
        {
            let mut state = self.state();
            let State { faults, dice, .. } = &mut *state;
            let recycled = dice.hit(Draw::Recycle, faults.recycle);
            if let Some(sandbox) = rested.filter(|_| !recycled && state.door == DoorState::Open) {
                state.idle.push(sandbox);
            }
            state.handles.retain(|handle| handle.process.alive());
            self.load.send_modify(|load| load.busy -= 1);
        }
        self.clone().settle(job, outcome);
        self.launch_what_fits(&mut self.state());
    }

    /// Makes one attempt, in the idle sandbox or a new one.
    async fn attempt(&self, invocation: &Invocation, idle: Option<Sandbox>) -> (Outcome, Option<Sandbox>) {
        let mut sandbox = match idle.filter(Sandbox::alive) {
            Some(sandbox) => sandbox,
            None => match self.cold_start().await {
                Ok(sandbox) => sandbox,
                Err(failed) => return (Outcome::Failed(failed), None),
            },
        };
        let plan = self.start_attempt();
        let id = &invocation.request_id;
        let pid = sandbox.pid();
        let say = |line: String| self.options.log.line(pid, Source::Platform, &line);
        say(format!("START RequestId: {id} Version: $LATEST"));
        let (start, started_ms) = (Instant::now(), epoch_ms());
        let outcome = sandbox.invoke(invocation, &self.options, plan).await;
        let took_ms = start.elapsed().as_micros().div_ceil(1000) as u64;
        if let Outcome::Failed(failed) = &outcome {
            say(String::from_utf8_lossy(&failed.payload).into_owned());
        }
        let (size, used) = (self.options.memory_mb, sandbox.peak_memory_mb());
        let report =
            format!("Billed Duration: {took_ms} ms Memory Size: {size} MB Max Memory Used: {used} MB");
        say(format!("END RequestId: {id}"));
        say(format!("REPORT RequestId: {id} {report}"));
        let State { counts, kills, .. } = &mut *self.state();
        counts.billed_ms += took_ms;
        counts.peak_memory_mb = counts.peak_memory_mb.max(used);
        counts.frozen += u64::from(sandbox.stopped());
        kills.extend(sandbox.killed_ms().map(|at_ms| Kill {
            request_payload: String::from_utf8_lossy(&invocation.payload).into_owned(),
            started_ms,
            at_ms,
        }));
        (outcome, Some(sandbox))
    }

    async fn cold_start(&self) -> Result<Sandbox, Failed> {
        let table = self.faults().table;
        let started = Sandbox::start(&self.options, &self.address, table).await;
        let sandbox = started.map_err(|error| {
            let message = format!("cannot start {}: {error}", self.options.program.display());
            Failed::new(FailedKind::Crashed, "Runtime.InvalidEntrypoint", message)
        })?;
        {
            let mut state = self.state();
            state.counts.cold_starts += 1;
            state.handles.push(sandbox.handle());
            if state.door != DoorState::Open {
                sandbox.handle().process.kill();
            }
        }
        sandbox.ready(&self.options).await.map(|()| sandbox)
    }

    fn start_attempt(&self) -> Plan {
        let State { faults, dice, counts, .. } = &mut *self.state();
        counts.invocations += 1;
        dice.plan(faults)
    }

    /// Puts an event back that has failed, after a wait.
    fn retry_after(self: Arc<Self>, wait: Duration, job: Job) {
        self.load.send_modify(|load| load.retrying += 1);
        let runtime = self.runtime.clone();
        runtime.spawn(async move {
            sleep(wait).await;
            self.load.send_modify(|load| load.retrying -= 1);
            self.put(Job { held_back: false, ..job });
        });
    }

    /// Draws the consequence of an attempt: the answer goes to its caller;
    /// an event that failed is tried again.
    fn settle(self: Arc<Self>, mut job: Job, outcome: Outcome) {
        let mut state = self.state();
        if let Outcome::Failed(failed) = &outcome {
            let counts = &mut state.counts;
            *match failed.kind {
                FailedKind::Error => &mut counts.errors,
                FailedKind::TimedOut => &mut counts.timeouts,
                FailedKind::Crashed => &mut counts.crashes,
                FailedKind::OutOfMemory => &mut counts.out_of_memory,
            } += 1;
        }
        match (job.waiter, outcome) {
            (Waiter::Owner(tell), outcome) => return drop(tell.send(outcome)),
            (Waiter::Caller(tell), outcome) => drop(tell.send(outcome)),
            (Waiter::Nobody, Outcome::Answered(_)) => {}
            (Waiter::Nobody, Outcome::Failed(failed)) => {
                match self.options.retry_waits.get(job.invocation.attempt) {
                    Some(&wait) => {
                        state.counts.retries += 1;
                        drop(state);
                        job.invocation.attempt += 1;
                        return self.retry_after(wait, Job { waiter: Waiter::Nobody, ..job });
                    }
                    None => state.failures.push(failure(&job.invocation, "RetriesExhausted", failed)),
                }
            }
        }
        drop(state);
        self.load.send_modify(|load| load.outstanding -= 1);
    }
}
