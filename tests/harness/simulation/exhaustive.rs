//! A small world explored completely: every order of events, and every fault at every step, up to a number of
//! them.
//!
//! A run is described by its choices. Each run replays the choices so far and then takes the first of each;
//! the next run changes the last choice with an alternative left. A known state is not followed again. A
//! state is the server, the queue, and for each process its position and everything that it has learned from
//! outside, because its own memory can only depend on this.

use super::check::{Promise, ended};
use super::coroutine::resume;
use super::nfs::Tail;
use super::random::mix;
use super::setting::Setting;
use super::world::{self, Failure, Point, Rates, World, kill, with};
use std::collections::HashSet;
use twox_hash::XxHash3_64;

/// Time that passes when nothing moves, until the watchdog ticks: more than any patience.
const IDLE_MS: u64 = 20_000_000;
/// Ticks after which a run counts as stuck.
const MOST_TICKS: u32 = 12;

/// A possible next action.
#[derive(Clone, Copy, Debug)]
enum Action {
    Run(usize),
    Deliver(usize),
    Fail(usize, Failure),
    Kill(usize, Tail),
    LeaseEnds(usize),
    Duplicate(usize),
    Lose(usize),
    Tick,
}

/// The result of the exploration.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Explored {
    pub(crate) states: usize,
    pub(crate) runs: u64,
    /// Runs that reached their end; the others reached a known state.
    pub(crate) whole: u64,
}

/// The search.
pub(crate) struct Search {
    setting: Setting,
    faults: u32,
    /// Whether steps that touch nothing shared are taken without exploring other orders.
    reduced: bool,
    path: Vec<(usize, usize)>,
    seen: HashSet<u64>,
    explored: Explored,
}

impl Search {
    pub(crate) fn new(setting: Setting, faults: u32, reduced: bool) -> Search {
        Search {
            setting,
            faults,
            reduced,
            path: Vec::new(),
            seen: HashSet::new(),
            explored: Explored::default(),
        }
    }

    /// Explores everything, or up to the first forbidden state; returns how it was reached.
    pub(crate) fn explore(mut self) -> Result<Explored, String> {
        loop {
            self.explored.runs += 1;

            if let Some(what) = self.run(false).violation {
                let history = self.run(true).history.unwrap_or_default().join("\n");
                return Err(format!("{history}\n{what}\nchoices {:?}", self.path));
            }
            while self.path.last().is_some_and(|(chosen, of)| chosen + 1 == *of) {
                self.path.pop();
            }
            let Some((chosen, _)) = self.path.last_mut() else {
                return Ok(Explored { states: self.seen.len(), ..self.explored });
            };
            *chosen += 1;
        }
    }

    fn run(&mut self, recorded: bool) -> World {
        let rates = Rates { budget: self.faults, ..Rates::default() };
        let start = self.setting.start().to_string();
        world::begin(World::new(self.setting.clone(), rates, 0, true, recorded));
        with(|w| {
            w.tally.outside += 1;
            w.enqueue(start, 0);
        });
        let (mut depth, mut ticks) = (0, 0);
        loop {
            if with(|w| w.violation.is_some()) {
                break;
            }
            let options = with(|w| self.options(w));
            if options.is_empty() {
                with(|w| ended(w, Promise::Done));
                self.explored.whole += u64::from(!recorded);
                break;
            }
            if depth >= self.path.len() && !recorded && !self.seen.insert(with(|w| state(w))) {
                break;
            }
            let chosen = match self.path.get(depth) {
                Some((chosen, _)) => *chosen,
                None if recorded => 0,
                None => {
                    self.path.push((0, options.len()));
                    0
                }
            };
            depth += 1;
            if let Action::Tick = options[chosen] {
                ticks += 1;
                if ticks > MOST_TICKS {
                    with(|w| w.violate(format!("the run does not end in {MOST_TICKS} ticks")));
                }
            }
            happen(options[chosen]);
        }
        world::end()
    }

    /// All possible actions; none if the run has ended and all is quiet.
    fn options(&self, w: &mut World) -> Vec<Action> {
        let mut options = Vec::new();
        let alone = |process: &&world::Process| {
            process.runs() && !matches!(process.point, Point::Lock | Point::Sleep)
        };
        if let Some(process) = w.processes.iter().position(|process| self.reduced && alone(&process)) {
            options.push(Action::Run(process));
            self.faults_of(w, process, &mut options);
            return options;
        }
        let mut sleepers = Vec::new();
        for (number, process) in w.processes.iter().enumerate().filter(|(_, process)| process.runs()) {
            match process.point {
                Point::Lock if w.nfs.holder(&process.path).is_some_and(|holder| holder != number) => {}
                Point::Sleep => sleepers.push(Action::Run(number)),
                _ => options.push(Action::Run(number)),
            }
            self.faults_of(w, number, &mut options);
        }
        for (at, message) in w.queue.iter().enumerate() {
            let same =
                |other: &world::Message| other.id == message.id && other.deliveries == message.deliveries;
            if w.queue[..at].iter().any(same) {
                continue;
            }
            options.push(Action::Deliver(at));
            if w.rates.budget > 0 {
                options.push(Action::Lose(at));
                if !message.copy {
                    options.push(Action::Duplicate(at));
                }
            }
        }
        if !options.iter().any(|action| matches!(action, Action::Run(_) | Action::Deliver(_))) {
            options.extend(sleepers);
        }
        w.look();
        if options.is_empty() && w.truth.ending().is_none() {
            options.push(Action::Tick);
        }
        options
    }

    fn faults_of(&self, w: &World, number: usize, options: &mut Vec<Action>) {
        let process = &w.processes[number];
        if w.rates.budget == 0 || process.point == Point::Begin {
            return;
        }
        let tails: &[Tail] =
            if process.client.is_dirty() { &[Tail::Lost, Tail::Torn, Tail::Whole] } else { &[Tail::Lost] };
        options.extend(tails.iter().map(|tail| Action::Kill(number, *tail)));
        if w.nfs.holder(w.truth.ledger_path()) == Some(number) {
            options.push(Action::LeaseEnds(number));
        }
        let failures: &[Failure] = match process.point {
            Point::Sync => &[Failure::Io, Failure::Answer, Failure::Full],
            Point::Rename | Point::Link | Point::Send => &[Failure::Io, Failure::Answer],
            Point::Lock => &[Failure::Io],
            _ => &[],
        };
        options.extend(failures.iter().map(|failure| Action::Fail(number, *failure)));
    }
}

fn happen(action: Action) {
    let fault = !matches!(action, Action::Run(_) | Action::Deliver(_) | Action::Tick);
    if fault {
        with(|w| {
            w.rates.budget -= 1;
            w.tally.faults += 1;
            w.note(|w| format!("FAULT {action:?}{}", before(w, action)));
        });
    }
    match action {
        Action::Run(number) => resume(number),
        Action::Fail(number, failure) => {
            with(|w| w.processes[number].failure = Some(failure));
            resume(number);
        }
        Action::Kill(number, tail) => kill(number, tail),
        Action::Deliver(at) => drop(with(|w| w.deliver(at))),
        Action::LeaseEnds(number) => with(|w| {
            let client = &mut w.processes[number].client;
            w.nfs.lease_ends(client);
        }),
        Action::Duplicate(at) => with(|w| {
            let message = w.queue[at].clone();
            w.duplicate(&message, 0);
        }),
        Action::Lose(at) => drop(with(|w| w.queue.swap_remove(at))),
        Action::Tick => with(|w| {
            w.clock_ms += IDLE_MS;
            w.tally.outside += 1;
            let event = if w.truth.ledger.is_some() {
                r#"{"tick": true}"#.into()
            } else {
                w.setting.start().to_string()
            };
            w.enqueue(event, 0);
        }),
    }
}

fn before(w: &World, action: Action) -> String {
    match action {
        Action::Fail(number, _) | Action::Kill(number, _) | Action::LeaseEnds(number) => {
            format!(" at {:?}", w.processes[number].point)
        }
        Action::Duplicate(at) | Action::Lose(at) => format!(": {}", w.queue[at].payload),
        _ => String::new(),
    }
}

/// The state of the world, in one number.
fn state(w: &World) -> u64 {
    let live = w.live();
    let event = |message: &world::Message| {
        // Which of several deliveries of one event this is, and whether others of it exist.
        let others = live.iter().filter(|id| **id == message.id).count() as u64;
        mix(
            XxHash3_64::oneshot(message.payload.as_bytes()),
            others << 8 | u64::from(message.deliveries) << 1 | u64::from(message.copy),
        )
    };
    let processes = w.processes.iter().enumerate().filter(|(_, process)| process.runs());
    let processes = processes.map(|(number, process)| {
        let holds = w.nfs.holder(w.truth.ledger_path()) == Some(number);
        let own = mix(process.observed, process.elapsed_ms << 8 | process.point as u64);
        let event = process.message.as_ref().map_or(0, event);
        mix(mix(event, own), u64::from(holds) << 32 | process.client.lost())
    });
    let queue = w.queue.iter().map(|message| mix(event(message), 0xee));
    // Events that are counted and not sent yet.
    let unsent = w.truth.ledger.as_ref().map_or(0, |ledger| ledger.spend.sent - w.tally.sends);
    let parts = [w.nfs.hash_without(w.truth.ledger_path()), w.truth.meaning(&live), w.clock_ms, unsent];
    let parts = parts.into_iter().fold(u64::from(w.rates.budget), mix);
    mix(parts, processes.chain(queue).fold(0, u64::wrapping_add))
}
