//! The statistics of a feature store's columns, and the labels of its images.

use super::Recipe;
use super::store::{LABELS, read_rows};
use crate::{Error, Fate, Result};
use std::path::Path;
use storage::arrays::Npy;
use storage::{FeatureShard, Tensor};

/// Rows read at a time.
const ROWS: usize = 64;

/// Repairs a damaged shard, given the shard and its damage.
pub(super) type Again<'a> = &'a dyn Fn(&FeatureShard, Error) -> Result<()>;

/// Each column's mean and standard deviation over all copies of the training images, and every split's
/// labels.
pub(super) fn statistics_tensors(
    folder: &Path,
    recipe: &Recipe,
    shards: &[FeatureShard],
    again: Again<'_>,
) -> Result<Vec<Tensor<'static>>> {
    let (mean, deviation) = column_statistics(folder, recipe.columns, shards, again)?;
    let columns = [recipe.columns];
    let mut tensors =
        vec![Tensor::f32("mean", &columns, mean), Tensor::f32("deviation", &columns, deviation)];
    for (split, images) in recipe.splits() {
        let labels: Vec<i64> = recipe.dataset.split(split)?.labels()?.into_iter().map(i64::from).collect();
        tensors.push(Tensor::i64(format!("{LABELS}{split}"), &[images], labels));
    }
    Ok(tensors)
}

/// Mean and standard deviation of each column over the training rows.
///
/// Sums of differences from the first row, in f64, row after row: one pass, and no digits lost to a large
/// mean.
fn column_statistics(
    folder: &Path,
    columns: usize,
    shards: &[FeatureShard],
    again: Again<'_>,
) -> Result<(Vec<f32>, Vec<f32>)> {
    let mut origin: Vec<f64> = Vec::new();
    let (mut sums, mut squares) = (vec![0.0; columns], vec![0.0; columns]);
    let mut count = 0_u64;
    let mut rows = Vec::new();
    for shard in shards.iter().filter(|shard| shard.split == "train") {
        let whole = || -> Result<()> { Ok(storage::open(folder, &shard.file)?.verify()?) };
        if let Err(damage) = whole() {
            if damage.fate() == Fate::Retry {
                return Err(damage);
            }
            again(shard, damage)?;
        }
        let npy = Npy::open(folder.join(&shard.file.name))?;
        for first in (0..npy.rows()).step_by(ROWS) {
            rows.resize((npy.rows() - first).min(ROWS) * columns, 0.0);
            read_rows(&npy, first, &mut rows)?; // [n, columns]
            if let Some(value) = rows.iter().find(|value| !value.is_finite()) {
                return Err(Error::damaged(npy.path(), "finite features", value.to_string()));
            }
            if origin.is_empty() {
                origin = rows[..columns].iter().map(|&value| f64::from(value)).collect();
            }
            for row in rows.chunks_exact(columns) {
                for ((&value, origin), (sum, square)) in
                    row.iter().zip(&origin).zip(sums.iter_mut().zip(&mut squares))
                {
                    let difference = f64::from(value) - origin;
                    *sum += difference;
                    *square += difference * difference;
                }
                count += 1;
            }
        }
    }
    let count = count.max(1) as f64;
    let mean = origin.iter().zip(&sums).map(|(origin, sum)| (origin + sum / count) as f32).collect();
    let deviation =
        |(sum, square): (&f64, &f64)| ((square / count - (sum / count).powi(2)).max(0.0)).sqrt() as f32;
    Ok((mean, sums.iter().zip(&squares).map(deviation).collect()))
}
