//! The head's training against PyTorch's, step by step, and burn's devices against each other.

use super::*;
use crate::testing::reference_path;
use serde_json::{Value, json};

const SEED: u64 = 20_261_121;
const ROWS: usize = 200;
const INPUTS: usize = 24;
const CLASSES: usize = 7;
const BATCH: usize = 32;

/// The data of `tests/reference/make_head_reference.py`.
fn data() -> (Vec<f32>, Vec<u32>) {
    let mut stream = Stream::new(SEED, Purpose::Order, 0, 0);
    let features: Vec<f32> = (0..ROWS * INPUTS).map(|_| stream.symmetric(2.0)).collect();
    let largest =
        |row: &[f32]| (0..CLASSES).fold(0, |best, c| if row[c] > row[best] { c } else { best }) as u32;
    let labels = features.chunks(INPUTS).map(largest).collect();
    (features, labels)
}

fn job(changes: Value) -> Job {
    let mut job = json!({"dataset": "d", "network": "vgg11", "rounds": 100, "seed": SEED});
    job.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    Job::from_value(job).unwrap()
}

/// The mean loss of each of 100 steps.
fn curve(job: &Job) -> Vec<f64> {
    let (features, labels) = data();
    let shape = HeadShape::new(job, INPUTS, CLASSES).unwrap();
    let (trainer, optimizer) = (Trainer::new(job, &shape, 1).unwrap(), Optimizer::new(job, &shape));
    let mut state = optimizer.start(shape.initial(job.seed));
    let step = |step: usize| {
        let rows: Vec<usize> = (0..BATCH).map(|i| (step * BATCH + i) % ROWS).collect();
        let features: Vec<f32> =
            rows.iter().flat_map(|&r| &features[r * INPUTS..(r + 1) * INPUTS]).copied().collect();
        let labels: Vec<u32> = rows.iter().map(|&r| labels[r]).collect();
        let batch = Batch { features: &features, labels: &labels };
        let rate = rate(job, step as f64, 1.0);
        trainer.step(&optimizer, rate, batch, &mut state).unwrap() / BATCH as f64
    };
    (0..100).map(step).collect()
}

fn reference(name: &str) -> Vec<f64> {
    let text = std::fs::read(reference_path("head_reference.json")).unwrap();
    let reference: Value = serde_json::from_slice(&text).unwrap();
    serde_json::from_value(reference[name].clone()).unwrap()
}

fn softmax(device: &str) -> Job {
    job(json!({"learning_rate": 0.1, "weight_decay": 1e-3, "device": device, "schedule": {"kind": "cosine"},
        "optimizer": {"kind": "sgd", "momentum": 0.9, "nesterov": true}}))
}

fn mlp(device: &str) -> Job {
    job(json!({"learning_rate": 0.02, "weight_decay": 1e-2, "device": device, "label_smoothing": 0.1,
        "schedule": {"kind": "step", "every": 30, "factor": 0.5}, "head": {"kind": "mlp", "hidden": 16},
        "optimizer": {"kind": "adamw", "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-7}}))
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn the_loss_curve_is_that_of_pytorch() {
    for (job, name) in
        [(softmax("flex"), "softmax_sgd_nesterov_cosine"), (mlp("flex"), "mlp_adamw_step_smoothing")]
    {
        let (found, expected) = (curve(&job), reference(name));
        let difference = largest_difference(&found, &expected);
        println!("{name}: {:.6} to {:.6}, largest difference {difference:.1e}", found[0], found[99]);
        assert!(difference < 1e-4, "{name}: {difference}");
        assert!(found[99] < found[0] / 2.0, "it learns");
    }
}

#[cfg(feature = "ndarray")]
#[test]
fn both_devices_agree() {
    for make in [softmax, mlp] {
        let difference = largest_difference(&curve(&make("flex")), &curve(&make("ndarray")));
        assert!(difference < 1e-4, "{difference}");
    }
}

/// A job whose head is computed by our own products, and heads of one and of three layers.
fn own(changes: Value) -> (Job, [HeadShape; 2]) {
    let mut job = job(changes);
    job.head = Head::Classifier;
    (job, [&[INPUTS, CLASSES][..], &[INPUTS, 50, 20, CLASSES]].map(|w| HeadShape { widths: w.to_vec() }))
}

#[test]
fn our_own_gradient_is_that_of_autodiff() {
    let (features, labels) = data();
    let batch = Batch { features: &features, labels: &labels };
    for (device, smoothing) in [("flex", 0.0), ("flex", 0.1), ("ndarray", 0.1)] {
        if device == "ndarray" && cfg!(not(feature = "ndarray")) {
            continue;
        }
        let (job, shapes) = own(json!({"device": device, "label_smoothing": smoothing}));
        for shape in shapes {
            let trainer = Trainer::new(&job, &shape, 2).unwrap();
            let parameters: Vec<f32> = shape.initial(SEED).iter().map(|p| 5.0 * p).collect();
            let [mut own, mut burn] = [(); 2].map(|()| vec![1.0_f32; shape.parameters()]);
            let loss = trainer.add_gradient(&parameters, batch, &mut own).unwrap();
            let by_burn = trainer.add_gradient_by_autodiff(&parameters, batch, &mut burn).unwrap();
            let largest = burn.iter().fold(0.0_f32, |m, g| m.max(g.abs()));
            let apart = own.iter().zip(&burn).fold(0.0_f32, |m, (a, b)| m.max((a - b).abs())) / largest;
            let layers = shape.layers().len();
            println!("{device}, smoothing {smoothing}, {layers} layers: {apart:.1e} of the largest apart");
            assert!(apart < 2e-6, "{device} {smoothing}: {apart}");
            assert!((loss / by_burn - 1.0).abs() < 1e-6, "{loss} and {by_burn}");
        }
    }
}

#[test]
fn a_step_in_blocks_is_the_step_along_the_whole_gradient() {
    let (features, labels) = data();
    let batch = Batch { features: &features, labels: &labels };
    for optimizer in
        [json!({"kind": "sgd", "momentum": 0.0}), json!({"kind": "sgd"}), json!({"kind": "adamw"})]
    {
        let (job, shapes) = own(json!({"weight_decay": 0.01, "optimizer": optimizer}));
        for shape in shapes {
            let trainer = Trainer::new(&job, &shape, 1).unwrap();
            let optimizer = Optimizer::new(&job, &shape);
            let mut fused = optimizer.start(shape.initial(SEED));
            let mut plain = fused.clone();
            for _ in 0..3 {
                trainer.step(&optimizer, 0.1, batch, &mut fused).unwrap();
                let mut gradient = vec![0.0; shape.parameters()];
                trainer.add_gradient(&plain.parameters, batch, &mut gradient).unwrap();
                gradient.iter_mut().for_each(|g| *g /= ROWS as f32);
                optimizer.step(0.1, &gradient, &mut plain);
            }
            let pairs = fused.parameters.iter().zip(&plain.parameters);
            let apart = pairs.fold(0.0_f32, |m, (a, b)| m.max((a - b).abs()));
            assert!(apart < 2e-6 && fused.steps == 3, "{:?}: {apart}", job.optimizer);
        }
    }
}

#[test]
fn the_number_of_threads_never_shows() {
    let (job, _) = own(json!({"optimizer": {"kind": "adamw"}}));
    let shape = HeadShape { widths: vec![1100, 700, 600, CLASSES] };
    assert!(shape.parameters() > 1 << 20, "large enough for threads");
    let mut stream = Stream::new(1, Purpose::Order, 0, 0);
    let features: Vec<f32> = (0..9 * 1100).map(|_| stream.symmetric(2.0)).collect();
    let labels: Vec<u32> = (0..9).map(|row| row % CLASSES as u32).collect();
    let [one, three] = [1, 3].map(|threads| {
        let trainer = Trainer::new(&job, &shape, threads).unwrap();
        let optimizer = Optimizer::new(&job, &shape);
        let mut state = optimizer.start(shape.initial(SEED));
        let batch = Batch { features: &features, labels: &labels };
        let losses = [(); 3].map(|()| trainer.step(&optimizer, 0.01, batch, &mut state).unwrap());
        (state, losses)
    });
    assert_eq!(one, three);
    assert!(one.1[2] < one.1[0], "it learns");
}

#[test]
fn layers_fill_the_parameters_without_a_gap() {
    let shape = HeadShape { widths: vec![5, 4, 3] };
    let ranges: Vec<_> = shape.layers().into_iter().flat_map(|l| [l.weight, l.bias]).collect();
    assert_eq!(ranges, [0..20, 20..24, 24..36, 36..39]);
    assert_eq!(shape.parameters(), 39);
    let bound = 1.0 / 5.0_f32.sqrt();
    let initial = shape.initial(1);
    assert!(initial[..24].iter().all(|v| v.abs() <= bound) && initial[24..].iter().all(|v| v.abs() <= 0.5));
    assert_ne!(initial, shape.initial(2));
}
