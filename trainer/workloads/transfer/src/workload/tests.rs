//! A whole run in this process: plan, features, rounds, model.

use super::*;
use crate::model::Model;
use crate::plan;
use crate::sample::{Sample, Stage, job};
use serde_json::json;

/// Runs a job from its plan to its model; returns the bytes of the model's tensors. A piece
/// in one leg (`leg_steps` is 0) has two threads, shorter legs have one.
fn whole_run(sample: &Sample, run: &str, job: &Job, workers: u32, leg_steps: usize) -> Vec<u8> {
    let threads = if leg_steps == 0 { 2 } else { 1 };
    let plan = plan(&sample.root, job, 2).unwrap();
    let mut features = plan.features;
    let id = RunId::new(run).unwrap();
    sample.root.run(&id).create().unwrap();
    let (mut state, mut score) = (None, None);
    let first = if features.manifest.is_some() { 1 } else { 0 };
    for stage in first..=job.training.rounds {
        let state_before = state.clone();
        let state_before: Option<&FileRef> = state_before.as_ref();
        let stage =
            Stage { run, job, workers, stage, features: &features, state: state_before, leg_steps, threads };
        let combined = sample.stage(&stage).unwrap();
        state = combined.state;
        score = combined.score;
        features.manifest = features.manifest.or(combined.features);
    }
    let model = sample.finish(run, job, &features, state.as_ref().unwrap(), threads).unwrap();
    assert_eq!(model, sample.finish(run, job, &features, state.as_ref().unwrap(), 1).unwrap());
    let folder = sample.root.run(&id).model();
    let model = Model::open(&folder).unwrap();
    let (published, combined) = (model.val.as_ref().unwrap().score, score.unwrap());
    assert_eq!(
        (published.top1, published.top5, published.images),
        (combined.values[0], combined.values[2], 20)
    );
    // serde_json may lose the last bit of a number that it reads.
    assert!((published.loss - combined.values[1]).abs() < 1e-12);
    assert_eq!(model.classes, ["red", "green", "blue"]);
    assert!(model.test.as_ref().is_some_and(|test| test.score.images == 10));
    let columns = if model.cut == "pool2" { 128 } else { 64 };
    assert_eq!(model.tensors(&folder).unwrap().0[0].0.shape, [3, columns]);
    std::fs::read(folder.join(&model.head.name)).unwrap()
}

#[test]
fn a_run_gives_the_same_model_however_it_is_cut() {
    for engine in ["baton", "burn"] {
        let job = job(json!({"frozen": engine, "rounds": 6}));
        let samples = [Sample::with_images(), Sample::with_images()];
        let expected = whole_run(&samples[0], "whole", &job, 3, 0);
        assert_eq!(whole_run(&samples[1], "cut", &job, 3, 1), expected, "{engine}");
        // The store exists now: the features stage is skipped.
        assert!(plan(&samples[1].root, &job, 2).unwrap().features.manifest.is_some());
        assert_eq!(whole_run(&samples[1], "again", &job, 3, 2), expected, "{engine}");
    }
}

const AUGMENT: &str = r#"{"flip": true, "crop": 0.2, "colour": 0.3, "copies": 3}"#;

/// A job on augmented images.
fn augmented(mut changes: serde_json::Value) -> Job {
    changes["augment"] = serde_json::from_str(AUGMENT).unwrap();
    job(changes)
}

#[test]
fn a_run_on_augmented_images_gives_the_same_model_however_it_is_cut() {
    let layers = json!({"kind": "layers", "up_to": "pool2"});
    for (name, changes) in [
        ("average", json!({"rounds": 4, "epochs_per_round": 2, "dropout": 0.2, "average_decay": 0.8})),
        ("gradient", json!({"rounds": 12, "agree": "gradient", "batch": 16, "dropout": 0.2})),
        (
            "block",
            json!({"rounds": 1, "epochs_per_round": 64, "batch": 4, "pool": "none", "dropout": 0.2,
                "head": layers}),
        ),
        ("everything", json!({"rounds": 3, "cut": "images", "pool": "none", "head": layers})),
    ] {
        let job = augmented(changes.clone());
        let samples = [Sample::with_images(), Sample::with_images()];
        let expected = whole_run(&samples[0], "whole", &job, 3, 0);
        assert!(whole_run(&samples[1], "cut", &job, 3, 1) == expected, "{name}: another model when cut");
        assert!(whole_run(&samples[1], "again", &job, 3, 2) == expected, "{name}: another on the same store");
        let plain = crate::sample::job(changes);
        assert!(whole_run(&samples[1], "plain", &plain, 3, 0) != expected, "{name}: copies change nothing");
    }
}

#[test]
fn a_bank_has_the_plain_features_and_those_of_every_copy() {
    let sample = Sample::with_images();
    let (plain, bank) = (job(json!({"standardise": false})), augmented(json!({"standardise": false})));
    let stores = [("plain", &plain), ("bank", &bank)].map(|(run, job)| (sample.features(run, job), job));
    let [plain, bank] =
        stores.map(|(features, job)| crate::features::open(&sample.root, job, &features).unwrap());
    let rows = |store: &crate::features::Store, split: &str| {
        let rows = store.split(split).unwrap();
        let values = rows.read(0..rows.len()).unwrap();
        (rows.images(), values.chunks(store.columns()).map(<[f32]>::to_vec).collect::<Vec<_>>())
    };
    assert_eq!(rows(&plain, "val"), rows(&bank, "val"));
    assert_eq!(rows(&plain, "test"), rows(&bank, "test"));
    let ((images, plain_rows), (bank_images, bank_rows)) = (rows(&plain, "train"), rows(&bank, "train"));
    assert_eq!((images, bank_images, bank_rows.len()), (40, 40, 120));
    assert_eq!(plain_rows[..], bank_rows[..40], "copy 0 is the image as it is");
    for image in 0..40 {
        let [one, two] = [40, 80].map(|copy| &bank_rows[copy + image]);
        assert!(one != two && *one != plain_rows[image] && *two != plain_rows[image], "image {image}");
        let labels = bank.split("train").unwrap().labels();
        assert_eq!([labels[image + 40], labels[image + 80]], [labels[image]; 2]);
    }
    // Wherever an image's unit begins.
    let job = augmented(json!({"standardise": false, "unit_images": 11}));
    let other = crate::features::open(&sample.root, &job, &sample.features("other", &job)).unwrap();
    let apart = crate::testing::largest_error(&rows(&other, "train").1.concat(), &bank_rows.concat());
    assert!(apart < 1e-6, "{apart}");
}

#[test]
fn another_augmentation_is_another_store_and_none_is_that_of_before() {
    let sample = Sample::with_images();
    let key = |augment: serde_json::Value| {
        let job = match augment {
            serde_json::Value::Null => job(json!({})),
            augment => job(json!({"augment": augment})),
        };
        plan(&sample.root, &job, 2).unwrap().features.key
    };
    let one = json!({"flip": true, "crop": 0.2, "copies": 3});
    let mut keys = vec![key(json!(null)), key(one.clone())];
    for (name, value) in [
        ("flip", json!(false)),
        ("crop", json!(0.1)),
        ("colour", json!(0.1)),
        ("copies", json!(4)),
        ("seed", json!(1)),
    ] {
        let mut other = one.clone();
        other[name] = value;
        keys.push(key(other));
    }
    assert_eq!(keys.iter().collect::<std::collections::HashSet<_>>().len(), keys.len(), "{keys:?}");
    let text = serde_json::to_string(&job(json!({}))).unwrap();
    assert!(!text.contains("augment"), "a job without it is written as before: {text}");
}

#[test]
fn a_damaged_copy_is_computed_again() {
    let sample = Sample::with_images();
    let job = augmented(json!({}));
    let features = sample.features("run", &job);
    let folder = sample.root.features(&features.key).unwrap();
    let read = || {
        let shards = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
        let mut shards: Vec<_> = shards.filter(|path| path.to_string_lossy().contains("train-")).collect();
        shards.sort();
        shards.into_iter().map(|path| (std::fs::read(&path).unwrap(), path)).collect::<Vec<_>>()
    };
    let whole = read();
    assert_eq!(whole.len(), 3 * 6);
    for (bytes, path) in &whole {
        let mut damaged = bytes.clone();
        *damaged.last_mut().unwrap() ^= 1;
        std::fs::write(path, damaged).unwrap();
    }
    let store = crate::features::open(&sample.root, &job, &features).unwrap();
    store.split("train").unwrap().read(0..120).unwrap();
    assert!(read() == whole);
}

#[test]
fn layers_above_the_cut_are_trained_published_and_used() {
    trained_above("pool1", &["features.3.weight", "features.3.bias"]);
}

#[test]
fn everything_is_trained_when_the_images_themselves_are_the_features() {
    let trained = ["features.0.weight", "features.0.bias", "features.3.weight", "features.3.bias"];
    trained_above("images", &trained);
}

fn trained_above(cut: &str, trained: &[&str]) {
    let head = json!({"kind": "layers", "up_to": "pool2"});
    let job = job(json!({"cut": cut, "pool": "none", "head": head, "rounds": 3}));
    let samples = [Sample::with_images(), Sample::with_images()];
    let expected = whole_run(&samples[0], "whole", &job, 3, 0);
    assert!(whole_run(&samples[1], "cut", &job, 3, 1) == expected, "another model when legs are cut");
    let run = RunId::new("whole").unwrap();
    let mut predictor = crate::predict::Predictor::open(&samples[0].root, &run, 1).unwrap();
    let model = predictor.model().clone();
    assert_eq!((model.cut.as_str(), model.pool), ("pool2", true));
    assert_eq!(model.trained, trained);
    let dataset = samples[0].root.dataset("shapes").and_then(datasets::images::Dataset::open).unwrap();
    let found = predictor.evaluate(dataset.split("val").unwrap(), |_| ()).unwrap().score;
    let published = model.val.unwrap().score;
    assert!((found.loss - published.loss).abs() < 1e-4, "{found:?} and {published:?}");
    assert_eq!(found.top1, published.top1);
}

/// The model of a run, and its tensors by name.
fn model_of(
    sample: &Sample,
    run: &str,
) -> (Model, std::collections::BTreeMap<String, storage::Tensor<'static>>) {
    let folder = sample.root.run(&RunId::new(run).unwrap()).model();
    let model = Model::open(&folder).unwrap();
    let tensors = storage::read_tensors(&folder, &model.head).unwrap().tensors;
    (model, tensors)
}

#[test]
fn a_run_begins_where_another_ended() {
    let sample = Sample::with_images();
    let head = job(json!({"cut": "pool2", "standardise": false, "rounds": 6}));
    whole_run(&sample, "head", &head, 2, 0);
    let layers = |learning_rate: f64, rate: f64| {
        job(json!({"pool": "none", "head": {"kind": "layers", "up_to": "pool2", "rate": rate}, "rounds": 1,
            "from": "head", "learning_rate": learning_rate}))
    };
    // Steps that change almost nothing: the new run begins with the other's parameters.
    whole_run(&sample, "still", &layers(1e-9, 1.0), 2, 0);
    let (first, still) = (model_of(&sample, "head").0, model_of(&sample, "still").0);
    let apart = (first.val.as_ref().unwrap().score.loss - still.val.as_ref().unwrap().score.loss).abs();
    assert!(
        apart < 1e-4,
        "{:?} and {:?}",
        first.val.as_ref().unwrap().score,
        still.val.as_ref().unwrap().score
    );
    // A block of rate 0 stays pretrained, and the layer above it learns.
    whole_run(&sample, "frozen", &layers(0.1, 0.0), 2, 0);
    whole_run(&sample, "deeper", &layers(0.1, 0.5), 2, 0);
    let [still, frozen, deeper] = ["still", "frozen", "deeper"].map(|run| model_of(&sample, run).1);
    let installed = crate::weights::open_installed(&sample.root.weights("vgg11").unwrap()).unwrap();
    let name = "features.3.weight";
    let pretrained = installed.weights.tensor(name, &frozen[name].shape).unwrap();
    assert!(frozen[name].data == storage::TensorData::F32(pretrained));
    assert!(frozen["classifier.6.weight"] != still["classifier.6.weight"] && deeper[name] != frozen[name]);
    // Then from there, with that run's trained parameters.
    let again = job(json!({"pool": "none", "head": {"kind": "layers", "up_to": "pool2"}, "rounds": 1,
        "from": "deeper", "learning_rate": 1e-9}));
    whole_run(&sample, "again", &again, 2, 0);
    let [deeper, again] = ["deeper", "again"].map(|run| model_of(&sample, run).0.val.unwrap().score.loss);
    assert!((deeper - again).abs() < 1e-4, "{deeper} and {again}");
}

#[test]
fn a_run_that_does_not_fit_is_no_beginning() {
    let sample = Sample::with_images();
    whole_run(&sample, "head", &job(json!({"rounds": 1})), 1, 0);
    for (changes, part) in [
        (json!({"from": "none"}), "none, which has none"),
        (json!({"from": "head", "cut": "pool2"}), "of shape [3, 128], found [3, 64] in run head"),
        (json!({"from": "head", "head": {"kind": "mlp", "hidden": 5}}), "classifier.6.0.weight"),
    ] {
        let mut all = json!({"standardise": false});
        all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let error = plan(&sample.root, &job(all), 2).unwrap_err();
        assert!(error.to_string().contains(part) && error.to_string().contains("job.from"), "{error}");
    }
    let refused = protocol::Job::from_value(json!({"dataset": "d", "network": "vgg11", "from": "head"}));
    let refused = Job::of(&refused.unwrap()).unwrap_err();
    assert!(refused.to_string().contains("job.standardise"), "{refused}");
}

#[test]
fn both_engines_and_both_feature_types_give_nearly_the_same_model() {
    let sample = Sample::with_images();
    let runs = [json!({}), json!({"frozen": "burn"}), json!({"features": "f16"})];
    let mut models = runs.into_iter().enumerate().map(|(i, changes)| {
        let bytes = whole_run(&sample, &format!("run-{i}"), &job(changes), 2, 0);
        bytes[bytes.len() - 3 * 64 * 4..]
            .chunks(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect()
    });
    let first: Vec<f32> = models.next().unwrap();
    for model in models {
        assert!(crate::testing::largest_error(&model, &first) < 1e-2);
    }
}

#[test]
fn a_store_that_lost_a_shard_is_found_out_by_the_plan() {
    let sample = Sample::with_images();
    let job = job(json!({"rounds": 1}));
    whole_run(&sample, "run", &job, 1, 0);
    let folder = sample.root.features(&plan(&sample.root, &job, 2).unwrap().features.key).unwrap();
    let shard = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path());
    let shard = shard.into_iter().find(|f| f.to_string_lossy().contains("val-")).unwrap();
    std::fs::remove_file(&shard).unwrap();
    let error = plan(&sample.root, &job, 2).unwrap_err().to_string();
    assert!(error.contains(shard.file_name().unwrap().to_str().unwrap()), "{error}");
}

#[test]
fn another_states_model_is_never_taken_for_the_runs_own() {
    let sample = Sample::with_images();
    let job = job(json!({"rounds": 2}));
    whole_run(&sample, "run", &job, 1, 0);
    let plan = plan(&sample.root, &job, 2).unwrap();
    let features = plan.features;
    let id = RunId::new("run").unwrap();
    let folder = sample.root.run(&id).combined();
    let states = std::fs::read_dir(&folder).unwrap().map(|state| state.unwrap().path());
    let first = states.into_iter().find(|path| path.to_string_lossy().contains("0001-")).unwrap();
    let (_, first) = storage::read_whole(&first).unwrap();
    let error = sample.finish("run", &job, &features, &first, 1).unwrap_err();
    assert!(error.to_string().contains("model.json is damaged or another's"), "{error}");
    assert_eq!(error.fate, crate::Fate::Halt);
}

#[test]
fn a_model_never_says_that_it_is_made_of_what_came_after_its_rounds() {
    let sample = Sample::with_images();
    let job = job(json!({"rounds": 2}));
    let expected = whole_run(&sample, "before", &job, 1, 0);
    let features = plan(&sample.root, &job, 2).unwrap().features;
    let id = RunId::new("before").unwrap();
    let run = sample.root.run(&id);
    let states = std::fs::read_dir(run.combined()).unwrap().map(|state| state.unwrap().path());
    let last = states.into_iter().find(|path| path.to_string_lossy().contains("0002-")).unwrap();
    let (_, last) = storage::read_whole(&last).unwrap();
    let finish = || sample.finish("before", &job, &features, &last, 1);
    let dataset = sample.root.dataset(&job.dataset).unwrap();
    let weights = sample.root.weights(job.weights()).unwrap();
    for (file, from, to) in [
        (dataset.join("dataset.json"), "\"red\"", "\"tan\""),
        (weights.join("weights.json"), "0.485", "0.585"),
    ] {
        let text = std::fs::read_to_string(&file).unwrap();
        let other = String::from_utf8(storage::unseal(&file, text.as_bytes()).unwrap()).unwrap();
        assert!(other.contains(from), "{other}");
        std::fs::write(&file, other.replacen(from, to, 1)).unwrap();
        let error = finish().unwrap_err();
        assert!(error.words.contains("is not what the run began with"), "{error}");
        assert_eq!((error.fate, error.lasting), (crate::Fate::Retry, true), "it is waited for");
        std::fs::write(&file, text).unwrap();
    }
    for folder in [dataset, weights] {
        let aside = folder.with_extension("aside");
        std::fs::rename(&folder, &aside).unwrap();
        let error = finish().unwrap_err();
        assert_eq!((error.fate, error.lasting), (crate::Fate::Retry, true), "{error}");
        assert!(error.words.contains(folder.to_str().unwrap()), "{error}");
        std::fs::rename(&aside, &folder).unwrap();
    }
    let model = Model::open(&run.model()).unwrap();
    finish().unwrap();
    assert_eq!(std::fs::read(run.model().join(&model.head.name)).unwrap(), expected);
}

#[test]
fn jobs_that_name_what_is_not_there_are_refused() {
    let sample = Sample::with_images();
    for (changes, part) in [
        (json!({"dataset": "none"}), "job.dataset"),
        (json!({"weights": "none"}), "job.weights"),
        (json!({"network": "vgg13", "weights": "vgg11"}), "vgg13"),
        (json!({"rounds_per_epoch": 10_000, "agree": "diloco"}), "job.rounds_per_epoch"),
        (json!({"network": "lenet"}), "vgg19"),
        (json!({"cut": "pool9"}), "pool1"),
        (json!({"cut": "pool3"}), "features.6"),
        (json!({"cut": "pool2", "pool": "none", "head": {"kind": "layers", "up_to": "pool3"}}), "features.6"),
    ] {
        let error = plan(&sample.root, &job(changes), 2).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(error.fate(), crate::Fate::Halt);
    }
    let plan = plan(&sample.root, &job(json!({})), 2).unwrap();
    assert_eq!(plan.features.manifest, None);
}
