//! Whole runs through the workload: the model's bytes do not depend on workers, threads, cuts or damage, and
//! the factors of generated ratings are found.

use crate::{Factors, Predictor, model::Model};
use datasets::ratings::{About, Content, Rating, Side, write};
use protocol::{FileRef, Job, RunId};
use rounds::random::{Purpose, Stream};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use storage::Root;
use tempfile::TempDir;
use work::{Combined, Failed, Last, Plan, Stage, Work, Workload};

const USERS: u32 = 300;
const ITEMS: u32 = 120;
/// The noise of the generated ratings.
const SIGMA: f32 = 0.3;

/// A root with ratings of known factors and noise. User 0 has rated almost everything, the last ones little.
struct World {
    _folder: TempDir,
    root: Root,
    run: RunId,
}

/// One number that is about normal, of deviation 1.
fn normal(stream: &mut Stream) -> f32 {
    (0..12).map(|_| stream.unit()).sum::<f32>() - 6.0
}

fn generated() -> Content {
    let mut stream = Stream::new(11, Purpose::Untrained, 0, 0);
    let mut table = |rows: u32| -> Vec<[f32; 3]> {
        (0..rows).map(|_| [0.4, 0.6, 0.6].map(|scale| scale * normal(&mut stream))).collect()
    };
    let (users, items) = (table(USERS), table(ITEMS));
    let mut content = Content {
        users: (0..USERS).map(|user| format!("user {user}")).collect(),
        items: (0..ITEMS).map(|item| format!("item {item}")).collect(),
        ..Content::default()
    };
    for user in 0..USERS {
        for item in 0..ITEMS {
            let often = 0.95 * f32::exp(-(user as f32) / 150.0) + 0.05;
            if stream.unit() > often {
                continue;
            }
            let (p, q) = (users[user as usize], items[item as usize]);
            let value = 3.5 + p[0] + q[0] + p[1] * q[1] + p[2] * q[2] + SIGMA * normal(&mut stream);
            let rating = Rating { user, item, value };
            match stream.below(10) {
                0 => content.val.push(rating),
                1 => content.test.push(rating),
                _ => content.train.push(rating),
            }
        }
    }
    // Nobody has rated this one in training.
    content.users.push("new".into());
    content.test.push(Rating { user: USERS, item: 0, value: 3.5 });
    content
}

/// The shares of a stage, their results' names, and what a test does with them.
type Damage<'a> = &'a dyn Fn(&Stage<'_>, &[FileRef]);

impl World {
    fn new() -> World {
        let memory = std::path::Path::new("/dev/shm");
        let folder = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = tempfile::tempdir_in(folder).unwrap();
        let (root, run) = (Root::open(folder.path()).unwrap(), RunId::new("run").unwrap());
        let data = root.dataset("films").unwrap();
        fs::create_dir_all(&data).unwrap();
        let about = About { name: "films".into(), recipe: "r".into(), scale: [-9.0, 9.0], notes: vec![] };
        let manifest = write(&data, generated(), about).unwrap();
        fs::write(data.join(datasets::MANIFEST), manifest.to_json()).unwrap();
        root.run(&run).create().unwrap();
        World { _folder: folder, root, run }
    }

    /// Carries out a run with legs of `steps` steps, 0 meaning one leg; the files of the model.
    fn run(
        &self,
        changes: Value,
        (workers, threads, steps): (u32, usize, usize),
        damage: Damage,
    ) -> BTreeMap<String, Vec<u8>> {
        let factors = Factors::default();
        let plan = factors.plan(&self.root, &job(changes), workers).unwrap();
        let (mut state, mut best): (Option<FileRef>, Option<Combined>) = (None, None);
        for number in 0..plan.course.end() {
            let stage = self.stage(&plan, (number, workers, threads), state.as_ref());
            let legs = |share| legs(steps, |place| factors.open(&stage, share, place));
            let results: Vec<FileRef> = (0..workers).map(legs).collect();
            damage(&stage, &results);
            let mut combine = factors.combine(&stage, &results, None).unwrap();
            combine.step().unwrap();
            let made = combine.publish().unwrap();
            assert_eq!(made.score.is_some(), plan.course.scores(number), "{number}");
            drop(combine);
            let score =
                |combined: &Option<Combined>| combined.as_ref().and_then(|combined| combined.score.clone());
            if plan.course.completes(number).is_some()
                && plan.course.better(made.score.as_ref(), score(&best).as_ref())
            {
                best = Some(made.clone());
            }
            state = made.state;
        }
        let best = best.unwrap().state.unwrap();
        let stage = self.stage(&plan, (plan.course.end(), workers, threads), state.as_ref());
        let mut end = factors
            .finish(&stage, Last { best: Some(&best), cut_short: None, unscored: None, place: None })
            .unwrap();
        end.step().unwrap();
        end.publish().unwrap();
        let model = self.root.run(&self.run).model();
        let files = fs::read_dir(&model).unwrap().map(|entry| entry.unwrap());
        let files =
            files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap()));
        let files = files.collect();
        fs::remove_dir_all(model).unwrap();
        files
    }

    fn stage<'a>(&'a self, plan: &'a Plan, how: (u32, u32, usize), state: Option<&'a FileRef>) -> Stage<'a> {
        let (Plan { job, course, features }, (number, workers, threads)) = (plan, how);
        Stage { root: &self.root, run: &self.run, job, course, number, workers, features, state, threads }
    }
}

fn job(changes: Value) -> Job {
    let mut job = json!({"kind": "factors", "dataset": "films", "factors": 2, "rounds": 6});
    job.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    Job::from_value(job).unwrap()
}

fn legs<'a>(steps: usize, open: impl Fn(Option<&FileRef>) -> Result<Box<dyn Work + 'a>, Failed>) -> FileRef {
    let mut place: Option<FileRef> = None;
    loop {
        let (mut work, mut done) = (open(place.as_ref()).unwrap(), 0);
        while !work.progress().finished() && (steps == 0 || done < steps) {
            work.step().unwrap();
            done += 1;
        }
        if work.progress().finished() {
            return work.publish().unwrap();
        }
        place = Some(work.save().unwrap());
    }
}

fn model(files: &BTreeMap<String, Vec<u8>>) -> Model {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("factors.json"), &files["factors.json"]).unwrap();
    Model::open(folder.path()).unwrap()
}

const WAYS: [(&str, u32); 2] = [("als", 6), ("gradient", 60)];

#[test]
fn a_model_has_the_same_bytes_with_any_workers_threads_and_cuts() {
    let world = World::new();
    for (solve, rounds) in [("als", 4), ("gradient", 7)] {
        let changes = json!({"solve": solve, "rounds": rounds, "score_every": 2});
        let whole = world.run(changes.clone(), (1, 1, 0), &|_, _| ());
        assert_eq!(whole.len(), 4);
        // More workers than items: some have nothing to do.
        for how in [(1, 3, 0), (3, 1, 1), (5, 2, 1), (130, 1, 0)] {
            let other = world.run(changes.clone(), how, &|_, _| ());
            assert!(other == whole, "{solve}: workers, threads, steps of {how:?}");
        }
    }
}

#[test]
fn known_factors_are_found_down_to_the_noise() {
    let world = World::new();
    for (solve, rounds) in WAYS {
        let changes = json!({"solve": solve, "rounds": rounds, "regularisation": 0.02});
        let found = model(&world.run(changes, (2, 1, 0), &|_, _| ()));
        let (val, test) = (found.val.unwrap(), found.test.unwrap());
        println!("{solve}: val {} test {} of the mean {}", val.rmse, test.rmse, test.rmse_of_mean);
        // Some thousand ratings for some hundred rows: the estimates are noisy, too.
        let sigma = f64::from(SIGMA);
        assert!(test.rmse < 1.25 * sigma && test.rmse > 0.9 * sigma, "{solve}: {}", test.rmse);
        assert!(test.rmse_of_mean > 2.0 * test.rmse && test.mae < test.rmse, "{solve}: {test:?}");
    }
}

#[test]
fn damaged_results_are_made_again() {
    let world = World::new();
    for (solve, rounds) in [("als", 2), ("gradient", 3)] {
        let changes = json!({"solve": solve, "rounds": rounds});
        let whole = world.run(changes.clone(), (3, 1, 0), &|_, _| ());
        let damage = |stage: &Stage<'_>, results: &[FileRef]| {
            let path = stage.root.run(stage.run).stage(stage.number).join(&results[1].name);
            let mut bytes = fs::read(&path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(&path, bytes).unwrap();
        };
        assert!(world.run(changes, (3, 1, 0), &damage) == whole, "{solve}");
    }
}

#[test]
fn a_share_goes_on_from_its_place_and_begins_again_if_that_is_damaged() {
    let world = World::new();
    let factors = Factors::default();
    let plan = factors.plan(&world.root, &job(json!({"solve": "gradient"})), 2).unwrap();
    let stage = world.stage(&plan, (0, 2, 1), None);
    let whole = legs(0, |place| factors.open(&stage, 0, place));
    let mut work = factors.open(&stage, 0, None).unwrap();
    work.step().unwrap();
    let (done, place) = (work.progress(), work.save().unwrap());
    drop(work);
    assert!(done.done > 0 && !done.finished(), "{done:?}");
    assert_eq!(factors.open(&stage, 0, Some(&place)).unwrap().progress(), done);
    let other = factors.open(&stage, 1, Some(&place)).err().unwrap();
    assert!(other.words.contains("worker 1"), "{other}");
    let path = world.root.run(&world.run).stage(0).join(&place.name);
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let mut again = factors.open(&stage, 0, Some(&place)).unwrap();
    assert_eq!(again.progress().done, 0);
    while !again.progress().finished() {
        again.step().unwrap();
    }
    assert_eq!(again.publish().unwrap().xxh3, whole.xxh3);
}

#[test]
fn other_ratings_than_at_the_start_are_refused() {
    let world = World::new();
    let factors = Factors::default();
    let mut plan = factors.plan(&world.root, &job(json!({})), 1).unwrap();
    plan.features.key = "another".into();
    let stage = world.stage(&plan, (0, 1, 1), None);
    let failed = factors.open(&stage, 0, None).err().unwrap();
    assert!(failed.words.contains("films") && failed.words.contains("another"), "{failed}");
    let missing = factors.plan(&world.root, &job(json!({"dataset": "none"})), 1).unwrap_err();
    assert!(
        missing.words.contains("job.dataset") && missing.words.contains("data-prep ratings"),
        "{missing}"
    );
}

#[test]
fn the_top_items_of_a_user_leave_out_the_rated_ones() {
    let world = World::new();
    let files = world.run(json!({}), (2, 1, 0), &|_, _| ());
    let folder = world.root.run(&world.run).model();
    fs::create_dir_all(&folder).unwrap();
    files.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
    let predictor = Predictor::open(&world.root, &world.run).unwrap();
    let rated = predictor.rated(&world.root, "user 3").unwrap();
    let all = predictor.top("user 3", 1_000, None).unwrap();
    let open = predictor.top("user 3", 1_000, Some(&rated)).unwrap();
    let content = generated();
    let parts = [&content.train, &content.val, &content.test];
    let expected: HashSet<&str> = parts
        .into_iter()
        .flatten()
        .filter(|rating| rating.user == 3)
        .map(|rating| &content.items[rating.item as usize][..])
        .collect();
    assert!(expected.len() > 50 && rated.len() == expected.len() && all.len() == ITEMS as usize);
    assert!(open.iter().all(|top| !expected.contains(&top.item[..])));
    assert_eq!(open.len() + rated.len(), all.len());
    assert!(all.is_sorted_by(|a, b| a.rating >= b.rating));
    assert_eq!(predictor.rating("user 3", &all[0].item), all[0].rating);
    // An unknown user is predicted by the mean and the item's bias, and has no list.
    let new = predictor.rating("nobody", "item 1");
    assert!(new != predictor.model().mean && (new - predictor.rating("new", "item 1")).abs() < 1e-12);
    assert!(predictor.knows(Side::Users, "new") && !predictor.knows(Side::Users, "nobody"));
    assert!(predictor.top("nobody", 3, None).unwrap_err().words.contains("nobody"));
    let out = world.root.path().join("out");
    let written = crate::export::export(&folder, &out).unwrap();
    assert_eq!(written.len(), 8);
    let again = crate::export::export(&folder, &out).unwrap_err();
    assert!(again.words.contains("--out"), "{again}");
    let shown = Factors::default().show(&world.root, &world.run).unwrap().shown();
    assert_eq!((shown.tables.len(), shown.tables[0].rows.len(), shown.tables[1].rows.len()), (3, 2, 8));
}
