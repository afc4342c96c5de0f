//! How the workers of a run come to one state after a round: what they publish, who sums it,
//! what is done with the sum.

use super::{Job, Tune};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display, Formatter};

/// How workers agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// Local optimizer steps, then the mean of the weights, weighted by images.
    #[default]
    Average,
    /// The sum of gradients, one optimizer step in the combine: equal to one machine on the whole batch.
    Gradient,
    /// Local optimizer steps, then one outer step with Nesterov momentum along the mean of what they have
    /// changed; each worker keeps its optimizer's memory to itself. Source: Douillard et al., "DiLoCo", 2023.
    Diloco,
}

/// In what a worker's change is published. What rounding loses is added to the worker's next change.
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

/// Who sums what workers publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduce {
    /// The combine, all of it.
    Single,
    /// The workers, each a slice of the parameters, in a stage of its own after each round.
    Sliced,
}

/// What a stage of a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The frozen layers' output, once.
    Features,
    /// A round of training; its combine makes the new state, unless a reduction follows.
    Train {
        /// From 1.
        round: u32,
    },
    /// Each worker sums its slice of what all published in the round;
    /// the combine scores what the slices make.
    Reduce {
        /// From 1.
        round: u32,
    },
}

impl Part {
    /// What a stage does where a round has so many stages: 1, or 2 where a reduction follows the training.
    pub fn of(stage: u32, stages_in_round: u32) -> Part {
        match (stage, stages_in_round) {
            (0, _) => Part::Features,
            (stage, 2) if stage % 2 == 0 => Part::Reduce { round: stage / 2 },
            (stage, 2) => Part::Train { round: stage.div_ceil(2) },
            (stage, _) => Part::Train { round: stage },
        }
    }

    /// The round that it belongs to; 0 for the features.
    pub fn round(self) -> u32 {
        match self {
            Part::Features => 0,
            Part::Train { round } | Part::Reduce { round } => round,
        }
    }
}

impl Display for Part {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Part::Features => f.write_str("features"),
            Part::Train { round } => write!(f, "round {round}"),
            Part::Reduce { round } => write!(f, "sums of round {round}"),
        }
    }
}

impl Job {
    /// What a stage does.
    pub fn part(&self, stage: u32) -> Part {
        Part::of(stage, self.stages_in_round())
    }

    /// The round that a stage completes, if it does.
    pub fn completed_by(&self, stage: u32) -> Option<u32> {
        (stage > 0 && stage.is_multiple_of(self.stages_in_round())).then(|| self.rounds_in(stage))
    }

    /// Whether a stage's combine scores what it makes: the rounds that the job says, and the last.
    pub fn scored_by(&self, stage: u32) -> bool {
        let scored = |round: u32| round.is_multiple_of(self.score_every) || round == self.rounds_in_all();
        self.completed_by(stage).is_some_and(scored)
    }

    /// The rounds that are complete when a stage has been combined.
    pub fn rounds_in(&self, stage: u32) -> u32 {
        stage / self.stages_in_round()
    }

    /// The rounds of the run: the job's, or the rungs of a tuning.
    pub fn rounds_in_all(&self) -> u32 {
        self.tune.as_ref().map_or(self.rounds, Tune::rungs)
    }

    /// The stage that completes the last round.
    pub fn last_stage(&self) -> u32 {
        self.rounds_in_all() * self.stages_in_round()
    }

    /// The stages that a round has.
    pub(crate) fn stages_in_round(&self) -> u32 {
        if self.reduce == Some(Reduce::Sliced) { 2 } else { 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_round_of_a_sliced_run_is_trained_and_then_reduced() {
        let job =
            |reduce| Job::from_value(json!({"dataset": "d", "network": "vgg19", "reduce": reduce})).unwrap();
        let parts =
            |job: &Job| (0..5).map(|stage| (job.part(stage), job.completed_by(stage))).collect::<Vec<_>>();
        let train = |round| Part::Train { round };
        let reduce = |round| Part::Reduce { round };
        let single =
            [(1, Some(1)), (2, Some(2)), (3, Some(3)), (4, Some(4))].map(|(r, done)| (train(r), done));
        assert_eq!(parts(&job("single"))[0], (Part::Features, None));
        assert_eq!(parts(&job("single"))[1..], single);
        let sliced = [(train(1), None), (reduce(1), Some(1)), (train(2), None), (reduce(2), Some(2))];
        assert_eq!(parts(&job("sliced"))[1..], sliced);
        let scored = |reduce, every| {
            let changes = json!({"dataset": "d", "network": "vgg19", "reduce": reduce, "rounds": 5, "score_every": every});
            let job = Job::from_value(changes).unwrap();
            (0..=job.last_stage()).filter(|stage| job.scored_by(*stage)).collect::<Vec<_>>()
        };
        assert_eq!((scored("single", 1), scored("single", 2)), (vec![1, 2, 3, 4, 5], vec![2, 4, 5]));
        assert_eq!((scored("sliced", 3), scored("sliced", 9)), (vec![6, 10], vec![10]));
        let words = (0..3).map(|stage| job("sliced").part(stage).to_string()).collect::<Vec<_>>();
        assert_eq!(words, ["features", "round 1", "sums of round 1"]);
    }
}
