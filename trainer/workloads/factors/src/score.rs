//! Predictions, and how far they are from held-out ratings.

use crate::tables::{Table, Tables};
use datasets::ratings::{HeldOut, Manifest};
use protocol::{Measure, Score};

/// Mean and scale of a data set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale {
    pub(crate) mean: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Scale {
    pub(crate) fn of(manifest: &Manifest) -> Scale {
        let [low, high] = manifest.scale;
        Scale { mean: manifest.mean, low, high }
    }

    /// The predicted rating: within the scale. A row has the bias, then the factors.
    pub(crate) fn predict(&self, user: &[f32], item: &[f32]) -> f64 {
        self.unbounded(user, item).clamp(self.low, self.high)
    }

    /// The rating that the numbers give, also outside the scale.
    pub(crate) fn unbounded(&self, user: &[f32], item: &[f32]) -> f64 {
        let products = user[1..].iter().zip(&item[1..]).map(|(p, q)| f64::from(*p) * f64::from(*q));
        self.mean + f64::from(user[0]) + f64::from(item[0]) + products.sum::<f64>()
    }
}

/// The measures of a score.
pub(crate) fn measures() -> Vec<Measure> {
    let measure = |name: &str| Measure { name: name.into(), higher: false, share: false };
    vec![measure("RMSE"), measure("MAE")]
}

/// The root of the mean square of the errors, and the mean of their absolute values.
pub(crate) fn score(tables: &Tables, factors: usize, scale: Scale, held_out: &HeldOut) -> Score {
    let (mut squares, mut sum) = (0.0, 0.0);
    let HeldOut { users, items, values } = held_out;
    let row = |table: &Table, at: u32| -> std::ops::Range<usize> {
        let first = at as usize * table.width;
        first..first + factors + 1
    };
    for ((&user, &item), &value) in users.iter().zip(items).zip(values) {
        let user = &tables.users.values[row(&tables.users, user)];
        let item = &tables.items.values[row(&tables.items, item)];
        let error = f64::from(value) - scale.predict(user, item);
        squares += error * error;
        sum += error.abs();
    }
    let of = values.len() as f64;
    Score { values: vec![(squares / of).sqrt(), sum / of], of: values.len() as u64 }
}
