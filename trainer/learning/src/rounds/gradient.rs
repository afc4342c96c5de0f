//! A worker's round of `gradient`: the sum of the gradients over its part of the one batch of all workers.
//!
//! Round r is step r of plain training on batches of `batch` images: passes in the orders of (seed, pass), the last
//! batch of a pass may be smaller, and worker w has the w-th part of the batch.

use super::order::Bank;
use super::round::Round;
use super::saved::{notes, number};
use super::share;
use crate::chunked::{self, Notes};
use crate::head::Batch;
use crate::work::{Assignment, Progress, Work};
use crate::{Error, Result};
use protocol::FileRef;
use std::path::PathBuf;
use storage::Tensor;

/// Name of the array of summed gradients.
pub(super) const GRADIENT: &str = "gradient";
/// Images of one piece: fixed, so that sums are made in one order wherever a leg is cut.
const PIECE: usize = 256;

/// A worker's round.
pub(crate) struct GradientWork {
    round: Round,
    worker: u32,
    stage: PathBuf,
    /// The worker's part of the batch.
    rows: Vec<u32>,
    /// The pass that the batch is of.
    pass: u64,
    parameters: Vec<f32>,
    gradient: Vec<f32>,
    loss: f64,
    done: usize,
}

impl GradientWork {
    pub(crate) fn open(a: &Assignment<'_>) -> Result<GradientWork> {
        let round = Round::open(a.root, a.job, a.job.part(a.stage), a.features, a.threads)?;
        let stage = a.root.run(a.run).create_stage(a.stage)?;
        let (pass, batch) = batch(&round)?;
        let parameters = round.parameters(a.root, a.run, a.state)?;
        let mut work = GradientWork {
            worker: a.worker,
            stage,
            rows: batch[share(batch.len(), a.workers, a.worker)].to_vec(),
            pass,
            gradient: vec![0.0; parameters.len()],
            parameters,
            loss: 0.0,
            done: 0,
            round,
        };
        if let Some(place) = a.place {
            work.resume(place)?;
        }
        Ok(work)
    }

    fn resume(&mut self, place: &FileRef) -> Result<()> {
        let mut tensors = storage::read_tensors(&self.stage, place)?;
        let path = self.stage.join(&place.name);
        self.gradient = tensors.take_f32(GRADIENT, &[self.parameters.len()])?;
        self.loss = number(&path, &tensors.metadata, "loss")?;
        self.done = number(&path, &tensors.metadata, "images")?;
        if number::<u32>(&path, &tensors.metadata, "worker")? != self.worker || self.done > self.rows.len() {
            return Err(Error::damaged(&path, format!("a place of worker {}", self.worker), "another's"));
        }
        Ok(())
    }

    /// The sum so far, its text, and the name that its file begins with.
    fn file(&self) -> ([Tensor<'_>; 1], Notes, String) {
        let gradient = Tensor::f32(GRADIENT, &[self.gradient.len()], &self.gradient[..]);
        let notes = notes([
            ("worker", self.worker.to_string()),
            ("images", self.done.to_string()),
            ("loss", self.loss.to_string()),
        ]);
        ([gradient], notes, format!("worker-{:03}", self.worker))
    }
}

/// The pass that a round's batch is of, and its rows, in order.
fn batch(round: &Round) -> Result<(u64, Vec<u32>)> {
    let bank = Bank::of(round.train()?);
    let images = round.train()?.images();
    let size = (round.job.batch as usize).min(images);
    let steps = images.div_ceil(size);
    let (pass, step) = ((round.number - 1) as usize / steps, (round.number - 1) as usize % steps);
    let order = bank.order(round.job.seed, pass as u32, 0);
    let images = &order[step * size..images.min((step + 1) * size)];
    Ok((pass as u64, bank.rows(round.job.seed, pass as u64, images)))
}

impl Work for GradientWork {
    fn step(&mut self) -> Result<()> {
        let rows = &self.rows[self.done..self.rows.len().min(self.done + PIECE)];
        let train = self.round.train()?;
        let features = train.gather(rows)?; // [rows, columns]
        let labels: Vec<u32> = rows.iter().map(|&row| train.labels()[row as usize]).collect();
        let images = train.images_of(rows);
        let batch = Batch { features: &features, labels: &labels, images: &images, pass: self.pass as u32 };
        self.loss += self.round.trainer.add_gradient(&self.parameters, batch, &mut self.gradient)?;
        if !self.loss.is_finite() {
            return Err(self.round.not_finite("the loss", Some(self.worker)));
        }
        self.done += rows.len();
        Ok(())
    }

    fn progress(&self) -> Progress {
        Progress { done: self.done as u64, of: self.rows.len() as u64 }
    }

    fn save(&mut self) -> Result<FileRef> {
        let (tensors, notes, stem) = self.file();
        Ok(storage::write_tensors(&self.stage, &stem, &tensors, &notes)?)
    }

    fn publish(&mut self) -> Result<FileRef> {
        let (tensors, notes, stem) = self.file();
        chunked::publish(&self.stage, &stem, &tensors, &notes)
    }
}
