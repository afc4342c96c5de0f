//! The event queue: when and in which process each event runs, and which events are set aside.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::body::Bytes;
use tokio::{
    runtime,
    sync::{oneshot, watch},
    time::sleep,
};

use crate::{
    Address, Counts, Error, Failure, Faults, Kill, LiveProcess, Options, Status,
    faults::{Dice, Draw},
    invocation::{Failed, FailedKind, Invocation, Outcome, Waiter},
    lineage::Trace,
    sandbox::{Handle, Sandbox},
    system::epoch_ms,
};

mod attempt;

/// The queue and everything that serves it.
#[derive(Debug)]
pub(crate) struct Queue {
    options: Options,
    address: Address,
    runtime: runtime::Handle,
    state: Mutex<State>,
    load: watch::Sender<Load>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Load {
    /// Events accepted and not yet ended, including those that wait for a retry.
    outstanding: usize,
    /// Those of them that have failed and wait for a retry.
    retrying: usize,
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
    door: DoorState,
}

/// How far a local cloud is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DoorState {
    Open,
    /// Nothing is begun any more; events that are sent now are lost with the cloud.
    Leaving,
    /// Every process was ended.
    Closed,
}

#[derive(Debug)]
struct Job {
    invocation: Invocation,
    waiter: Waiter,
    /// Whether it already counts as requeued.
    held_back: bool,
}

/// Why a synchronous request is not accepted.
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
    pub(crate) fn new(options: Options, address: Address) -> Arc<Self> {
        let state = State {
            faults: options.faults.clone(),
            dice: Dice::new(options.faults.seed),
            waiting: VecDeque::new(),
            idle: Vec::new(),
            handles: Vec::new(),
            counts: Counts::default(),
            failures: Vec::new(),
            kills: Vec::new(),
            door: DoorState::Open,
        };
        let (state, load) = (Mutex::new(state), watch::Sender::new(Load::default()));
        Arc::new(Self { options, address, runtime: runtime::Handle::current(), state, load })
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// Accepts an event, to be delivered at least once, and returns its request id.
    pub(crate) fn event(
        self: &Arc<Self>,
        payload: Bytes,
        trace_header: Option<&str>,
    ) -> Result<String, Error> {
        let invocation = Invocation::new(payload, Trace::of(trace_header, &self.options.function));
        let id = invocation.request_id.clone();
        let mut state = self.state();
        if state.door == DoorState::Closed {
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

    /// Accepts a request whose sender waits; it runs at once or not at all, and once.
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
        if state.door != DoorState::Open {
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

    /// Takes a request of the local cloud's owner, which runs at once beside the others, and once.
    pub(crate) fn ask(self: &Arc<Self>, payload: Bytes) -> Result<oneshot::Receiver<Outcome>, Error> {
        let invocation = Invocation::new(payload, Trace::of(None, &self.options.function));
        let (tell, told) = oneshot::channel();
        let mut state = self.state();
        if state.door != DoorState::Open {
            return Err(Error::Closed);
        }
        state.counts.accepted += 1;
        self.launch(&mut state, Job { invocation, waiter: Waiter::Owner(tell), held_back: false });
        Ok(told)
    }

    /// Whether the faults answer this Invoke with 429, and whether they lose its reply.
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
        // The sender is a field of this struct, so the wait cannot fail.
        let _ = self.load.subscribe().wait_for(|load| load.outstanding == 0).await;
    }

    /// Begins no more events, ends the processes that are idle, and tells the others to end.
    pub(crate) fn leave(&self) {
        let mut state = self.state();
        state.door = DoorState::Leaving;
        state.waiting.clear();
        state.idle.clear();
        for Handle { process, desk } in &state.handles {
            if desk.request_id().is_some() { process.terminate() } else { process.kill() }
        }
    }

    /// Waits until no process is at work.
    pub(crate) async fn rested(&self) {
        let _ = self.load.subscribe().wait_for(|load| load.busy == 0).await;
    }

    /// Ends every process and accepts no more events.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.door = DoorState::Closed;
        state.waiting.clear();
        state.idle.clear();
        state.handles.iter().for_each(|handle| handle.process.kill());
    }

    /// Waits until the processes of a closed queue are gone.
    pub(crate) async fn ended(&self) {
        self.rested().await;
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
            endpoint: self.address.endpoint.clone(),
            counts: Counts { live: processes.len() as u64, ..state.counts },
            outstanding: self.load.borrow().outstanding,
            retrying: self.load.borrow().retrying,
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
        if state.door == DoorState::Open {
            state.waiting.push_back(job);
            self.launch_what_fits(&mut state);
        }
    }

    /// Passes waiting events to processes for as long as the concurrency allows.
    fn launch_what_fits(self: &Arc<Self>, state: &mut State) {
        while self.load.borrow().busy < self.options.concurrency && state.door == DoorState::Open {
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
}

pub(crate) const RECURSIVE: &str = "RecursiveInvocationException";
pub(crate) const RECURSIVE_MESSAGE: &str = "Lambda has detected your function being invoked in a recursive \
                                            loop and stopped your function's invocation.";

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
