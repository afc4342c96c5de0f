//! Learning in a simulated world: cheap, and its result shows any loss, double count or other order.

use super::code::learning::{Assignment, CombineOrder, Combined, Error, Plan, Progress, Work};
use super::code::protocol::{FeatureStore, FileRef, Job, RunId};
use super::code::storage::{self, Root};
use super::code::trainer::services::Learner;
use super::setting::{KEY, Setting, contents, fold, score};
use super::world::{compute, violation};
use std::path::Path;

pub(crate) struct Hashing(pub(crate) Setting);

impl Learner for Hashing {
    fn plan(&self, _: &Root, _: &Job) -> Result<Plan, Error> {
        let (key, classes) = (KEY.to_owned(), Vec::new());
        Ok(Plan {
            features_key: key,
            manifest: None,
            train_images: 1,
            val_images: 1,
            classes,
            units: 1,
            result_bytes: 0,
        })
    }

    fn work(&self, order: &Assignment<'_>) -> Result<Box<dyn Work>, Error> {
        let folder = order.root.run(order.run).create_stage(order.stage)?;
        let before = before(order.root, order.run, order.stage, order.features, order.state)?;
        let (done, number) = match order.place {
            Some(place) => {
                let (said, done, number) = read(&folder, place, "place")?;
                if said != (order.stage, order.worker) {
                    violation(format!("worker {} goes on at the place of {said:?}", order.worker));
                }
                (done, number)
            }
            None => (0, self.0.worker(order.stage, order.worker, before, 0)),
        };
        let of = self.0.steps(order.stage, order.worker);
        let (stage, worker, step_ms) = (order.stage, order.worker, self.0.step_ms);
        Ok(Box::new(Steps { folder, stage, worker, done, of, number, step_ms }))
    }

    fn combine(&self, order: &CombineOrder<'_>) -> Result<Combined, Error> {
        let before = before(order.root, order.run, order.stage, order.features, order.state)?;
        let folder = order.root.run(order.run).stage(order.stage);
        let number = |result| read(&folder, result, "result").map(|(_, _, number)| number);
        let numbers = order.results.iter().map(number).collect::<Result<Vec<_>, _>>()?;
        compute(self.0.step_ms);
        let number = fold(before, numbers);
        let text = contents("combined", order.stage, 0, 0, number);
        if order.stage == 0 {
            let folder = order.root.features(KEY)?;
            storage::create_folder(&folder)?;
            let features = Some(once(&folder, "features.json", &text)?);
            return Ok(Combined { state: None, features, score: None });
        }
        let state = publish(&order.root.run(order.run).combined(), &format!("{:04}", order.stage), &text)?;
        let score = order.job.scored_by(order.stage).then(|| score(number));
        Ok(Combined { state: Some(state), features: None, score })
    }

    fn finish(
        &self,
        root: &Root,
        run: &RunId,
        _: &Job,
        _: &FeatureStore,
        best: &FileRef,
        _: usize,
    ) -> Result<FileRef, Error> {
        let ((stage, _), _, number) = read(&root.run(run).combined(), best, "combined")?;
        compute(self.0.step_ms);
        once(&root.run(run).model(), "model.json", &contents("model", stage, 0, 0, number))
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
    fn write(&self, what: &str) -> Result<FileRef, Error> {
        let text = contents(what, self.stage, self.worker, self.done, self.number);
        publish(&self.folder, &format!("worker-{:03}", self.worker), &text)
    }
}

impl Work for Steps {
    fn step(&mut self) -> Result<(), Error> {
        super::world::step_begins();
        compute(self.step_ms);
        self.number = super::random::mix(self.number, self.done);
        self.done += 1;
        Ok(())
    }

    fn progress(&self) -> Progress {
        Progress { done: self.done, of: self.of }
    }

    fn save(&mut self) -> Result<FileRef, Error> {
        self.write("place")
    }

    fn publish(&mut self) -> Result<FileRef, Error> {
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
) -> Result<u64, Error> {
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

fn publish(folder: &Path, stem: &str, text: &str) -> Result<FileRef, Error> {
    Ok(storage::publish(folder, stem, "txt", |file| std::io::Write::write_all(file, text.as_bytes()))?)
}

/// Publishes a file of a fixed name, which everybody publishes the same.
fn once(folder: &Path, name: &str, text: &str) -> Result<FileRef, Error> {
    Ok(storage::publish_same(folder, name, |file| std::io::Write::write_all(file, text.as_bytes()))?)
}

/// Stage and worker, steps and number that a file tells.
fn read(folder: &Path, file: &FileRef, what: &str) -> Result<((u32, u32), u64, u64), Error> {
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
