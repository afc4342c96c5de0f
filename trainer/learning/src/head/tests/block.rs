//! How much of a block is in memory at once.

use super::*;

/// A job that trains all convolutions of a network on images of that side.
fn whole(network: &str, up_to: &str, side: usize) -> Job {
    job(
        json!({"network": network, "cut": "images", "image_size": side, "head": {"kind": "layers", "up_to": up_to}}),
    )
}

#[test]
fn as_many_images_go_together_as_their_maps_allow() {
    let block = |network, up_to, side: usize| {
        let shape = HeadShape::new(&whole(network, up_to, side), 3 * side * side, CLASSES).unwrap();
        (shape.block().unwrap().piece(), shape.block().unwrap().recomputes())
    };
    assert_eq!(block("squeezenet1_1", "fire9", 96), (8, false));
    assert_eq!(block("resnet50", "layer4", 224), (1, false)); // 36 million values an image
    assert_eq!(block("resnet18", "layer4", 224), (8, false)); // 8 million
    assert_eq!(block("vgg19", "pool5", 224), (2, false)); // 31 million
    assert_eq!(block("vgg19", "pool5", 448), (1, true)); // 125 million
}

#[test]
fn what_is_computed_again_is_what_was_kept() {
    for (job, size) in [(fire9(), FIRE), (layer4(), LAYER)] {
        let shape = HeadShape::new(&job, size.inputs, CLASSES).unwrap();
        let (parameters, (features, labels)) = (first(&shape), data(size));
        let batch = Batch { features: &features, labels: &labels, ..Batch::default() };
        let mut trainer = Trainer::new(&job, &shape, 2).unwrap();
        let [kept, again] = [false, true].map(|again| {
            if again {
                trainer.tracking = trainer.tracking.clone().gradient_checkpointing();
            }
            let mut sum = vec![0.0; parameters.len()];
            let loss = trainer.add_gradient(&parameters, batch, &mut sum).unwrap();
            (loss, sum)
        });
        assert!(kept == again, "{}", job.network);
    }
}
