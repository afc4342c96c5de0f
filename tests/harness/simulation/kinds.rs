//! The kinds of schedules: the decisions of a seed before the first step.

use super::check::Promise;
use super::outside::{Comings, Outside, When};
use super::random::{Random, mix};
use super::setting::{NEIGHBOUR, RUN, Setting};
use super::world::Rates;

/// Of so many events one is lost, where many are.
const MANY_LOST: u64 = 2;
const HOUR_MS: u64 = 3_600_000;

/// Kinds of schedules; a seed's place in the list is the seed modulo their number.
pub(crate) const KINDS: [&str; 12] = [
    "no faults",
    "what redelivery heals, without a watchdog",
    "a few faults of all kinds",
    "locks that are not honoured",
    "many faults of one kind",
    "many faults of all kinds",
    "a small limit on invocations",
    "stopped, started and ticked from outside",
    "an end that no attempt outlives",
    "a cloud that leaves and comes back",
    "clocks that jump",
    "two runs under the operator's ceiling for a day",
];

/// The decisions of a seed before the first step.
pub(crate) struct Plan {
    pub(crate) setting: Setting,
    pub(crate) rates: Rates,
    pub(crate) promise: Promise,
    pub(crate) outside: Outside,
}

impl Plan {
    /// A run of a setting in which nothing goes wrong.
    pub(crate) fn calm(setting: Setting) -> Plan {
        let outside = Outside::new(setting.start().to_string());
        Plan { outside, rates: Rates::default(), promise: Promise::Undisturbed, setting }
    }

    /// The plan of a seed.
    pub(crate) fn of(seed: u64) -> Plan {
        let mut random = Random::new(mix(seed, 2));
        let mut plan = Plan::calm(Setting::random(seed));
        match seed % KINDS.len() as u64 {
            0 => waiting(&mut plan, &mut random),
            1 => {
                (plan.promise, plan.outside.watchdog) = (Promise::Done, false);
                let rates = all_kinds(&mut random, u32::MAX);
                plan.rates = Rates { freeze: 0, full: 0, lose: 0, hops: false, spare_last: true, ..rates };
            }
            2 => {
                plan.promise = Promise::Done;
                let budget = random.between(1, 5) as u32;
                plan.rates = all_kinds(&mut random, budget);
            }
            3 => unhonoured(&mut plan, &mut random),
            4 => (plan.promise, plan.rates) = (Promise::AnyEnd, one_kind(&mut random)),
            5 => (plan.promise, plan.rates) = (Promise::AnyEnd, all_kinds(&mut random, u32::MAX)),
            6 => {
                plan.setting.invocations = u64::from(plan.setting.workers) + random.below(30);
                (plan.promise, plan.rates) = (Promise::AnyEnd, all_kinds(&mut random, u32::MAX));
            }
            7 => from_outside(&mut plan, &mut random),
            8 => endless(&mut plan, &mut random),
            9 => comings(&mut plan, &mut random),
            10 => jumps(&mut plan, &mut random),
            _ => under_a_ceiling(&mut plan, &mut random),
        }
        // What a kind has changed in the job is started with.
        plan.outside.start = plan.setting.start().to_string();
        plan
    }
}

/// Two runs under a ceiling that both need to start, and some faults.
fn under_a_ceiling(plan: &mut Plan, random: &mut Random) {
    plan.promise = Promise::EndOrRefusal;
    plan.setting = plan.setting.clone().under_a_ceiling(random);
    plan.outside.events.push((random.below(20_000), plan.setting.start_of(NEIGHBOUR).to_string()));
    let faults = random.below(6) as u32;
    plan.rates = all_kinds(random, faults);
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
        tell: rate(100, 1_500),
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
    match random.below(9) {
        0 => one.kill = all.kill.max(60),
        1 => one.freeze = all.freeze.max(100),
        2 => one.duplicate = 2,
        3 => one.delay = 3,
        4 => one.lose = if random.one_in(2) { MANY_LOST } else { 6 },
        5 => one.throttle = 4,
        6 => one.io = all.io.max(60),
        7 => one.tell = random.between(20, 100),
        _ => one.hops = true,
    }
    one
}

/// Nothing goes wrong. Legs of many minutes, and fewer places than workers, at times:
/// events wait for longer than any patience.
fn waiting(plan: &mut Plan, random: &mut Random) {
    if random.one_in(3) {
        let setting = &mut plan.setting;
        (setting.step_ms, setting.limit_ms) = (setting.step_ms * 100, setting.limit_ms * 50);
        setting.concurrency = random.between(1, 2) as usize;
    }
}

/// Locks that two get at once, and several ways to end:
/// which of them is settled is what such a lock puts in doubt.
fn unhonoured(plan: &mut Plan, random: &mut Random) {
    plan.promise = Promise::EndOrRefusal;
    for _ in 0..random.below(4) {
        plan.outside.events.push((random.below(20_000), stop()));
    }
    if random.one_in(3) {
        plan.setting.invocations = u64::from(plan.setting.workers) + random.below(30);
    }
    let budget = random.between(1, 30) as u32;
    let others = if random.one_in(2) { all_kinds(random, budget) } else { Rates::default() };
    let stall = random.below(12);
    plan.rates = Rates { unhonoured: random.between(1, 12), stall, budget, ..others };
}

fn from_outside(plan: &mut Plan, random: &mut Random) {
    plan.promise = Promise::DoneOrLimit;
    let start = plan.setting.start().to_string();
    for event in [stop(), start, plan.setting.forced_start(), r#"{"tick": true}"#.into()] {
        if random.one_in(2) {
            plan.outside.events.push((random.below(40_000), event));
        }
    }
    let budget = random.below(4) as u32;
    plan.rates = all_kinds(random, budget);
}

/// Faults beside an end that no attempt outlives.
/// A process that was frozen outlives its time limit: there is none.
fn endless(plan: &mut Plan, random: &mut Random) {
    plan.setting.endless = true;
    if random.one_in(2) {
        // Few events, most of them delivered as often as can be: so near the formula does a run come.
        plan.setting.invocations = u64::from(plan.setting.workers) + random.below(6);
        plan.rates = Rates { kill: random.between(8, 60), budget: u32::MAX, ..Rates::default() };
        plan.promise = Promise::AnyEnd;
        return;
    }
    let budget = random.below(3) as u32;
    plan.promise = Promise::Unscored;
    plan.rates = Rates { freeze: 0, ..all_kinds(random, budget) };
}

/// A cloud that is told to leave and comes back hours later, as often as somebody likes;
/// its processes have two seconds, which are enough or not.
fn comings(plan: &mut Plan, random: &mut Random) {
    plan.promise = Promise::Interrupted;
    plan.setting.hours = 2;
    let (left, mut every) = (random.between(1, 40) as u32, random.between(3, 120));
    if random.one_in(2) {
        plan.setting.step_ms = random.between(2_200, 6_000);
        plan.setting.limit_ms = plan.setting.step_ms * random.between(3, 6);
        every = if random.one_in(2) { 0 } else { every };
    } else {
        plan.setting.step_ms = random.between(100, 1_000);
    }
    plan.outside.comings =
        Comings { left, every, pause_ms: random.between(1_000, 3 * HOUR_MS), back_ms: None };
}

/// All clocks go back or on by an hour or so while events are lost and processes killed.
fn jumps(plan: &mut Plan, random: &mut Random) {
    plan.promise = Promise::Soon;
    for _ in 0..random.between(1, 3) {
        let by = random.between(HOUR_MS / 6, 2 * HOUR_MS) as i64;
        let back = random.between(0, 2) > 0;
        let when = if random.one_in(2) {
            When::Delivery { number: random.between(1, 12), turns: random.between(1, 20) as u32 }
        } else {
            When::After(random.below(60_000))
        };
        plan.outside.jumps.push((when, if back { -by } else { by }));
    }
    let (kill, lose) = (random.between(20, 200), random.between(2, 8));
    plan.rates = Rates { kill, lose, budget: random.between(1, 2) as u32, ..Rates::default() };
}

fn stop() -> String {
    format!(r#"{{"stop": true, "run": "{RUN}"}}"#)
}
