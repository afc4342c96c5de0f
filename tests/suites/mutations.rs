//! For each law a mutation that turns it off, and the number of schedules until the simulator finds it.

mod code {
    pub(crate) use mutants::{protocol, storage, trainer, work};
}
// What explores and replays is used by `simulation.rs` alone.
#[allow(dead_code)]
#[path = "../harness/simulation/mod.rs"]
mod simulation;

use mutants::{MUTATIONS, mutation};

/// Schedules within which each mutation must be found.
const WITHIN: u64 = 20_000;

#[test]
fn every_law_that_is_turned_off_is_missed() {
    let (_, failed) = simulation::run(0..400);
    assert_eq!(failed, None, "without a mutation nothing is found");
    println!("| law | mutation | schedules | found by |\n|---|---|---|---|");
    let mut missed = Vec::new();
    for mutant in MUTATIONS {
        let (sum, failed) = mutation::with(mutant.name, || simulation::run(0..WITHIN));
        let found = failed.as_ref().map_or("nothing", |(_, what)| what.lines().next().unwrap_or_default());
        println!("| {} | {} | {} | {found} |", mutant.law, mutant.name, sum.schedules);
        if failed.is_none() {
            missed.push(mutant.name);
        }
    }
    assert!(missed.is_empty(), "not found within {WITHIN} schedules: {missed:?}");
    let laws: std::collections::BTreeSet<u32> = MUTATIONS.iter().map(|mutant| mutant.law).collect();
    assert_eq!(laws.into_iter().collect::<Vec<_>>(), (1..=15).collect::<Vec<_>>());
}
