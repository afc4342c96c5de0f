//! What computes the frozen layers: Baton's compiled network, or burn on the job's device.

use super::Recipe;
use crate::burn_net::BurnNet;
use crate::device::device;
use crate::{Error, Result};
use protocol::{FrozenEngine, Job};
use std::sync::{Mutex, PoisonError};

/// A frozen network, ready to run.
#[derive(Debug)]
pub(super) struct Engine {
    key: String,
    net: BurnNet,
    pool: bool,
    side: usize,
    columns: usize,
    threads: rayon::ThreadPool,
}

/// The engine of the last leg in this process, for the next one.
static WARM: Mutex<Option<Engine>> = Mutex::new(None);

impl Engine {
    /// The engine for a job: the one that this process used last, if it is the right one, or a new one.
    pub(super) fn take(recipe: &Recipe, job: &Job, threads: usize) -> Result<Engine> {
        let key = format!("{} {:?} {threads}", recipe.key(), FrozenEngine::Burn);
        if let Some(engine) =
            WARM.lock().unwrap_or_else(PoisonError::into_inner).take().filter(|e| e.key == key)
        {
            return Ok(engine);
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build();
        let pool =
            pool.map_err(|error| Error::Burn { action: "start its threads", reason: error.to_string() })?;
        let net = BurnNet::new(&recipe.network, &recipe.weights.weights, &device(job.device)?)?;
        let (side, columns) = (recipe.preprocessing.size, recipe.columns);
        Ok(Engine { key, net, pool: recipe.pool, side, columns, threads: pool })
    }

    /// Keeps the engine for the next leg in this process.
    pub(super) fn keep(self) {
        *WARM.lock().unwrap_or_else(PoisonError::into_inner) = Some(self);
    }

    /// The features of prepared images, added to `rows`.
    ///
    /// Shapes: `images` `[n, size, size, 3]`; `rows` grows by `[n, columns]`.
    pub(super) fn run(&mut self, images: &[f32], n: usize, rows: &mut Vec<f32>) -> Result<()> {
        let features =
            self.threads.install(|| self.net.features(images, n, (self.side, self.side), self.pool))?;
        debug_assert_eq!(features.len(), n * self.columns);
        rows.extend(features);
        Ok(())
    }
}
