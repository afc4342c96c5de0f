//! The real handler, protocol and storage in a world where everything that can go wrong does; see
//! `docs/testing.md`.
//!
//! ```sh
//! cargo test --release -p tests --test simulation -- --nocapture
//! BATON_SCHEDULES=1000000 cargo test --release -p tests --test simulation random -- --nocapture
//! BATON_SEED=17 cargo test --release -p tests --test simulation replay -- --nocapture
//! BATON_FAULTS=2 cargo test --release -p tests --test simulation smallest -- --nocapture
//! ```

// The crates that the simulator drives: here the shipped ones, in `mutations.rs` their mutants.
#[allow(clippy::single_component_path_imports)]
mod code {
    pub(crate) use {protocol, storage, trainer, work};
}
#[path = "../harness/simulation/mod.rs"]
mod simulation;

use simulation::exhaustive::Search;
use simulation::kinds::Plan;
use simulation::setting::Setting;
use std::time::Instant;

fn number(key: &str, otherwise: u64) -> u64 {
    std::env::var(key)
        .map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{key}={text}: no number")))
}

#[test]
fn random_schedules_end_within_their_limits_with_the_same_model() {
    let schedules = number("BATON_SCHEDULES", 10_000);
    let first = number("BATON_SEED", 0);
    let begun = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    let run = |thread| simulation::run((first..first + schedules).skip(thread).step_by(threads));
    let found: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("the simulator itself does not panic"))
            .collect()
    });
    let sum = found.iter().fold(simulation::Sum::default(), |sum, (one, _)| sum.and(one));
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{} schedules from seed {first}: {} invocations, {} faults, {} steps, in {seconds:.1} s: \
         {:.0} schedules a second",
        sum.schedules,
        sum.invocations,
        sum.faults,
        sum.steps,
        sum.schedules as f64 / seconds
    );
    println!("the most invocations: {:.1} % of what the formula allows", sum.most_share * 100.0);
    println!("the latest step of a worker after its run had ended: {} ms", sum.late_step_ms);
    if let Some((seed, what)) = found.iter().filter_map(|(_, failed)| failed.as_ref()).min() {
        println!("{}", simulation::history(*seed));
        panic!(
            "seed {seed}: {what}\n\
             again: BATON_SEED={seed} cargo test --release -p tests --test simulation replay -- --nocapture"
        );
    }
    assert!(schedules < 10_000 || sum.late_step_ms > 0, "no worker was at work when its run ended");
    assert!(schedules < 10_000 || sum.most_share > 0.5, "no schedule came near the formula");
}

#[test]
fn replay_a_seed_in_words() {
    let seed = number("BATON_SEED", 5);
    let history = simulation::history(seed);
    if std::env::var_os("BATON_SEED").is_some() {
        println!("{history}");
    }
    assert_eq!(history, simulation::history(seed), "a seed replays its schedule");
    assert!(!history.contains("VIOLATION"), "seed {seed} fails");
}

#[test]
fn sixty_four_workers_wait_for_two_places() {
    let world = simulation::on_simulated_disk(|| {
        simulation::schedule::carry_out(Plan::calm(Setting::crowded()), 1, 1_000_000, false)
    });
    let (steps, hours) = (world.tally.steps, (world.clock_ms - 1_000_000) as f64 / 3_600_000.0);
    println!("{} invocations, {steps} steps, {hours:.1} hours", world.tally.invocations);
    assert_eq!((world.violation, world.truth.resent), (None, 0));
}

/// Explores a world and prints how large it is.
fn explore(setting: Setting, faults: u32, reduced: bool) -> usize {
    let begun = Instant::now();
    let legs = setting.most_steps;
    let explored = simulation::on_simulated_disk(|| Search::new(setting, faults, reduced).explore());
    let explored = explored.unwrap_or_else(|history| panic!("{history}"));
    println!(
        "2 workers, 2 stages, up to {legs} legs, {faults} faults{}: {} states, {} runs to the end, \
         {} replays, {:.1} s",
        if reduced { "" } else { ", each step of its own" },
        explored.states,
        explored.whole,
        explored.runs,
        begun.elapsed().as_secs_f64()
    );
    explored.states
}

#[test]
fn the_smallest_world_is_explored_whole() {
    let every_order = explore(Setting::smallest(), 0, false);
    let reduced = explore(Setting::smallest(), 0, true);
    assert!(every_order > reduced && reduced > 100, "{every_order} and {reduced} states");
    explore(Setting::smallest_with_legs(), 0, true);
    explore(Setting::smallest_with_shares(), 0, true);
    let faults = number("BATON_FAULTS", 0) as u32;
    for faults in 1..=faults {
        explore(Setting::smallest(), faults, true);
        explore(Setting::smallest_with_shares(), faults, true);
    }
}
