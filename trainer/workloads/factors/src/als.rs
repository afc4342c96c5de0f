//! Alternating least squares: the bias and the factors of one user solve its normal equations exactly, and
//! those of one item likewise.
//!
//! For a user with n ratings: (Σ x xᵀ + λ n I) w = Σ x y. There x is an item's factors and a 1, y is the
//! rating without the mean and the item's bias, and w is the user's factors and its bias. All sums are in
//! f64, one rating after the other in the order of the items. So the bits depend neither on the width of the
//! processor's vectors nor on threads.

use crate::share::Rows;
use crate::tables::Table;
use work::Failed;

/// Ratings whose numbers are copied together before they are summed: they stay in the level-1 cache.
const TOGETHER: usize = 64;
/// Rows and columns of a square of sums that is held in registers.
const TILE: usize = 4;

/// The other side's numbers, ready for sums.
pub(crate) struct Als {
    factors: usize,
    /// Columns of `features`: the factors, a one, and the target; a multiple of [`TILE`].
    columns: usize,
    /// `[others, columns]`: factors, 1, and in the place of the target what is known of it: mean and bias.
    features: Vec<f32>,
    regularisation: f64,
    mean: f64,
}

/// The buffers of a thread.
#[derive(Default)]
pub(crate) struct Desk {
    /// `[TOGETHER, columns]`.
    rows: Vec<f64>,
    /// `[columns, columns]`, of which the upper part counts.
    sums: Vec<f64>,
}

impl Als {
    /// Prepares the numbers of the other side; `mean` is that of all ratings.
    pub(crate) fn new(other: &Table, mean: f64, regularisation: f64) -> Als {
        let factors = other.width - 1;
        let columns = (factors + 2).next_multiple_of(TILE);
        let mut features = vec![0.0; other.rows() * columns];
        for (to, from) in features.chunks_exact_mut(columns).zip(other.values.chunks_exact(other.width)) {
            to[..factors].copy_from_slice(&from[1..]);
            to[factors] = 1.0;
            to[factors + 1] = from[0];
        }
        Als { factors, columns, features, regularisation, mean }
    }

    /// Sums the products of all pairs of columns over the ratings of a row.
    fn sum(&self, others: &[u32], values: &[f32], desk: &mut Desk) {
        let (columns, target) = (self.columns, self.factors + 1);
        desk.sums.clear();
        desk.sums.resize(columns * columns, 0.0);
        desk.rows.resize(TOGETHER * columns, 0.0);
        for (others, values) in others.chunks(TOGETHER).zip(values.chunks(TOGETHER)) {
            let rows = &mut desk.rows[..others.len() * columns];
            for ((row, &other), &value) in rows.chunks_exact_mut(columns).zip(others).zip(values) {
                let features = &self.features[other as usize * columns..][..columns];
                row.iter_mut().zip(features).for_each(|(to, from)| *to = f64::from(*from));
                row[target] = f64::from(value) - self.mean - row[target];
            }
            for left in (0..columns).step_by(TILE) {
                for right in (left..columns).step_by(TILE) {
                    add_tile(rows, columns, (left, right), &mut desk.sums);
                }
            }
        }
    }
}

/// Adds the products of some columns with some others, over all rows.
fn add_tile(rows: &[f64], columns: usize, (left, right): (usize, usize), sums: &mut [f64]) {
    let mut tile = [[0.0; TILE]; TILE];
    for (at, of_row) in tile.iter_mut().enumerate() {
        of_row.copy_from_slice(&sums[(left + at) * columns + right..][..TILE]);
    }
    for row in rows.chunks_exact(columns) {
        let mut pair = [[0.0; TILE]; 2];
        pair[0].copy_from_slice(&row[left..left + TILE]);
        pair[1].copy_from_slice(&row[right..right + TILE]);
        for (of_row, x) in tile.iter_mut().zip(pair[0]) {
            for (sum, y) in of_row.iter_mut().zip(pair[1]) {
                *sum += x * y;
            }
        }
    }
    for (at, of_row) in tile.iter().enumerate() {
        sums[(left + at) * columns + right..][..TILE].copy_from_slice(of_row);
    }
}

/// Solves the equations in the upper part of `sums`, whose column `unknowns` is the right side (Cholesky);
/// the solution replaces it.
fn solve(sums: &mut [f64], columns: usize, unknowns: usize) {
    for pivot in 0..unknowns {
        let root = sums[pivot * columns + pivot].sqrt();
        let (above, below) = sums.split_at_mut((pivot + 1) * columns);
        let row = &mut above[pivot * columns..];
        row[pivot..=unknowns].iter_mut().for_each(|value| *value /= root);
        for (at, next) in below.chunks_exact_mut(columns).take(unknowns - pivot - 1).enumerate() {
            let column = pivot + 1 + at;
            let factor = row[column];
            let pairs = next[column..=unknowns].iter_mut().zip(&row[column..=unknowns]);
            pairs.for_each(|(value, above)| *value -= factor * above);
        }
    }
    for row in (0..unknowns).rev() {
        let mut value = sums[row * columns + unknowns];
        for column in row + 1..unknowns {
            value -= sums[row * columns + column] * sums[column * columns + unknowns];
        }
        sums[row * columns + unknowns] = value / sums[row * columns + row];
    }
}

impl Rows for Als {
    type Desk = Desk;

    fn width(&self) -> usize {
        self.factors + 1
    }

    fn row(
        &self,
        _: usize,
        others: &[u32],
        values: &[f32],
        (desk, to): (&mut Desk, &mut [f32]),
    ) -> Result<(), Failed> {
        self.sum(others, values, desk);
        let (columns, unknowns) = (self.columns, self.factors + 1);
        let ridge = self.regularisation * others.len() as f64;
        (0..unknowns).for_each(|at| desk.sums[at * columns + at] += ridge);
        solve(&mut desk.sums, columns, unknowns);
        let found = |at: usize| desk.sums[at * columns + unknowns] as f32;
        to[0] = found(self.factors);
        (0..self.factors).for_each(|at| to[at + 1] = found(at));
        if to.iter().all(|value| value.is_finite()) {
            return Ok(());
        }
        Err(Failed::argument(
            "the factors of a user or an item",
            "finite numbers",
            "others: raise `regularisation`",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rounds::random::{Purpose, Stream};

    /// Least squares by plain Gaussian elimination with the whole matrix.
    fn plain(als: &Als, other: &Table, others: &[u32], values: &[f32]) -> Vec<f64> {
        let n = als.factors + 1;
        let mut rows = vec![vec![0.0; n + 1]; n];
        for (&other_row, &value) in others.iter().zip(values) {
            let numbers = other.row(other_row as usize);
            let mut x: Vec<f64> = numbers[1..].iter().map(|x| f64::from(*x)).collect();
            x.push(1.0);
            let y = f64::from(value) - als.mean - f64::from(numbers[0]);
            for i in 0..n {
                (0..n).for_each(|j| rows[i][j] += x[i] * x[j]);
                rows[i][n] += x[i] * y;
            }
        }
        (0..n).for_each(|i| rows[i][i] += als.regularisation * others.len() as f64);
        for i in 0..n {
            let best = (i..n).max_by(|a, b| rows[*a][i].abs().total_cmp(&rows[*b][i].abs())).unwrap();
            rows.swap(i, best);
            for j in (0..n).filter(|j| *j != i) {
                let factor = rows[j][i] / rows[i][i];
                let pivot = rows[i].clone();
                rows[j].iter_mut().zip(pivot).for_each(|(value, above)| *value -= factor * above);
            }
        }
        (0..n).map(|i| rows[i][n] / rows[i][i]).collect()
    }

    #[test]
    fn a_row_solves_its_normal_equations() {
        for (factors, ratings) in [(1, 1), (2, 3), (3, 200), (10, 63), (10, 65), (13, 128), (40, 17)] {
            let mut stream = Stream::new(factors as u64, Purpose::Factors, 9, ratings);
            let mut other = Table::zeros(300, factors + 1);
            other.values.iter_mut().for_each(|value| *value = stream.symmetric(1.0));
            let others: Vec<u32> = (0..ratings).map(|_| stream.below(300) as u32).collect();
            let values: Vec<f32> = others.iter().map(|_| 3.0 + stream.symmetric(2.0)).collect();
            let als = Als::new(&other, 3.1, 0.05);
            let mut found = vec![0.0; factors + 1];
            als.row(0, &others, &values, (&mut Desk::default(), &mut found)).unwrap();
            let expected = plain(&als, &other, &others, &values);
            let near = |found: f32, expected: f64| {
                (f64::from(found) - expected).abs() < 1e-6 * (1.0 + expected.abs())
            };
            assert!(
                near(found[0], expected[factors]),
                "{factors} factors: {} {}",
                found[0],
                expected[factors]
            );
            for (found, expected) in found[1..].iter().zip(&expected) {
                assert!(near(*found, *expected), "{factors} factors, {ratings} ratings: {found} {expected}");
            }
        }
    }
}
