//! How units are dealt in shares: large ones first, then smaller and smaller ones (factoring; Hummel,
//! Schonberg and Flynn, 1992).
//!
//! A level has one share for each worker, and its shares together have half of the units that are left. The
//! ledger assigns the next share to a worker that has done one. So a worker with cheap units takes more
//! shares, and at the end no worker waits for longer than a small share takes. The cut depends only on the
//! number of units and the number of workers. Within a level, units are dealt in short runs, round robin, so
//! that the shares are even if the units of a level become more expensive one after the other.

use crate::Numbers;
use crate::state::State;
use protocol::At;
use std::ops::Range;
use work::{Failed, Stage};

/// A share is not smaller than this part of a worker's average number of units, because each share costs an
/// event.
const SMALLEST: u64 = 256;
/// The most units of a run, and the least number of runs in a share if the share is large enough.
const LONGEST_RUN: u64 = 256;
const RUNS: u64 = 64;

/// All shares of some units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dealing {
    workers: u64,
    levels: Vec<Level>,
}

/// The units of a level, by their places.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Level {
    units: Range<u64>,
    /// The number of consecutive units in a share.
    run: u64,
}

impl Dealing {
    /// Deals this many units to this many workers.
    pub(crate) fn new(units: u64, workers: u32) -> Dealing {
        let workers = u64::from(workers.max(1));
        let smallest = (units / (workers * SMALLEST)).max(1);
        let (mut levels, mut first) = (Vec::new(), 0);
        while first < units {
            let left = units - first;
            let share = left.div_ceil(2 * workers);
            // A single worker does all of it in one share.
            let all = workers == 1 || share <= smallest && left <= workers * smallest;
            let of = if all { left } else { (share.max(smallest) * workers).min(left) };
            levels
                .push(Level { units: first..first + of, run: (of / (workers * RUNS)).clamp(1, LONGEST_RUN) });
            first += of;
        }
        if levels.is_empty() {
            levels.push(Level { units: 0..0, run: 1 });
        }
        Dealing { workers, levels }
    }

    /// The number of shares: the number of workers, or a multiple of it.
    pub(crate) fn shares(&self) -> u32 {
        (self.levels.len() as u64 * self.workers) as u32
    }

    /// The places of a share's units, ascending.
    pub(crate) fn places(&self, share: u32) -> impl Iterator<Item = u64> + '_ {
        let (level, worker) = (u64::from(share) / self.workers, u64::from(share) % self.workers);
        let of = self.levels.get(level as usize).cloned().unwrap_or(Level { units: 0..0, run: 1 });
        let Level { units, run } = of;
        let runs = (units.start + worker * run..units.end).step_by((run * self.workers) as usize);
        runs.flat_map(move |first| first..(first + run).min(units.end))
    }
}

/// The units of a stage, as they are dealt to its shares.
pub(crate) enum Dealt<'a> {
    /// All units, in the first stage.
    All(Dealing, &'a Numbers),
    /// Those that were lost before, in their order, one for each worker in turn.
    Lost(Vec<u64>, usize),
}

impl Dealt<'_> {
    /// Deals the units of a stage.
    ///
    /// # Errors
    /// [`Failed`], when the results of the stages before are damaged or cannot be read.
    pub(crate) fn open<'a>(at: &Stage<'_>, numbers: &'a Numbers) -> Result<Dealt<'a>, Failed> {
        if at.course.at(at.number) == At::Before(0) {
            return Ok(Dealt::All(Dealing::new(numbers.count(), at.workers), numbers));
        }
        let lost = State::before(at)?.lost;
        Ok(Dealt::Lost(lost.iter().map(|letter| letter.unit).collect(), at.workers as usize))
    }

    /// The units of a share, in their order.
    pub(crate) fn share(&self, share: u32) -> Vec<u64> {
        match self {
            Dealt::All(dealing, numbers) => dealing.places(share).map(|place| numbers.at(place)).collect(),
            Dealt::Lost(units, workers) => {
                units.iter().skip(share as usize).step_by(*workers).copied().collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_dealt_once() {
        for units in [0, 1, 2, 7, 100, 3_000, 65_537] {
            for workers in [1, 2, 3, 8, 50] {
                let dealing = Dealing::new(units, workers);
                let mut all: Vec<u64> =
                    (0..dealing.shares()).flat_map(|share| dealing.places(share)).collect();
                for share in 0..dealing.shares() {
                    assert!(dealing.places(share).is_sorted(), "{units} units, {workers} workers");
                }
                all.sort_unstable();
                assert_eq!(all, (0..units).collect::<Vec<_>>(), "{units} units, {workers} workers");
                assert!(
                    dealing.shares() >= workers && dealing.shares() <= 14 * workers,
                    "{}",
                    dealing.shares()
                );
            }
        }
        let million = Dealing::new(1_000_000, 1_000);
        assert!(million.shares() <= 10_000, "{}", million.shares());
    }

    /// The time at which the last worker ends, and the sum of all costs. A worker that is done takes the next
    /// share.
    fn simulated(costs: &[f64], workers: u32) -> (f64, f64) {
        let dealing = Dealing::new(costs.len() as u64, workers);
        let mut free = vec![0.0_f64; workers as usize];
        for share in 0..dealing.shares() {
            let first = (0..free.len()).min_by(|a, b| free[*a].total_cmp(&free[*b])).unwrap();
            free[first] += dealing.places(share).map(|place| costs[place as usize]).sum::<f64>();
        }
        (free.iter().copied().fold(0.0, f64::max), costs.iter().sum())
    }

    #[test]
    fn nobody_is_idle_at_the_end_though_units_differ_a_thousandfold() {
        // Costs from 1 to 1000, the same number of each order of magnitude, in four orders.
        let cost = |n: u64| {
            10f64.powf(3.0 * ((n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / (1u64 << 24) as f64))
        };
        let mixed: Vec<f64> = (0..20_000).map(cost).collect();
        let mut rising = mixed.clone();
        rising.sort_by(f64::total_cmp);
        let falling: Vec<f64> = rising.iter().rev().copied().collect();
        let mut clustered = rising.clone();
        clustered.rotate_left(5_000);
        for (name, costs) in
            [("mixed", mixed), ("rising", rising), ("falling", falling), ("clustered", clustered)]
        {
            for workers in [2, 8, 40] {
                let (ends, all) = simulated(&costs, workers);
                let idle = ends - all / f64::from(workers);
                println!("{name}, {workers} workers: idle {idle:.0} of {ends:.0}");
                // The most expensive unit costs 1000, and a smallest share has at most two of them.
                assert!(idle <= 2_000.0 + 0.01 * ends, "{name}, {workers} workers: {idle} of {ends}");
            }
        }
    }
}
