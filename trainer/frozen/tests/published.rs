//! Transformers compared with their publishers' own results: on generated weights, whose results are in this
//! repository, and on real weights.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use frozen::{BoxError, Compiled, Encoder, Options, Parameters, Sentences};
use networks::{Input, Network, Spelling, network};
use safetensors::SafeTensors;

/// Generated weights, by the formula of tests/reference/make_reference.py.
struct Seeded;

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Values in [-1, 1) of 24 random bits each.
fn uniform(name: &str, count: usize) -> Vec<f32> {
    let fnv1a = |key: u64, byte: u8| (key ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let key = name.bytes().fold(0xcbf2_9ce4_8422_2325, fnv1a);
    let word = |i: u64| {
        let z = key.wrapping_add(i.wrapping_mul(GOLDEN));
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (1..=count as u64).map(|i| (word(i) >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
}

impl Parameters for Seeded {
    fn get(&self, name: &str, shape: &[usize]) -> Result<Cow<'_, [f32]>, BoxError> {
        let mut values = uniform(name, shape.iter().product());
        if shape.len() > 1 {
            let bound = (6.0 / shape[1..].iter().product::<usize>() as f64).sqrt() as f32;
            values.iter_mut().for_each(|value| *value *= bound);
        } else {
            let about = if name.ends_with("weight") { 1.0 } else { 0.0 };
            values.iter_mut().for_each(|value| *value = *value / 8.0 + about);
        }
        Ok(Cow::Owned(values))
    }
}

/// A file of weights, under any publisher's names.
struct Filed<'a> {
    file: SafeTensors<'a>,
    spelling: Spelling,
}

impl<'a> Filed<'a> {
    fn of(network: &Network, bytes: &'a [u8]) -> Filed<'a> {
        let file = SafeTensors::deserialize(bytes).expect("safetensors");
        let spelling = network.spelling(|name| file.tensor(name).is_ok());
        Filed { file, spelling }
    }
}

fn tensor(file: &SafeTensors, name: &str) -> Result<Vec<f32>, BoxError> {
    let floats = file.tensor(name)?.data().chunks_exact(4);
    Ok(floats.map(|four| f32::from_le_bytes(four.try_into().expect("four bytes"))).collect())
}

impl Parameters for Filed<'_> {
    fn get(&self, name: &str, shape: &[usize]) -> Result<Cow<'_, [f32]>, BoxError> {
        self.spelling.read(name, shape, |name, _| Ok(Cow::Owned(tensor(&self.file, name)?)))
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn two_threads() -> Options {
    Options { threads: 2, ..Options::default() }
}

/// A file of real data; none, with a printed note, if it is missing.
fn real(test: &str, file: &str) -> Option<Vec<u8>> {
    let folder = std::env::var_os("BATON_DATA").map_or(workspace().join("../shared/data"), PathBuf::from);
    let bytes = std::fs::read(folder.join(file)).ok();
    if bytes.is_none() {
        println!("SKIPPED: {test}: no {file}; docs/testing.md says what BATON_DATA may hold");
    }
    bytes
}

fn farthest(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let apart = found.iter().zip(expected).map(|(x, y)| (x - y).abs());
    apart.fold(0.0, |most, apart| if apart.is_nan() { f32::INFINITY } else { most.max(apart) })
}

/// The lengths, ids and segments of make_transformers.py.
fn made_up_text(network: &Network) -> (Vec<u32>, Vec<u8>, [usize; 4]) {
    let (lengths, mut ids, mut segments) = ([7, 1, 33, 12], Vec::new(), Vec::new());
    let Input::Tokens { vocabulary, .. } = network.input() else { panic!("a network of texts") };
    let two =
        |parameter: &networks::Parameter| parameter.name.contains("token_type") && parameter.shape[0] > 1;
    let of_two = network.parameters().iter().any(two);
    for (sentence, length) in lengths.into_iter().enumerate() {
        let unit = uniform(&format!("ids {sentence}"), length);
        let id = |unit: f32| ((f64::from(unit) / 2.0 + 0.5) * (vocabulary - 3) as f64) as u32 + 3;
        ids.extend(unit.into_iter().map(id));
        segments.extend((0..length).filter(|_| of_two).map(|at| u8::from(at >= length.div_ceil(2))));
    }
    (ids, segments, lengths)
}

/// `[n, 3, side, side]` to `[n, side, side, 3]`.
fn channels_last(planes: &[f32], side: usize) -> Vec<f32> {
    let pixels = side * side;
    let at = |i: usize| i / (3 * pixels) * 3 * pixels + i % 3 * pixels + i / 3 % pixels;
    (0..planes.len()).map(|i| planes[at(i)]).collect()
}

#[test]
fn made_up_weights_give_what_torchvision_timm_and_transformers_give() {
    let bytes = std::fs::read(workspace().join("tests/reference/transformers.safetensors")).unwrap();
    let reference = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(reference.names().len(), 8);
    for what in reference.names() {
        let expected = tensor(&reference, what).unwrap();
        let (name, side) = what.split_once(" at ").unwrap_or((what, ""));
        let network = network(name).unwrap();
        let mut found = vec![f32::NAN; expected.len()];
        if let Ok(side) = side.parse::<usize>() {
            let mut compiled = Compiled::new(&network, (side, side), &Seeded, two_threads()).unwrap();
            let images = channels_last(&uniform("image", 2 * 3 * side * side), side);
            compiled.run(&images, 2, &mut found).unwrap();
        } else {
            let mut encoder = Encoder::new(&network, &Seeded, two_threads()).unwrap();
            let (ids, segments, lengths) = made_up_text(&network);
            encoder
                .run(&Sentences { ids: &ids, segments: &segments, lengths: &lengths }, &mut found)
                .unwrap();
        }
        let error = farthest(&found, &expected);
        println!("{what}: {error:.1e} apart");
        assert!(error < 1e-4, "{what}: {error:.1e} apart");
    }
}

#[test]
fn minilm_gives_the_means_of_its_publishers_sentences() {
    let test = "minilm_gives_the_means_of_its_publishers_sentences";
    let Some(weights) = real(test, "weights/minilm_l6.safetensors") else { return };
    let Some(reference) = real(test, "reference/minilm.json") else { return };
    let network = network("minilm_l6").unwrap();
    let mut encoder = Encoder::new(&network, &Filed::of(&network, &weights), two_threads()).unwrap();
    let reference: serde_json::Value = serde_json::from_slice(&reference).unwrap();
    let sentences = reference["sentences"].as_array().unwrap();
    assert_eq!(sentences.len(), 7);
    let (mut all, mut lengths, mut expected) = (Vec::new(), Vec::new(), Vec::new());
    for sentence in sentences {
        let before = all.len();
        all.extend(sentence["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32));
        lengths.push(all.len() - before);
        expected
            .extend(sentence["mean_pooled"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32));
    }
    let mut found = vec![f32::NAN; expected.len()];
    encoder.run(&Sentences { ids: &all, segments: &[], lengths: &lengths }, &mut found).unwrap();
    let error = farthest(&found, &expected);
    println!("MiniLM-L6: {error:.1e} apart");
    assert!(error < 1e-5, "{error:.1e} apart");
}

/// Beside the weights: an image `[1, 3, side, side]` and the class token that their own graph computes for
/// it.
#[test]
fn dinov2_gives_the_class_token_of_its_own_graph() {
    let test = "dinov2_gives_the_class_token_of_its_own_graph";
    let Some(weights) = real(test, "weights/dinov2_vits14.safetensors") else { return };
    let Some(reference) = real(test, "reference/dinov2_vits14.safetensors") else { return };
    let reference = SafeTensors::deserialize(&reference).unwrap();
    let (planes, expected) = (tensor(&reference, "image").unwrap(), tensor(&reference, "class").unwrap());
    let side = reference.tensor("image").unwrap().shape()[2];
    let network = network("dinov2_vits14").unwrap();
    let weights = Filed::of(&network, &weights);
    let mut compiled = Compiled::new(&network, (side, side), &weights, two_threads()).unwrap();
    let mut found = vec![f32::NAN; 384];
    compiled.run(&channels_last(&planes, side), 1, &mut found).unwrap();
    let error = farthest(&found, &expected);
    println!("DINOv2-S: {error:.1e} apart");
    assert!(error < 2e-5, "{error:.1e} apart");
}
