//! Optimizer steps over plain arrays, the same code in a worker (`average`) and in a combine (`gradient`).
//!
//! The formulas are PyTorch's (`torch.optim.SGD` without dampening, `torch.optim.AdamW`), element by element,
//! with the scalars in f64 and the arrays in f32. Weight decay leaves biases alone.

use super::clip;
use super::keys::{OptimizerKind as Kind, Training};
use super::layout::{Array, Layout};
use frozen::deal;
use rayon::ThreadPool;
use std::ops::Range;

/// Values that a thread changes in one go.
const VALUES: usize = 1 << 16;

/// The trained parameters, and the optimizer's memory.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// All parameters, in the order of their [`Layout`].
    pub parameters: Vec<f32>,
    /// The optimizer's memory for each parameter, in the order of [`Optimizer::memory_names`].
    pub memory: Vec<Vec<f32>>,
    /// Steps made so far.
    pub steps: u64,
}

/// The optimizer of a job.
#[derive(Clone, Debug)]
pub struct Optimizer {
    kind: Kind,
    weight_decay: f64,
    /// The longest gradient of a step.
    longest: Option<f64>,
    arrays: Vec<Array>,
}

/// One step of an optimizer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// The learning rate.
    pub(super) rate: f64,
    /// 1 for the first.
    pub(super) number: u64,
}

/// The names of the memory that an optimizer of this kind keeps for each parameter.
pub(super) fn memory_names(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Sgd { momentum, .. } if momentum > 0.0 => &["momentum"],
        Kind::Sgd { .. } => &[],
        Kind::Adamw { .. } => &["mean", "square"],
    }
}

impl Optimizer {
    /// The optimizer of a job, for parameters with this layout.
    pub fn new(training: &Training, layout: &Layout) -> Optimizer {
        Optimizer {
            kind: training.optimizer(),
            weight_decay: training.weight_decay,
            longest: training.clip,
            arrays: layout.arrays().to_vec(),
        }
    }

    /// The longest gradient of a step; a longer one must be scaled down to it.
    pub fn longest(&self) -> Option<f64> {
        self.longest
    }

    /// The names of the memory that the optimizer keeps for each parameter.
    pub fn memory_names(&self) -> &'static [&'static str] {
        memory_names(self.kind)
    }

    /// The state before the first step.
    pub fn start(&self, parameters: Vec<f32>) -> State {
        let memory = vec![vec![0.0; parameters.len()]; self.memory_names().len()];
        State { parameters, memory, steps: 0 }
    }

    /// One step along the gradient of the mean loss, which is scaled down to the length that the job allows,
    /// by these threads or the caller's own.
    pub fn step(&self, pool: Option<&ThreadPool>, rate: f64, gradient: &mut [f32], state: &mut State) {
        if let Some(longest) = self.longest {
            let factor = clip::factor(longest, clip::squared(gradient));
            gradient.iter_mut().for_each(|g| *g *= factor);
        }
        state.steps += 1;
        let step = Step { rate, number: state.steps };
        let mut memory: Vec<_> = state.memory.iter_mut().map(|memory| memory.chunks_mut(VALUES)).collect();
        let parts = state.parameters.chunks_mut(VALUES).zip(gradient.chunks(VALUES)).enumerate();
        let parts = parts.map(|(n, (values, gradient))| {
            let slice = n * VALUES..n * VALUES + values.len();
            (slice, values, gradient, memory.iter_mut().filter_map(Iterator::next).collect::<Vec<_>>())
        });
        deal(pool, &mut parts.collect::<Vec<_>>(), |(slice, values, gradient, memory)| {
            self.step_on(slice, step, gradient, values, memory);
        });
    }

    /// Applies a step to some of the parameters: gradient, values and memory are those of
    /// `slice`.
    pub(super) fn step_on(
        &self,
        slice: &Range<usize>,
        step: Step,
        gradient: &[f32],
        values: &mut [f32],
        memory: &mut [&mut [f32]],
    ) {
        let within = |at: usize| at.clamp(slice.start, slice.end) - slice.start;
        for array in &self.arrays {
            let range = within(array.range.start)..within(array.range.end);
            let mut memory: Vec<&mut [f32]> =
                memory.iter_mut().map(|memory| &mut memory[range.clone()]).collect();
            let rule = self.rule(step.rate * array.rate, step.number);
            rule.apply(array.decays, &mut values[range.clone()], &gradient[range], &mut memory);
        }
    }

    /// Counts a step, and returns its rule for any part of the parameters.
    pub fn next(&self, rate: f64, state: &mut State) -> Rule {
        state.steps += 1;
        self.rule(rate, state.steps)
    }

    /// The rule of the step of this number.
    fn rule(&self, rate: f64, step: u64) -> Rule {
        let decay = self.weight_decay;
        match self.kind {
            Kind::Sgd { momentum, nesterov } => {
                let [rate, decay, momentum] = [rate, decay, momentum].map(|x| x as f32);
                Rule::Sgd { rate, decay, momentum, nesterov }
            }
            Kind::Adamw { beta1, beta2, epsilon } => {
                Rule::Adamw(AdamScalars::new(rate, decay, [beta1, beta2], epsilon, step))
            }
        }
    }
}

impl State {
    /// Some of the parameters, and the optimizer's memory of them.
    pub fn part(&mut self, range: &Range<usize>) -> (&mut [f32], Vec<&mut [f32]>) {
        let memory = self.memory.iter_mut().map(|memory| &mut memory[range.clone()]);
        (&mut self.parameters[range.clone()], memory.collect())
    }
}

/// One step of an optimizer, for parameters one by one.
#[derive(Debug)]
pub enum Rule {
    /// Stochastic gradient descent.
    Sgd {
        /// The learning rate.
        rate: f32,
        /// Weight decay.
        decay: f32,
        /// Momentum.
        momentum: f32,
        /// Whether in Nesterov's form.
        nesterov: bool,
    },
    /// Adam with decoupled weight decay.
    Adamw(AdamScalars),
}

impl Rule {
    /// Changes `values` by their gradient, and their memory: all of one length.
    pub fn apply(&self, decays: bool, values: &mut [f32], gradient: &[f32], memory: &mut [&mut [f32]]) {
        match (self, memory) {
            (&Rule::Sgd { rate, decay, momentum, nesterov }, memory) => {
                let decay = if decays { decay } else { 0.0 };
                let memory = memory.first_mut().map(|memory| &mut **memory);
                sgd([rate, decay, momentum], nesterov, values, gradient, memory);
            }
            (Rule::Adamw(scalars), [mean, square]) => {
                let keep = if decays { scalars.keep } else { 1.0 };
                adamw(&AdamScalars { keep, ..*scalars }, values, gradient, (mean, square));
            }
            (Rule::Adamw(_), memory) => panic!("AdamW remembers two arrays, not {}", memory.len()),
        }
    }
}

fn sgd(
    [rate, decay, momentum]: [f32; 3],
    nesterov: bool,
    values: &mut [f32],
    gradient: &[f32],
    memory: Option<&mut [f32]>,
) {
    let Some(memory) = memory else {
        values.iter_mut().zip(gradient).for_each(|(value, &g)| *value -= rate * (g + decay * *value));
        return;
    };
    for ((value, &g), velocity) in values.iter_mut().zip(gradient).zip(memory) {
        let g = g + decay * *value;
        *velocity = momentum * *velocity + g;
        *value -= rate * if nesterov { g + momentum * *velocity } else { *velocity };
    }
}

/// AdamW's numbers of one step.
#[derive(Clone, Copy, Debug)]
pub struct AdamScalars {
    /// The share of a value that weight decay leaves.
    keep: f32,
    beta: [f32; 2],
    rest: [f32; 2],
    step: f32,
    square_correction: f32,
    epsilon: f32,
}

impl AdamScalars {
    fn new(rate: f64, decay: f64, beta: [f64; 2], epsilon: f64, steps: u64) -> AdamScalars {
        let correction = beta.map(|beta| 1.0 - beta.powf(steps as f64));
        AdamScalars {
            keep: (1.0 - rate * decay) as f32,
            beta: beta.map(|beta| beta as f32),
            rest: beta.map(|beta| (1.0 - beta) as f32),
            step: (rate / correction[0]) as f32,
            square_correction: correction[1].sqrt() as f32,
            epsilon: epsilon as f32,
        }
    }
}

fn adamw(s: &AdamScalars, values: &mut [f32], gradient: &[f32], (mean, square): (&mut [f32], &mut [f32])) {
    for (((value, &g), mean), square) in values.iter_mut().zip(gradient).zip(mean).zip(square) {
        *mean = s.beta[0] * *mean + s.rest[0] * g;
        *square = s.beta[1] * *square + s.rest[1] * g * g;
        *value = s.keep * *value - s.step * *mean / (square.sqrt() / s.square_correction + s.epsilon);
    }
}
