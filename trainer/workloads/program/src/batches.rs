//! Units in batches: a process receives as many units as it does in about a second. A batch that fails is
//! halved until the one bad unit is known.
//!
//! A unit is lost only if it was alone in its process. The batches depend on time; the outcomes of the units
//! do not.

use crate::process::{Answers, Limits, Process};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use units::{Doing, Settled};
use work::Failed;

/// The intended time of a process: this, or a quarter of a unit's time limit.
const TARGET: Duration = Duration::from_secs(1);
/// If this many units at the start of a share are all lost, the program does not work.
const HOPELESS: usize = 200;

/// Lines that a program receives, as texts.
pub(crate) trait Lines: Send + Sync {
    /// The lines of these units, each without a line end.
    ///
    /// # Errors
    /// [`Failed`], when they are damaged or cannot be read.
    fn lines(&self, units: &[u64]) -> Result<Vec<String>, Failed>;
}

/// Units of a share, done by one process after the other.
pub(crate) struct Batches {
    limits: Arc<Limits>,
    lines: Arc<dyn Lines>,
    units: Vec<u64>,
    /// The remaining units in their order; the halves of failed batches come first.
    left: VecDeque<Range<usize>>,
    running: Option<(Range<usize>, Process)>,
    /// The number of units in the next batch.
    size: usize,
    /// The number of units that were lost before one was done. None after one was done, or if losses are
    /// expected.
    lost_first: Option<usize>,
}

impl Batches {
    pub(crate) fn new(
        limits: Arc<Limits>,
        lines: Arc<dyn Lines>,
        units: Vec<u64>,
        keep_going: bool,
    ) -> Batches {
        let all = 0..units.len();
        let left = VecDeque::from_iter(std::iter::once(all));
        let lost_first = (!keep_going).then_some(0);
        Batches { limits, lines, units, left, running: None, size: 1, lost_first }
    }

    /// The units of the next process.
    fn next(&mut self) -> Option<Range<usize>> {
        let first = self.left.pop_front()?;
        let batch = first.start..first.end.min(first.start + self.size);
        if batch.end < first.end {
            self.left.push_front(batch.end..first.end);
        }
        Some(batch)
    }

    /// Takes the answers of a batch; the next batch is larger if this one was quick.
    fn done(&mut self, answers: Vec<String>, took: Duration) -> Vec<Settled> {
        let target = TARGET.min(self.limits.time / 4);
        let most = self.limits.batch;
        self.size = match answers.len() {
            of if took * 8 < target => (of * 4).max(self.size).min(most),
            of if took * 2 < target => (of * 2).max(self.size).min(most),
            of if took > target => (of / 2).max(1),
            _ => self.size,
        };
        self.lost_first = None;
        answers.into_iter().map(Settled::Done).collect()
    }

    /// Halves a batch that failed, or loses its one unit.
    fn failed(&mut self, batch: Range<usize>, why: String, said: String) -> Result<Vec<Settled>, Failed> {
        if batch.len() > 1 {
            let middle = batch.start + batch.len() / 2;
            self.size = (batch.len() / 2).max(1);
            self.left.push_front(middle..batch.end);
            self.left.push_front(batch.start..middle);
            return Ok(Vec::new());
        }
        if let Some(lost) = &mut self.lost_first {
            *lost += 1;
            if *lost >= HOPELESS {
                let wrote = if said.is_empty() { String::new() } else { format!("; it wrote: {said}") };
                return Err(Failed::halt(format!(
                    "the first {HOPELESS} units of a share are all lost, the last because {why}: expected a \
                     program that answers some; try it by hand, or say \"keep_going\": true in the job{wrote}"
                )));
            }
        }
        Ok(vec![Settled::Lost { why, said }])
    }
}

impl Doing for Batches {
    fn step(&mut self, settled: &mut Vec<Settled>) -> Result<(), Failed> {
        let (batch, mut process) = match self.running.take() {
            Some(running) => running,
            None => {
                let Some(batch) = self.next() else { return Ok(()) };
                let lines = self.lines.lines(&self.units[batch.clone()])?;
                (batch, Process::start(&self.limits, lines)?)
            }
        };
        match process.look()? {
            None => self.running = Some((batch, process)),
            Some(Answers::All(answers)) => settled.extend(self.done(answers, process.took())),
            Some(Answers::Failed { why, said }) => settled.extend(self.failed(batch, why, said)?),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
