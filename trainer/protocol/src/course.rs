//! The course of a run: its stages, recorded once in `started`. The ledger, the time line, `watch` and the
//! page know nothing else about a workload.
//!
//! Stages are numbered from 0: those before the first round, each once; then those of each round; then the
//! end, in which the product is published.

use serde::{Deserialize, Serialize};

/// The stages of a run, and how its states are judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Course {
    /// The run in a few words: "vgg19 on cifar10".
    pub title: String,
    /// The stages before the first round, each once: "features".
    pub before: Vec<String>,
    /// The number of shares of each of these stages, if there are more shares than workers: a worker that has
    /// done one takes the next. A stage that is not named here has one for each worker.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<u32>,
    /// The stages of a round, in order: "train"; or "train", "sums".
    pub round: Vec<String>,
    /// The number of rounds; 0 if the run has only the stages before.
    pub rounds: u32,
    /// The field's word for a round: "round", "rung".
    pub called: String,
    /// The thing that progress counts: "images", "units".
    pub unit: String,
    /// The numbers of a score, the deciding one first; none if nothing is scored.
    pub measures: Vec<Measure>,
    /// Which round's state is the best.
    pub best: Best,
    /// Rounds from one scoring to the next; the last round is always scored.
    pub score_every: u32,
    /// Rounds without a better score after which the run ends; none means never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<u32>,
}

/// One number of a score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    /// Its name: "top-1", "loss".
    pub name: String,
    /// Whether a higher one is better.
    pub higher: bool,
    /// Whether it is a share, from 0 to 1.
    pub share: bool,
}

/// Which round's state is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Best {
    /// The one with the best score; until a round is scored the last one.
    Measured,
    /// The last one with a score: each round continues with the results of the one before.
    Last,
    /// All together: each stage adds its results to those of the stages before. If the run ends within a
    /// stage, the results of the stage so far are published, too.
    All,
}

/// A score: the course's measures, in their order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// The numbers.
    pub values: Vec<f64>,
    /// The number of units that were scored.
    pub of: u64,
}

impl Score {
    /// Whether this is better than another: by the first measure in which they differ.
    pub fn beats(&self, other: &Score, measures: &[Measure]) -> bool {
        let differ = |(_, (value, other)): &(&Measure, (&f64, &f64))| value != other;
        let mut pairs = measures.iter().zip(self.values.iter().zip(&other.values));
        pairs.find(differ).is_some_and(|(measure, (value, other))| (value > other) == measure.higher)
    }
}

/// Where in its course a stage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Before the first round, from 0.
    Before(u32),
    /// A step of a round.
    Round {
        /// From 1.
        round: u32,
        /// From 0.
        step: u32,
    },
    /// The end.
    End,
}

impl At {
    /// The round that it belongs to; 0 before the first one and at the end.
    pub fn round(self) -> u32 {
        if let At::Round { round, .. } = self { round } else { 0 }
    }
}

impl Course {
    /// Where a stage is.
    pub fn at(&self, stage: u32) -> At {
        let before = self.stages_before();
        match stage.checked_sub(before) {
            None => At::Before(stage),
            Some(_) if stage >= self.end() => At::End,
            Some(after) => {
                At::Round { round: after / self.stages_in_round() + 1, step: after % self.stages_in_round() }
            }
        }
    }

    /// Rounds that are complete when a stage has been combined.
    pub fn rounds_in(&self, stage: u32) -> u32 {
        let after = (stage + 1).saturating_sub(self.stages_before());
        (after / self.stages_in_round()).min(self.rounds)
    }

    /// Rounds that are complete when a stage opens: `epochsdone` of its events.
    pub fn rounds_before(&self, stage: u32) -> u32 {
        stage.checked_sub(1).map_or(0, |before| self.rounds_in(before))
    }

    /// The first stage that opens when this many rounds are complete.
    pub fn opens_after(&self, rounds: u32) -> u32 {
        rounds.saturating_mul(self.stages_in_round()).saturating_add(self.stages_before()).min(self.end())
    }

    /// The round whose state a stage's combine makes, if it makes one; 0 if there are no rounds and it is the
    /// last stage.
    pub fn completes(&self, stage: u32) -> Option<u32> {
        match self.at(stage) {
            At::Before(_) => (self.rounds == 0 && stage + 1 == self.end()).then_some(0),
            At::Round { round, step } => (step + 1 == self.stages_in_round()).then_some(round),
            At::End => None,
        }
    }

    /// The number of shares of a stage with this many workers.
    pub fn shares(&self, stage: u32, workers: u32) -> u32 {
        match self.at(stage) {
            At::Before(number) => self.shares.get(number as usize).map_or(workers, |of| workers.max(*of)),
            _ => workers,
        }
    }

    /// Whether a stage's combine scores its result.
    pub fn scores(&self, stage: u32) -> bool {
        let scored = |round: u32| round.is_multiple_of(self.score_every.max(1)) || round == self.rounds;
        !self.measures.is_empty() && self.completes(stage).is_some_and(scored)
    }

    /// The stage that a run begins with; `stored` says whether the results of the stages before exist
    /// already.
    pub fn first(&self, stored: bool) -> u32 {
        if stored { self.stages_before() } else { 0 }
    }

    /// The stage of the end, after all others.
    pub fn end(&self) -> u32 {
        self.stages_before().saturating_add(self.rounds.saturating_mul(self.stages_in_round()))
    }

    /// Whether a state's score makes it the best; `best` is the score of the best so far.
    pub fn better(&self, score: Option<&Score>, best: Option<&Score>) -> bool {
        match (self.best, score, best) {
            (Best::Last | Best::All, score, _) => score.is_some() || self.measures.is_empty(),
            (Best::Measured, Some(score), Some(best)) => self.beats(score, best),
            (Best::Measured, None, Some(_)) => false,
            // Until a round is scored the last one counts.
            (Best::Measured, _, None) => true,
        }
    }

    /// Whether a score is better than another: by the first measure in which they differ.
    pub fn beats(&self, score: &Score, other: &Score) -> bool {
        score.beats(other, &self.measures)
    }

    /// Whether training diverges: every measure of which lower is better is a quarter or more above that of
    /// the best state. Images learnt by heart are another thing: then the loss of training falls.
    pub fn diverges(&self, score: &Score, best: &Score) -> bool {
        let lower = |(measure, _): &(&Measure, _)| !measure.higher;
        let values = score.values.iter().zip(&best.values);
        let mut low = self.measures.iter().zip(values).filter(lower).peekable();
        low.peek().is_some() && low.all(|(_, (value, best))| *value >= 1.25 * best)
    }

    /// A stage in words: "features", "round 3", "sums of round 3".
    pub fn words(&self, stage: u32) -> String {
        match self.at(stage) {
            At::Before(number) => self.before[number as usize].clone(),
            At::Round { round, step: 0 } => format!("{} {round}", self.called),
            At::Round { round, step } => {
                let name = self.round.get(step as usize).map_or("", String::as_str);
                format!("{name} of {} {round}", self.called)
            }
            At::End => "the end".into(),
        }
    }

    fn stages_before(&self) -> u32 {
        self.before.len() as u32
    }

    fn stages_in_round(&self) -> u32 {
        self.round.len().max(1) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(before: &[&str], round: &[&str], rounds: u32, score_every: u32) -> Course {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let measure = |name: &str, higher| Measure { name: name.into(), higher, share: higher };
        Course {
            title: "a network on pictures".into(),
            before: words(before),
            shares: Vec::new(),
            round: words(round),
            rounds,
            called: "round".into(),
            unit: "images".into(),
            measures: vec![measure("top-1", true), measure("loss", false)],
            best: Best::Measured,
            score_every,
            patience: None,
        }
    }

    #[test]
    fn every_round_of_a_sliced_run_is_trained_and_then_summed() {
        let single = course(&["features"], &["train"], 5, 1);
        let sliced = course(&["features"], &["train", "sums"], 5, 1);
        let completed = |course: &Course| (0..6).map(|stage| course.completes(stage)).collect::<Vec<_>>();
        assert_eq!(completed(&single), [None, Some(1), Some(2), Some(3), Some(4), Some(5)]);
        assert_eq!(completed(&sliced), [None, None, Some(1), None, Some(2), None]);
        let words = (0..3).map(|stage| sliced.words(stage)).collect::<Vec<_>>();
        assert_eq!(words, ["features", "round 1", "sums of round 1"]);
        assert_eq!((single.end(), sliced.end(), sliced.words(11)), (6, 11, "the end".into()));
        assert_eq!((sliced.at(10), sliced.at(11)), (At::Round { round: 5, step: 1 }, At::End));
    }

    #[test]
    fn the_last_round_is_scored_whatever_the_job_says() {
        let scored = |round: &[&str], every| {
            let course = course(&["features"], round, 5, every);
            (0..course.end()).filter(|stage| course.scores(*stage)).collect::<Vec<_>>()
        };
        assert_eq!((scored(&["train"], 1), scored(&["train"], 2)), (vec![1, 2, 3, 4, 5], vec![2, 4, 5]));
        assert_eq!((scored(&["train", "sums"], 3), scored(&["train", "sums"], 9)), (vec![6, 10], vec![10]));
    }

    #[test]
    fn events_count_rounds_as_the_course_does() {
        let sliced = course(&["features"], &["train", "sums"], 5, 1);
        let before = (0..6).map(|stage| sliced.rounds_before(stage)).collect::<Vec<_>>();
        assert_eq!(before, [0, 0, 0, 1, 1, 2]);
        assert_eq!((0..3).map(|rounds| sliced.opens_after(rounds)).collect::<Vec<_>>(), [1, 3, 5]);
        let bare = course(&[], &["sweep"], 2, 1);
        assert_eq!(
            (bare.at(0), bare.completes(1), bare.end()),
            (At::Round { round: 1, step: 0 }, Some(2), 2)
        );
    }

    #[test]
    fn a_stage_before_the_rounds_has_shares_of_its_own() {
        let course = Course { shares: vec![9, 2], ..course(&["units", "again", "third"], &["train"], 2, 1) };
        assert_eq!((0..5).map(|stage| course.shares(stage, 4)).collect::<Vec<_>>(), [9, 4, 4, 4, 4]);
    }

    #[test]
    fn a_run_of_units_alone_ends_with_them() {
        let units = Course { measures: Vec::new(), ..course(&["units"], &[], 0, 1) };
        assert_eq!((units.end(), units.completes(0), units.rounds_in(0)), (1, Some(0), 0));
        assert!(!units.scores(0) && units.better(None, None));
    }

    #[test]
    fn the_first_measure_that_differs_decides() {
        let course = course(&[], &["train"], 1, 1);
        let score = |top1, loss| Score { values: vec![top1, loss], of: 10 };
        assert!(course.beats(&score(0.6, 9.0), &score(0.5, 1.0)));
        assert!(course.beats(&score(0.5, 0.9), &score(0.5, 1.0)));
        assert!(!course.beats(&score(0.5, 1.0), &score(0.5, 1.0)), "equal ones are not better");
        assert!(course.better(None, None) && !course.better(None, Some(&score(0.5, 1.0))));
        let rungs = Course { best: Best::Last, ..course.clone() };
        assert!(rungs.better(Some(&score(0.1, 1.0)), Some(&score(0.9, 1.0))) && !rungs.better(None, None));
    }
}
