//! Dropout: with the same masks, losses are those of PyTorch; and what masks depend on.

use super::super::dropout::Dropout;
use super::*;
use rounds::Training;

fn with(job: Job, dropout: f64) -> Job {
    Job { dropout, ..job }
}

#[test]
fn the_loss_curve_with_dropout_is_that_of_pytorch() {
    let sgd = own(json!({"learning_rate": 0.05, "weight_decay": 1e-3})).0;
    let small = |job: &Job| HeadShape::new(job, INPUTS, CLASSES).unwrap();
    let fire = fire9();
    let fire_shape = HeadShape::new(&fire, FIRE.inputs, CLASSES).unwrap();
    for (name, job, shape, size) in [
        ("softmax_dropout", with(softmax("flex"), 0.2), small(&softmax("flex")), SMALL),
        ("classifier_dropout", with(sgd, 0.5), linear(&[INPUTS, 50, 20, CLASSES]), SMALL),
        ("mlp_dropout", with(mlp("flex"), 0.25), small(&mlp("flex")), SMALL),
        ("fire9_dropout", with(fire, 0.5), fire_shape, FIRE),
    ] {
        let found = curve(&job, &shape, size);
        let difference = largest_difference(&found, &reference(name));
        println!(
            "{name}: {:.6} to {:.6}, largest difference {difference:.1e}",
            found[0],
            found[found.len() - 1]
        );
        assert!(difference < 1e-4, "{name}: {difference}");
        let without = curve(&with(job, 0.0), &shape, size);
        assert!(largest_difference(&found, &without) > 0.1, "{name}: nothing is dropped");
    }
}

#[test]
fn nothing_is_dropped_in_scoring() {
    let (features, _) = data(SMALL);
    for job in [softmax("flex"), mlp("flex"), own(json!({})).0] {
        let shape = match job.head {
            Head::Classifier => linear(&[INPUTS, 50, 20, CLASSES]),
            _ => HeadShape::new(&job, INPUTS, CLASSES).unwrap(),
        };
        let [plain, dropped] = [0.0, 0.7].map(|dropout| {
            let trainer = engine(&with(job.clone(), dropout), &shape, 1).unwrap();
            trainer.scores(&shape.initial(SEED), features.clone()).unwrap()
        });
        assert!(plain == dropped, "{:?}", job.head);
    }
}

#[test]
fn a_mask_is_the_images_own_in_each_pass() {
    println!("seed {SEED}");
    let job = with(own(json!({})).0, 0.25);
    let shape = linear(&[INPUTS, 500, 200, CLASSES]);
    let masks = |job: &Job, pass: u32, images: &[u32]| {
        Dropout::of(job, &shape).masks(&Batch { images, pass, ..Batch::default() })
    };
    let all = masks(&job, 3, &[7, 1_000_000, 2]);
    assert!(all.of(0).is_none(), "the first layer of several reads everything");
    for (layer, inputs) in [(1, 500), (2, 200)] {
        let rows: Vec<&[f32]> = all.of(layer).unwrap().chunks(inputs).collect();
        assert_eq!(masks(&job, 3, &[2]).of(layer).unwrap(), rows[2], "whatever else is in the batch");
        assert_ne!(rows[0], rows[2]);
        assert_ne!(masks(&job, 4, &[2]).of(layer).unwrap(), rows[2], "another pass");
        assert_ne!(
            masks(&Job { training: Training { seed: 1, ..job.training.clone() }, ..job.clone() }, 3, &[2])
                .of(layer)
                .unwrap(),
            rows[2],
            "another seed"
        );
        let kept = rows.concat().iter().filter(|factor| **factor == 1.0 / 0.75).count();
        let dropped = rows.concat().iter().filter(|factor| **factor == 0.0).count();
        assert_eq!(kept + dropped, 3 * inputs);
        assert!((0.2..0.3).contains(&(dropped as f64 / (3 * inputs) as f64)), "{dropped} of {}", 3 * inputs);
    }
    assert_ne!(all.of(1).unwrap()[..200], all.of(2).unwrap()[..200], "each layer has its own numbers");
    assert!(masks(&with(job, 0.0), 3, &[7]).of(1).is_none());
}

#[test]
fn the_pieces_of_a_batch_have_the_masks_of_their_images() {
    let (job, (features, labels)) = (with(fire9(), 0.5), data(FIRE));
    let shape = HeadShape::new(&job, FIRE.inputs, CLASSES).unwrap();
    let (parameters, images) = (first(&shape), Vec::from_iter(100..100 + FIRE.rows as u32));
    let gradient = |threads: usize, rows: usize| {
        let (trainer, mut sum) = (engine(&job, &shape, threads).unwrap(), vec![0.0; parameters.len()]);
        for first in (0..FIRE.rows).step_by(rows) {
            let rows = first..FIRE.rows.min(first + rows);
            let batch = Batch {
                features: &features[rows.start * FIRE.inputs..rows.end * FIRE.inputs],
                labels: &labels[rows.clone()],
                images: &images[rows],
                pass: 2,
            };
            trainer.add_gradient(&parameters, batch, &mut sum).unwrap();
        }
        sum
    };
    let whole = gradient(1, 40);
    assert!(gradient(3, 40) == whole, "other threads");
    let piece = shape.block().unwrap().trained(1).unwrap().images();
    assert!(piece < FIRE.rows && gradient(1, piece) == whole, "each piece by itself");
}
