//! The quality of a head on a split: loss, top-1, top-5, the confusion matrix, and predictions for some
//! images.

use crate::confusion::Confusion;
use crate::{Error, Result};
use protocol::Measure;
use serde::{Deserialize, Serialize};

/// The number of example images, and of surest mistakes.
const EXAMPLES: usize = 8;

/// The score of a head on a split.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// Mean cross-entropy.
    pub loss: f64,
    /// Share of images whose most probable class is the true one.
    pub top1: f64,
    /// Share of images whose true class is among the five most probable.
    pub top5: f64,
    /// Images scored.
    pub images: u64,
}

/// The numbers of a score, the deciding one first. A state that a round has trained has the loss of its
/// training, too.
pub(crate) fn measures(trained: bool) -> Vec<Measure> {
    let measure = |name: &str, higher, share| Measure { name: name.into(), higher, share };
    let scored = [measure("top-1", true, true), measure("loss", false, false), measure("top-5", true, true)];
    scored.into_iter().chain(trained.then(|| measure("training loss", false, false))).collect()
}

impl Score {
    /// Whether this is better than another: more right answers, or as many with a lower loss.
    pub fn beats(&self, other: &Score) -> bool {
        self.top1 > other.top1 || (self.top1 == other.top1 && self.loss < other.loss)
    }
}

impl From<Score> for protocol::Score {
    fn from(score: Score) -> protocol::Score {
        protocol::Score { values: vec![score.top1, score.loss, score.top5], of: score.images }
    }
}

/// A model's prediction for one image of a split.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// The image's place in its split, from 0.
    pub image: u64,
    /// Its class.
    pub truth: u32,
    /// The predicted class.
    pub predicted: u32,
    /// Its probability.
    pub probability: f32,
}

/// A score with its confusion matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// Loss (cross-entropy in nats, without label smoothing), top-1, top-5.
    pub score: Score,
    /// The confusion matrix.
    pub confusion: Confusion,
    /// Some images, evenly spread over the split.
    pub examples: Vec<Example>,
    /// The surest mistakes, the surest first.
    pub mistakes: Vec<Example>,
}

/// Sums over the images scored so far.
#[derive(Clone, Debug)]
pub struct Tally {
    classes: usize,
    loss: f64,
    top1: u64,
    top5: u64,
    answers: Vec<Example>,
}

impl Tally {
    /// Nothing scored yet.
    pub fn new(classes: usize) -> Tally {
        Tally { classes, loss: 0.0, top1: 0, top5: 0, answers: Vec::new() }
    }

    /// All of it: its sums as text from which exactly the same numbers can be read, then the predicted class
    /// of each image with its probability.
    pub(crate) fn saved(&self) -> (String, (Vec<i64>, Vec<f32>)) {
        let answers = self.answers.iter().map(|answer| (i64::from(answer.predicted), answer.probability));
        (format!("{} {} {}", self.loss, self.top1, self.top5), answers.unzip())
    }

    /// Reads a saved tally of images with these labels; none if it has another number of classes.
    pub(crate) fn resume(
        classes: usize,
        sums: &str,
        labels: &[u32],
        (predicted, probability): (Vec<i64>, Vec<f32>),
    ) -> Option<Tally> {
        let mut sums = sums.split(' ');
        let (loss, top1, top5) = (sums.next()?, sums.next()?, sums.next()?);
        let answer = |(image, (&truth, (predicted, probability)))| {
            let predicted = u32::try_from(predicted).ok().filter(|class| (*class as usize) < classes)?;
            Some(Example { image: image as u64, truth, predicted, probability })
        };
        let answers = labels.iter().zip(predicted.into_iter().zip(probability)).enumerate().map(answer);
        Some(Tally {
            classes,
            loss: loss.parse().ok()?,
            top1: top1.parse().ok()?,
            top5: top5.parse().ok()?,
            answers: answers.collect::<Option<_>>()?,
        })
    }

    /// Adds rows of scores before softmax.
    ///
    /// Shapes: `scores` `[labels.len(), classes]`.
    ///
    /// # Errors
    /// [`Error::Argument`] when a score is not finite.
    pub fn add(&mut self, scores: &[f32], labels: &[u32]) -> Result<()> {
        for (scores, &label) in scores.chunks_exact(self.classes).zip(labels) {
            if let Some(score) = scores.iter().find(|score| !score.is_finite()) {
                return Err(Error::argument("a class's score", "a finite number", score.to_string()));
            }
            let label = label as usize;
            let best = (0..self.classes).fold(0, |best, c| if scores[c] > scores[best] { c } else { best });
            // Of equal scores the first class counts as the higher one.
            let above = |&c: &usize| scores[c] > scores[label] || (scores[c] == scores[label] && c < label);
            let rank = (0..self.classes).filter(above).count();
            let highest = f64::from(scores[best]);
            let total: f64 = scores.iter().map(|&score| (f64::from(score) - highest).exp()).sum();
            self.loss += total.ln() + highest - f64::from(scores[label]);
            self.top1 += u64::from(rank == 0);
            self.top5 += u64::from(rank < 5);
            self.answers.push(Example {
                image: self.answers.len() as u64,
                truth: label as u32,
                predicted: best as u32,
                probability: (1.0 / total) as f32,
            });
        }
        Ok(())
    }

    /// Every mistake, the surest first; of equal ones the first image.
    pub fn mistakes(self) -> Vec<Example> {
        let mut mistakes = self.answers;
        mistakes.retain(|answer| answer.truth != answer.predicted);
        mistakes.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        mistakes
    }

    /// The means.
    pub fn scored(self) -> Scored {
        let images = self.answers.len() as u64;
        let confusion = Confusion::of(self.classes, self.answers.iter().map(|a| (a.truth, a.predicted)));
        let share = |sum: f64| if images == 0 { 0.0 } else { sum / images as f64 };
        let score = Score {
            loss: share(self.loss),
            top1: share(self.top1 as f64),
            top5: share(self.top5 as f64),
            images,
        };
        let all = self.answers.len();
        let shown = all.min(EXAMPLES);
        let examples = (0..shown).map(|n| self.answers[(2 * n + 1) * all / (2 * shown)]).collect();
        let mut mistakes = self.mistakes();
        mistakes.truncate(EXAMPLES);
        Scored { score, confusion, examples, mistakes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_losses_and_confusions_are_counted() {
        let mut tally = Tally::new(6);
        tally.add(&[3.0, 2.0, 1.0, 0.0, -1.0, -2.0], &[0]).unwrap(); // right
        tally.add(&[3.0, 2.0, 1.0, 0.0, -1.0, -2.0], &[4]).unwrap(); // fifth
        tally.add(&[3.0, 2.0, 1.0, 0.0, -1.0, -2.0], &[5]).unwrap(); // sixth
        tally.add(&[0.0; 6], &[1]).unwrap(); // equal scores: class 0 is first
        let Scored { score, confusion, examples, mistakes } = tally.scored();
        let told = |answers: &[Example]| answers.iter().map(|a| (a.image, a.truth)).collect::<Vec<_>>();
        assert_eq!(told(&examples), [(0, 0), (1, 4), (2, 5), (3, 1)]);
        assert_eq!(told(&mistakes), [(1, 4), (2, 5), (3, 1)]);
        assert!((mistakes[2].probability - 1.0 / 6.0).abs() < 1e-6 && mistakes[2].predicted == 0);
        assert_eq!((score.top1, score.top5, score.images), (0.25, 0.75, 4));
        let matrix = confusion.matrix().unwrap();
        assert_eq!((matrix[0][0], matrix[4][0], matrix[5][0], matrix[1][0]), (1, 1, 1, 1));
        let total: f64 = [3.0_f64, 2.0, 1.0, 0.0, -1.0, -2.0].iter().map(|s| s.exp()).sum();
        let expected = (4.0 * total.ln().mul_add(0.75, 0.0) - 3.0 + 1.0 + 2.0 + 6.0_f64.ln()) / 4.0;
        assert!((score.loss - expected).abs() < 1e-12, "{} {expected}", score.loss);
    }

    #[test]
    fn of_many_images_a_few_are_told_of() {
        let mut tally = Tally::new(2);
        for image in 0..1_000 {
            tally.add(&[0.0, image as f32 / 100.0], &[0]).unwrap();
        }
        let Scored { examples, mistakes, .. } = tally.scored();
        assert_eq!((examples.len(), examples[0].image, examples[7].image), (8, 62, 937));
        assert_eq!((mistakes.len(), mistakes[0].image, mistakes[7].image), (8, 999, 992));
    }

    #[test]
    fn large_scores_do_not_overflow_and_nan_is_an_error() {
        let mut tally = Tally::new(2);
        tally.add(&[1e30, -1e30], &[0]).unwrap();
        assert!(tally.add(&[f32::NAN, 0.0], &[0]).is_err());
        assert_eq!(tally.scored().score.loss, 0.0);
    }
}
