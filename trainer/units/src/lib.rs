//! Units: pieces of work that are independent of each other, thousands or millions of them.
//!
//! The first stage deals all units in shares. A unit that is lost is tried again in the next stage, by
//! another leg; after the last try it is a dead letter, with its reason, and the run ends all the same. The
//! end joins the results in the order of the units. A result depends on its unit alone, so the files of a run
//! are the same however its legs were cut.
//!
//! ```text
//! units ─ shares ─▶ results + lost ─ tries ─▶ results + lost
//!       ─ the end ─▶ results-*.jsonl, dead.jsonl, results.json
//! ```

mod combine;
mod dealing;
mod ending;
mod index;
mod letter;
mod merge;
mod numbers;
mod share;
mod state;

pub use combine::combine;
pub use ending::Ending;
pub use index::{Counts, DEAD, INDEX, Index};
pub use letter::Letter;
pub use numbers::Numbers;
pub use share::open;

use dealing::Dealing;
use protocol::{Best, Course};
use work::Failed;

/// Units that a run does.
pub trait Units: Send + Sync {
    /// The numbers of the units.
    fn numbers(&self) -> &Numbers;

    /// Takes up these units, to be settled in this order; `tries` tells which try it is, from 1.
    ///
    /// # Errors
    /// [`Failed`], when none of them can be begun.
    fn begin(&self, units: Vec<u64>, tries: u32) -> Result<Box<dyn Doing>, Failed>;
}

/// Units that are being done.
pub trait Doing {
    /// Works for some hundredths of a second, and adds what became of the next units, if they are settled.
    ///
    /// # Errors
    /// [`Failed`], for a trouble that is no unit's own; nothing of it is settled then.
    fn step(&mut self, settled: &mut Vec<Settled>) -> Result<(), Failed>;
}

/// The outcome of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Its result: one line of JSON.
    Done(String),
    /// It has none.
    Lost {
        /// Why, in words that depend on the unit alone.
        why: String,
        /// The end of what was written to standard error.
        said: String,
    },
}

/// The most stages of units.
pub const MOST_TRIES: u32 = 10;
/// The stages, by their names.
const STAGES: [&str; MOST_TRIES as usize] = [
    "units",
    "second try",
    "third try",
    "fourth try",
    "fifth try",
    "sixth try",
    "seventh try",
    "eighth try",
    "ninth try",
    "tenth try",
];

/// The stages of a run with so many units, each tried at most `tries` times, from 1 to [`MOST_TRIES`].
pub fn course(title: String, units: u64, tries: u32, workers: u32) -> Course {
    let stages = STAGES.iter().take(tries.max(1) as usize);
    Course {
        title,
        before: stages.map(|name| (*name).to_owned()).collect(),
        shares: vec![Dealing::new(units, workers).shares()],
        round: Vec::new(),
        rounds: 0,
        called: "round".into(),
        unit: "units".into(),
        measures: Vec::new(),
        best: Best::Last,
        score_every: 1,
        patience: None,
    }
}

#[cfg(test)]
mod tests;
