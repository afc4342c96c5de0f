//! What a worker and a combine of a round share: what is trained, the optimizer, the state to begin with.

use super::layout::Layout;
use super::optimizer::{Optimizer, State, memory_names};
use super::order::Examples;
use super::saved::{AVERAGED, PARAMETERS, VELOCITY};
use super::state::Common;
use super::trainable::Trainable;
use crate::Result;
use protocol::{Agreement, FileRef, Job, Outer, Part, Precision, RunId};
use std::sync::Arc;
use storage::Root;
use work::Failed;

/// One round of a run.
pub(super) struct Round<T> {
    pub(super) job: Job,
    /// From 1.
    pub(super) number: u32,
    /// What is trained.
    pub(super) of: Arc<T>,
    pub(super) examples: Examples,
    pub(super) optimizer: Optimizer,
    /// How the mean change moves the parameters, if workers publish changes.
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

/// How the mean change moves the parameters of all; none if workers publish their parameters or gradients.
fn outer(job: &Job) -> Option<Outer> {
    match (job.agree, job.precision) {
        (Agreement::Diloco, _) => Some(job.outer.unwrap_or_default()),
        (Agreement::Average, Precision::Bf16 | Precision::Int8) => Some(Outer { rate: 1.0, momentum: 0.0 }),
        _ => None,
    }
}

/// Bytes that a worker publishes in a round, about.
pub fn result_bytes(job: &Job, layout: &Layout) -> u64 {
    let arrays = match (outer(job), job.agree) {
        (None, Agreement::Average) => 1 + memory_names(job.optimizer).len(),
        _ => 1,
    };
    let each = match job.precision {
        Precision::F32 => 4,
        Precision::Bf16 => 2,
        Precision::Int8 => 1,
    };
    (layout.parameters() * arrays * each) as u64
}

impl<T: Trainable> Round<T> {
    pub(super) fn new(job: &Job, part: Part, of: Arc<T>) -> Round<T> {
        Round {
            optimizer: Optimizer::new(job, of.layout()),
            examples: of.examples(),
            number: part.round(),
            outer: outer(job),
            job: job.clone(),
            of,
        }
    }

    /// How many parameters are trained.
    pub(super) fn length(&self) -> usize {
        self.of.layout().parameters()
    }

    /// The arrays of a combined state: those that training goes on from, and the average that is published.
    pub(super) fn combined_arrays(&self) -> Vec<&'static str> {
        self.arrays().into_iter().chain(self.job.average_decay.map(|_| AVERAGED)).collect()
    }

    /// The arrays that training goes on from, the parameters first.
    pub(super) fn arrays(&self) -> Vec<&'static str> {
        let memory: &[&str] = match self.outer {
            None => self.optimizer.memory_names(),
            Some(Outer { momentum, .. }) if momentum > 0.0 => &[VELOCITY],
            Some(_) => &[],
        };
        [&[PARAMETERS], memory].concat()
    }

    /// The parameters that the round begins with: what the last round gave, or what training begins with.
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

    /// The state that the round begins with; what workers keep to themselves is still empty.
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

    /// The pass over the examples that it is of, and which part of that; both from 0. A round of several
    /// passes counts as one.
    pub(super) fn epoch(&self) -> (u32, u32) {
        let parts = self.job.rounds_per_epoch;
        ((self.number - 1) / parts, (self.number - 1) % parts)
    }

    /// What has left the finite numbers, and where.
    pub(super) fn not_finite(&self, what: &'static str, worker: Option<u32>) -> Failed {
        let worker = worker.map(|worker| format!(", worker {worker}")).unwrap_or_default();
        let (round, rate) = (self.number, self.job.learning_rate);
        Failed::halt(format!(
            "{what} is not finite in round {round}{worker}: lower the learning rate (it is {rate}), or add warm-up rounds"
        ))
    }
}
