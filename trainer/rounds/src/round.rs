//! Shared by a worker and a combine of a round: the trained thing, the optimizer, the first state.

use super::layout::Layout;
use super::optimizer::{Optimizer, State, memory_names};
use super::order::Examples;
use super::saved::{AVERAGED, PARAMETERS, VELOCITY};
use super::state::Common;
use super::trainable::Trainable;
use crate::Result;
use crate::keys::{Agreement, Outer, Precision, Training};
use protocol::{FileRef, RunId};
use std::sync::Arc;
use storage::Root;
use work::{Failed, Stage};

/// One round of a run.
pub(super) struct Round<T> {
    pub(super) training: Training,
    /// From 1.
    pub(super) number: u32,
    /// The thing that is trained.
    pub(super) of: Arc<T>,
    pub(super) examples: Examples,
    pub(super) optimizer: Optimizer,
    /// The outer step along the mean change, if workers publish changes.
    pub(super) outer: Option<Outer>,
}

/// Where a worker's round begins.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) root: Root,
    pub(super) run: RunId,
    /// The combined state of the round before; none in round 1.
    pub(super) state: Option<FileRef>,
    pub(super) worker: u32,
}

/// The outer step along the mean change; none if workers publish their parameters or gradients.
fn outer(training: &Training) -> Option<Outer> {
    match (training.agree, training.precision) {
        (Agreement::Diloco, _) => Some(training.outer.unwrap_or_default()),
        (Agreement::Average, Precision::Bf16 | Precision::Int8) => Some(Outer { rate: 1.0, momentum: 0.0 }),
        _ => None,
    }
}

/// The approximate bytes that a worker publishes in a round.
pub fn result_bytes(training: &Training, layout: &Layout) -> u64 {
    let arrays = match (outer(training), training.agree) {
        (None, Agreement::Average) => 1 + memory_names(training.optimizer()).len(),
        _ => 1,
    };
    let each = match training.precision {
        Precision::F32 => 4,
        Precision::Bf16 => 2,
        Precision::Int8 => 1,
    };
    (layout.parameters() * arrays * each) as u64
}

impl<T: Trainable> Round<T> {
    /// The round that a stage belongs to.
    pub(super) fn at(stage: &Stage<'_>, of: Arc<T>) -> Round<T> {
        Round::new(stage.course.at(stage.number).round(), of)
    }

    pub(super) fn new(number: u32, of: Arc<T>) -> Round<T> {
        let training = of.training().clone();
        Round {
            optimizer: Optimizer::new(&training, of.layout()),
            examples: of.examples(),
            number,
            outer: outer(&training),
            training,
            of,
        }
    }

    /// How many parameters are trained.
    pub(super) fn length(&self) -> usize {
        self.of.layout().parameters()
    }

    /// The arrays of a combined state: those that training continues from, and the average that is published.
    pub(super) fn combined_arrays(&self) -> Vec<&'static str> {
        self.arrays().into_iter().chain(self.training.average_decay.map(|_| AVERAGED)).collect()
    }

    /// The arrays that training continues from, the parameters first.
    pub(super) fn arrays(&self) -> Vec<&'static str> {
        let memory: &[&str] = match self.outer {
            None => self.optimizer.memory_names(),
            Some(Outer { momentum, .. }) if momentum > 0.0 => &[VELOCITY],
            Some(_) => &[],
        };
        [&[PARAMETERS], memory].concat()
    }

    /// The parameters that the round begins with: those of the last round, or the first ones.
    pub(super) fn parameters(&self, root: &Root, run: &RunId, state: Option<&FileRef>) -> Result<Vec<f32>> {
        match state {
            Some(file) => self.common(root, run, file)?.array(PARAMETERS),
            None if self.number == 1 => self.of.first(),
            None => {
                let expected = format!("the combined state of round {}", self.number - 1);
                Err(Failed::argument(format!("round {}", self.number), expected, "none"))
            }
        }
    }

    /// The state that the round begins with; the workers' own memory is still empty.
    pub(super) fn state(&self, root: &Root, run: &RunId, file: Option<&FileRef>) -> Result<State> {
        let mut state = self.optimizer.start(self.parameters(root, run, file)?);
        if let Some(file) = file.filter(|_| self.outer.is_none()) {
            let common = self.common(root, run, file)?;
            for (name, memory) in self.optimizer.memory_names().iter().zip(&mut state.memory) {
                *memory = common.array(name)?;
            }
            state.steps = common.number("steps")?;
        }
        Ok(state)
    }

    /// A combined state of this run.
    pub(super) fn common(&self, root: &Root, run: &RunId, file: &FileRef) -> Result<Common> {
        Common::open(&root.run(run).combined(), file, self.length())
    }

    /// Its pass over the examples, and its part of that pass; both from 0. A round of several passes counts
    /// as one.
    pub(super) fn epoch(&self) -> (u32, u32) {
        let parts = self.training.rounds_per_epoch;
        ((self.number - 1) / parts, (self.number - 1) % parts)
    }

    /// The failure of a value that is not finite, with its place.
    pub(super) fn not_finite(&self, what: &'static str, worker: Option<u32>) -> Failed {
        not_finite(&self.training, self.number, what, worker)
    }
}

/// The failure when a number of a round is not finite.
pub(super) fn not_finite(training: &Training, round: u32, what: &str, worker: Option<u32>) -> Failed {
    let worker = worker.map(|worker| format!(", worker {worker}")).unwrap_or_default();
    let rate = training.learning_rate();
    Failed::halt(format!(
        "{what} is not finite in round {round}{worker}: \
         lower the learning rate (it is {rate}), or add warm-up rounds"
    ))
}
