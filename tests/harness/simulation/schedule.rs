//! One schedule from a seed: it decides who runs next, which event is delivered, which fault occurs. Then,
//! without further faults, the run has to end.

use super::check::ended;
use super::coroutine::resume;
use super::kinds::Plan;
use super::nfs::Tail;
use super::random::mix;
use super::world::{self, DELIVERIES, Point, Rates, World, kill, with};

/// How long an NFS client may stay away before the server takes its locks.
const LEASE_MS: u64 = 90_000;
/// Steps after which a schedule counts as stuck.
const MOST_STEPS: u64 = 40_000;

/// Runs a seed's schedule. The result is in the world that it returns.
pub(crate) fn run(seed: u64, recorded: bool) -> World {
    carry_out(Plan::of(seed), mix(seed, 3), MOST_STEPS, recorded)
}

/// Runs a schedule in at most so many steps.
pub(crate) fn carry_out(plan: Plan, seed: u64, most_steps: u64, recorded: bool) -> World {
    let Plan { setting, rates, promise, mut outside } = plan;
    let faulty_ms = match rates.budget {
        0 => 0,
        // Long enough for a run to be given up when one event after the other is lost.
        _ if rates.lose == 2 => 30_000_000,
        _ => 2_000_000,
    };
    let start = outside.start.clone();
    world::begin(World::new(setting, rates, seed, false, recorded));
    with(|w| {
        w.note(|w| format!("{:?}, {:?}", w.setting, w.rates));
        w.tally.outside += 1;
        w.enqueue(start, 0);
    });
    loop {
        let next = with(|w| {
            w.tally.steps += 1;
            if w.clock_ms > 1_000_000 + faulty_ms && w.rates.budget > 0 {
                w.note(|_| "no more faults".into());
                w.rates = Rates::default();
            }
            if w.nfs.full && w.clock_ms >= w.full_until_ms {
                w.nfs.full = false;
                w.note(|_| "the disk is free again".into());
            }
            outside.happen(w);
            if w.violation.is_some() {
                return Next::Over;
            }
            if w.tally.steps > most_steps {
                w.violate(format!("the run does not end in {most_steps} steps"));
                return Next::Over;
            }
            match cut_off(w) {
                Some(number) => Next::Kill(number, tail(w)),
                None => next(w, outside.next_ms(w)),
            }
        });
        match next {
            Next::Run(process) => resume(process),
            Next::Kill(process, tail) => kill(process, tail),
            Next::Wait => {}
            Next::Over => break,
        }
    }
    with(|w| ended(w, promise));
    world::end()
}

enum Next {
    Run(usize),
    Kill(usize, Tail),
    Wait,
    Over,
}

fn next(w: &mut World, outside_ms: u64) -> Next {
    free_locks(w);
    let now = w.clock_ms;
    let (mut found, mut running, mut soonest, mut candidates) = (None, 0, u64::MAX, 0);
    for number in 0..w.processes.len() {
        let process = &mut w.processes[number];
        if process.frozen_until_ms > 0 && process.frozen_until_ms <= now {
            process.frozen_until_ms = 0;
            w.note(|_| format!("p{number} thaws"));
        }
        let process = &w.processes[number];
        if !process.runs() {
            continue;
        }
        running += 1;
        soonest = soonest.min(process.told_ms.map_or(u64::MAX, |told_ms| told_ms + 1));
        if process.frozen_until_ms > 0 {
            soonest = soonest.min(process.frozen_until_ms);
            continue;
        }
        if now > process.deadline_ms && !process.was_frozen {
            w.note(|_| format!("p{number} runs out of time and is killed"));
            return Next::Kill(number, tail(w));
        }
        if process.wake_ms > now {
            let late_ms = if process.was_frozen { u64::MAX } else { process.deadline_ms + 1 };
            soonest = soonest.min(process.wake_ms).min(late_ms);
            continue;
        }
        candidates += 1;
        if w.random.below(candidates) == 0 {
            found = Some(Found::Process(number));
        }
    }
    for at in 0..w.queue.len() {
        let visible_ms = w.queue[at].visible_ms;
        if running >= w.setting.concurrency {
            break;
        }
        if visible_ms > now {
            soonest = soonest.min(visible_ms);
            continue;
        }
        candidates += 1;
        if w.random.below(candidates) == 0 {
            found = Some(Found::Message(at));
        }
    }
    match found {
        Some(Found::Process(number)) => step(w, number),
        Some(Found::Message(at)) => {
            w.deliver(at);
            Next::Wait
        }
        None => wait(w, running, soonest.min(outside_ms)),
    }
}

/// Nobody can go on now: the clock moves to the soonest moment at which somebody can, unless the run is over.
fn wait(w: &mut World, running: usize, soonest_ms: u64) -> Next {
    let idle = running == 0 && w.queue.is_empty() && !w.away;
    w.look();
    if idle && (w.truth.ending().is_some() || (w.may_be_refused() && w.refused.is_some())) {
        return Next::Over;
    }
    let now = w.clock_ms;
    w.clock_ms = soonest_ms.min(w.leases.iter().map(|(at, _)| *at).min().unwrap_or(u64::MAX));
    if w.clock_ms == u64::MAX {
        w.clock_ms = now;
        w.violate("stuck: nothing runs and nothing is queued".into());
    }
    Next::Wait
}

/// A process that was told to end and has had its two seconds.
fn cut_off(w: &mut World) -> Option<usize> {
    let now = w.clock_ms;
    let late = |process: &world::Process| process.runs() && process.told_ms.is_some_and(|told| told < now);
    let number = w.processes.iter().position(late)?;
    w.note(|_| format!("p{number} has had its two seconds and is killed"));
    w.cut_off += 1;
    Some(number)
}

enum Found {
    Process(usize),
    Message(usize),
}

/// A process runs to its next step, unless a fault hits it.
fn step(w: &mut World, number: usize) -> Next {
    w.clock_ms += w.random.below(4);
    if w.rates.budget > 0 {
        if !w.spared(number) && w.goes_wrong(|rates| rates.kill) {
            let tail = tail(w);
            w.note(|w| {
                format!("p{number} is killed before {:?}; unsynced: {tail:?}", w.processes[number].point)
            });
            return Next::Kill(number, tail);
        }
        let told = w.processes[number].told_ms.is_some() || w.spared(number);
        if !told && w.goes_wrong(|rates| rates.tell) {
            world::tell(w, number);
        }
        if w.goes_wrong(|rates| rates.freeze) {
            freeze(w, number);
            return Next::Wait;
        }
        if writes_under_lock(w, number) && w.goes_wrong(|rates| rates.stall) {
            stall(w, number);
            return Next::Wait;
        }
        if w.goes_wrong(|rates| rates.full) {
            w.nfs.full = true;
            w.full_until_ms = w.clock_ms + w.random.between(10, 200_000);
            w.note(|_| "the disk is full".into());
        }
    }
    Next::Run(number)
}

/// Whether a process has the ledger's lock, has looked at the ledger, and has written data that must be
/// durable next.
fn writes_under_lock(w: &World, number: usize) -> bool {
    w.processes[number].point == Point::Sync && w.nfs.holder(w.truth.ledger_path()) == Some(number)
}

/// The process pauses for some time while it holds the lock.
fn stall(w: &mut World, number: usize) {
    let ms = w.random.between(10, 5_000);
    w.note(|_| format!("p{number} stalls for {ms} ms under the lock"));
    let wake_ms = w.clock_ms + ms;
    let process = &mut w.processes[number];
    process.wake_ms = wake_ms;
    process.stalled_ms += ms;
}

/// The process stops, for a short time or for longer than its lease and its time limit.
fn freeze(w: &mut World, number: usize) {
    let ms =
        if w.random.one_in(2) { w.random.between(1_000, 60_000) } else { w.random.between(100_000, 900_000) };
    w.note(|w| format!("p{number} freezes for {} s before {:?}", ms / 1_000, w.processes[number].point));
    let process = &mut w.processes[number];
    process.frozen_until_ms = w.clock_ms + ms;
    process.was_frozen = true;
    if ms > LEASE_MS {
        let at = w.clock_ms + LEASE_MS;
        w.leases.push((at, number));
        // The platform gives it up at its time limit; if it thaws later it is a ghost that may still write.
        if let Some(message) = w.processes[number].message.clone() {
            w.deliver_again(message.clone());
            w.processes[number].message = Some(world::Message { deliveries: DELIVERIES, ..message });
        }
    }
}

/// The server frees the locks of clients that have been silent for too long.
fn free_locks(w: &mut World) {
    while let Some(at) = w.leases.iter().position(|(at, _)| *at <= w.clock_ms) {
        let (_, number) = w.leases.swap_remove(at);
        if w.processes[number].alive && w.processes[number].frozen_until_ms > 0 {
            w.note(|_| format!("the lease of p{number} ends"));
            w.nfs.lease_ends(&mut w.processes[number].client);
        }
    }
}

fn tail(w: &mut World) -> Tail {
    [Tail::Lost, Tail::Torn, Tail::Whole, Tail::Holed][w.random.below(4) as usize]
}
