//! Reads and prepares the next images in a thread of their own while the network computes.

use super::Recipe;
use crate::images::{Preprocessing, augmented};
use crate::job::Augment;
use crate::{Error, Result};
use datasets::images::{Dataset, Image};
use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

/// Batches that may wait.
const AHEAD: usize = 2;

/// One batch to read: a copy of some of a split's images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) split: &'static str,
    pub(super) images: Range<usize>,
    pub(super) copy: u32,
}

/// Prepared batches, in the order in which they were ordered. The thread ends when this is dropped.
#[derive(Debug)]
pub(super) struct Prefetch {
    batches: Receiver<Result<Vec<f32>>>,
}

impl Prefetch {
    pub(super) fn start(recipe: &Recipe, orders: Vec<Order>) -> Result<Prefetch> {
        let (dataset, preprocessing) = (recipe.dataset.clone(), recipe.preprocessing);
        let augment = recipe.augment();
        let (send, batches) = sync_channel(AHEAD);
        let read = move || {
            let mut images = Vec::new();
            for order in orders {
                let batch = prepare(&dataset, &preprocessing, augment.as_ref(), &order, &mut images);
                let failed = batch.is_err();
                if send.send(batch).is_err() || failed {
                    return;
                }
            }
        };
        let started = thread::Builder::new().name("prefetch".into()).spawn(read);
        started.map_err(|_| Error::Thread("reads the images"))?;
        Ok(Prefetch { batches })
    }

    /// The next batch, `[n, size, size, 3]`.
    pub(super) fn next(&self) -> Result<Vec<f32>> {
        self.batches.recv().map_err(|_| Error::Thread("reads the images"))?
    }
}

fn prepare(
    dataset: &Dataset,
    preprocessing: &Preprocessing,
    augment: Option<&Augment>,
    order: &Order,
    images: &mut Vec<Image>,
) -> Result<Vec<f32>> {
    dataset.split(order.split)?.read_images(order.images.clone(), images)?;
    if let Some(augment) = augment.filter(|_| order.copy > 0) {
        for (index, image) in order.images.clone().zip(&mut *images) {
            *image = augmented(augment, image, index, order.copy);
        }
    }
    let mut batch = vec![0.0; images.len() * preprocessing.len()];
    for (image, out) in images.iter().zip(batch.chunks_exact_mut(preprocessing.len())) {
        preprocessing.prepare(&image.pixels, (image.height, image.width), out)?;
    }
    Ok(batch)
}
