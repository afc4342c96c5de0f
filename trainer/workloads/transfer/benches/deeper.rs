//! Training more than one layer: seconds per step and peak memory, of a network's whole classifier (VGG19's
//! has 119.6 million weights), or of the layers between two of its points.
//!
//! `cargo bench -p transfer --bench deeper -- vgg19 --batch 8 --optimizer sgd --threads 2 --steps 12`, or
//! `adamw`; `… -- vgg19 --cut images --up-to pool5 --side 224` trains its convolutions, all of them.

use noise_weights::{features_at, install_noise};
use protocol::RunId;
use serde_json::json;
use std::time::Instant;
use storage::Root;
use store::{make_store, peak_mb};
use transfer::{Transfer, course};
use words::Words;
use work::{Stage, Workload};

mod noise_weights;
mod store;
#[path = "../../../frozen/benches/words/mod.rs"]
mod words;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let words = Words::given();
    let (batch, steps) = (words.number("--batch", 8)?, words.number("--steps", 12)?);
    let optimizer = match words.option("--optimizer").unwrap_or("sgd") {
        "sgd" => json!({"kind": "sgd", "momentum": 0.9}),
        "adamw" => json!({"kind": "adamw"}),
        other => return Err(format!("--optimizer is sgd or adamw, found `{other}`").into()),
    };
    let folder = tempfile::tempdir()?;
    let root = Root::open(folder.path())?;
    let network = networks::network(words.network())?;
    install_noise(&root, &network)?;
    let side = words.number("--side", 224)?;
    let (cut, pool, head) = match words.option("--cut") {
        None => (network.below_classifier()?, "average", json!({"kind": "classifier"})),
        Some(cut) => (cut, "none", json!({"kind": "layers", "up_to": words.option("--up-to")})),
    };
    let features = make_store(&root, batch * steps, features_at(&network, cut, side)?);
    let job = protocol::Job::from_value(json!({
        "dataset": "d", "network": words.network(), "cut": cut, "pool": pool, "image_size": side,
        "head": head, "batch": batch, "rounds": 2, "learning_rate": 1e-4, "weight_decay": 1e-4,
        "optimizer": optimizer,
    }))?;
    let run = RunId::new("bench")?;
    root.run(&run).create()?;
    let stage = Stage {
        root: &root,
        run: &run,
        job: &job,
        course: &course(&transfer::Job::of(&job)?),
        number: 1,
        workers: 1,
        features: &features,
        state: None,
        threads: words.number("--threads", 2)?,
    };
    let mut work = Transfer.open(&stage, 0, None)?;
    let mut seconds = Vec::new();
    while !work.progress().finished() {
        let start = Instant::now();
        work.step()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.drain(..2); // the first ones read the features' checksums and touch new memory
    seconds.sort_by(f64::total_cmp);
    println!("median {:.4} s a step, best {:.4} s", seconds[seconds.len() / 2], seconds[0]);
    println!("peak memory {:.0} MB", peak_mb());
    Ok(())
}
