//! The simulated world: time, the platform's queue, processes and their clients, and the checks.

use super::code::storage::disk::Disk;
use super::code::trainer::services::{Invocation, Services};
use super::nfs::{Nfs, Tail};
use super::random::{Random, mix};
use super::seam;
use super::setting::{MEMORY_MB, NEIGHBOUR, ROOT, Setting};
use super::truth::Truth;
use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

mod process;

pub(crate) use process::{Failure, GRACE_MS, Point, Process, kill, rests, tell};

/// How often the platform delivers an event at most.
pub(crate) const DELIVERIES: u32 = 3;
/// The latest time at which a step may begin after the run's end: the time between two looks at the ledger,
/// and a step of others.
const LATE_MS: u64 = 2_100;
/// The number of hops after which the platform's loop detection cuts a chain.
const HOPS: u32 = 16;

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// Works on this thread's world, between two steps of the running process.
pub(crate) fn with<R>(f: impl FnOnce(&mut World) -> R) -> R {
    WORLD.with_borrow_mut(|world| f(world.as_mut().expect("a world")))
}

/// Puts a world in place.
pub(crate) fn begin(world: World) {
    WORLD.set(Some(world));
}

/// Removes the world when its schedule is over: suspended invocations in it unwind.
pub(crate) fn end() -> World {
    let processes = with(|w| w.processes.len());
    for process in 0..processes {
        kill(process, Tail::Lost);
    }
    WORLD.take().expect("a world")
}

/// The world.
pub(crate) struct World {
    pub(crate) setting: Setting,
    /// Steps are few, time stands still between them, and everything is chosen from outside.
    pub(crate) exhaustive: bool,
    pub(crate) random: Random,
    pub(crate) clock_ms: u64,
    pub(crate) nfs: Nfs,
    pub(crate) processes: Vec<Process>,
    pub(crate) current: usize,
    pub(crate) queue: Vec<Message>,
    pub(crate) truth: Truth,
    pub(crate) rates: Rates,
    pub(crate) tally: Tally,
    pub(crate) history: Option<Vec<String>>,
    pub(crate) violation: Option<String>,
    /// Locks of vanished clients, and when the server frees them.
    pub(crate) leases: Vec<(u64, usize)>,
    pub(crate) full_until_ms: u64,
    /// The error of the last tick or start, if it was refused.
    pub(crate) refused: Option<String>,
    /// The difference of every clock from the world's, in milliseconds.
    pub(crate) shift_ms: i64,
    /// Whether the cloud is away: nothing is delivered, and what is sent is lost.
    pub(crate) away: bool,
    /// Processes that were killed after they were told to end, since the cloud last left.
    pub(crate) cut_off: u64,
    /// How long invocations have lasted, and how much more may be billed, in milliseconds.
    pub(crate) lasted_ms: u64,
    pub(crate) forgiven_ms: u64,
    messages: u32,
    /// The events sent, if ids are made from them.
    sent: Vec<u32>,
}

/// How often faults occur: once in this many chances; 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rates {
    pub(crate) kill: u64,
    pub(crate) freeze: u64,
    pub(crate) duplicate: u64,
    pub(crate) delay: u64,
    pub(crate) lose: u64,
    pub(crate) throttle: u64,
    pub(crate) io: u64,
    pub(crate) answer: u64,
    pub(crate) full: u64,
    /// A lock is given that another holds.
    pub(crate) unhonoured: u64,
    /// A process that has a lock, and has looked at the guarded file, is slow to write.
    pub(crate) stall: u64,
    /// The write at a close or an unlock is lost.
    pub(crate) close: u64,
    /// A process is told to end.
    pub(crate) tell: u64,
    pub(crate) hops: bool,
    /// Faults that may still occur.
    pub(crate) budget: u32,
    /// An invocation whose event is not delivered again has no faults.
    pub(crate) spare_last: bool,
}

/// The counts of a schedule.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) steps: u64,
    pub(crate) sends: u64,
    pub(crate) invocations: u64,
    pub(crate) outside: u64,
    pub(crate) duplicates: u64,
    pub(crate) faults: u64,
    /// The latest time at which a step of a worker began after the run had ended, in milliseconds.
    pub(crate) late_step_ms: u64,
    /// Computing time of workers, combines and ends, of all runs.
    pub(crate) worked_ms: u64,
}

/// An event in the platform's queue.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) id: u32,
    pub(crate) payload: Arc<str>,
    pub(crate) deliveries: u32,
    pub(crate) visible_ms: u64,
    pub(crate) hops: u32,
    pub(crate) copy: bool,
}

impl World {
    pub(crate) fn new(setting: Setting, rates: Rates, seed: u64, exhaustive: bool, recorded: bool) -> World {
        World {
            truth: Truth::new(&setting),
            setting,
            exhaustive,
            random: Random::new(seed),
            clock_ms: 1_000_000,
            nfs: Nfs::new(Path::new(ROOT)),
            processes: Vec::new(),
            current: 0,
            queue: Vec::new(),
            rates,
            tally: Tally::default(),
            history: recorded.then(Vec::new),
            violation: None,
            leases: Vec::new(),
            full_until_ms: 0,
            refused: None,
            shift_ms: 40_000_000,
            away: false,
            cut_off: 0,
            lasted_ms: 0,
            forgiven_ms: 0,
            messages: 0,
            sent: Vec::new(),
        }
    }

    /// Notes an event of the history in words, if somebody wants to read it.
    pub(crate) fn note(&mut self, words: impl FnOnce(&World) -> String) {
        let Some(mut history) = self.history.take() else { return };
        history.push(format!("{:>9.3} s  {}", (self.clock_ms - 1_000_000) as f64 / 1000.0, words(self)));
        self.history = Some(history);
    }

    pub(crate) fn violate(&mut self, what: String) {
        self.note(|_| format!("VIOLATION: {what}"));
        self.violation.get_or_insert(what);
    }

    pub(crate) fn now_ms(&self) -> u64 {
        let own = self.processes.get(self.current).map_or(0, |process| process.elapsed_ms);
        self.clock_ms + own
    }

    /// The time on every clock.
    pub(crate) fn epoch_ms(&self) -> u64 {
        self.now_ms().saturating_add_signed(self.shift_ms)
    }

    /// The cloud is back. Of those that had to be killed the ledger knows that they were gone two seconds
    /// after the last fact, if that was a leg that was told to end; else they may be billed to their limit.
    pub(crate) fn forgive(&mut self) {
        let each_ms = if self.truth.told { LATE_MS } else { self.setting.limit_ms };
        self.forgiven_ms += std::mem::take(&mut self.cut_off) * each_ms;
    }

    pub(crate) fn me(&mut self) -> &mut Process {
        &mut self.processes[self.current]
    }

    /// Compares the durable data with the expected data.
    pub(crate) fn look(&mut self) {
        if let Err(what) = self.truth.look(&self.nfs, &self.setting, self.clock_ms)
            && self.violation.is_none()
        {
            self.violate(what);
        }
    }

    /// Whether something goes wrong now, at such a rate.
    pub(crate) fn goes_wrong(&mut self, rate: impl Fn(&Rates) -> u64) -> bool {
        if self.rates.budget == 0 || !self.random.one_in(rate(&self.rates)) {
            return false;
        }
        self.rates.budget -= 1;
        self.tally.faults += 1;
        true
    }

    /// Whether a process must have no faults: it has the last delivery of its event.
    pub(crate) fn spared(&self, number: usize) -> bool {
        let last = |message: &Message| message.deliveries >= DELIVERIES;
        self.rates.spare_last && self.processes[number].message.as_ref().is_none_or(last)
    }

    /// Whether who starts the run, or ticks it, may be refused.
    pub(crate) fn may_be_refused(&self) -> bool {
        self.truth.unhonoured || self.setting.dollars_per_day.is_some()
    }

    /// An event from outside, or from a process.
    pub(crate) fn enqueue(&mut self, payload: String, hops: u32) {
        self.messages += 1;
        if self.away {
            return self.note(|_| format!("lost with its cloud: {payload}"));
        }
        let id = if self.exhaustive { self.id_of(&payload) } else { self.messages };
        let now = self.clock_ms;
        let mut message =
            Message { id, payload: payload.into(), deliveries: 0, visible_ms: now, hops, copy: false };
        if self.rates.hops && hops > HOPS {
            return self.note(|_| format!("the platform cuts the chain: i{} is not delivered", message.id));
        }
        if !self.exhaustive {
            message.visible_ms += self.random.below(30);
        }
        if self.goes_wrong(|rates| rates.lose) {
            return self.note(|_| format!("i{} is lost", message.id));
        }
        if self.goes_wrong(|rates| rates.delay) {
            message.visible_ms += self.random.below(600_000);
            self.note(|_| format!("i{} is delayed to {} s", message.id, message.visible_ms / 1000 - 1000));
        }
        if self.goes_wrong(|rates| rates.duplicate) {
            let later = self.random.below(20_000);
            self.duplicate(&message.clone(), later);
        }
        self.queue.push(message);
    }

    pub(crate) fn duplicate(&mut self, message: &Message, later_ms: u64) {
        self.tally.duplicates += 1;
        self.note(|_| format!("i{} is delivered twice", message.id));
        let visible_ms = message.visible_ms + later_ms;
        self.queue.push(Message { copy: true, deliveries: DELIVERIES - 1, visible_ms, ..message.clone() });
    }

    /// An event whose invocation failed is delivered again, unless that was the last time.
    pub(crate) fn deliver_again(&mut self, mut message: Message) {
        if self.away {
            return;
        }
        if message.deliveries >= DELIVERIES {
            return self.note(|_| format!("i{} is given up by the platform", message.id));
        }
        if !self.exhaustive {
            message.visible_ms = self.clock_ms + self.random.between(1_000, 90_000);
        }
        self.queue.push(message);
    }

    /// An id that does not depend on other events sent before: it depends on the payload, and how often it
    /// was sent.
    fn id_of(&mut self, payload: &str) -> u32 {
        let hash = twox_hash::XxHash3_64::oneshot(payload.as_bytes()) as u32 & !0xff;
        let before = self.sent.iter().filter(|sent| **sent == hash).count() as u32;
        self.sent.push(hash);
        hash + before
    }

    /// The events in the queue or in hand.
    pub(crate) fn live(&self) -> Vec<u32> {
        let in_hand = self.processes.iter().filter(|process| process.runs());
        let in_hand = in_hand.filter_map(|process| process.message.as_ref());
        self.queue.iter().chain(in_hand).map(|message| message.id).collect()
    }

    /// Hands a message to a sandbox: one that is idle, or a new one.
    pub(crate) fn deliver(&mut self, at: usize) -> usize {
        let mut message = self.queue.swap_remove(at);
        message.deliveries += 1;
        self.tally.invocations += u64::from(!of_neighbour(&message.payload));
        let idle =
            |process: &Process| process.alive && process.message.is_none() && process.frozen_until_ms == 0;
        let warm =
            self.processes.iter().position(idle).filter(|_| !self.exhaustive && !self.random.one_in(4));
        let number = warm.unwrap_or_else(|| {
            self.processes.push(Process::new(self.processes.len()));
            self.processes.len() - 1
        });
        let deadline_ms = self.clock_ms + self.setting.limit_ms;
        let observed = mix(u64::from(message.id), u64::from(message.deliveries));
        self.note(|_| {
            format!("p{number} gets i{} (delivery {}): {}", message.id, message.deliveries, message.payload)
        });
        let process = &mut self.processes[number];
        process.message = Some(message);
        process.deadline_ms = deadline_ms;
        process.begun_ms = deadline_ms - self.setting.limit_ms;
        process.point = Point::Begin;
        process.wake_ms = 0;
        process.elapsed_ms = 0;
        process.was_frozen = false;
        process.stalled_ms = 0;
        process.observed = if self.exhaustive { 0 } else { observed };
        process.names = if self.exhaustive { observed } else { mix(process.names, observed) };
        number
    }

    /// The invocation for a process.
    pub(crate) fn job(&mut self) -> (Option<Arc<Services>>, Arc<str>, Invocation, Setting) {
        let (setting, shift_ms, arrived_ms) = (self.setting.clone(), self.shift_ms, self.epoch_ms());
        let process = self.me();
        let message = process.message.as_ref().expect("a message");
        let id = format!("i{}", message.id);
        let deadline_ms = process.deadline_ms.saturating_add_signed(shift_ms);
        let invocation = Invocation { id, arrived_ms, deadline_ms, memory_mb: MEMORY_MB };
        (process.services.clone(), message.payload.clone(), invocation, setting)
    }
}

/// Spends time on computing.
pub(crate) fn compute(ms: u64) {
    if with(|w| w.exhaustive) {
        return with(|w| w.me().elapsed_ms += ms);
    }
    seam::Simulated.sleep(std::time::Duration::from_millis(ms));
    with(|w| {
        // Who was frozen beyond its time limit is a ghost, which the platform has given up.
        let late_ms = w.clock_ms.saturating_sub(w.me().deadline_ms);
        w.tally.worked_ms += ms.saturating_sub(late_ms);
        super::check::worked(w);
    });
}

/// Whether an event is for the other run.
pub(crate) fn of_neighbour(payload: &str) -> bool {
    payload.contains(NEIGHBOUR)
}

/// A worker begins a step of its work: soon after the run has ended no step may begin, as long as its ledger
/// can still be read.
pub(crate) fn step_begins() {
    with(|w| {
        w.look();
        let now_ms = w.clock_ms;
        let other = w.me().message.as_ref().is_some_and(|message| of_neighbour(&message.payload));
        let read = !w.exhaustive && !w.truth.broken && !w.me().was_frozen && !other;
        if let Some(ended_ms) = w.truth.ended_ms.filter(|_| read) {
            let late_ms = (now_ms - ended_ms).saturating_sub(w.me().stalled_ms);
            w.tally.late_step_ms = w.tally.late_step_ms.max(late_ms);
            if late_ms > LATE_MS {
                w.violate(format!("a step of a worker begins {late_ms} ms after its run has ended"));
            }
        }
    });
}

/// Reports a forbidden observation of a process.
pub(crate) fn violation(what: String) {
    with(|w| w.violate(what));
}
