//! A transformer's sentences or images per second: `cargo bench -p frozen --bench tokens -- minilm_l6`.
//!
//! Options: `--tokens 128 --size 224 --batch 8 --threads 2 --point <cut> --rounds 10 --isa avx2 --layers`;
//! `--lengths 7,40,21` has sentences of these lengths instead. Weights are random. Prints the median and the
//! best round, and the share of the measured FMA peak.

use std::borrow::Cow;
use std::time::Instant;

use frozen::{BoxError, Compiled, Encoder, Isa, LayerTime, Options, Parameters, Sentences};
use meter::{Round, summary};
use networks::{Input, Network, network};
use words::Words;

mod meter;
mod words;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let words = Words::given();
    let name = words.network();
    let (batch, threads) = (words.number("--batch", 8)?, words.number("--threads", 2)?);
    let whole = network(name)?;
    let network = whole.up_to(words.option("--point").unwrap_or(whole.default_cut))?;
    let isa = match words.option("--isa") {
        None => Isa::best(),
        Some("avx512") => Isa::Avx512,
        Some("avx2") => Isa::Avx2,
        Some("portable") => Isa::Portable,
        Some(other) => return Err(format!("--isa is avx512, avx2 or portable, found `{other}`").into()),
    };
    let peak = frozen::peak(isa).ok_or("this CPU lacks that instruction set")?;
    let options = Options { threads, isa: Some(isa), ..Options::default() };
    let start = Instant::now();
    let mut pass = Pass::new(&network, &words, batch, options)?;
    println!("compiled in {:.2} s", start.elapsed().as_secs_f64());
    pass.run()?;
    let before: Vec<f64> = pass.profile().iter().map(|layer| layer.seconds).collect();
    let mut rounds = Vec::new();
    for _ in 0..words.number("--rounds", 10)? {
        rounds.push(Round::of(|| pass.run())?);
    }
    if std::env::args().any(|word| word == "--layers") {
        for (layer, before) in pass.profile().iter().zip(before) {
            let each = (layer.seconds - before) / rounds.len() as f64;
            println!("  {:>8.3} ms  {:<10} {}", each * 1e3, layer.algorithm, layer.name);
        }
    }
    let count = pass.count();
    let (_, busy) = summary(&format!("{name}, {}, {threads} threads", pass.what()), count, rounds);
    let work = 2.0 * pass.multiply_adds(&network)? as f64 / count as f64;
    println!(
        "  {:.1} GFLOP/s per busy CPU of {:.1} at the peak: {:.0} %; {:.2} GFLOP each",
        busy * work * 1e-9,
        peak * 1e-9,
        100.0 * busy * work / peak,
        work * 1e-9
    );
    Ok(())
}

/// The pass that is measured: of texts or of images.
enum Pass {
    Texts { encoder: Encoder, ids: Vec<u32>, lengths: Vec<usize>, out: Vec<f32> },
    Images { compiled: Compiled, images: Vec<f32>, n: usize, side: usize, out: Vec<f32> },
}

impl Pass {
    fn new(network: &Network, words: &Words, n: usize, options: Options) -> Result<Pass, Failure> {
        let Input::Tokens { vocabulary, .. } = network.input() else {
            let side = words.number("--size", 224)?;
            let compiled = Compiled::new(network, (side, side), &Noise, options)?;
            let out = vec![0.0; n * compiled.features()];
            return Ok(Pass::Images { compiled, images: noise(n * side * side * 3, 1.0), n, side, out });
        };
        let lengths: Vec<usize> = match words.option("--lengths") {
            Some(lengths) => lengths.split(',').map(str::parse).collect::<Result<_, _>>()?,
            None => vec![words.number("--tokens", 128)?; n],
        };
        let count: usize = lengths.iter().sum();
        let ids = (0..count).map(|at| (at * 7919 % vocabulary) as u32).collect();
        let encoder = Encoder::new(network, &Noise, options)?;
        let out = vec![0.0; lengths.len() * encoder.features()];
        Ok(Pass::Texts { encoder, ids, lengths, out })
    }

    fn run(&mut self) -> Result<(), frozen::Error> {
        match self {
            Pass::Texts { encoder, ids, lengths, out } => {
                encoder.run(&Sentences { ids, segments: &[], lengths }, out)
            }
            Pass::Images { compiled, images, n, out, .. } => compiled.run(images, *n, out),
        }
    }

    fn profile(&self) -> Vec<LayerTime> {
        match self {
            Pass::Texts { encoder, .. } => encoder.profile(),
            Pass::Images { compiled, .. } => compiled.profile(),
        }
    }

    fn count(&self) -> usize {
        match self {
            Pass::Texts { lengths, .. } => lengths.len(),
            Pass::Images { n, .. } => *n,
        }
    }

    fn what(&self) -> String {
        match self {
            Pass::Texts { ids, lengths, .. } => {
                format!("{} sentences of {} tokens", lengths.len(), ids.len())
            }
            Pass::Images { n, side, .. } => format!("{n} images of {side} px"),
        }
    }

    fn multiply_adds(&self, network: &Network) -> Result<u64, networks::Error> {
        match self {
            Pass::Texts { lengths, .. } => {
                lengths.iter().map(|length| network.token_multiply_adds(*length)).sum()
            }
            Pass::Images { n, side, .. } => Ok(*n as u64 * network.multiply_adds(*side, *side)?),
        }
    }
}

/// Weights from a counter, small enough for activations to stay in range.
struct Noise;

impl Parameters for Noise {
    fn get(&self, name: &str, shape: &[usize]) -> Result<Cow<'_, [f32]>, BoxError> {
        let count: usize = shape.iter().product();
        let values = match shape {
            [_] if name.ends_with("weight") => vec![1.0; count],
            [_, rest @ ..] if !rest.is_empty() => {
                noise(count, (3.0 / rest.iter().product::<usize>() as f32).sqrt())
            }
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
