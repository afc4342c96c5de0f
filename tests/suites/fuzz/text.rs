//! Events, jobs, manifests and the ledger: JSON, alone or in frames.

use data_prep::ratings::By;
use datasets::images::{Geometry, Image, Manifest};
use datasets::ratings::{Ratings, Side};
use protocol::{
    Combined, Event, Fact, FeatureStore, FileRef, Job, LEDGER_SCHEMA, Lease, Ledger, RunId, Score, Target,
};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;
use std::time::Duration;
use storage::{FactLog, FeatureManifest, FeatureShard, FeatureType};

fn all(values: Vec<Value>) -> Vec<Vec<u8>> {
    values.into_iter().map(|value| value.to_string().into_bytes()).collect()
}

fn job() -> Value {
    json!({
        "dataset": "cifar10", "network": "vgg19", "weights": "vgg19", "cut": "pool4", "pool": "average",
        "image_size": 64, "features": "f16", "unit_images": 128, "standardise": true,
        "augment": {"flip": true, "crop": 0.125, "colour": 0.1, "copies": 4, "seed": 3},
        "head": {"kind": "mlp", "hidden": 256}, "agree": "gradient", "workers": 4, "rounds": 20,
        "epochs_per_round": 2, "rounds_per_epoch": 1, "batch": 64,
        "optimizer": {"kind": "adamw", "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8},
        "learning_rate": 0.01, "schedule": {"kind": "step", "every": 3, "factor": 0.5}, "warmup_rounds": 1,
        "weight_decay": 0.0001, "average_decay": 0.9, "dropout": 0.5, "label_smoothing": 0.1,
        "score_every": 2, "patience": 5, "seed": 7, "device": "flex", "frozen": "baton",
        "limits": {"invocations": 2000, "dollars": 1.5, "hours": 3, "legs_per_worker": 40},
    })
}

pub(crate) fn events() -> Vec<Vec<u8>> {
    all(vec![
        json!({"start": true, "workers": 5}),
        json!({"start": true, "workers": 5, "run": "run-1", "job": job(), "force": true}),
        json!({"workerno": 3, "workers": 5, "epochsdone": 6}),
        json!({"workerno": 3, "workers": 5, "epochsdone": 6, "run": "run-1", "stage": 7, "leg": 2}),
        json!({"combine": true, "workers": 5, "epochsdone": 6, "run": "run-1", "stage": 7}),
        json!({"stop": true, "run": "run-1"}),
        json!({"tick": true}),
    ])
}

pub(crate) fn read_event(_: &Path, input: &[u8]) -> bool {
    let Ok(event) = Event::parse(input) else { return false };
    assert_eq!(Event::parse(event.to_json().to_string().as_bytes()).as_ref(), Ok(&event), "another event");
    true
}

pub(crate) fn jobs() -> Vec<Vec<u8>> {
    all(vec![job(), json!({"dataset": "d", "network": "squeezenet1_0"})])
}

pub(crate) fn read_job(_: &Path, input: &[u8]) -> bool {
    Job::parse(input).is_ok()
}

fn reference(name: &str) -> FileRef {
    FileRef { name: name.into(), bytes: 4_096, xxh3: "0123456789abcdef0123456789abcdef".into() }
}

/// The facts of a run of two workers up to its second round.
fn facts() -> Vec<Fact> {
    let job = Job::from_value(job()).expect("a job");
    let run = RunId::new("run-1").expect("an id");
    let features = FeatureStore { key: "k".into(), manifest: None };
    let lease = |id: &str| Lease { invocation: id.into(), at_ms: 20, until_ms: 900_020, memory_mb: 1_769 };
    let course = transfer::course(&transfer::Job::of(&job).expect("its keys"));
    let score = Score { values: vec![0.5, 1.5, 0.9], of: 10 };
    let mut facts = vec![Fact::Started {
        schema: LEDGER_SCHEMA,
        run,
        job: Box::new(job),
        course: Box::new(course),
        workers: 2,
        features,
        invocation: String::new(),
        at_ms: 10,
    }];
    for stage in 0..2 {
        for worker in 0..2 {
            let (target, invocation) = (Target::worker(stage, worker, 0), format!("i-{stage}-{worker}"));
            facts.push(Fact::Begun { target, lease: lease(&invocation) });
            if worker == 1 {
                let place = reference("worker-001.safetensors");
                facts.push(Fact::LegDone {
                    target,
                    place,
                    done: 7,
                    invocation: invocation.clone(),
                    at_ms: 30,
                });
            }
            let target = Target::worker(stage, worker, worker);
            let result = reference(&format!("worker-00{worker}.json"));
            facts.push(Fact::WorkerDone { target, result, invocation, at_ms: 40 });
        }
        facts.push(Fact::SentAgain { targets: vec![Target::combine(stage)], forced: stage == 0, at_ms: 45 });
        facts.push(Fact::Seen { at_ms: 44 });
        let combined = Combined {
            stage,
            state: (stage > 0).then(|| reference("0001-0123456789abcdef.safetensors")),
            features: (stage == 0).then(|| reference("features.json")),
            score: (stage > 0).then(|| score.clone()),
        };
        facts.push(Fact::CombineDone { combined, invocation: format!("c-{stage}"), at_ms: 50 });
    }
    facts
}

pub(crate) fn ledgers() -> Vec<Vec<u8>> {
    let facts = facts();
    let write = |count: usize| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger");
        let wait = Duration::from_secs(1);
        let (log, _) = FactLog::create(&path, &facts[0], wait).expect("a ledger");
        for fact in &facts[1..count] {
            let append = |_: Vec<Fact>| Ok::<_, storage::Error>((vec![fact.clone()], ()));
            log.update(wait, append).expect("a fact");
        }
        fs::read(path).expect("a ledger")
    };
    vec![write(facts.len()), write(2), write(6)]
}

pub(crate) fn read_ledger(folder: &Path, input: &[u8]) -> bool {
    let path = folder.join("ledger");
    fs::write(&path, input).expect("a file in memory");
    let log = FactLog::<Fact>::open(&path).expect("it is there");
    let facts = log.read(Duration::from_secs(1));
    facts.is_ok_and(|facts| Ledger::fold(facts).is_ok_and(|ledger| ledger.is_some()))
}

/// The manifests of two small data sets, of one size and of many.
pub(crate) fn datasets() -> Vec<Vec<u8>> {
    let image = |height: usize, width: usize| Image { height, width, pixels: vec![9; height * width * 3] };
    let make = |geometry: Geometry, images: &[Image]| {
        let folder = tempfile::tempdir().expect("a folder");
        let name = |part: &str| format!("train-{part}-00000.npy");
        let entry =
            datasets::images::write_shard(folder.path(), name, geometry, images, &[0, 1]).expect("a shard");
        let split = json!({"images": 2, "per_class": [1, 1], "shards": [entry]});
        let manifest = json!({
            "schema": 1, "name": "d", "source": "folder", "recipe": "0", "seed": 1, "classes": ["a", "b"],
            "image": geometry, "splits": {"train": split}, "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2],
            "unreadable": [{"file": "a/1.jpg", "reason": "empty"}],
        });
        manifest.to_string().into_bytes()
    };
    vec![
        make(Geometry::fixed(2, 3, 3), &[image(2, 3), image(2, 3)]),
        make(Geometry::VARIED, &[image(2, 3), image(4, 1)]),
    ]
}

pub(crate) fn read_dataset(folder: &Path, input: &[u8]) -> bool {
    fs::write(folder.join("dataset.json"), input).expect("a file in memory");
    Manifest::read(folder).is_ok_and(|manifest| manifest.digest().len() == 64)
}

pub(crate) fn features() -> Vec<Vec<u8>> {
    let shard = |split: &str, first_image: u64, rows: u64| {
        let file = reference(&format!("{split}-{first_image}.npy"));
        FeatureShard { file, split: split.into(), first_image, rows }
    };
    let made_of: Map<String, Value> =
        [("network".to_owned(), json!("vgg19")), ("classes".to_owned(), json!(["a", "b"]))]
            .into_iter()
            .collect();
    let shards = vec![shard("train", 0, 5), shard("train", 5, 5), shard("val", 0, 3)];
    let manifest = FeatureManifest::new("k", made_of, 16, FeatureType::F32, shards);
    vec![serde_json::to_vec(&manifest).expect("JSON"), serde_json::to_vec_pretty(&manifest).expect("JSON")]
}

pub(crate) fn read_features(folder: &Path, input: &[u8]) -> bool {
    fs::write(folder.join("features.json"), input).expect("a file in memory");
    FeatureManifest::find(folder).is_ok_and(|found| found.is_some())
}

pub(crate) fn ratings() -> Vec<Vec<u8>> {
    let rows = |mark: &str| -> Vec<u8> {
        let rows = (0..40).map(|row| {
            [format!("u{}", row % 7), format!("i{}", row % 11), format!("{}.5", row % 5), row.to_string()]
                .join(mark)
        });
        rows.collect::<Vec<_>>().join("\n").into_bytes()
    };
    let headed = [b"userId,movieId,rating,timestamp\n".to_vec(), rows(",")].concat();
    let quoted = b"user;item;rating\r\n\"a;b\";\"x\"\"y\";4\r\nb;y;3\r\nc;y;3\r\n".to_vec();
    vec![rows("::"), rows("\t"), rows(" "), headed, quoted]
}

/// Reads a table by each split; a data set that is made must be whole.
pub(crate) fn read_ratings(folder: &Path, input: &[u8]) -> bool {
    let source = folder.join("ratings");
    fs::write(&source, input).expect("a file in memory");
    let mut accepted = false;
    for by in [By::Share, By::User, By::Time] {
        let mut options = data_prep::ratings::Options::new(folder.join("made"));
        (options.replace, options.deal.by, options.deal.val_share) = (true, by, 0.3);
        let Ok(summary) = data_prep::ratings::prepare(&source, &options, &|_| ()) else { continue };
        let ratings = Ratings::open(&summary.folder).expect("a data set that was made");
        ratings.verify().expect("its files");
        for side in [Side::Users, Side::Items] {
            assert_eq!(ratings.ids(side).expect("ids").len(), ratings.count(side));
            let all = ratings.rated(side, 0..summary.manifest.train).expect("ratings");
            assert!(all.others.iter().all(|other| (*other as usize) < ratings.count(side.other())));
            ratings.starts(side).expect("starts");
        }
        accepted = true;
    }
    accepted
}
