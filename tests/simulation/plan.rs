//! What a seed decides before the first step: the run, what goes wrong and how often, how it is to end.

use super::check::Promise;
use super::random::{Random, mix};
use super::setting::{NEIGHBOUR, RUN, Setting};
use super::world::Rates;

/// Of so many events one is lost, where many are.
pub(super) const MANY_LOST: u64 = 2;

/// Kinds of schedules; a seed's place in the list is the seed modulo their number.
pub(crate) const KINDS: [&str; 10] = [
    "no faults",
    "what redelivery heals, without a watchdog",
    "a few faults of all kinds",
    "locks that are not honoured",
    "many faults of one kind",
    "many faults of all kinds",
    "a small limit on invocations",
    "stopped, started and ticked from outside",
    "an end that no attempt outlives",
    "two runs under the operator's ceiling for a day",
];

/// What a seed decides before the first step.
pub(super) struct Plan {
    pub(super) setting: Setting,
    pub(super) rates: Rates,
    pub(super) promise: Promise,
    pub(super) watchdog: bool,
    /// Events from outside, and when.
    pub(super) outside: Vec<(u64, String)>,
}

/// Faults of all kinds at a moderate rate.
fn all_kinds(random: &mut Random, budget: u32) -> Rates {
    let mut rate = |from, to| if random.one_in(3) { 0 } else { random.between(from, to) };
    Rates {
        kill: rate(100, 1_500),
        freeze: rate(200, 3_000),
        duplicate: rate(4, 20),
        delay: rate(4, 20),
        lose: rate(8, 40),
        throttle: rate(5, 20),
        io: rate(100, 1_500),
        answer: rate(50, 500),
        full: rate(500, 5_000),
        hops: rate(0, 1) == 1,
        close: rate(2, 20),
        unhonoured: 0,
        stall: 0,
        budget,
        spare_last: false,
    }
}

/// Many faults of one kind.
fn one_kind(random: &mut Random) -> Rates {
    let all = all_kinds(random, u32::MAX);
    let mut one = Rates { budget: u32::MAX, ..Rates::default() };
    match random.below(8) {
        0 => one.kill = all.kill.max(60),
        1 => one.freeze = all.freeze.max(100),
        2 => one.duplicate = 2,
        3 => one.delay = 3,
        4 => one.lose = if random.one_in(2) { MANY_LOST } else { 6 },
        5 => one.throttle = 4,
        6 => one.io = all.io.max(60),
        _ => one.hops = true,
    }
    one
}

/// Faults beside an end that no attempt outlives.
/// A process that was frozen outlives its time limit: there is none.
fn endless(random: &mut Random, setting: &mut Setting) -> (Rates, Promise) {
    if random.one_in(2) {
        // Few events, most of them delivered as often as can be: so near the formula does a run come.
        setting.invocations = u64::from(setting.workers) + random.below(6);
        let rates = Rates { kill: random.between(8, 60), budget: u32::MAX, ..Rates::default() };
        return (rates, Promise::AnyEnd);
    }
    let budget = random.below(3) as u32;
    (Rates { freeze: 0, ..all_kinds(random, budget) }, Promise::Unscored)
}

fn stop() -> String {
    format!(r#"{{"stop": true, "run": "{RUN}"}}"#)
}

/// The plan of a seed.
pub(super) fn plan(seed: u64) -> Plan {
    let mut random = Random::new(mix(seed, 2));
    let mut setting = Setting::random(seed);
    let (mut promise, mut watchdog, mut outside) = (Promise::Done, true, Vec::new());
    let rates = match seed % KINDS.len() as u64 {
        0 => {
            promise = Promise::Undisturbed;
            if random.one_in(3) {
                // Legs of many minutes, and fewer places than workers:
                // events wait for longer than any patience.
                (setting.step_ms, setting.limit_ms) = (setting.step_ms * 100, setting.limit_ms * 50);
                setting.concurrency = random.between(1, 2) as usize;
            }
            Rates::default()
        }
        1 => {
            watchdog = false;
            let rates = all_kinds(&mut random, u32::MAX);
            Rates { freeze: 0, full: 0, lose: 0, hops: false, spare_last: true, ..rates }
        }
        2 => {
            let budget = random.between(1, 5) as u32;
            all_kinds(&mut random, budget)
        }
        3 => {
            promise = Promise::EndOrRefusal;
            // Several ways to end: which of them is settled is what such a lock puts in doubt.
            for _ in 0..random.below(4) {
                outside.push((random.below(20_000), stop()));
            }
            if random.one_in(3) {
                setting.invocations = u64::from(setting.workers) + random.below(30);
            }
            let (budget, half) = (random.between(1, 30) as u32, random.one_in(2));
            let others = if half { all_kinds(&mut random, budget) } else { Rates::default() };
            Rates { stall: random.below(12), unhonoured: random.between(1, 12), budget, ..others }
        }
        4 => {
            promise = Promise::AnyEnd;
            one_kind(&mut random)
        }
        5 => {
            promise = Promise::AnyEnd;
            all_kinds(&mut random, u32::MAX)
        }
        6 => {
            promise = Promise::AnyEnd;
            setting.invocations = u64::from(setting.workers) + random.below(30);
            all_kinds(&mut random, u32::MAX)
        }
        8 => {
            setting.endless = true;
            let (rates, promised) = endless(&mut random, &mut setting);
            promise = promised;
            rates
        }
        9 => {
            promise = Promise::EndOrRefusal;
            setting = setting.under_a_ceiling(&mut random);
            outside.push((random.below(20_000), setting.start_of(NEIGHBOUR).to_string()));
            let faults = random.below(6) as u32;
            all_kinds(&mut random, faults)
        }
        _ => {
            promise = Promise::DoneOrLimit;
            for event in [stop(), setting.start().to_string(), r#"{"tick": true}"#.into()] {
                if random.one_in(2) {
                    outside.push((random.below(40_000), event));
                }
            }
            let budget = random.below(4) as u32;
            all_kinds(&mut random, budget)
        }
    };
    Plan { setting, rates, promise, watchdog, outside }
}
