//! The engine of the frozen layers: Baton's compiled network, or burn on the job's device.

use super::Recipe;
use crate::burn_net::BurnNet;
use crate::device::device;
use crate::job::{FrozenEngine, Job};
use crate::{Error, Result};
use frozen::{Compiled, Options};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::{Mutex, PoisonError};

/// A frozen network, ready to run.
pub(super) struct Engine {
    /// The key of its recipe.
    key: String,
    columns: usize,
    kind: Kind,
}

enum Kind {
    Compiled(Compiled),
    Burn { net: BurnNet, pool: bool, side: usize, threads: ThreadPool },
}

/// The engine of the last leg in this process, for the next one.
static WARM: Mutex<Option<Engine>> = Mutex::new(None);

impl Engine {
    /// The engine for a job: the one that this process used last, if it is the right one, or a new one.
    pub(super) fn take(recipe: &Recipe, job: &Job, threads: usize) -> Result<Engine> {
        let threads = threads.max(1);
        let key = format!("{} {threads}", recipe.key());
        let warm = WARM.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(engine) = warm.filter(|engine| engine.key == key) {
            return Ok(engine);
        }
        let kind = match job.frozen {
            FrozenEngine::Baton => Kind::compile(recipe, threads)?,
            FrozenEngine::Burn => Kind::burn(recipe, job, threads)?,
        };
        Ok(Engine { key, columns: recipe.columns, kind })
    }

    /// Keeps the engine for the next leg in this process.
    pub(super) fn keep(self) {
        *WARM.lock().unwrap_or_else(PoisonError::into_inner) = Some(self);
    }

    /// Adds the features of prepared images to `rows`.
    ///
    /// Shapes: `images` `[n, size, size, 3]`; `rows` grows by `[n, columns]`.
    pub(super) fn run(&mut self, images: &[f32], n: usize, rows: &mut Vec<f32>) -> Result<()> {
        match &mut self.kind {
            Kind::Compiled(net) => {
                let first = rows.len();
                rows.resize(first + n * self.columns, 0.0);
                net.run(images, n, &mut rows[first..])?;
            }
            Kind::Burn { net, pool, side, threads } => {
                rows.extend(threads.install(|| net.features(images, n, (*side, *side), *pool))?);
            }
        }
        Ok(())
    }
}

impl Kind {
    fn compile(recipe: &Recipe, threads: usize) -> Result<Kind> {
        let side = recipe.preprocessing.size;
        let options = Options { threads, pool: recipe.pool, ..Options::default() };
        Ok(Kind::Compiled(Compiled::new(&recipe.network, (side, side), &recipe.weights.weights, options)?))
    }

    fn burn(recipe: &Recipe, job: &Job, threads: usize) -> Result<Kind> {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build();
        let pool =
            pool.map_err(|error| Error::Burn { action: "start its threads", reason: error.to_string() })?;
        let net = BurnNet::new(&recipe.network, &recipe.weights.weights, &device(job.device)?)?;
        Ok(Kind::Burn { net, pool: recipe.pool, side: recipe.preprocessing.size, threads: pool })
    }
}
