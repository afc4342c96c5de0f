//! Influences on a world from outside: events, the watchdog, a cloud that leaves and comes back,
//! clocks that jump.

use super::nfs::Tail;
use super::world::{self, GRACE_MS, World};

/// From one tick of the watchdog to the next.
const TICK_MS: u64 = 60_000;
/// When a schedule begins.
const BEGIN_MS: u64 = 1_000_000;

/// When all clocks are set.
pub(crate) enum When {
    /// So many milliseconds after the beginning.
    After(u64),
    /// So many turns after so many deliveries: an invocation has arrived then, and has not begun its work.
    Delivery { number: u64, turns: u32 },
}

impl When {
    fn is_due(&mut self, w: &World) -> bool {
        match self {
            When::After(ms) => BEGIN_MS + *ms <= w.clock_ms,
            When::Delivery { number, turns } => {
                *turns = turns.saturating_sub(u32::from(w.tally.invocations >= *number));
                *turns == 0
            }
        }
    }
}

/// Influences from outside. Times of `events` count from the beginning.
pub(crate) struct Outside {
    /// The event that starts the run.
    pub(crate) start: String,
    pub(crate) watchdog: bool,
    pub(crate) events: Vec<(u64, String)>,
    /// When and by how much all clocks are set, in milliseconds.
    pub(crate) jumps: Vec<(When, i64)>,
    pub(crate) comings: Comings,
    tick_ms: u64,
    ticks: u64,
}

/// How a cloud leaves and comes back.
#[derive(Default)]
pub(crate) struct Comings {
    /// How often it still leaves.
    pub(crate) left: u32,
    /// In so many turns it does so once; with 0 as soon as somebody is in a step of more than two seconds.
    pub(crate) every: u64,
    /// How long it stays away at most, in milliseconds.
    pub(crate) pause_ms: u64,
    /// When it comes back, once all its processes have ended.
    pub(crate) back_ms: Option<u64>,
}

impl Outside {
    pub(crate) fn new(start: String) -> Outside {
        Outside {
            start,
            watchdog: true,
            events: Vec::new(),
            jumps: Vec::new(),
            comings: Comings::default(),
            tick_ms: BEGIN_MS + TICK_MS,
            ticks: 0,
        }
    }

    /// When something happens that a quiet world has to wait for.
    pub(crate) fn next_ms(&self, w: &World) -> u64 {
        match (w.away, self.comings.back_ms) {
            (true, back_ms) => back_ms.unwrap_or(u64::MAX),
            (false, _) if self.watchdog => self.tick_ms,
            _ => u64::MAX,
        }
    }

    /// Lets happen what is due.
    pub(crate) fn happen(&mut self, w: &mut World) {
        if let Some(at) = self.jumps.iter_mut().position(|(when, _)| when.is_due(w)) {
            let (_, by_ms) = self.jumps.swap_remove(at);
            w.note(|_| format!("all clocks jump by {} s", by_ms / 1_000));
            w.shift_ms += by_ms;
        }
        if let Some(at) = self.events.iter().position(|(at, _)| BEGIN_MS + *at <= w.clock_ms) {
            let (_, event) = self.events.swap_remove(at);
            send(w, event);
        }
        self.come_and_go(w);
        if w.clock_ms >= self.tick_ms {
            self.tick_ms = w.clock_ms + TICK_MS;
            if self.watchdog && !w.away && w.truth.ending().is_none() {
                // The watchdog knows runs that were begun; until then somebody starts again, and when the
                // list of runs may have been written over as well.
                self.ticks += 1;
                let again = w.truth.ledger.is_none() || (w.truth.unhonoured && self.ticks.is_multiple_of(3));
                send(w, if again { self.start.clone() } else { r#"{"tick": true}"#.into() });
            }
        }
    }

    fn come_and_go(&mut self, w: &mut World) {
        let comings = &mut self.comings;
        let now = match comings.every {
            0 => w.processes.iter().any(|process| process.runs() && process.wake_ms > w.clock_ms + GRACE_MS),
            every => w.random.one_in(every),
        };
        if now && !w.away && comings.left > 0 && w.truth.ending().is_none() {
            comings.left -= 1;
            leave(w);
        }
        if w.away && comings.back_ms.is_none() && !w.processes.iter().any(|process| process.runs()) {
            comings.back_ms = Some(w.clock_ms + w.random.below(comings.pause_ms));
        } else if comings.back_ms.is_some_and(|back_ms| back_ms <= w.clock_ms) {
            comings.back_ms = None;
            w.away = false;
            w.note(|_| "the cloud is back".into());
            w.forgive();
            // Who starts again says when nobody worked; ticks begin after that.
            self.tick_ms = w.clock_ms + TICK_MS;
            let start = w.setting.forced_start();
            send(w, start);
        }
    }
}

fn send(w: &mut World, event: String) {
    w.tally.outside += 1;
    w.enqueue(event, 0);
}

/// The cloud leaves: who is at work is told to end, who is idle is gone, and what is queued is lost.
fn leave(w: &mut World) {
    w.note(|_| "the cloud leaves".into());
    w.away = true;
    w.queue.clear();
    for number in 0..w.processes.len() {
        let process = &mut w.processes[number];
        if process.runs() {
            world::tell(w, number);
        } else if process.alive {
            process.alive = false;
            w.nfs.dies(&mut process.client, Tail::Whole);
        }
    }
}
