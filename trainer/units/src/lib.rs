//! Units: pieces of work that are independent of each other, thousands or millions of them.
//!
//! The first stage deals all units in shares. If a unit is lost, another leg tries it again in the next
//! stage. After the last try it becomes a dead letter with its reason, and the run still ends. The end joins
//! the results in the order of the units. A result depends only on its unit, so the files of a run are the
//! same wherever its legs were cut.
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

    /// Begins these units, which are settled in this order; `tries` is the number of this try, from 1.
    ///
    /// # Errors
    /// [`Failed`], if none of them can begin.
    fn begin(&self, units: Vec<u64>, tries: u32) -> Result<Box<dyn Doing>, Failed>;
}

/// Units that are being done.
pub trait Doing {
    /// Works for some hundredths of a second, and adds the outcomes of the next units that are settled.
    ///
    /// # Errors
    /// [`Failed`], for a failure that no unit caused; then this step settles no unit.
    fn step(&mut self, settled: &mut Vec<Settled>) -> Result<(), Failed>;
}

/// The outcome of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Its result: one line of JSON.
    Done(String),
    /// It has no result.
    Lost {
        /// The reason, in words that depend only on the unit.
        why: String,
        /// The end of what was written to standard error.
        said: String,
    },
}

/// The largest number of stages of units.
pub const MOST_TRIES: u32 = 10;
/// The names of the stages.
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

/// The stages of a run with this many units, each tried at most `tries` times, from 1 to [`MOST_TRIES`].
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
        best: Best::All,
        score_every: 1,
        patience: None,
    }
}

#[cfg(test)]
mod tests;
