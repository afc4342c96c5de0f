//! Rounds of something that is not a head: a line through points, which has a gradient and nothing else.

use super::random::{Purpose, Stream};
use super::round::Round;
use super::tuning::table_of;
use super::*;
use protocol::{Course, FileRef, Job, Measure, RunId, Score};
use serde_json::{Value, json};
use storage::Root;
use tempfile::TempDir;

/// Training points, and held-out points.
const POINTS: [usize; 2] = [120, 40];
/// Coefficients, and one number that is added.
const INPUTS: usize = 20;

/// A plane through points, found by least squares.
struct Line {
    training: Training,
    layout: Layout,
    rows: Vec<Vec<f32>>,
}

#[derive(Default)]
struct Points(Vec<Vec<f32>>);

impl Batch for Points {
    fn examples(&self) -> usize {
        self.0.len()
    }
}

struct InOrder {
    rows: Vec<Vec<f32>>,
    batch: usize,
    at_hand: Points,
}

impl Pass for InOrder {
    type Batch = Points;

    fn batch(&mut self, step: usize) -> Result<&Points> {
        let first = step * self.batch;
        self.at_hand = Points(self.rows[first..self.rows.len().min(first + self.batch)].to_vec());
        Ok(&self.at_hand)
    }
}

impl Line {
    fn new(training: &Training) -> Line {
        let mut stream = Stream::new(3, Purpose::Untrained, 0, 0);
        let line: Vec<f32> = (0..=INPUTS).map(|_| stream.symmetric(1.0)).collect();
        let row = |_| {
            let mut row: Vec<f32> = (0..INPUTS).map(|_| stream.symmetric(1.0)).collect();
            row.push(row.iter().zip(&line).map(|(x, w)| x * w).sum::<f32>() + line[INPUTS]);
            row
        };
        let array = |name: &str, range: std::ops::Range<usize>, decays| {
            let (name, shape) = (name.to_owned(), vec![range.len()]);
            Array { name, shape, range, decays, rate: 1.0 }
        };
        let arrays = vec![array("weight", 0..INPUTS, true), array("bias", INPUTS..INPUTS + 1, false)];
        let rows = (0..POINTS[0] + POINTS[1]).map(row).collect();
        Line { training: training.clone(), layout: Layout::new(arrays), rows }
    }

    /// The error of parameters at a point.
    fn missed(parameters: &[f32], row: &[f32]) -> f32 {
        let sum: f32 = parameters.iter().zip(&row[..INPUTS]).map(|(w, x)| w * x).sum();
        sum + parameters[INPUTS] - row[INPUTS]
    }
}

impl Trainable for Line {
    type Pass = InOrder;

    fn training(&self) -> &Training {
        &self.training
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn first(&self) -> Result<Vec<f32>> {
        Ok(vec![0.0; INPUTS + 1])
    }

    fn examples(&self) -> Examples {
        Examples { count: POINTS[0], copies: 1, bytes: (INPUTS + 1) * 4, held_out: POINTS[1] }
    }

    fn pass(&self, _: u64, rows: Vec<u32>, batch: usize) -> InOrder {
        let rows = rows.into_iter().map(|row| self.rows[row as usize].clone()).collect();
        InOrder { rows, batch, at_hand: Points::default() }
    }

    fn add_gradient(&self, parameters: &[f32], batch: &Points, sum: &mut [f32]) -> Result<f64> {
        let mut loss = 0.0;
        for row in &batch.0 {
            let missed = Line::missed(parameters, row);
            loss += f64::from(missed * missed);
            sum.iter_mut().zip(&row[..INPUTS]).for_each(|(g, x)| *g += 2.0 * missed * x);
            sum[INPUTS] += 2.0 * missed;
        }
        Ok(loss)
    }

    fn score(&self, parameters: &[f32]) -> Result<Option<Score>> {
        let missed = self.rows[POINTS[0]..].iter().map(|row| f64::from(Line::missed(parameters, row)));
        let loss = missed.map(|missed| missed * missed).sum::<f64>() / POINTS[1] as f64;
        let score = Score { values: vec![1.0 / (1.0 + loss), loss], of: POINTS[1] as u64 };
        Ok(loss.is_finite().then_some(score))
    }

    fn smoothed(&self, _: f64) -> Result<Line> {
        Ok(Line::new(&self.training))
    }
}

/// The stages of a job.
fn course(training: &Training) -> Course {
    let measures = vec![Measure { name: "fit".into(), higher: true, share: true }];
    training.course("a line through points".into(), &["features"], "points", measures)
}

/// A folder with a run in it.
struct Place {
    _folder: TempDir,
    root: Root,
    run: RunId,
}

impl Place {
    fn new() -> Place {
        let memory = std::path::Path::new("/dev/shm");
        let folder = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = tempfile::tempdir_in(folder).unwrap();
        let (root, run) = (Root::open(folder.path()).unwrap(), RunId::new("run").unwrap());
        root.run(&run).create().unwrap();
        Place { _folder: folder, root, run }
    }

    /// The result of each round's combine, with legs of `leg_steps` steps; 0 means one leg.
    fn rounds(&self, training: &Training, workers: u32, leg_steps: usize) -> Vec<Combined> {
        let (line, mut combined) = (Arc::new(Line::new(training)), Vec::<Combined>::new());
        let features = protocol::FeatureStore { key: "none".into(), manifest: None };
        let (root, run, threads, features) = (&self.root, &self.run, 1, &features);
        let (job, course) = (&Job::from_value(json!({})).unwrap(), &course(training));
        for number in 1..course.end() {
            let state = combined.last().and_then(|combined| combined.state.clone());
            let state = state.as_ref();
            let stage = Stage { root, run, job, course, number, workers, features, state, threads };
            let worker = |worker: u32| {
                let mut place: Option<FileRef> = None;
                loop {
                    let (mut work, mut steps) =
                        (open(&stage, worker, place.as_ref(), line.clone()).unwrap(), 0);
                    while !work.progress().finished() && (leg_steps == 0 || steps < leg_steps) {
                        work.step().unwrap();
                        steps += 1;
                    }
                    if work.progress().finished() {
                        return work.publish().unwrap();
                    }
                    place = Some(work.save().unwrap());
                }
            };
            let results: Vec<FileRef> = (0..workers).map(worker).collect();
            combined.push(combine(&stage, &results, line.clone()).unwrap());
        }
        combined
    }

    fn parameters(&self, training: &Training, combined: &Combined) -> Vec<f32> {
        let folder = self.root.run(&self.run).combined();
        model_parameters(&folder, combined.state.as_ref().unwrap(), training, INPUTS + 1).unwrap()
    }
}

fn job(changes: Value) -> Training {
    let mut job = json!({"rounds": 8, "batch": 8, "learning_rate": 0.05,
        "optimizer": {"kind": "adamw"}, "weight_decay": 0.001, "seed": 5});
    job.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    serde_json::from_value(job).unwrap()
}

#[test]
fn the_rounds_of_a_pass_deal_every_example_once() {
    let job = job(json!({"rounds_per_epoch": 3, "agree": "diloco"}));
    let line = Arc::new(Line::new(&job));
    let dealt = |round| average::dealt(&Round::new(round, line.clone())).unwrap();
    let pass = |first: u32| (first..first + 3).flat_map(dealt).collect::<Vec<_>>();
    for first in [1, 4] {
        let mut examples = pass(first);
        examples.sort_unstable();
        assert_eq!(examples, (0..POINTS[0] as u32).collect::<Vec<_>>(), "rounds from {first}");
    }
    assert_ne!(pass(1), pass(4), "each pass has an order of its own");
    assert_eq!([1, 2, 3].map(|round| dealt(round).len()), [40; 3]);
}

#[test]
fn a_line_is_found_in_every_way_and_the_same_however_legs_are_cut() {
    for way in [
        json!({"agree": "average", "epochs_per_round": 2, "clip": 5.0}),
        json!({"agree": "average", "precision": "int8", "average_decay": 0.5}),
        json!({"agree": "diloco", "precision": "bf16", "rounds_per_epoch": 2}),
        json!({"agree": "gradient", "batch": 300, "rounds": 30}),
    ] {
        let (mut sliced, whole_job) = (way.clone(), job(way.clone()));
        sliced["reduce"] = json!("sliced");
        let whole = Place::new();
        let rounds = whole.rounds(&whole_job, 3, 0);
        let (first, last) =
            (rounds[0].score.clone().unwrap(), rounds[rounds.len() - 1].score.clone().unwrap());
        println!("{way}: {} to {}", first.values[1], last.values[1]);
        assert!(last.values[1] < 0.8 * first.values[1], "{way}: {} to {}", first.values[1], last.values[1]);
        let expected = whole.parameters(&whole_job, rounds.last().unwrap());
        for (job, leg_steps) in [(&whole_job, 1), (&job(sliced), 1)] {
            let cut = Place::new();
            let found = cut.rounds(job, 3, leg_steps);
            assert!(cut.parameters(job, found.last().unwrap()) == expected, "{way}, legs of {leg_steps}");
            assert_eq!(found.last().unwrap().score, Some(last.clone()), "{way}");
        }
    }
}

#[test]
fn rungs_find_the_rate_of_a_line() {
    let job = job(json!({"tune": {"trials": 8, "keep": 2, "epochs": 2}}));
    let (one, three) = (Place::new(), Place::new());
    let (whole, cut) = (one.rounds(&job, 1, 0), three.rounds(&job, 3, 1));
    let table = |place: &Place, rungs: &[Combined]| {
        table_of(&place.root.run(&place.run).combined(), rungs.last().unwrap().state.as_ref().unwrap())
            .unwrap()
    };
    let found = table(&one, &whole);
    assert_eq!(table(&three, &cut), found, "other workers, other legs");
    let (best, score) = found.best().unwrap();
    // The table is JSON, which may lose the last bit of a number.
    let told = whole.last().unwrap().score.as_ref().unwrap();
    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-12 * b.abs();
    assert!(score.of == told.of && score.values.iter().zip(&told.values).all(near), "{score:?}, {told:?}");
    let line = Line::new(&job);
    let untrained = line.score(&line.first().unwrap()).unwrap().unwrap();
    assert!(score.values[1] < 0.5 * untrained.values[1], "{best:?}, {untrained:?} before");
}
