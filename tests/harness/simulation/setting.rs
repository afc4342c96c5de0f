//! The setting of a simulated run: its size, its pace, its limits; and its expected results, computed without
//! any world.

use super::code::protocol::{Best, Course, CutShort, Lease, Limits, Measure, Score, end_events};
use super::random::{Random, mix};
use serde_json::{Value, json};
use twox_hash::XxHash3_128;

/// The run's id, and where the shared file system is mounted.
pub(crate) const RUN: &str = "a-run";
pub(crate) const ROOT: &str = "/sim";
/// The run beside it, where there is one: of it only the work that it does is counted.
pub(crate) const NEIGHBOUR: &str = "b-run";
/// The function's memory.
pub(crate) const MEMORY_MB: u32 = 1_024;
/// The key of the feature store.
pub(crate) const KEY: &str = "features";

/// A run.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) workers: u32,
    /// Shares of the first stage beyond one for each worker.
    pub(crate) more_shares: u32,
    pub(crate) rounds: u32,
    /// Steps of a worker in a stage: from one to this.
    pub(crate) most_steps: u64,
    pub(crate) step_ms: u64,
    /// The platform's time limit for one invocation.
    pub(crate) limit_ms: u64,
    pub(crate) concurrency: usize,
    /// The job's limit on invocations.
    pub(crate) invocations: u64,
    pub(crate) patience: Option<u32>,
    pub(crate) score_every: u32,
    pub(crate) seed: u64,
    /// Whether a stage of sums in slices follows each round.
    pub(crate) sliced: bool,
    /// Steps of a combine, and of the end: from one to this.
    pub(crate) most_closing: u64,
    /// The job's limit on hours.
    pub(crate) hours: u64,
    /// Whether scoring at the end takes longer than any leg, or more memory than there is: no attempt
    /// survives it.
    pub(crate) endless: bool,
    /// The operator's ceiling for all runs of the day; then another run, the neighbour, spends of it, too.
    pub(crate) dollars_per_day: Option<f64>,
    /// Whether all states together are the product, and a stage that is cut short is published, too.
    pub(crate) all: bool,
}

/// Numbers instead of a worker's in the content of a file: the combine, and the end.
pub(crate) const COMBINE: u32 = 998;
pub(crate) const END: u32 = 999;

impl Setting {
    /// A run of random size; its schedule takes well under a millisecond.
    pub(crate) fn random(seed: u64) -> Setting {
        let mut random = Random::new(mix(seed, 1));
        Setting {
            workers: random.between(1, 4) as u32,
            more_shares: 0,
            rounds: random.between(1, 3) as u32,
            most_steps: random.between(1, 5),
            step_ms: random.between(100, 2_500),
            limit_ms: random.between(6_000, 20_000),
            concurrency: random.between(1, 6) as usize,
            invocations: 20_000,
            patience: random.one_in(8).then_some(1),
            seed: random.next(),
            sliced: random.one_in(3),
            score_every: if random.one_in(4) { 2 } else { 1 },
            most_closing: random.between(1, 4),
            hours: 8_760,
            endless: false,
            dollars_per_day: None,
            all: false,
        }
        .cut_finer(&mut random)
    }

    /// The first stage of some runs has more shares than workers.
    fn cut_finer(mut self, random: &mut Random) -> Setting {
        if random.one_in(3) {
            self.more_shares = random.between(1, 5) as u32;
        }
        self.all = random.one_in(4);
        self
    }

    /// The same, longer, under an operator's ceiling: what two of it need to start, and some legs more.
    pub(crate) fn under_a_ceiling(self, random: &mut Random) -> Setting {
        let legs = u64::from(self.workers + 2) * 2 + random.below(8);
        let dollars_per_day = Some(Setting::dollars(self.limit_ms) * legs as f64);
        Setting { rounds: random.between(4, 12) as u32, dollars_per_day, ..self }
    }

    /// Two workers, two stages: `features` and one round.
    pub(crate) fn smallest() -> Setting {
        Setting {
            workers: 2,
            more_shares: 0,
            rounds: 1,
            most_steps: 1,
            step_ms: 1_000,
            limit_ms: 10_000,
            concurrency: 6,
            invocations: 20_000,
            patience: None,
            score_every: 1,
            seed: 7,
            sliced: false,
            most_closing: 1,
            hours: 8_760,
            endless: false,
            dollars_per_day: None,
            all: false,
        }
    }

    /// The cost of so many milliseconds of work, in dollars.
    pub(crate) fn dollars(ms: u64) -> f64 {
        let lease = Lease { invocation: String::new(), at_ms: 0, until_ms: ms, memory_mb: MEMORY_MB };
        lease.dollars()
    }

    /// The same with workers of up to two steps; a leg has time for one of them.
    pub(crate) fn smallest_with_legs() -> Setting {
        Setting { most_steps: 2, limit_ms: 2_500, ..Setting::smallest() }
    }

    /// The same with one share more than workers.
    pub(crate) fn smallest_with_shares() -> Setting {
        Setting { more_shares: 1, ..Setting::smallest() }
    }

    /// 64 workers on two places, in legs of a quarter of an hour.
    pub(crate) fn crowded() -> Setting {
        let (step_ms, limit_ms) = (60_000, 900_000);
        Setting {
            workers: 64,
            most_steps: 40,
            step_ms,
            limit_ms,
            concurrency: 2,
            most_closing: 30,
            ..Setting::smallest()
        }
    }

    /// The event that starts it in a cloud that knows that no function is alive.
    pub(crate) fn forced_start(&self) -> String {
        let mut start = self.start();
        start["force"] = true.into();
        start.to_string()
    }

    /// The event that starts it.
    pub(crate) fn start(&self) -> Value {
        self.start_of(RUN)
    }

    /// The event that starts a run of that name.
    pub(crate) fn start_of(&self, run: &str) -> Value {
        json!({
            "start": true, "run": run, "workers": self.workers,
            "job": {
                "dataset": "d", "network": "vgg19",
                "limits": {"invocations": self.invocations, "dollars": 10_000, "hours": self.hours},
            },
        })
    }

    /// The stages of the run.
    pub(crate) fn course(&self) -> Course {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Course {
            title: "numbers".into(),
            before: words(&["features"]),
            shares: if self.more_shares > 0 { vec![self.shares(0)] } else { Vec::new() },
            round: words(if self.sliced { &["train", "sums"] } else { &["train"] }),
            rounds: self.rounds,
            called: "round".into(),
            unit: "steps".into(),
            measures: vec![Measure { name: "share".into(), higher: true, share: true }],
            best: if self.all { Best::All } else { Best::Measured },
            score_every: self.score_every,
            patience: self.patience,
        }
    }

    /// The shares of a stage.
    pub(crate) fn shares(&self, stage: u32) -> u32 {
        self.workers + if stage == 0 { self.more_shares } else { 0 }
    }

    /// The most events that it may send, including those of its end.
    pub(crate) fn most_sent(&self) -> u64 {
        self.invocations + end_events(&Limits { invocations: self.invocations, ..Limits::default() })
    }

    /// Steps that a combine takes, or the end.
    pub(crate) fn closing_steps(&self, stage: u32) -> u64 {
        1 + mix(mix(self.seed, stage.into()), 0xc105) % self.most_closing
    }

    /// The number of a combine or of the end after `steps` steps from the number that it began with.
    pub(crate) fn closed(&self, stage: u32, begun: u64, steps: u64) -> u64 {
        (0..steps).fold(mix(begun, stage.into()), mix)
    }

    /// Steps that a worker's stage takes.
    pub(crate) fn steps(&self, stage: u32, worker: u32) -> u64 {
        1 + mix(mix(self.seed, stage.into()), worker.into()) % self.most_steps
    }

    /// A worker's number after `steps` steps from the number that the stage began with.
    pub(crate) fn worker(&self, stage: u32, worker: u32, before: u64, steps: u64) -> u64 {
        (0..steps).fold(mix(mix(before, stage.into()), worker.into()), mix)
    }
}

/// The number that a stage began with, and its workers' numbers, in one: any loss, double count or other
/// order shows.
pub(crate) fn fold(before: u64, workers: impl IntoIterator<Item = u64>) -> u64 {
    workers.into_iter().fold(mix(before, 0xc0), mix)
}

/// The number of the product of a run that ended within a stage. It depends on the shares of that stage, and
/// on how far they are.
pub(crate) fn cut_off(cut: &CutShort) -> u64 {
    let shares = cut.shares.iter().map(|(share, file)| mix(u64::from(*share), file.bytes));
    fold(u64::from(cut.stage), shares)
}

/// The score of a state, which depends only on its number.
pub(crate) fn score(number: u64) -> Score {
    Score { values: vec![(number % 97) as f64 / 97.0], of: 97 }
}

/// The content of a file: its kind, stage and worker, the steps so far, and its number.
pub(crate) fn contents(what: &str, stage: u32, worker: u32, steps: u64, number: u64) -> String {
    format!("{what} {stage} {worker} {steps} {number:016x}")
}

/// A checksum in the form of file names.
pub(crate) fn checksum(bytes: &[u8]) -> String {
    format!("{:032x}", XxHash3_128::oneshot(bytes))
}

/// The results of the stages when nothing fails.
pub(crate) struct Expected {
    /// The number that the combine of each stage begins with.
    pub(crate) folded: Vec<u64>,
    /// The number that stage r begins with; the run ends with the last one.
    pub(crate) before: Vec<u64>,
}

impl Expected {
    pub(crate) fn of(setting: &Setting) -> Expected {
        let (mut before, mut all) = (vec![0], Vec::new());
        let stages = setting.rounds * if setting.sliced { 2 } else { 1 };
        for stage in 0..=stages {
            let start = before[stage as usize];
            let number = |worker| setting.worker(stage, worker, start, setting.steps(stage, worker));
            let folded = fold(start, (0..setting.shares(stage)).map(number));
            all.push(folded);
            before.push(setting.closed(stage, folded, setting.closing_steps(stage)));
        }
        Expected { folded: all, before }
    }
}
