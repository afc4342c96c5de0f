//! Reads the table, and the facts if there is a folder, and remembers the last answers.

use crate::cloud::{Cloud, address_path};
use crate::view::{self, View};
use protocol::RunId;
use protocol::items::{DayItem, RunItem};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::Root;
use tokio::sync::Mutex;

/// How long one read may take: the SDK itself would wait for long.
const LOOK: Duration = Duration::from_secs(4);
/// An answer this recent is shown again: many tabs count as one reader.
const FRESH: Duration = Duration::from_millis(900);
/// Runs that are remembered; if there are more, all of them are read again.
const REMEMBERED: usize = 32;

/// Where runs are looked up.
pub(super) struct Looking {
    root: Option<PathBuf>,
    pub(super) table: String,
    cloud: Mutex<Option<(String, Arc<Cloud>)>>,
    runs: Mutex<Looked<Runs>>,
    views: Mutex<HashMap<String, Arc<Mutex<Looked<View>>>>>,
}

/// All runs, and how the day stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs {
    /// By their ids.
    pub(super) runs: BTreeMap<String, RunItem>,
    /// The day, where an operator's ceiling is counted.
    pub(super) day: Option<DayItem>,
}

/// The last answer about something, and since when it cannot be read any more.
#[derive(Clone, Debug)]
pub(super) struct Looked<T> {
    /// The last answer; none if there was nothing.
    pub(super) last: Option<T>,
    /// When that was, in milliseconds since 1970; 0 if never.
    pub(super) at_ms: u64,
    /// Since when reading fails, and why.
    pub(super) failing: Option<(u64, String)>,
    looked: Option<Instant>,
}

impl<T> Default for Looked<T> {
    fn default() -> Looked<T> {
        Looked { last: None, at_ms: 0, failing: None, looked: None }
    }
}

impl<T> Looked<T> {
    fn is_fresh(&self) -> bool {
        self.looked.is_some_and(|looked| looked.elapsed() < FRESH)
    }

    /// Stores the result of a read. If it failed, the answer before is kept.
    pub(super) fn take(&mut self, outcome: Result<Option<T>, String>, now_ms: u64) {
        self.looked = Some(Instant::now());
        match outcome {
            Ok(seen) => (self.last, self.at_ms, self.failing) = (seen, now_ms, None),
            Err(why) => {
                let since_ms = self.failing.as_ref().map_or(now_ms, |(since_ms, _)| *since_ms);
                self.failing = Some((since_ms, why));
            }
        }
    }
}

impl Looking {
    pub(super) fn new(root: Option<PathBuf>, table: String) -> Looking {
        let (cloud, runs, views) = (Mutex::default(), Mutex::default(), Mutex::default());
        Looking { root, table, cloud, runs, views }
    }

    /// Every run.
    pub(super) async fn runs(&self) -> Looked<Runs> {
        let mut looked = self.runs.lock().await;
        if !looked.is_fresh() {
            let outcome = in_time(self.read_runs()).await;
            looked.take(outcome.map(Some), crate::now_ms());
        }
        looked.clone()
    }

    /// One run.
    pub(super) async fn run(&self, run: &RunId) -> Looked<View> {
        let entry = {
            let mut views = self.views.lock().await;
            if views.len() >= REMEMBERED && !views.contains_key(run.as_str()) {
                views.clear();
            }
            views.entry(run.to_string()).or_default().clone()
        };
        let mut looked = entry.lock().await;
        if !looked.is_fresh() {
            let outcome = in_time(self.read_run(run)).await;
            looked.take(outcome, crate::now_ms());
        }
        looked.clone()
    }

    async fn read_runs(&self) -> Result<Runs, String> {
        let mut found = Runs::default();
        if let Some(cloud) = self.cloud().await? {
            found.runs = view::runs(&cloud.tables, &self.table).await?;
            found.day = view::day(&cloud.tables, &self.table).await?;
        }
        let Some(root) = self.root.clone() else { return Ok(found) };
        blocking(move || {
            view::add_runs_of_folder(&mut found.runs, &root);
            Ok(found)
        })
        .await
    }

    async fn read_run(&self, run: &RunId) -> Result<Option<View>, String> {
        let told = match self.cloud().await? {
            Some(cloud) => View::read(&cloud.tables, &self.table, run.as_str()).await?,
            None => None,
        };
        let Some(root) = self.root.clone() else { return Ok(told) };
        let run = run.clone();
        let folded = blocking(move || {
            let root = Root::open(root).map_err(|error| error.to_string())?;
            let mut view = View::of_folder(&root, &run)?;
            view.iter_mut().for_each(|view| view.read_pictures(&root));
            Ok(view)
        });
        // A folder has all facts; a local cloud's table has those since its start, and the workers' progress.
        Ok(match (folded.await?, told) {
            (Some(facts), Some(told)) => Some(View { reports: told.reports, ..facts }),
            (facts, told) => facts.or(told),
        })
    }

    /// AWS, or the local cloud that works on the folder now; none if there is none.
    async fn cloud(&self) -> Result<Option<Arc<Cloud>>, String> {
        let mut known = self.cloud.lock().await;
        let place = match &self.root {
            None => String::new(),
            Some(root) => match std::fs::read_to_string(address_path(root)) {
                Ok(address) => address,
                Err(_) => return Ok(None),
            },
        };
        if let Some((_, cloud)) = known.as_ref().filter(|(at, _)| *at == place) {
            return Ok(Some(cloud.clone()));
        }
        let cloud = Arc::new(Cloud::find(self.root.as_deref()).await?);
        *known = Some((place, cloud.clone()));
        Ok(Some(cloud))
    }
}

async fn in_time<T>(look: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let looked = tokio::time::timeout(LOOK, look).await;
    looked.unwrap_or_else(|_| Err(format!("no answer within {LOOK:?}")))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string()))
}
