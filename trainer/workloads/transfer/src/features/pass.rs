//! One pass over images: batch after batch, the features of the next ones loaded while these are used.

use super::store::{Store, Window};
use crate::{Error, Result};
use rounds::{Batch, Pass};
use std::mem;
use std::ops::Range;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use work::Failed;

/// Bytes of features loaded at a time: a window of the order of a large set.
const WINDOW_BYTES: usize = 32 << 20;

/// The features of some images with their classes.
#[derive(Debug, Default)]
pub(crate) struct FeatureBatch {
    /// `[n, columns]`.
    pub(crate) features: Vec<f32>,
    /// `[n]`.
    pub(crate) labels: Vec<u32>,
    /// `[n]`: the images, by their index in the split.
    pub(crate) images: Vec<u32>,
    /// The number of this pass over the images.
    pub(crate) pass: u32,
}

impl Batch for FeatureBatch {
    fn examples(&self) -> usize {
        self.labels.len()
    }
}

/// The images of a pass, in order.
pub(crate) struct FeaturePass {
    store: Arc<Store>,
    /// The current batch; its memory is used again.
    at_hand: FeatureBatch,
    /// Their rows: each image's in the copy that the pass takes.
    rows: Vec<u32>,
    batch: usize,
    /// The steps whose features are loaded, and these features.
    loaded: Range<usize>,
    window: Window,
    /// The steps whose features are being loaded, and the thread that does it.
    loading: Option<(Range<usize>, JoinHandle<Result<Window>>)>,
}

impl Pass for FeaturePass {
    type Batch = FeatureBatch;

    fn batch(&mut self, step: usize) -> Result<&FeatureBatch, Failed> {
        if !self.loaded.contains(&step) {
            self.load(step)?;
        }
        let train = self.store.need("train")?;
        let (places, first) = (self.places(&(step..step + 1)), self.places(&self.loaded).start);
        let range = places.start - first..places.end - first;
        train.batch(&self.window, range, &mut self.at_hand.features)?;
        let rows = &self.rows[places];
        self.at_hand.labels = rows.iter().map(|&row| train.labels()[row as usize]).collect();
        self.at_hand.images = train.images_of(rows);
        Ok(&self.at_hand)
    }
}

impl FeaturePass {
    /// A pass over training images by their rows, in batches of `batch`; the last may be smaller. `number`
    /// counts the passes of training over these images.
    pub(crate) fn new(store: Arc<Store>, number: u64, rows: Vec<u32>, batch: usize) -> FeaturePass {
        let at_hand = FeatureBatch { pass: number as u32, ..FeatureBatch::default() };
        FeaturePass { store, at_hand, rows, batch, loaded: 0..0, window: Window::default(), loading: None }
    }

    /// Loads the features of a step and of some after it, and starts to load those of the steps that follow.
    fn load(&mut self, step: usize) -> Result<()> {
        let mut used = Window::default(); // its memory is used again
        match self.loading.take().filter(|(steps, _)| steps.contains(&step)) {
            Some((steps, thread)) => {
                let window = thread.join().map_err(|_| Error::Thread("loads features"))??;
                used = mem::replace(&mut self.window, window);
                self.loaded = steps;
            }
            None => {
                self.loaded = self.window_from(step);
                let rows = &self.rows[self.places(&self.loaded)];
                self.store.need("train")?.load(rows, &mut self.window)?;
            }
        }
        let next = self.window_from(self.loaded.end);
        if !next.is_empty() && !self.store.need("train")?.is_kept() {
            let (store, rows) = (self.store.clone(), self.rows[self.places(&next)].to_vec());
            let load = move || {
                store.need("train")?.load(&rows, &mut used)?;
                Ok(used)
            };
            let thread = thread::Builder::new().name("load".into()).spawn(load);
            self.loading = Some((next, thread.map_err(|_| Error::Thread("loads features"))?));
        }
        Ok(())
    }

    /// The steps from `first` on that are loaded together.
    fn window_from(&self, first: usize) -> Range<usize> {
        let step_bytes = self.batch * self.store.columns() * 4;
        let steps = self.rows.len().div_ceil(self.batch);
        first..(first + (WINDOW_BYTES / step_bytes).max(1)).min(steps)
    }

    /// The images of some steps, by their place in the pass.
    fn places(&self, steps: &Range<usize>) -> Range<usize> {
        steps.start * self.batch..self.rows.len().min(steps.end * self.batch)
    }
}
