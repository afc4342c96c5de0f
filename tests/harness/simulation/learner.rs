//! A workload in a simulated world: cheap, and its result shows any loss, double count or other order.

use super::code::protocol::{FeatureStore, FileRef, Job, RunId};
use super::code::storage::{self, Root};
use super::code::work::{Combined, Failed, Last, Plan, Progress, Stage, Work, Workload};
use super::setting::{COMBINE, END, KEY, Setting, contents, cut_off, fold, score};
use super::world::{compute, violation};
use std::path::{Path, PathBuf};

pub(crate) struct Hashing(pub(crate) Setting);

impl Workload for Hashing {
    fn check(&self, _: &Job) -> Result<(), Failed> {
        Ok(())
    }

    fn plan(&self, _: &Root, job: &Job, _: u32) -> Result<Plan, Failed> {
        let features = FeatureStore { key: KEY.to_owned(), manifest: None };
        Ok(Plan { job: Box::new(job.clone()), course: Box::new(self.0.course()), features })
    }

    fn open(&self, at: &Stage<'_>, worker: u32, place: Option<&FileRef>) -> Result<Box<dyn Work>, Failed> {
        let before = before(at.root, at.run, at.number, at.features, at.state)?;
        let (stage, of) = (at.number, self.0.steps(at.number, worker));
        let begins = self.0.worker(stage, worker, before, 0);
        let steps = Steps::open(at, worker, place, Walk { begins, of, step_ms: self.0.step_ms })?;
        Ok(Box::new(Made { steps, make: |steps: &Steps| steps.write("result") }))
    }

    fn combine<'a>(
        &'a self,
        at: &Stage<'a>,
        results: &'a [FileRef],
        place: Option<&FileRef>,
    ) -> Result<Box<dyn Work<Combined> + 'a>, Failed> {
        let at = *at;
        let before = before(at.root, at.run, at.number, at.features, at.state)?;
        let folder = at.root.run(at.run).stage(at.number);
        let number = |result| read(&folder, result, "result").map(|(_, _, number)| number);
        let numbers = results.iter().map(number).collect::<Result<Vec<_>, _>>()?;
        let begins = self.0.closed(at.number, fold(before, numbers), 0);
        let of = self.0.closing_steps(at.number);
        let steps = Steps::open(&at, COMBINE, place, Walk { begins, of, step_ms: self.0.step_ms })?;
        Ok(Box::new(Made { steps, make: move |steps: &Steps| combined(&at, steps.number) }))
    }

    fn finish<'a>(&'a self, at: &Stage<'a>, last: Last<'a>) -> Result<Box<dyn Work + 'a>, Failed> {
        let at = *at;
        let (stage, number) = product(&at, last)?;
        let scored = last.unscored.is_none();
        let of = if scored { self.0.closing_steps(at.number) } else { 1 };
        let step_ms = if scored && self.0.endless { 2 * self.0.limit_ms } else { self.0.step_ms };
        let begins = self.0.closed(at.number, number, 0);
        let place = last.place.filter(|_| scored);
        let steps = Steps::open(&at, END, place, Walk { begins, of, step_ms })?;
        let make = move |_: &Steps| {
            once(&at.root.run(at.run).model(), "model.json", &contents("model", stage, 0, 0, number))
        };
        Ok(Box::new(Made { steps, make }))
    }
}

/// The stage and the number that the product is made of.
fn product(at: &Stage<'_>, last: Last<'_>) -> Result<(u32, u64), Failed> {
    let Some(cut) = last.cut_short else {
        let ((stage, _), _, number) = read(&at.root.run(at.run).combined(), last.state()?, "combined")?;
        return Ok((stage, number));
    };
    for (_, file) in &cut.shares {
        storage::open(&at.root.run(at.run).stage(cut.stage), file)?.verify()?;
    }
    Ok((cut.stage, cut_off(cut)))
}

fn combined(at: &Stage<'_>, number: u64) -> Result<Combined, Failed> {
    let text = contents("combined", at.number, 0, 0, number);
    if at.number == 0 {
        let folder = at.root.features(KEY)?;
        storage::create_folder(&folder)?;
        let features = Some(once(&folder, "features.json", &text)?);
        return Ok(Combined { features, ..Combined::default() });
    }
    let state = publish(&at.root.run(at.run).combined(), &format!("{:04}", at.number), &text)?;
    let score = at.course.scores(at.number).then(|| score(number));
    Ok(Combined { state: Some(state), features: None, score })
}

/// Steps from number to number, and the result that is made of the last one.
struct Made<F> {
    steps: Steps,
    make: F,
}

/// A walk of so many steps, from a number on.
struct Walk {
    begins: u64,
    of: u64,
    step_ms: u64,
}

/// A walk under way.
struct Steps {
    folder: PathBuf,
    stage: u32,
    worker: u32,
    done: u64,
    of: u64,
    number: u64,
    step_ms: u64,
}

impl Steps {
    /// Opens the steps of a worker, a combine or the end where the last leg left them.
    fn open(at: &Stage<'_>, worker: u32, place: Option<&FileRef>, walk: Walk) -> Result<Steps, Failed> {
        let Walk { begins, of, step_ms } = walk;
        let folder = at.root.run(at.run).create_stage(at.number)?;
        let (done, number) = match place {
            Some(place) => {
                let (said, done, number) = read(&folder, place, "place")?;
                if said != (at.number, worker) {
                    violation(format!("worker {worker} goes on at the place of {said:?}"));
                }
                (done, number)
            }
            None => (0, begins),
        };
        Ok(Steps { folder, stage: at.number, worker, done, of, number, step_ms })
    }

    fn write(&self, what: &str) -> Result<FileRef, Failed> {
        let text = contents(what, self.stage, self.worker, self.done, self.number);
        publish(&self.folder, &format!("worker-{:03}", self.worker), &text)
    }
}

impl<T, F: FnMut(&Steps) -> Result<T, Failed>> Work<T> for Made<F> {
    fn step(&mut self) -> Result<(), Failed> {
        let steps = &mut self.steps;
        if steps.worker != END {
            super::world::step_begins();
        }
        compute(steps.step_ms);
        steps.number = super::random::mix(steps.number, steps.done);
        steps.done += 1;
        Ok(())
    }

    fn progress(&self) -> Progress {
        Progress { done: self.steps.done, of: self.steps.of }
    }

    fn save(&mut self) -> Result<FileRef, Failed> {
        self.steps.write("place")
    }

    fn publish(&mut self) -> Result<T, Failed> {
        (self.make)(&self.steps)
    }
}

/// The number that a stage begins with: the last state's, or that of the features.
fn before(
    root: &Root,
    run: &RunId,
    stage: u32,
    features: &FeatureStore,
    state: Option<&FileRef>,
) -> Result<u64, Failed> {
    let from = match (stage, state, &features.manifest) {
        (0, ..) => return Ok(0),
        (_, Some(state), _) => read(&root.run(run).combined(), state, "combined")?,
        (_, None, Some(manifest)) => read(&root.features(KEY)?, manifest, "combined")?,
        (_, None, None) => {
            violation(format!("stage {stage} begins without features"));
            return Ok(0);
        }
    };
    if from.0.0 + 1 != stage {
        violation(format!("stage {stage} begins with what stage {} gave", from.0.0));
    }
    Ok(from.2)
}

fn publish(folder: &Path, stem: &str, text: &str) -> Result<FileRef, Failed> {
    Ok(storage::publish(folder, stem, "txt", |file| std::io::Write::write_all(file, text.as_bytes()))?)
}

/// Publishes a file of a fixed name, with the same content whoever publishes it.
fn once(folder: &Path, name: &str, text: &str) -> Result<FileRef, Failed> {
    Ok(storage::publish_same(folder, name, |file| std::io::Write::write_all(file, text.as_bytes()))?)
}

/// Stage and worker, steps and number in a file.
fn read(folder: &Path, file: &FileRef, what: &str) -> Result<((u32, u32), u64, u64), Failed> {
    let bytes = storage::open(folder, file)?.read()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut words = text.split(' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    if word() != what {
        violation(format!("{} says {text:?}, expected {what}", file.name));
    }
    let mut number = || word().parse().unwrap_or(u64::MAX);
    let (stage, worker, steps) = (number() as u32, number() as u32, number());
    Ok(((stage, worker), steps, u64::from_str_radix(&word(), 16).unwrap_or(u64::MAX)))
}
