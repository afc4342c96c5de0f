//! A worker's round of `gradient`: the sum of the gradients over its part of the one batch of all workers.
//!
//! Round r is step r of plain training on batches of `batch` examples: passes in the orders of (seed, pass),
//! the last batch of a pass may be smaller, and worker w has the w-th part of the batch.

use super::chunked::{self, Notes};
use super::order::share;
use super::round::Round;
use super::saved::{notes, number};
use super::trainable::{Pass, Trainable};
use crate::Result;
use protocol::FileRef;
use std::path::PathBuf;
use std::sync::Arc;
use storage::Tensor;
use work::Failed;
use work::{Progress, Stage, Work};

/// Name of the array of summed gradients.
pub(super) const GRADIENT: &str = "gradient";
/// Examples of one piece: fixed, so that the order of sums does not depend on the cuts of legs.
const PIECE: usize = 256;

/// A worker's round.
pub(super) struct GradientWork<T> {
    round: Round<T>,
    worker: u32,
    stage: PathBuf,
    /// The worker's part of the batch.
    rows: Vec<u32>,
    /// The pass of the batch.
    pass: u64,
    parameters: Vec<f32>,
    gradient: Vec<f32>,
    loss: f64,
    done: usize,
}

impl<T: Trainable> GradientWork<T> {
    pub(super) fn open(
        at: &Stage<'_>,
        worker: u32,
        place: Option<&FileRef>,
        of: Arc<T>,
    ) -> Result<GradientWork<T>> {
        let round = Round::at(at, of);
        let stage = at.root.run(at.run).create_stage(at.number)?;
        let (pass, batch) = batch(&round);
        let parameters = round.parameters(at.root, at.run, at.state)?;
        let mut work = GradientWork {
            worker,
            stage,
            rows: batch[share(batch.len(), at.workers, worker)].to_vec(),
            pass,
            gradient: vec![0.0; parameters.len()],
            parameters,
            loss: 0.0,
            done: 0,
            round,
        };
        if let Some(place) = place {
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
            return Err(Failed::damaged(&path, format!("a place of worker {}", self.worker), "another's"));
        }
        Ok(())
    }

    /// The sum so far, its text, and the beginning of its file's name.
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

/// The pass of a round's batch, and the batch's rows, in order.
fn batch<T>(round: &Round<T>) -> (u64, Vec<u32>) {
    let Round { training, examples, .. } = round;
    let size = training.batch().min(examples.count);
    let steps = examples.count.div_ceil(size);
    let (pass, step) = ((round.number - 1) as usize / steps, (round.number - 1) as usize % steps);
    let order = examples.order(training.seed, pass as u32, 0);
    let dealt = &order[step * size..examples.count.min((step + 1) * size)];
    (pass as u64, examples.rows(training.seed, pass as u64, dealt))
}

impl<T: Trainable> Work for GradientWork<T> {
    fn step(&mut self) -> Result<()> {
        let rows = self.rows[self.done..self.rows.len().min(self.done + PIECE)].to_vec();
        let (of, count) = (&self.round.of, rows.len());
        let mut piece = of.pass(self.pass, rows, PIECE);
        self.loss += of.add_gradient(&self.parameters, piece.batch(0)?, &mut self.gradient)?;
        if !self.loss.is_finite() {
            return Err(self.round.not_finite("the loss", Some(self.worker)));
        }
        self.done += count;
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
