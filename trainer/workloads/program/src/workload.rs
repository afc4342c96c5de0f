//! The workload for the handler: stages of units, and the index of their results.

use crate::job::Job;
use crate::source::Source;
use protocol::items::{Cell, ModelItem, Shown, Table};
use protocol::{FeatureStore, FileRef, RunId};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use storage::Root;
use units::{Counts, Ending, Index, Units, course};
use work::{Combined, Failed, Last, Opened, Plan, Stage, Work, Workload, at_once};

/// The number of reasons that are shown.
const MOST_REASONS: usize = 20;

/// A user's executable over independent units.
#[derive(Clone, Copy, Debug)]
pub struct Program;

impl Workload for Program {
    fn check(&self, job: &protocol::Job) -> Result<(), Failed> {
        Ok(Job::of(job).map(drop)?)
    }

    fn plan(&self, root: &Root, given: &protocol::Job, workers: u32) -> Result<Plan, Failed> {
        let job = Job::of(given)?;
        let source = Source::open(root, job.clone(), 1).map_err(|failed| refused(root, &job, failed))?;
        source.check()?;
        let units = source.numbers().count();
        let title = format!("{} on {}", job.program, job.dataset);
        Ok(Plan {
            course: Box::new(course(title, units, job.tries, workers)),
            job: Box::new(job.written(given)),
            features: FeatureStore { key: source.key(), manifest: None },
        })
    }

    fn open(&self, stage: &Stage<'_>, share: u32, place: Option<&FileRef>) -> Opened {
        units::open(stage, share, place, source(stage)?)
    }

    fn combine<'a>(
        &'a self,
        stage: &Stage<'a>,
        results: &'a [FileRef],
        _place: Option<&FileRef>,
    ) -> Result<Box<dyn Work<Combined> + 'a>, Failed> {
        let stage = *stage;
        Ok(at_once(move || {
            let units: Arc<dyn Units> = source(&stage)?;
            units::combine(&stage, results, &units)
        }))
    }

    fn finish<'a>(&'a self, stage: &Stage<'a>, last: Last<'a>) -> Result<Box<dyn Work + 'a>, Failed> {
        let source = source(stage)?;
        Ok(Box::new(Ending::open(stage, last, source.numbers().clone(), source.made_of())?))
    }

    fn command(&self) -> Option<&'static str> {
        Some("baton units {run} --root {root}")
    }

    fn show(&self, root: &Root, run: &RunId) -> Option<ModelItem> {
        let folder = root.run(run).model();
        let index = Index::open(&folder).ok()?;
        let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
        for letter in index.letters(&folder).ok()? {
            // The words behind a colon are a unit's own.
            let kind = letter.why.split(':').next().unwrap_or_default().to_owned();
            *reasons.entry(kind).or_default() += 1;
        }
        Some(ModelItem::of(shown(index.counts, reasons)))
    }
}

/// The program and the units of a stage, which must be the same as at the start of the run.
fn source(stage: &Stage<'_>) -> Result<Arc<Source>, Failed> {
    let source = Source::open(stage.root, Job::of(stage.job)?, stage.threads)?;
    let (found, began_with) = (source.key(), &stage.features.key);
    if found != *began_with {
        let what = format!("program {:?} or data set {:?}", source.job.program, source.job.dataset);
        let expected = format!("what the run was started with, key {began_with}");
        return Err(Failed::argument(what, expected, format!("another, key {found}")));
    }
    Ok(Arc::new(source))
}

/// At the start, a missing folder counts as never uploaded.
fn refused(root: &Root, job: &Job, failed: Failed) -> Failed {
    let missing = |folder: storage::Result<PathBuf>| {
        let found = folder.map(std::fs::metadata);
        matches!(found, Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound)
    };
    if missing(root.program(&job.program)) {
        let expected = "a folder under programs/ with the executable `run`";
        return Failed::argument("job.program", expected, format!("{:?}, not there", job.program));
    }
    if missing(root.dataset(&job.dataset)) {
        let expected = "a data set of units: `data-prep units` makes one";
        return Failed::argument("job.dataset", expected, format!("{:?}, not there", job.dataset));
    }
    failed
}

fn shown(counts: Counts, reasons: BTreeMap<String, u64>) -> Shown {
    let Counts { units, done, dead } = counts;
    let row = |name: &str, count| vec![Cell::Text(name.to_owned()), Cell::Count(count)];
    let table = |title: &str, name: &str, rows| Table {
        title: title.to_owned(),
        columns: vec![name.to_owned(), "units".to_owned()],
        rows,
        ..Table::default()
    };
    let outcome = vec![row("with a result", done), row("dead letters", dead), row("all", units)];
    let mut tables = vec![table("Units", "outcome", outcome)];
    if !reasons.is_empty() {
        let mut reasons: Vec<(String, u64)> = reasons.into_iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let rows = reasons.iter().take(MOST_REASONS).map(|(why, count)| row(why, *count)).collect();
        tables.push(table("Dead letters", "reason", rows));
    }
    Shown { tables, samples: Vec::new() }
}
