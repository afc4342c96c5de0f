//! The names of runs of `baton train`: the same command finds its run again, another one never takes it.

use crate::Failure;
use crate::runs::read_ledger;
use protocol::{Job, RunId};
use storage::Root;

/// The most characters of a run's id.
const LONGEST: usize = 48;
/// Runs of one name that are tried.
const TRIES: usize = 99;

/// A name for a run, from those of its data set and network.
pub(super) fn name(dataset: &str, network: &str) -> String {
    let plain = |text: &str, most: usize| -> String {
        let plain = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
        text.chars().map(plain).take(most).collect()
    };
    let name = format!("{}-{}", plain(dataset, 24), plain(network, 16));
    name.trim_start_matches('-').to_owned()
}

/// The name with an ending.
pub(super) fn with_ending(name: &str, ending: &str) -> String {
    let kept: String = name.chars().take(LONGEST - ending.len() - 1).collect();
    format!("{kept}-{ending}")
}

/// The run of that name, if there is none yet or this job was started as it. Otherwise it is the first one
/// with a number that is so, unless the user has chosen the name.
///
/// # Errors
/// A ledger that cannot be read; a job that is refused; a name that another job has.
pub(super) fn choose(
    root: &Root,
    (name, is_chosen): (&str, bool),
    job: &Job,
    workers: u32,
) -> Result<RunId, Failure> {
    let workloads = workloads::all();
    let planned = workloads.find(job)?.plan(root, job, workers)?.job;
    for number in 1..=if is_chosen { 1 } else { TRIES } {
        let name = if number == 1 { name.to_owned() } else { with_ending(name, &number.to_string()) };
        let run = RunId::new(name).map_err(Failure::input)?;
        if !root.run(&run).ledger().is_file() {
            return Ok(run);
        }
        let ledger = read_ledger(root.path(), &run)?;
        if ledger.job == *planned && ledger.workers.len() == workers as usize {
            return Ok(run);
        }
    }
    let expected = "give another name with --run, or `baton remove` some";
    Err(Failure::input(format!("runs named {name} have another job: {expected}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_data_sets_and_networks_make_ids() {
        assert_eq!(name("hymenoptera_data", "squeezenet1_0"), "hymenoptera-data-squeezenet1-0");
        assert_eq!(name("--", "vgg19"), "vgg19");
        let longest = with_ending(&with_ending(&name(&"d".repeat(40), &"n".repeat(30)), "block"), "99");
        assert!(longest.len() <= LONGEST && longest.ends_with("-99"), "{longest}");
        assert!(RunId::new(longest).is_ok());
    }
}
