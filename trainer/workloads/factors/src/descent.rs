//! Gradient descent with momentum, each step over all ratings: the gradient of a user is summed over its own
//! ratings, with the items as they were before the step, and that of an item likewise.
//!
//! The engine of the crate `rounds` deals ratings to workers and sums the workers' gradients of all
//! parameters. Here a worker owns users and items instead and reads their ratings twice, once in each order.
//! Nothing is summed over workers, so that their number does not change a bit, and a worker publishes only
//! its own part.

use crate::job::{Job, Over};
use crate::share::Rows;
use crate::tables::Table;
use work::Failed;

/// Numbers of a row that are summed side by side.
const LANES: usize = 4;
/// Ratings that are summed in f32 before the sum is added in f64.
const TOGETHER: usize = 64;

/// A step of one side.
pub(crate) struct Descent {
    factors: usize,
    /// Columns of `own` and `other`: the bias and the factors; a multiple of [`LANES`].
    columns: usize,
    /// `[rows, columns]`: the bias and the factors of this side.
    own: Vec<f32>,
    /// The same for the other side.
    other: Vec<f32>,
    /// `[rows, factors + 1]`: the velocities of this side.
    velocities: Vec<f32>,
    /// The number of all ratings, if gradients are means over all.
    all: Option<f64>,
    mean: f32,
    rate: f64,
    momentum: f64,
    regularisation: f64,
}

/// The buffers of a thread.
#[derive(Default)]
pub(crate) struct Desk {
    sums: Vec<f64>,
    some: Vec<f32>,
}

impl Descent {
    /// The step of a side. A row of a table has the bias and the factors, and then their velocities. `data`
    /// is the mean of the ratings and their number.
    pub(crate) fn new(own: &Table, other: &Table, job: &Job, data: (f64, u64)) -> Descent {
        let numbers = own.width / 2;
        let columns = numbers.next_multiple_of(LANES);
        let padded = |table: &Table| {
            let mut padded = vec![0.0; table.rows() * columns];
            for (to, from) in padded.chunks_exact_mut(columns).zip(table.values.chunks_exact(table.width)) {
                to[..numbers].copy_from_slice(&from[..numbers]);
            }
            padded
        };
        let velocities = own.values.chunks_exact(own.width).flat_map(|row| row[numbers..].iter().copied());
        Descent {
            factors: numbers - 1,
            columns,
            own: padded(own),
            other: padded(other),
            velocities: velocities.collect(),
            all: (job.mean_over == Some(Over::All)).then_some(data.1 as f64),
            mean: data.0 as f32,
            rate: job.learning_rate(),
            momentum: job.momentum(),
            regularisation: job.regularisation,
        }
    }

    /// Adds the errors of some ratings to `some[0]`, and error · factors of the other side to the rest. `own`
    /// is 1 and the factors, padded; `known` is the mean and the bias. With `COLUMNS` the compiler knows the
    /// number of columns; 0 means any.
    fn add<const COLUMNS: usize>(
        &self,
        (known, own): (f32, &[f32]),
        others: &[u32],
        values: &[f32],
        some: &mut [f32],
    ) {
        let columns = if COLUMNS == 0 { self.columns } else { COLUMNS };
        let (own, some) = (&own[..columns], &mut some[..columns]);
        let mut errors = 0.0;
        for (&other, &value) in others.iter().zip(values) {
            let other = &self.other[other as usize * columns..][..columns];
            let mut lanes = [0.0; LANES];
            for (own, other) in own.chunks_exact(LANES).zip(other.chunks_exact(LANES)) {
                for ((lane, own), other) in lanes.iter_mut().zip(own).zip(other) {
                    *lane += own * other;
                }
            }
            let error = value - known - ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3]));
            some.iter_mut().zip(other).for_each(|(some, other)| *some += error * other);
            errors += error;
        }
        some[0] = errors;
    }
}

impl Rows for Descent {
    type Desk = Desk;

    fn width(&self) -> usize {
        2 * (self.factors + 1)
    }

    fn row(
        &self,
        row: usize,
        others: &[u32],
        values: &[f32],
        (desk, to): (&mut Desk, &mut [f32]),
    ) -> Result<(), Failed> {
        let (columns, numbers) = (self.columns, self.factors + 1);
        let mut own = self.own[row * columns..][..columns].to_vec();
        let known = self.mean + own[0];
        let bias = std::mem::replace(&mut own[0], 1.0);
        desk.sums.clear();
        desk.sums.resize(columns, 0.0);
        for (others, values) in others.chunks(TOGETHER).zip(values.chunks(TOGETHER)) {
            desk.some.clear();
            desk.some.resize(columns, 0.0);
            match columns {
                4 => self.add::<4>((known, &own), others, values, &mut desk.some),
                12 => self.add::<12>((known, &own), others, values, &mut desk.some),
                _ => self.add::<0>((known, &own), others, values, &mut desk.some),
            }
            desk.sums.iter_mut().zip(&desk.some).for_each(|(sum, some)| *sum += f64::from(*some));
        }
        own[0] = bias;
        let count = others.len() as f64;
        let of = self.all.unwrap_or(count);
        let velocities = &self.velocities[row * numbers..][..numbers];
        for (at, (own, velocity)) in own.iter().zip(velocities).enumerate() {
            let gradient = (self.regularisation * count * f64::from(*own) - desk.sums[at]) / of;
            let velocity = self.momentum * f64::from(*velocity) + gradient;
            to[at] = (f64::from(*own) - self.rate * velocity) as f32;
            to[numbers + at] = velocity as f32;
        }
        if to.iter().all(|value| value.is_finite()) {
            return Ok(());
        }
        let found = format!("others: lower the learning rate (it is {})", self.rate);
        Err(Failed::argument("the factors of a user or an item", "finite numbers", found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rounds::random::{Purpose, Stream};

    /// The gradient is that of the loss, by differences of the loss in f64.
    #[test]
    fn a_step_follows_the_gradient_of_the_loss() {
        for (factors, over) in [(2, "row"), (3, "all"), (9, "row"), (17, "all")] {
            let job = serde_json::json!({"dataset": "d", "solve": "gradient", "mean_over": over,
                "learning_rate": 0.5, "regularisation": 0.1});
            let job: Job = serde_json::from_value(job).unwrap();
            let mut stream = Stream::new(factors as u64, Purpose::Factors, 9, 9);
            let width = 2 * (factors + 1);
            let (mut own, mut other) = (Table::zeros(2, width), Table::zeros(50, width));
            own.values.iter_mut().chain(&mut other.values).for_each(|value| *value = stream.symmetric(0.7));
            let others: Vec<u32> = (0..150).map(|_| stream.below(50) as u32).collect();
            let values: Vec<f32> = others.iter().map(|_| 3.0 + stream.symmetric(2.0)).collect();
            let mut found = vec![0.0; width];
            let step = Descent::new(&own, &other, &job, (3.1, 400));
            step.row(1, &others, &values, (&mut Desk::default(), &mut found)).unwrap();
            let before: Vec<f64> = own.row(1).iter().map(|value| f64::from(*value)).collect();
            // Half the summed squares: of the errors, and of the numbers for each rating.
            let loss = |numbers: &[f64]| -> f64 {
                let of = others.iter().zip(&values).map(|(&at, value)| {
                    let row: Vec<f64> = other.row(at as usize).iter().map(|x| f64::from(*x)).collect();
                    let product: f64 = numbers[1..].iter().zip(&row[1..=factors]).map(|(p, q)| p * q).sum();
                    let missed = f64::from(*value) - f64::from(3.1_f32) - numbers[0] - row[0] - product;
                    missed * missed + 0.1 * numbers.iter().map(|number| number * number).sum::<f64>()
                });
                of.sum::<f64>() / 2.0
            };
            let of = if over == "all" { 400.0 } else { 150.0 };
            for at in 0..=factors {
                let (mut up, mut down) = (before[..=factors].to_vec(), before[..=factors].to_vec());
                (up[at], down[at]) = (up[at] + 1e-4, down[at] - 1e-4);
                let velocity = 0.9 * before[factors + 1 + at] + (loss(&up) - loss(&down)) / 2e-4 / of;
                let expected = before[at] - 0.5 * velocity;
                assert!(
                    (f64::from(found[at]) - expected).abs() < 1e-5,
                    "{factors}: {} {expected}",
                    found[at]
                );
                assert!((f64::from(found[factors + 1 + at]) - velocity).abs() < 1e-5, "{factors}: velocity");
            }
        }
    }
}
