//! How the workers of a run agree on one state after a round: their results, who sums them, and the use of
//! the sum.

use serde::{Deserialize, Serialize};

/// How workers agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// Local optimizer steps, then the mean of the weights, weighted by images.
    #[default]
    Average,
    /// The sum of gradients, one optimizer step in the combine: equal to one machine on the whole batch.
    Gradient,
    /// Local optimizer steps, then one outer step with Nesterov momentum along the mean change; each worker
    /// keeps its optimizer's memory to itself. Source: Douillard et al., "DiLoCo", 2023.
    Diloco,
}

/// The precision of a worker's published change. The rounding error is added to the worker's next change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 4 bytes a weight, exact.
    #[default]
    F32,
    /// 2 bytes a weight.
    Bf16,
    /// 1 byte a weight, and a scale for every 4,096.
    Int8,
}

/// The outer step of `diloco`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Outer {
    /// Its rate; 1 moves to the mean.
    pub rate: f64,
    /// Its Nesterov momentum, 0 to below 1.
    pub momentum: f64,
}

impl Default for Outer {
    fn default() -> Outer {
        Outer { rate: 0.7, momentum: 0.9 }
    }
}

/// Who sums the workers' results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduce {
    /// The combine, all of it.
    Single,
    /// The workers, each a slice of the parameters, in a stage of its own after each round.
    Sliced,
}
