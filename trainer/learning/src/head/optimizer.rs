//! Optimizer steps over plain arrays, the same code in a worker (`average`) and in a combine (`gradient`).
//!
//! The formulas are PyTorch's (`torch.optim.SGD` without dampening, `torch.optim.AdamW`), element by element, with the
//! scalars in f64 and the arrays in f32. Weight decay leaves biases alone.

use super::HeadShape;
use protocol::{Job, Optimizer as Kind};

/// The head's parameters and what the optimizer remembers of its steps.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    /// All parameters, in the order of [`HeadShape::layers`].
    pub(crate) parameters: Vec<f32>,
    /// What the optimizer keeps for each parameter, in the order of [`Optimizer::memory_names`].
    pub(crate) memory: Vec<Vec<f32>>,
    /// Steps made so far.
    pub(crate) steps: u64,
}

/// The optimizer of a job.
#[derive(Clone, Debug)]
pub(crate) struct Optimizer {
    kind: Kind,
    weight_decay: f64,
    shape: HeadShape,
}

impl Optimizer {
    pub(crate) fn new(job: &Job, shape: HeadShape) -> Optimizer {
        Optimizer { kind: job.optimizer, weight_decay: job.weight_decay, shape }
    }

    /// What the optimizer keeps for each parameter.
    pub(crate) fn memory_names(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Sgd { momentum, .. } if momentum > 0.0 => &["momentum"],
            Kind::Sgd { .. } => &[],
            Kind::Adamw { .. } => &["mean", "square"],
        }
    }

    /// The state before the first step.
    pub(crate) fn start(&self, parameters: Vec<f32>) -> State {
        let memory = vec![vec![0.0; parameters.len()]; self.memory_names().len()];
        State { parameters, memory, steps: 0 }
    }

    /// One step against the gradient of the mean loss.
    pub(crate) fn step(&self, rate: f64, gradient: &[f32], state: &mut State) {
        state.steps += 1;
        for layer in self.shape.layers() {
            for (range, decay) in [(layer.weight, self.weight_decay), (layer.bias, 0.0)] {
                let mut memory = state.memory.iter_mut().map(|memory| &mut memory[range.clone()]);
                let (values, gradient) = (&mut state.parameters[range.clone()], &gradient[range.clone()]);
                match self.kind {
                    Kind::Sgd { momentum, nesterov } => {
                        sgd(
                            [rate, decay, momentum].map(|x| x as f32),
                            nesterov,
                            values,
                            gradient,
                            memory.next(),
                        );
                    }
                    Kind::Adamw { beta1, beta2, epsilon } => {
                        let (mean, square) = (memory.next(), memory.next());
                        let memory = mean.zip(square).expect("AdamW remembers two arrays");
                        let scalars = AdamScalars::new(rate, decay, [beta1, beta2], epsilon, state.steps);
                        adamw(&scalars, values, gradient, memory);
                    }
                }
            }
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

struct AdamScalars {
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
