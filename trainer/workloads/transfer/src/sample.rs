//! Small runs for tests: a root with a data set, random weights or a ready feature store, and a driver of
//! stages.

use crate::Transfer;
use crate::course;
use crate::job::Job;
use crate::weights::{Normalisation, TensorSpec, install, write_safetensors};
use datasets::images::{DATASET_SCHEMA, Geometry, Image, MANIFEST, Manifest, SplitEntry, write_shard};
use protocol::{FeatureStore, FileRef, RunId};
use rounds::random::{Purpose, Stream};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use storage::arrays::write_npy;
use storage::{FeatureManifest, FeatureShard, FeatureType, Root, Tensor};
use tempfile::TempDir;
use work::{Combined, Failed, Last, Workload};

/// A root in a temporary folder.
pub(crate) struct Sample {
    pub(crate) folder: TempDir,
    pub(crate) root: Root,
}

/// A job on the sample's data, with some keys changed.
pub(crate) fn job(changes: Value) -> Job {
    let mut job = json!({"dataset": "shapes", "network": "vgg11", "cut": "pool1", "pool": "average",
        "image_size": 16, "unit_images": 7, "rounds": 4, "batch": 8, "learning_rate": 0.1, "seed": 5});
    job.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    Job::of(&protocol::Job::from_value(job).unwrap()).unwrap()
}

impl Sample {
    pub(crate) fn new() -> Sample {
        // In memory where there is such a folder: on a disk the tests would wait for thousands of syncs.
        let memory = std::path::Path::new("/dev/shm");
        let folder = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = tempfile::tempdir_in(folder).unwrap();
        Sample { root: Root::open(folder.path()).unwrap(), folder }
    }

    /// A data set of 3 classes, each a colour with noise, and random weights of VGG11 up to its second pool.
    pub(crate) fn with_images() -> Sample {
        let sample = Sample::new();
        let folder = sample.root.dataset("shapes").unwrap();
        fs::create_dir_all(&folder).unwrap();
        let geometry = Geometry::fixed(12, 12, 3);
        let mut stream = Stream::new(1, Purpose::Order, 0, 0);
        let mut splits = BTreeMap::new();
        for (name, images) in [("train", 40), ("val", 20), ("test", 10)] {
            let labels: Vec<u32> = (0..images).map(|i| i % 3).collect();
            let image = |label: &u32| {
                let pixel = |at: usize| (at % 3 == *label as usize) as u64 * 40 + stream.below(180);
                Image { height: 12, width: 12, pixels: (0..432).map(pixel).map(|v| v as u8).collect() }
            };
            let pictures: Vec<Image> = labels.iter().map(image).collect();
            let file = |part: &str| format!("{name}-{part}-00000.npy");
            let shard = write_shard(&folder, file, geometry, &pictures, &labels).unwrap();
            let per_class = (0..3).map(|class| labels.iter().filter(|&&l| l == class).count()).collect();
            splits
                .insert(name.into(), SplitEntry { images: images as usize, per_class, shards: vec![shard] });
        }
        let classes = ["red", "green", "blue"].map(String::from).to_vec();
        let (mean, std) = ([0.5; 3], [0.25; 3]);
        let manifest = Manifest {
            schema: DATASET_SCHEMA,
            name: "shapes".into(),
            source: "folder".into(),
            recipe: String::new(),
            seed: 1,
            classes,
            image: geometry,
            splits,
            mean,
            std,
            unreadable: vec![],
        };
        fs::write(folder.join(MANIFEST), manifest.to_json()).unwrap();
        sample.install_weights();
        sample
    }

    fn install_weights(&self) {
        let network = networks::network("vgg11").unwrap();
        let part = network.up_to("pool2").unwrap();
        let specs: Vec<TensorSpec> =
            part.parameters().iter().map(|p| TensorSpec::f32(&p.name, &p.shape)).collect();
        let file = self.folder.path().join("vgg11.safetensors");
        let mut stream = Stream::new(2, Purpose::Initial, 0, 0);
        let mut out = fs::File::create(&file).unwrap();
        write_safetensors(&mut out, &specs, |spec| {
            Ok(Cow::Owned((0..spec.shape.iter().product()).map(|_| stream.symmetric(0.3)).collect()))
        })
        .unwrap();
        let folder = self.root.weights("vgg11").unwrap();
        install(&folder, &file, &network, Normalisation::IMAGENET).unwrap();
    }

    /// A ready feature store; a row's class is that of the largest of its first columns, a little disturbed.
    pub(crate) fn store(&self, rows: [usize; 2], columns: usize, classes: usize) -> FeatureStore {
        let key = format!("sample-{}-{}-{columns}-{classes}", rows[0], rows[1]);
        let folder = self.root.features(&key).unwrap();
        fs::create_dir_all(&folder).unwrap();
        let mut stream = Stream::new(9, Purpose::Order, columns as u32, rows[0] as u32);
        let (mut shards, mut tensors, mut train) = (Vec::new(), Vec::new(), Vec::new());
        for (split, rows) in [("train", rows[0]), ("val", rows[1])] {
            let values: Vec<f32> = (0..rows * columns).map(|_| 3.0 + stream.symmetric(2.0)).collect();
            let labels: Vec<i64> =
                values.chunks(columns).map(|row| label(&row[..classes], &mut stream)).collect();
            tensors.push(Tensor::i64(format!("labels.{split}"), &[rows], labels));
            for first in (0..rows).step_by(13) {
                let end = rows.min(first + 13);
                let shape = [(end - first) as u64, columns as u64];
                let part = &values[first * columns..end * columns];
                let file =
                    storage::publish(&folder, split, "npy", |out| write_npy(out, &shape, part)).unwrap();
                let (first_image, rows) = (first as u64, shape[0]);
                shards.push(FeatureShard { file, split: split.into(), first_image, rows });
            }
            if split == "train" {
                train = values;
            }
        }
        let (mean, deviation) = statistics(&train, columns);
        tensors.push(Tensor::f32("mean", &[columns], mean));
        tensors.push(Tensor::f32("deviation", &[columns], deviation));
        let statistics = storage::write_tensors(&folder, "statistics", &tensors, &BTreeMap::new()).unwrap();
        let names: Vec<String> = (0..classes).map(|class| format!("class {class}")).collect();
        let mut made_of = Map::new();
        made_of.insert("statistics".into(), json!(statistics));
        made_of.insert("classes".into(), json!(names));
        let manifest = FeatureManifest::new(&key, made_of, columns as u64, FeatureType::F32, shards);
        let storage::Once::Published(manifest) = manifest.publish(&folder).unwrap() else {
            panic!("a new store")
        };
        FeatureStore { key, manifest: Some(manifest) }
    }

    /// Runs one stage, each worker in legs of `leg_steps` steps (0: one leg), then its combine.
    pub(crate) fn stage(&self, stage: &Stage<'_>) -> Result<Combined, Failed> {
        let (run, leg_steps) = (RunId::new(stage.run).unwrap(), stage.leg_steps);
        self.root.run(&run).create()?;
        let stage = work::Stage {
            root: &self.root,
            run: &run,
            job: &written(stage.job),
            course: &course(stage.job),
            number: stage.stage,
            workers: stage.workers,
            features: stage.features,
            state: stage.state,
            threads: stage.threads,
        };
        let worker = |worker: u32| in_legs(leg_steps, |place| Transfer.open(&stage, worker, place));
        let results = (0..stage.workers).map(worker).collect::<Result<Vec<_>, Failed>>()?;
        in_legs(leg_steps, |place| Transfer.combine(&stage, &results, place))
    }

    /// Publishes the model of a run from a state; with one thread in legs of one step.
    pub(crate) fn finish(
        &self,
        run: &str,
        job: &Job,
        features: &FeatureStore,
        best: &FileRef,
        threads: usize,
    ) -> Result<FileRef, Failed> {
        let run = RunId::new(run).unwrap();
        let (root, course, job) = (&self.root, &course(job), &written(job));
        let number = course.end();
        let stage =
            work::Stage { root, run: &run, job, course, number, workers: 1, features, state: None, threads };
        let mut place: Option<FileRef> = None;
        loop {
            let mut work = Transfer.finish(
                &stage,
                Last { best: Some(best), cut_short: None, unscored: None, place: place.as_ref() },
            )?;
            if threads > 1 {
                return made(work);
            }
            if work.progress().finished() {
                return work.publish();
            }
            work.step()?;
            let saved = work.save()?;
            drop(work);
            place = Some(saved);
        }
    }

    /// The store of a job, computed by three workers.
    pub(crate) fn features(&self, run: &str, job: &Job) -> FeatureStore {
        let features =
            FeatureStore { key: crate::plan(&self.root, job, 2).unwrap().features.key, manifest: None };
        let stage = Stage {
            run,
            job,
            workers: 3,
            stage: 0,
            features: &features,
            state: None,
            leg_steps: 0,
            threads: 1,
        };
        let manifest = self.stage(&stage).unwrap().features;
        FeatureStore { manifest, ..features }
    }

    /// Runs all rounds of a job on a ready store; returns the result of each round's combine.
    pub(crate) fn rounds(
        &self,
        run: &str,
        job: &Job,
        workers: u32,
        features: &FeatureStore,
        leg_steps: usize,
    ) -> Vec<Combined> {
        let mut rounds: Vec<Combined> = Vec::new();
        let mut state: Option<FileRef> = None;
        let course = course(job);
        for number in 1..course.end() {
            let stage = Stage {
                run,
                job,
                workers,
                stage: number,
                features,
                state: state.as_ref(),
                leg_steps,
                threads: 1,
            };
            let combined = self.stage(&stage).unwrap();
            state = combined.state.clone();
            rounds.extend(course.completes(number).map(|_| combined));
        }
        rounds
    }
}

/// A job in the form of a run.
pub(crate) fn written(job: &Job) -> protocol::Job {
    job.written(&protocol::Job::from_value(json!({})).unwrap())
}

/// The result of a piece of work in legs of so many steps; with 0 in one leg.
fn in_legs<'a, Made: 'a>(
    leg_steps: usize,
    open: impl Fn(Option<&FileRef>) -> Result<Box<dyn work::Work<Made> + 'a>, Failed>,
) -> Result<Made, Failed> {
    let mut place: Option<FileRef> = None;
    loop {
        let mut work = open(place.as_ref())?;
        let mut steps = 0;
        while !work.progress().finished() && (leg_steps == 0 || steps < leg_steps) {
            work.step()?;
            steps += 1;
        }
        if work.progress().finished() {
            return work.publish();
        }
        place = Some(work.save()?);
    }
}

/// The result of a piece of work.
pub(crate) fn made<Made>(mut work: Box<dyn work::Work<Made> + '_>) -> Result<Made, Failed> {
    while !work.progress().finished() {
        work.step()?;
    }
    work.publish()
}

/// A stage to run.
pub(crate) struct Stage<'a> {
    pub(crate) run: &'a str,
    pub(crate) job: &'a Job,
    pub(crate) workers: u32,
    pub(crate) stage: u32,
    pub(crate) features: &'a FeatureStore,
    pub(crate) state: Option<&'a FileRef>,
    pub(crate) leg_steps: usize,
    pub(crate) threads: usize,
}

fn label(row: &[f32], stream: &mut Stream) -> i64 {
    let disturbed: Vec<f32> = row.iter().map(|value| value + stream.symmetric(0.3)).collect();
    (0..row.len()).fold(0, |best, at| if disturbed[at] > disturbed[best] { at } else { best }) as i64
}

fn statistics(rows: &[f32], columns: usize) -> (Vec<f32>, Vec<f32>) {
    let count = (rows.len() / columns) as f64;
    let column = |c: usize| rows.iter().skip(c).step_by(columns).map(|&v| f64::from(v));
    let mean: Vec<f64> = (0..columns).map(|c| column(c).sum::<f64>() / count).collect();
    let deviation =
        (0..columns).map(|c| (column(c).map(|v| (v - mean[c]).powi(2)).sum::<f64>() / count).sqrt() as f32);
    (mean.iter().map(|&m| m as f32).collect(), deviation.collect())
}
