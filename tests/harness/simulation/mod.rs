//! The simulator: the real handler, protocol and storage in a world where everything can go wrong,
//! on one thread.
//!
//! `code` names the crates: the real ones, or their mutants.

pub(crate) mod check;
pub(crate) mod coroutine;
pub(crate) mod exhaustive;
pub(crate) mod kinds;
pub(crate) mod learner;
pub(crate) mod nfs;
pub(crate) mod outside;
pub(crate) mod random;
pub(crate) mod schedule;
pub(crate) mod seam;
pub(crate) mod setting;
pub(crate) mod truth;
pub(crate) mod world;

use super::code;
use std::sync::Arc;

/// Runs `f` with this thread's disk simulated.
pub(crate) fn on_simulated_disk<R>(f: impl FnOnce() -> R) -> R {
    code::storage::disk::within(Arc::new(seam::Simulated), f)
}

/// The sum of many schedules.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    pub(crate) schedules: u64,
    pub(crate) steps: u64,
    pub(crate) invocations: u64,
    pub(crate) faults: u64,
    pub(crate) most_share: f64,
    pub(crate) late_step_ms: u64,
}

impl Sum {
    /// Both together.
    pub(crate) fn and(self, other: &Sum) -> Sum {
        Sum {
            schedules: self.schedules + other.schedules,
            steps: self.steps + other.steps,
            invocations: self.invocations + other.invocations,
            faults: self.faults + other.faults,
            most_share: self.most_share.max(other.most_share),
            late_step_ms: self.late_step_ms.max(other.late_step_ms),
        }
    }

    fn add(&mut self, world: &world::World) {
        self.schedules += 1;
        self.steps += world.tally.steps;
        self.invocations += world.tally.invocations;
        self.faults += world.tally.faults;
        self.late_step_ms = self.late_step_ms.max(world.tally.late_step_ms);
        let bound = check::bound(world, world.setting.most_sent());
        self.most_share = self.most_share.max(world.tally.invocations as f64 / bound as f64);
    }
}

/// Runs the schedules of some seeds; returns the first that fails, with its fault.
pub(crate) fn run(seeds: impl IntoIterator<Item = u64>) -> (Sum, Option<(u64, String)>) {
    on_simulated_disk(|| {
        let mut sum = Sum::default();
        for seed in seeds {
            let world = schedule::run(seed, false);
            sum.add(&world);
            if let Some(what) = world.violation {
                return (sum, Some((seed, what)));
            }
        }
        (sum, None)
    })
}

/// The history of a seed's schedule in words.
pub(crate) fn history(seed: u64) -> String {
    on_simulated_disk(|| schedule::run(seed, true).history.unwrap_or_default().join("\n"))
}
