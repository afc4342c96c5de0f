//! A workload in a simulated world: cheap, and its result shows any loss, double count or other order.

use super::code::protocol::{FeatureStore, FileRef, Job, RunId};
use super::code::storage::{self, Root};
use super::code::work::{Combined, Failed, Plan, Progress, Stage, Work, Workload, at_once};
use super::setting::{KEY, Setting, contents, fold, score};
use super::world::{compute, violation};
use std::path::Path;

pub(crate) struct Hashing(pub(crate) Setting);

impl Workload for Hashing {
    fn plan(&self, _: &Root, _: &Job) -> Result<Plan, Failed> {
        Ok(Plan { features_key: KEY.to_owned(), manifest: None, result_bytes: 0 })
    }

    fn open(&self, at: &Stage<'_>, worker: u32, place: Option<&FileRef>) -> Result<Box<dyn Work>, Failed> {
        let folder = at.root.run(at.run).create_stage(at.number)?;
        let before = before(at.root, at.run, at.number, at.features, at.state)?;
        let (done, number) = match place {
            Some(place) => {
                let (said, done, number) = read(&folder, place, "place")?;
                if said != (at.number, worker) {
                    violation(format!("worker {worker} goes on at the place of {said:?}"));
                }
                (done, number)
            }
            None => (0, self.0.worker(at.number, worker, before, 0)),
        };
        let of = self.0.steps(at.number, worker);
        let (stage, step_ms) = (at.number, self.0.step_ms);
        Ok(Box::new(Steps { folder, stage, worker, done, of, number, step_ms }))
    }

    fn combine<'a>(
        &'a self,
        at: &Stage<'a>,
        results: &'a [FileRef],
        _: Option<&FileRef>,
    ) -> Result<Box<dyn Work<Combined> + 'a>, Failed> {
        let at = *at;
        Ok(at_once(move || self.combined(&at, results)))
    }

    fn finish<'a>(
        &'a self,
        at: &Stage<'a>,
        best: &'a FileRef,
        _: Option<&FileRef>,
    ) -> Result<Box<dyn Work + 'a>, Failed> {
        let at = *at;
        Ok(at_once(move || {
            let ((stage, _), _, number) = read(&at.root.run(at.run).combined(), best, "combined")?;
            compute(self.0.step_ms);
            once(&at.root.run(at.run).model(), "model.json", &contents("model", stage, 0, 0, number))
        }))
    }
}

impl Hashing {
    fn combined(&self, at: &Stage<'_>, results: &[FileRef]) -> Result<Combined, Failed> {
        let before = before(at.root, at.run, at.number, at.features, at.state)?;
        let folder = at.root.run(at.run).stage(at.number);
        let number = |result| read(&folder, result, "result").map(|(_, _, number)| number);
        let numbers = results.iter().map(number).collect::<Result<Vec<_>, _>>()?;
        compute(self.0.step_ms);
        let number = fold(before, numbers);
        let text = contents("combined", at.number, 0, 0, number);
        if at.number == 0 {
            let folder = at.root.features(KEY)?;
            storage::create_folder(&folder)?;
            let features = Some(once(&folder, "features.json", &text)?);
            return Ok(Combined { features, ..Combined::default() });
        }
        let state = publish(&at.root.run(at.run).combined(), &format!("{:04}", at.number), &text)?;
        let score = at.job.scored_by(at.number).then(|| score(number));
        Ok(Combined { state: Some(state), features: None, score })
    }
}

struct Steps {
    folder: std::path::PathBuf,
    stage: u32,
    worker: u32,
    done: u64,
    of: u64,
    number: u64,
    step_ms: u64,
}

impl Steps {
    fn write(&self, what: &str) -> Result<FileRef, Failed> {
        let text = contents(what, self.stage, self.worker, self.done, self.number);
        publish(&self.folder, &format!("worker-{:03}", self.worker), &text)
    }
}

impl Work for Steps {
    fn step(&mut self) -> Result<(), Failed> {
        super::world::step_begins();
        compute(self.step_ms);
        self.number = super::random::mix(self.number, self.done);
        self.done += 1;
        Ok(())
    }

    fn progress(&self) -> Progress {
        Progress { done: self.done, of: self.of }
    }

    fn save(&mut self) -> Result<FileRef, Failed> {
        self.write("place")
    }

    fn publish(&mut self) -> Result<FileRef, Failed> {
        self.write("result")
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

/// Publishes a file of a fixed name, which everybody publishes the same.
fn once(folder: &Path, name: &str, text: &str) -> Result<FileRef, Failed> {
    Ok(storage::publish_same(folder, name, |file| std::io::Write::write_all(file, text.as_bytes()))?)
}

/// Stage and worker, steps and number that a file tells.
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
