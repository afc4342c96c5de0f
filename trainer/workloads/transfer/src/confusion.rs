//! The confusion matrix: the predicted class of each true class.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most classes with a whole matrix. A matrix of 10,000 classes would take 800 MB.
const MOST_CLASSES: usize = 1_000;

/// How many images of a class are predicted as each class, their own included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Confusion {
    /// `[true class][predicted class]`.
    Matrix(Vec<Vec<u64>>),
    /// With many classes, the pairs that occur: `[true class, predicted class, images]`.
    Pairs {
        /// In the order of their classes.
        pairs: Vec<(u32, u32, u64)>,
    },
}

impl Confusion {
    /// The confusion matrix of a model's predictions: the true class of each image and the predicted one.
    pub(crate) fn of(classes: usize, answers: impl Iterator<Item = (u32, u32)>) -> Confusion {
        if classes <= MOST_CLASSES {
            let mut matrix = vec![vec![0; classes]; classes];
            answers.for_each(|(truth, taken)| matrix[truth as usize][taken as usize] += 1);
            return Confusion::Matrix(matrix);
        }
        let mut pairs: BTreeMap<(u32, u32), u64> = BTreeMap::new();
        answers.for_each(|pair| *pairs.entry(pair).or_default() += 1);
        Confusion::Pairs { pairs: pairs.into_iter().map(|((t, p), images)| (t, p, images)).collect() }
    }

    /// The matrix, unless there are too many classes.
    pub fn matrix(&self) -> Option<&[Vec<u64>]> {
        match self {
            Confusion::Matrix(matrix) => Some(matrix),
            Confusion::Pairs { .. } => None,
        }
    }

    /// The pairs that occur: true class, predicted class, images.
    pub fn pairs(&self) -> Vec<(usize, usize, u64)> {
        match self {
            Confusion::Pairs { pairs } => {
                pairs.iter().map(|&(truth, taken, images)| (truth as usize, taken as usize, images)).collect()
            }
            Confusion::Matrix(matrix) => {
                let row = |(truth, row): (usize, &Vec<u64>)| {
                    let row = row.iter().copied().enumerate().filter(|(_, images)| *images > 0);
                    row.map(|(taken, images)| (truth, taken, images)).collect::<Vec<_>>()
                };
                matrix.iter().enumerate().flat_map(row).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_classes_only_the_pairs_that_occur_are_kept() {
        let answers = || [(1, 0), (1, 1), (1, 0)].into_iter();
        let few = Confusion::of(2, answers());
        assert_eq!(few.matrix(), Some(&[vec![0, 0], vec![2, 1]][..]));
        let many = Confusion::of(100_000, answers());
        assert_eq!((many.matrix(), many.pairs()), (None, few.pairs()));
        for confusion in [few, many] {
            let text = serde_json::to_string(&confusion).unwrap();
            assert_eq!(serde_json::from_str::<Confusion>(&text).unwrap(), confusion, "{text}");
        }
    }
}
