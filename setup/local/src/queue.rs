//! The event queue: which event runs when and in which process, what is retried, and what is given up.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::body::Bytes;
use tokio::{
    runtime,
    sync::{oneshot, watch},
    time::{Instant, sleep},
};

use crate::{
    Counts, Error, Failure, Faults, Kill, LiveProcess, Options, Status,
    faults::{Dice, Draw, Plan},
    invocation::{Failed, FailedKind, Invocation, Outcome, Waiter, epoch_ms},
    lineage::Trace,
    log::Source,
    sandbox::{Handle, Sandbox},
};

/// The largest event: 1 MB. The largest request that waits for its answer: 6 MB.
pub(crate) const LARGEST_EVENT: usize = 1 << 20;
pub(crate) const LARGEST_REQUEST: usize = 6 << 20;

/// The queue and everything that serves it.
#[derive(Debug)]
pub(crate) struct Queue {
    options: Options,
    endpoint: String,
    runtime: runtime::Handle,
    state: Mutex<State>,
    load: watch::Sender<Load>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Load {
    /// Events accepted and not yet ended, those that wait for a retry included.
    outstanding: usize,
    /// Sandboxes at work, or between an answer and the next poll.
    busy: usize,
}

#[derive(Debug)]
struct State {
    faults: Faults,
    dice: Dice,
    waiting: VecDeque<Job>,
    idle: Vec<Sandbox>,
    handles: Vec<Handle>,
    counts: Counts,
    failures: Vec<Failure>,
    kills: Vec<Kill>,
    closed: bool,
}

#[derive(Debug)]
struct Job {
    invocation: Invocation,
    waiter: Waiter,
    /// Whether it already counts as requeued.
    held_back: bool,
}

/// Why a request that would wait for its answer is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// All of the concurrency is in use.
    Throttled,
    /// The chain is too long.
    Recursive,
    /// The local cloud is shutting down.
    Closed,
}

impl Queue {
    pub(crate) fn new(options: Options, endpoint: String) -> Arc<Self> {
        let state = State {
            faults: options.faults.clone(),
            dice: Dice::new(options.faults.seed),
            waiting: VecDeque::new(),
            idle: Vec::new(),
            handles: Vec::new(),
            counts: Counts::default(),
            failures: Vec::new(),
            kills: Vec::new(),
            closed: false,
        };
        let (state, load) = (Mutex::new(state), watch::Sender::new(Load::default()));
        Arc::new(Self { options, endpoint, runtime: runtime::Handle::current(), state, load })
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// Takes an event, to be delivered at least once, and gives its request id.
    pub(crate) fn event(
        self: &Arc<Self>,
        payload: Bytes,
        trace_header: Option<&str>,
    ) -> Result<String, Error> {
        let invocation = Invocation::new(payload, Trace::of(trace_header, &self.options.function));
        let id = invocation.request_id.clone();
        let mut state = self.state();
        if state.closed {
            return Err(Error::Closed);
        }
        state.counts.accepted += 1;
        if invocation.trace.too_long() && !self.options.recursion_allowed {
            state.counts.recursions += 1;
            let failed = Failed::new(FailedKind::Error, RECURSIVE, RECURSIVE_MESSAGE.into());
            state.failures.push(failure(&invocation, RECURSIVE, failed));
            return Ok(id);
        }
        let State { faults, dice, counts, .. } = &mut *state;
        let dropped = dice.hit(Draw::Drop, faults.drop);
        let duplicate = dice.hit(Draw::Duplicate, faults.duplicate);
        let delayed = dice.hit(Draw::Delay, faults.delay);
        let delay = dice.within_ms(Draw::DelayMs, faults.delay_ms);
        counts.dropped += u64::from(dropped);
        counts.duplicates += u64::from(duplicate && !dropped);
        drop(state);
        let copies = if dropped { 0 } else { 1 + usize::from(duplicate) };
        for copy in 0..copies {
            let wait = if delayed && copy == 0 { delay } else { Duration::ZERO };
            self.load.send_modify(|load| load.outstanding += 1);
            self.put_after(
                wait,
                Job { invocation: invocation.clone(), waiter: Waiter::Nobody, held_back: false },
            );
        }
        Ok(id)
    }

    /// Takes a request whose sender waits; it runs at once or not at all, and once.
    pub(crate) fn call(
        self: &Arc<Self>,
        payload: Bytes,
        trace_header: Option<&str>,
    ) -> Result<(String, oneshot::Receiver<Outcome>), Refusal> {
        let invocation = Invocation::new(payload, Trace::of(trace_header, &self.options.function));
        let id = invocation.request_id.clone();
        let (tell, told) = oneshot::channel();
        let job = Job { invocation, waiter: Waiter::Caller(tell), held_back: false };
        let mut state = self.state();
        if state.closed {
            return Err(Refusal::Closed);
        }
        if job.invocation.trace.too_long() && !self.options.recursion_allowed {
            state.counts.recursions += 1;
            return Err(Refusal::Recursive);
        }
        if self.load.borrow().busy >= self.options.concurrency {
            state.counts.throttles += 1;
            return Err(Refusal::Throttled);
        }
        state.counts.accepted += 1;
        self.load.send_modify(|load| load.outstanding += 1);
        self.launch(&mut state, job);
        Ok((id, told))
    }

    /// Whether the faults want this Invoke answered 429, and whether they want its reply lost.
    pub(crate) fn invoke_faults(&self) -> (bool, bool) {
        let State { faults, dice, counts, .. } = &mut *self.state();
        let throttled = dice.hit(Draw::Throttle, faults.throttle);
        let lost = dice.hit(Draw::LoseReply, faults.lose_reply);
        counts.throttles += u64::from(throttled);
        (throttled, lost)
    }

    pub(crate) fn faults(&self) -> Faults {
        self.state().faults.clone()
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        let mut state = self.state();
        state.dice = Dice::new(faults.seed);
        state.faults = faults;
    }

    /// Waits until no event is queued, running, or waiting for a retry.
    pub(crate) async fn idle(&self) {
        // The sender lives in this very struct, so the wait cannot fail.
        let _ = self.load.subscribe().wait_for(|load| load.outstanding == 0).await;
    }

    /// Ends every process and takes no more events.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.waiting.clear();
        state.idle.clear();
        state.handles.iter().for_each(|handle| handle.process.kill());
    }

    /// Waits until the processes of a closed queue are gone.
    pub(crate) async fn ended(&self) {
        let _ = self.load.subscribe().wait_for(|load| load.busy == 0).await;
        let handles = std::mem::take(&mut self.state().handles);
        for handle in handles {
            handle.process.exited().await;
        }
    }

    pub(crate) fn status(&self) -> Status {
        let state = self.state();
        let live = state.handles.iter().filter(|handle| handle.process.alive());
        let processes: Vec<LiveProcess> = live
            .map(|handle| LiveProcess { pid: handle.process.pid(), request_id: handle.desk.request_id() })
            .collect();
        Status {
            function: self.options.function.clone(),
            endpoint: self.endpoint.clone(),
            counts: Counts { live: processes.len() as u64, ..state.counts },
            outstanding: self.load.borrow().outstanding,
            queued: state.waiting.len(),
            processes,
            failures: state.failures.clone(),
            kills: state.kills.clone(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_after(self: &Arc<Self>, wait: Duration, job: Job) {
        if wait.is_zero() {
            return self.put(job);
        }
        let queue = self.clone();
        self.runtime.spawn(async move {
            sleep(wait).await;
            queue.put(job);
        });
    }

    fn put(self: &Arc<Self>, job: Job) {
        let mut state = self.state();
        if !state.closed {
            state.waiting.push_back(job);
            self.launch_what_fits(&mut state);
        }
    }

    /// Gives waiting events to processes for as long as the concurrency allows.
    fn launch_what_fits(self: &Arc<Self>, state: &mut State) {
        while self.load.borrow().busy < self.options.concurrency && !state.closed {
            let Some(job) = state.waiting.pop_front() else { return };
            self.launch(state, job);
        }
        for job in state.waiting.iter_mut().filter(|job| !job.held_back) {
            job.held_back = true;
            state.counts.requeued += 1;
        }
    }

    fn launch(self: &Arc<Self>, state: &mut State, job: Job) {
        self.load.send_modify(|load| load.busy += 1);
        let idle = state.idle.pop();
        self.runtime.spawn(self.clone().run(job, idle));
    }

    /// Serves one attempt, puts the sandbox back when it has asked for more, and draws the consequence.
    ///
    /// The consequence comes last, so that whoever has an answer finds the concurrency free again.
    async fn run(self: Arc<Self>, job: Job, idle: Option<Sandbox>) {
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
            if let Some(sandbox) = rested.filter(|_| !recycled && !state.closed) {
                state.idle.push(sandbox);
            }
            state.handles.retain(|handle| handle.process.alive());
            self.load.send_modify(|load| load.busy -= 1);
        }
        self.settle(job, outcome);
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
        let started = Sandbox::start(&self.options, &self.endpoint, table).await;
        let sandbox = started.map_err(|error| {
            let message = format!("cannot start {}: {error}", self.options.program.display());
            Failed::new(FailedKind::Crashed, "Runtime.InvalidEntrypoint", message)
        })?;
        {
            let mut state = self.state();
            state.counts.cold_starts += 1;
            state.handles.push(sandbox.handle());
            if state.closed {
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

    /// Draws the consequence of an attempt: the answer goes to its caller; an event that failed is tried again.
    fn settle(self: &Arc<Self>, mut job: Job, outcome: Outcome) {
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
            (Waiter::Caller(tell), outcome) => drop(tell.send(outcome)),
            (Waiter::Nobody, Outcome::Answered(_)) => {}
            (Waiter::Nobody, Outcome::Failed(failed)) => {
                match self.options.retry_waits.get(job.invocation.attempt) {
                    Some(&wait) => {
                        state.counts.retries += 1;
                        drop(state);
                        job.invocation.attempt += 1;
                        return self.put_after(wait, Job { waiter: Waiter::Nobody, held_back: false, ..job });
                    }
                    None => state.failures.push(failure(&job.invocation, "RetriesExhausted", failed)),
                }
            }
        }
        drop(state);
        self.load.send_modify(|load| load.outstanding -= 1);
    }
}

pub(crate) const RECURSIVE: &str = "RecursiveInvocationException";
pub(crate) const RECURSIVE_MESSAGE: &str = "Lambda has detected your function being invoked in a recursive loop and \
                                            stopped your function's invocation.";

fn failure(invocation: &Invocation, condition: &str, failed: Failed) -> Failure {
    Failure {
        request_id: invocation.request_id.clone(),
        condition: condition.into(),
        attempts: if condition == RECURSIVE { 0 } else { invocation.attempt + 1 },
        request_payload: String::from_utf8_lossy(&invocation.payload).into_owned(),
        response_payload: String::from_utf8_lossy(&failed.payload).into_owned(),
        at_ms: epoch_ms(),
    }
}
