//! Images per second of a frozen pass with random weights: `cargo bench -p frozen -- vgg19 --threads 2`.
//!
//! Options:
//! `--size 224 --batch 8 --threads 2 --point <cut> --rounds 10 --together <images> --isa portable --layers`.
//! Prints the median and the best round, the direct operations of both, and the measured FMA peak.

use std::borrow::Cow;
use std::time::Instant;

use frozen::{BoxError, Compiled, Isa, Options, Parameters};
use meter::{Round, summary};
use networks::network;
use words::Words;

mod meter;
mod words;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let words = Words::given();
    let name = words.network();
    let (size, batch, threads) =
        (words.number("--size", 224)?, words.number("--batch", 8)?, words.number("--threads", 2)?);
    let whole = network(name)?;
    let network = whole.up_to(words.option("--point").unwrap_or(whole.default_cut))?;
    let isa = match words.option("--isa") {
        None => None,
        Some("avx512") => Some(Isa::Avx512),
        Some("avx2") => Some(Isa::Avx2),
        Some("portable") => Some(Isa::Portable),
        Some(other) => return Err(format!("--isa is avx512, avx2 or portable, found `{other}`").into()),
    };

    let peak = frozen::peak(isa.unwrap_or_else(Isa::best)).ok_or("this CPU lacks that instruction set")?;
    let start = Instant::now();
    let together = words.option("--together").map(|word| word.parse()).transpose()?;
    let options = Options { threads, isa, batch: together, ..Options::default() };
    let mut compiled = Compiled::new(&network, (size, size), &Noise, options)?;
    println!(
        "compiled in {:.2} s, {:?} images go together",
        start.elapsed().as_secs_f64(),
        compiled.batches()
    );
    let images: Vec<f32> = noise(batch * size * size * 3, 1.0);
    let mut features = vec![0.0; batch * compiled.features()];
    compiled.run(&images, batch, &mut features)?;
    let before: Vec<f64> = compiled.profile().iter().map(|layer| layer.seconds).collect();

    let mut rounds = Vec::new();
    for _ in 0..words.number("--rounds", 10)? {
        rounds.push(Round::of(|| compiled.run(&images, batch, &mut features))?);
    }
    if std::env::args().any(|word| word == "--layers") {
        for (layer, before) in compiled.profile().iter().zip(before) {
            let each = (layer.seconds - before) / rounds.len() as f64;
            println!("  {:>8.2} ms  {:<14} {}", each * 1e3, layer.algorithm, layer.name);
        }
    }
    println!("peak {:.1} GFLOP/s a thread", peak / 1e9);
    let (median, busy) =
        summary(&format!("{name} at {size} px, batch {batch}, {threads} threads"), batch, rounds);
    let direct = 2e-9 * network.multiply_adds(size, size)? as f64;
    println!(
        "  {:.0} direct GFLOP/s at the median, {:.0} per busy CPU; {direct:.2} GFLOP an image",
        direct * median,
        direct * busy
    );
    Ok(())
}

/// Weights of He's size from a counter, so that activations stay in range.
struct Noise;

impl Parameters for Noise {
    fn get(&self, name: &str, shape: &[usize]) -> Result<Cow<'_, [f32]>, BoxError> {
        let count: usize = shape.iter().product();
        let values = match (name.rsplit('.').next(), shape.len()) {
            (Some("running_var"), _) | (Some("weight"), 1) => vec![1.0; count],
            (Some("weight"), _) => noise(count, (6.0 / (count / shape[0]) as f32).sqrt()),
            _ => noise(count, 0.1),
        };
        Ok(Cow::Owned(values))
    }
}

/// Uniform numbers in ±`scale` (xorshift).
fn noise(count: usize, scale: f32) -> Vec<f32> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * scale
    };
    std::iter::repeat_with(next).take(count).collect()
}
