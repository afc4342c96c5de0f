//! The same frozen pass as `cargo bench -p frozen`, computed by burn on one of its devices, for comparison
//! with Baton.
//!
//! `RAYON_NUM_THREADS=2 cargo bench -p transfer --bench burn -- vgg19 --device flex`, with
//! `--size 224 --batch 8 --rounds 3`; burn takes its threads from rayon's own environment variable.

use meter::{Round, summary};
use networks::network;
use rounds::random::{Purpose, Stream};
use transfer::burn_net::BurnNet;
use transfer::device::device;
use transfer::job::Device;
use transfer::untrained::Untrained;
use words::Words;

#[path = "../../../frozen/benches/meter/mod.rs"]
mod meter;
#[path = "../../../frozen/benches/words/mod.rs"]
mod words;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let words = Words::given();
    let name = words.network();
    let (size, batch) = (words.number("--size", 224)?, words.number("--batch", 8)?);
    let named = match words.option("--device").unwrap_or("flex") {
        "flex" => Device::Flex,
        "ndarray" => Device::Ndarray,
        other => return Err(format!("--device is flex or ndarray, found `{other}`").into()),
    };
    let whole = network(name)?;
    let network = whole.up_to(whole.default_cut)?;
    let net = BurnNet::new(&network, &Untrained { seed: 1 }, &device(named)?)?;
    let mut stream = Stream::new(1, Purpose::Untrained, 0, 0);
    let images: Vec<f32> = (0..batch * size * size * 3).map(|_| stream.symmetric(1.0)).collect();
    let pass = || net.features(&images, batch, (size, size), false);
    pass()?;
    let rounds = (0..words.number("--rounds", 3)?).map(|_| Round::of(pass)).collect::<Result<_, _>>()?;
    let threads = std::env::var("RAYON_NUM_THREADS").unwrap_or_else(|_| "all".into());
    summary(&format!("{name} at {size} px, batch {batch}, {threads} threads, burn {named:?}"), batch, rounds);
    Ok(())
}
