//! The workload for the handler: stages of users and items, or of steps, and the model at the end.

use crate::als::Als;
use crate::data::{Cache, Data};
use crate::descent::Descent;
use crate::ending::ending;
use crate::job::{Job, Solve};
use crate::model::Model;
use crate::score::{Scale, measures, score};
use crate::share::{Rules, Share, owned, read_rows};
use crate::shown::shown;
use crate::tables::{Table, Tables, width};
use datasets::ratings::{Side, Split};
use protocol::items::ModelItem;
use protocol::{At, Best, Course, FeatureStore, FileRef, RunId};
use std::sync::Arc;
use storage::Root;
use work::{Combined, Failed, Last, Opened, Plan, Stage, Work, Workload, at_once, on_results, resumed};

/// Unknowns of a row in a step of gradient descent, for dealing: a rating is then work of nine.
const OF_A_STEP: u64 = 2;

/// Matrix factorisation of ratings. Its clones share the ratings that they have read.
#[derive(Clone, Default)]
pub struct Factors(Arc<Cache>);

impl Workload for Factors {
    fn check(&self, job: &protocol::Job) -> Result<(), Failed> {
        Ok(Job::of(job).map(drop)?)
    }

    fn plan(&self, root: &Root, given: &protocol::Job, _workers: u32) -> Result<Plan, Failed> {
        let job = Job::of(given)?;
        let data = Data::open(root, &job, &self.0).map_err(|failed| refused(root, &job, failed))?;
        let features = FeatureStore { key: data.ratings.key().to_owned(), manifest: None };
        let scored = data.ratings.manifest().val.is_some();
        Ok(Plan { course: Box::new(course(&job, scored)), job: Box::new(job.written(given)), features })
    }

    fn open(&self, stage: &Stage<'_>, share: u32, place: Option<&FileRef>) -> Opened {
        let job = Job::of(stage.job)?;
        let data = Data::of(stage, &job, &self.0)?;
        resumed(stage, place, |place| opened(stage, share, (&job, &data), place))
    }

    fn combine<'a>(
        &'a self,
        stage: &Stage<'a>,
        results: &'a [FileRef],
        _place: Option<&FileRef>,
    ) -> Result<Box<dyn Work<Combined> + 'a>, Failed> {
        let stage = *stage;
        Ok(at_once(move || {
            let job = Job::of(stage.job)?;
            let data = Data::of(&stage, &job, &self.0)?;
            let open = |worker| opened(&stage, worker, (&job, &data), None);
            let tables = on_results(&stage, results, open, |results| joined(&stage, results, &job, &data))?;
            combined(&stage, &tables, &job, &data)
        }))
    }

    fn finish<'a>(&'a self, stage: &Stage<'a>, last: Last<'a>) -> Result<Box<dyn Work + 'a>, Failed> {
        let stage = *stage;
        Ok(at_once(move || {
            let job = Job::of(stage.job)?;
            ending(&stage, last, &job, &Data::of(&stage, &job, &self.0)?)
        }))
    }

    fn command(&self) -> Option<&'static str> {
        Some("baton predict --root {root} --run {run} --user USER --top 10")
    }

    fn show(&self, root: &Root, run: &RunId) -> Option<ModelItem> {
        let folder = root.run(run).model();
        shown(&folder, &Model::open(&folder).ok()?).ok().map(ModelItem::of)
    }
}

/// At the start, a missing folder counts as never uploaded.
fn refused(root: &Root, job: &Job, failed: Failed) -> Failed {
    let found = root.dataset(&job.dataset).map(std::fs::metadata);
    if matches!(found, Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound) {
        let expected = "a data set of ratings: `data-prep ratings` makes one";
        return Failed::argument("job.dataset", expected, format!("{:?}, not there", job.dataset));
    }
    failed
}

/// The stages of a run; rounds are scored if there are ratings to validate with.
fn course(job: &Job, scored: bool) -> Course {
    let (stages, called): (&[&str], _) = match job.solve {
        Solve::Als => (&["users", "items"], "sweep"),
        Solve::Gradient => (&["step"], "step"),
    };
    let k = job.factors;
    Course {
        title: format!("{k} factor{} of {}", if k == 1 { "" } else { "s" }, job.dataset),
        before: Vec::new(),
        shares: Vec::new(),
        round: stages.iter().map(|name| (*name).to_owned()).collect(),
        rounds: job.rounds(),
        called: called.into(),
        unit: "ratings".into(),
        measures: if scored { measures() } else { Vec::new() },
        best: if scored { Best::Measured } else { Best::Last },
        score_every: job.score_every,
        patience: job.patience.filter(|_| scored),
    }
}

/// The sides whose rows a stage makes.
fn sides(stage: &Stage<'_>, job: &Job) -> &'static [Side] {
    match (job.solve, stage.course.at(stage.number)) {
        (Solve::Gradient, _) => &[Side::Users, Side::Items],
        (Solve::Als, At::Round { step: 0, .. }) => &[Side::Users],
        (Solve::Als, _) => &[Side::Items],
    }
}

/// Unknowns of a row.
fn unknowns(job: &Job) -> u64 {
    match job.solve {
        Solve::Als => u64::from(job.factors) + 1,
        Solve::Gradient => OF_A_STEP,
    }
}

/// A worker's share where its last leg left it.
fn opened(stage: &Stage<'_>, worker: u32, (job, data): (&Job, &Data), place: Option<&FileRef>) -> Opened {
    let before = Tables::before(stage, job, data)?;
    let manifest = data.ratings.manifest();
    let (sides, unknowns) = (sides(stage, job).iter(), unknowns(job));
    Ok(match job.solve {
        Solve::Als => {
            let rule = |side: Side| Als::new(before.of(side.other()), manifest.mean, job.regularisation);
            let rules = Rules { data, unknowns, sides: sides.map(|side| (*side, rule(*side))).collect() };
            Box::new(Share::open(stage, worker, rules, place)?)
        }
        Solve::Gradient => {
            let ratings = (manifest.mean, manifest.train);
            let rule = |side: Side| Descent::new(before.of(side), before.of(side.other()), job, ratings);
            let rules = Rules { data, unknowns, sides: sides.map(|side| (*side, rule(*side))).collect() };
            Box::new(Share::open(stage, worker, rules, place)?)
        }
    })
}

/// The tables after a stage: the workers' rows, and the side that the stage did not make.
fn joined(stage: &Stage<'_>, results: &[FileRef], job: &Job, data: &Data) -> Result<Tables, Failed> {
    let (width, sides) = (width(job), sides(stage, job));
    let mut tables = Tables::before(stage, job, data)?;
    let mut owners = Vec::new();
    for side in sides {
        *tables.of_mut(*side) = Table::zeros(data.ratings.count(*side), width);
        owners.push(owned(data, *side, unknowns(job), stage.workers)?);
    }
    let folder = stage.root.run(stage.run).stage(stage.number);
    for (worker, result) in (0_u32..).zip(results) {
        let ranges: Vec<_> = owners.iter().map(|owned| owned[worker as usize].clone()).collect();
        let all = ranges.iter().map(ExactSizeIterator::len).sum();
        let (made, rows) = read_rows(&folder, result, (worker, width), all)?;
        if rows != all {
            let found = format!("{rows} of {all} rows");
            return Err(Failed::damaged(&folder.join(&result.name), "every row of the worker", found));
        }
        let mut left = &made[..];
        for (side, range) in sides.iter().zip(ranges) {
            let (own, rest) = left.split_at(range.len() * width);
            tables.of_mut(*side).values[range.start * width..range.end * width].copy_from_slice(own);
            left = rest;
        }
    }
    Ok(tables)
}

/// Publishes the state, with its score if the stage is scored.
fn combined(stage: &Stage<'_>, tables: &Tables, job: &Job, data: &Data) -> Result<Combined, Failed> {
    let state = tables.write(&stage.root.run(stage.run).combined(), stage.number)?;
    let mut combined = Combined { state: Some(state), ..Combined::default() };
    if stage.course.scores(stage.number) {
        let held_out = data.held_out(Split::Val)?;
        let found = score(tables, job.factors as usize, Scale::of(data.ratings.manifest()), &held_out);
        if !found.values.iter().all(|value| value.is_finite()) {
            let words = stage.course.words(stage.number);
            return Err(Failed::argument(format!("the score of {words}"), "a finite number", "another"));
        }
        combined.score = Some(found);
    }
    Ok(combined)
}
