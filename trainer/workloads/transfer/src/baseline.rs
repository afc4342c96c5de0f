//! The baselines for pretrained features: raw pixels, and the same network untrained.
//!
//! Each gets the job's own head, optimizer, schedule and seed, trained on one machine, so only the features
//! differ.

use crate::Result;
use crate::features::Recipe;
use crate::head::{Batch, Engine, HeadShape, engine};
use crate::job::Job;
use crate::predict::{Adapted, prepare};
use crate::score::{Scored, Tally};
use crate::untrained::Untrained;
use datasets::images::Image;
use frozen::{Compiled, Options};
use rounds::random::{Purpose, Stream};
use rounds::{Optimizer, Training, rate};
use storage::Root;

/// Images that are read together.
const BATCH: usize = 64;

/// Rows of features, with their classes.
struct Features {
    columns: usize,
    /// `[n, columns]`
    rows: Vec<f32>,
    /// `[n]`
    labels: Vec<u32>,
}

/// The job's head on the pixels themselves, prepared as for the network.
///
/// # Errors
/// Those of opening the files that the job names.
pub fn raw_pixels(root: &Root, job: &Job) -> Result<Scored> {
    let recipe = Recipe::open(root, job)?;
    let columns = recipe.preprocessing.len();
    compare(&recipe, job, columns, |prepared, _| Ok(prepared))
}

/// The job's head on the same network with untrained weights.
///
/// # Errors
/// Those of opening the files that the job names.
pub fn untrained_network(root: &Root, job: &Job, threads: usize) -> Result<Scored> {
    let recipe = Recipe::open(root, job)?;
    let side = recipe.preprocessing.size;
    let options = Options { threads, pool: recipe.pool, ..Options::default() };
    let weights = Untrained { seed: job.training.seed };
    let mut net = Compiled::new(&recipe.network, (side, side), &Adapted(&weights), options)?;
    compare(&recipe, job, net.features(), |prepared, n| {
        let mut rows = vec![0.0; n * net.features()];
        net.run(&prepared, n, &mut rows)?;
        Ok(rows)
    })
}

/// Computes the features of both splits, trains on one and scores on the other.
fn compare(
    recipe: &Recipe,
    job: &Job,
    columns: usize,
    mut features: impl FnMut(Vec<f32>, usize) -> Result<Vec<f32>>,
) -> Result<Scored> {
    let mut read = |split: &str| -> Result<Features> {
        let split = recipe.dataset.split(split)?;
        let (mut rows, mut images) = (Vec::with_capacity(split.len() * columns), Vec::<Image>::new());
        for first in (0..split.len()).step_by(BATCH) {
            split.read_images(first..split.len().min(first + BATCH), &mut images)?;
            rows.extend(features(prepare(&recipe.preprocessing, &images)?, images.len())?);
        }
        Ok(Features { columns, rows, labels: split.labels()? })
    };
    let (mut train, mut val) = (read("train")?, read("val")?);
    if job.standardises() {
        standardise(&mut train, &mut val);
    }
    let shape = HeadShape::new(job, columns, recipe.dataset.classes().len())?;
    fit(job, &shape, &train)?.score(&val)
}

/// Scales each column to mean 0 and deviation 1 over the training rows.
fn standardise(train: &mut Features, val: &mut Features) {
    let (columns, n) = (train.columns, train.labels.len() as f64);
    let (mut sums, mut squares) = (vec![0.0_f64; columns], vec![0.0_f64; columns]);
    let sum = |rows: &[f32], sums: &mut [f64], f: &dyn Fn(usize, f64) -> f64| {
        for row in rows.chunks_exact(columns) {
            row.iter().zip(sums.iter_mut()).enumerate().for_each(|(c, (x, sum))| *sum += f(c, f64::from(*x)));
        }
    };
    sum(&train.rows, &mut sums, &|_, x| x);
    sum(&train.rows, &mut squares, &|column, x| (x - sums[column] / n).powi(2));
    for rows in [&mut train.rows, &mut val.rows] {
        for row in rows.chunks_exact_mut(columns) {
            for (column, value) in row.iter_mut().enumerate() {
                let deviation = (squares[column] / n).sqrt();
                let scale = if deviation > 1e-8 { deviation } else { 1.0 };
                *value = ((f64::from(*value) - sums[column] / n) / scale) as f32;
            }
        }
    }
}

/// A trained head.
struct Fitted {
    classes: usize,
    engine: Box<dyn Engine>,
    parameters: Vec<f32>,
}

/// The job's rounds and epochs on one machine.
fn fit(job: &Job, shape: &HeadShape, train: &Features) -> Result<Fitted> {
    let (engine, optimizer) = (engine(job, shape, 1)?, Optimizer::new(&job.training, &shape.layout()));
    let mut state = optimizer.start(shape.initial(job.training.seed));
    let epochs =
        (job.training.rounds * job.training.epochs_per_round).div_ceil(job.training.rounds_per_epoch);
    let Training { rounds_per_epoch, epochs_per_round, .. } = job.training;
    let epoch_length = f64::from(rounds_per_epoch) / f64::from(epochs_per_round); // in rounds
    let mut labels = Vec::new();
    for epoch in 0..epochs {
        let mut order: Vec<u32> = (0..train.labels.len() as u32).collect();
        Stream::new(job.training.seed, Purpose::Order, epoch, 0).shuffle(&mut order);
        let batches = order.chunks(job.training.batch());
        let length = epoch_length / batches.len() as f64; // of a step
        for (index, batch) in batches.enumerate() {
            let mut rows = Vec::with_capacity(batch.len() * train.columns);
            labels.clear();
            for row in batch.iter().map(|&row| row as usize) {
                rows.extend_from_slice(&train.rows[row * train.columns..(row + 1) * train.columns]);
                labels.push(train.labels[row]);
            }
            let batch = Batch { features: &rows, labels: &labels, images: batch, pass: epoch };
            let done = f64::from(epoch) * epoch_length + index as f64 * length;
            engine.step(&optimizer, rate(&job.training, done, length), batch, &mut state)?;
        }
    }
    Ok(Fitted { classes: shape.classes(), engine, parameters: state.parameters })
}

impl Fitted {
    fn score(&self, val: &Features) -> Result<Scored> {
        let mut tally = Tally::new(self.classes);
        let rows = val.rows.chunks(BATCH * val.columns);
        for (rows, labels) in rows.zip(val.labels.chunks(BATCH)) {
            tally.add(&self.engine.scores(&self.parameters, rows.to_vec())?, labels)?;
        }
        Ok(tally.scored())
    }
}
