//! Networks of tokens compared with float64, and the same bits however they are dealt.

use networks::{Gelu, Input, Network, Node, Op, Positions, Resize, network};

use super::reference::{Random, Weights, gelu, interpret_text};
use super::{apart, bits, close, error_of, isas, network_of, node, within};
use crate::kernels::{GeluRows, Normalise, Softmax, Target};
use crate::{Compiled, Encoder, Isa, Options, Sentences, Trained, TrainedOptions};

/// A small BERT of one block, its attention's layers packed or split, ending in the mean.
fn small_text(width: usize, heads: usize, form: Gelu, packed: bool) -> Network {
    let input = Input::Tokens { vocabulary: 30, most: 40 };
    let linear = |inputs, outputs| Op::Linear { inputs, outputs };
    let norm = || Op::LayerNorm { width, epsilon: 1e-5 };
    let mut nodes = vec![
        node("", Op::Input(input), &[]),
        node("words", Op::Embed { rows: 30, width }, &[0]),
        node("places", Op::Positions(Positions::Text { rows: 42, width, first: 2 }), &[1]),
        node("segments", Op::Segments { rows: 2, width }, &[2]),
        node("norm", norm(), &[3]),
        node("", Op::Dropout { rate: 0.1 }, &[4]),
    ];
    let attention = if packed {
        nodes.push(node("qkv_*", linear(width, 3 * width), &[5]));
        vec![6]
    } else {
        nodes.extend(["q", "k", "v"].map(|name| node(name, linear(width, width), &[5])));
        vec![6, 7, 8]
    };
    let at = nodes.len();
    nodes.extend([
        node("", Op::Attention { heads }, &attention),
        node("out", linear(width, width), &[at]),
        node("scale1", Op::LayerScale { width }, &[at + 1]),
        node("", Op::Add, &[at + 2, 5]),
        node("norm1", norm(), &[at + 3]),
        node("up", linear(width, 2 * width), &[at + 4]),
        node("", Op::Gelu(form), &[at + 5]),
        node("down", linear(2 * width, width), &[at + 6]),
        node("", Op::Add, &[at + 7, at + 4]),
        node("norm2", norm(), &[at + 8]),
        node("", Op::MeanTokens, &[at + 9]),
    ]);
    network_of(nodes)
}

/// A small vision transformer with the class token's logits.
fn small_image(width: usize, side: usize, resize: Resize) -> Network {
    let linear = |inputs, outputs| Op::Linear { inputs, outputs };
    let norm = || Op::LayerNorm { width, epsilon: 1e-6 };
    network_of(vec![
        node("", Op::Input(Input::Image { channels: 3 }), &[]),
        node("patch", super::conv(3, width, 4, 4, 0), &[0]),
        node("", Op::Patches, &[1]),
        node("class", Op::ClassToken { width }, &[2]),
        node("places", Op::Positions(Positions::Grid { side, width, resize }), &[3]),
        node("norm1", norm(), &[4]),
        node("qkv", linear(width, 3 * width), &[5]),
        node("", Op::Attention { heads: 2 }, &[6]),
        node("out", linear(width, width), &[7]),
        node("", Op::Add, &[8, 4]),
        node("norm2", norm(), &[9]),
        node("up", linear(width, 4 * width), &[10]),
        node("", Op::Gelu(Gelu::Erf), &[11]),
        node("down", linear(4 * width, width), &[12]),
        node("", Op::Add, &[13, 9]),
        node("norm3", norm(), &[14]),
        node("", Op::Token { at: 0 }, &[15]),
        node("logits", linear(width, 7), &[16]),
    ])
}

/// Sentences of some lengths, with ids and segments.
struct Text {
    ids: Vec<u32>,
    segments: Vec<u8>,
    lengths: Vec<usize>,
}

impl Text {
    fn of(random: &mut Random, network: &Network, lengths: &[usize]) -> Text {
        let Input::Tokens { vocabulary, .. } = network.input() else {
            panic!("{} reads images", network.name)
        };
        let segments = network.nodes.iter().find_map(|node| match node.op {
            Op::Segments { rows, .. } => Some(rows),
            _ => None,
        });
        let (count, segments) = (lengths.iter().sum(), segments.unwrap_or(1));
        Text {
            ids: (0..count).map(|_| random.below(vocabulary) as u32).collect(),
            segments: (0..count).map(|_| random.below(segments) as u8).collect(),
            lengths: lengths.to_vec(),
        }
    }

    fn whole(&self) -> Sentences<'_> {
        Sentences { ids: &self.ids, segments: &self.segments, lengths: &self.lengths }
    }

    /// The float64 results, sentence after sentence.
    fn interpreted(&self, network: &Network, weights: &Weights) -> Vec<f64> {
        let mut from = 0;
        let each = self.lengths.iter().flat_map(|length| {
            from += length;
            let tokens = from - length..from;
            interpret_text(network, weights, &self.ids[tokens.clone()], &self.segments[tokens])
        });
        each.collect()
    }
}

fn encode(network: &Network, weights: &Weights, options: Options, sentences: &Sentences) -> Vec<f32> {
    let mut encoder = Encoder::new(network, weights, options).expect("compiles");
    let mut out = vec![f32::NAN; encoder.rows(sentences) * encoder.features()];
    encoder.run(sentences, &mut out).expect("runs");
    out
}

/// Every instruction set against float64, and those that promise the same bits against each other.
#[track_caller]
fn text_close(what: &str, most: f64, network: &Network, lengths: &[usize], seed: u64) {
    let mut random = Random::new(seed);
    let (weights, text) = (random.weights(network), Text::of(&mut random, network, lengths));
    let expected = text.interpreted(network, &weights);
    for isa in isas() {
        let run = |isa| {
            encode(
                network,
                &weights,
                Options { threads: 2, isa: Some(isa), ..Options::default() },
                &text.whole(),
            )
        };
        let found = run(isa);
        assert!(bits(&found) == bits(&run(isa.rounding())), "{what}: {isa:?} gives other bits");
        let error = apart(found.iter().map(|x| f64::from(*x)), &expected);
        println!("{what}, {isa:?}: error {error:.1e} of the largest value");
        assert!(error < most, "{what}, {isa:?}, seed {seed}: error {error:.1e} of the largest value");
    }
}

#[test]
fn smallest_of_every_kernel_of_tokens() {
    text_close("split", 1e-5, &small_text(16, 1, Gelu::Erf, false), &[3, 1], 1);
    text_close("packed", 1e-5, &small_text(32, 2, Gelu::Quick, true), &[17], 2);
    close("image", &small_image(32, 2, Resize::Borders), (8, 8), 1, 3);
}

#[test]
fn texts_of_every_form() {
    let lengths = [7, 1, 40, 16, 33, 2, 5];
    for (seed, form) in [Gelu::Erf, Gelu::Tanh, Gelu::Quick].into_iter().enumerate() {
        for (width, heads, packed) in [(48, 3, false), (48, 1, true), (64, 2, true), (96, 6, false)] {
            let network = small_text(width, heads, form, packed);
            text_close("a text", 1e-5, &network, &lengths, 10 + seed as u64);
        }
    }
}

#[test]
fn images_of_other_sizes_than_trained_on() {
    for (seed, resize) in [Resize::Corners, Resize::Borders].into_iter().enumerate() {
        for (side, pixels) in [(3, 12), (3, 20), (5, 8), (4, 23), (2, 44)] {
            let network = small_image(32, side, resize);
            close(&format!("{resize:?} from {side}"), &network, (pixels, pixels), 3, seed as u64);
        }
    }
}

#[test]
fn every_cut_of_a_transformer_is_right() {
    for point in ["embeddings", "block1", "norm", "class"] {
        let cut = network("dinov2_vits14").and_then(|whole| whole.up_to(point)).expect("known");
        within(2e-5, &format!("dinov2_vits14 up to {point}"), error_of(&cut, (28, 28), 1, 5));
    }
    for (name, point) in [("minilm_l6", "embeddings"), ("minilm_l6", "mean"), ("roberta_base", "block1")] {
        let cut = network(name).and_then(|whole| whole.up_to(point)).expect("known");
        text_close(&format!("{name} up to {point}"), 2e-5, &cut, &[5, 9], 6);
    }
}

/// Deals sentences and images in many ways; the bits must equal those of one at a time on one thread.
#[test]
fn the_same_bits_whatever_is_beside() {
    let network = small_text(48, 3, Gelu::Erf, false);
    let mut random = Random::new(3);
    let weights = random.weights(&network);
    let text = Text::of(&mut random, &network, &[3, 40, 1, 17, 9, 9, 25, 2, 40, 31, 16]);
    let mut one_by_one = Vec::new();
    let mut from = 0;
    for length in &text.lengths {
        let (ids, segments) = (&text.ids[from..from + length], &text.segments[from..from + length]);
        let alone = Sentences { ids, segments, lengths: &[*length] };
        one_by_one.extend(encode(&network, &weights, Options::default(), &alone));
        from += length;
    }
    for (threads, batch) in [(1, None), (2, None), (3, Some(1)), (2, Some(4)), (5, Some(7))] {
        let found =
            encode(&network, &weights, Options { threads, batch, ..Options::default() }, &text.whole());
        assert!(bits(&found) == bits(&one_by_one), "{threads} threads, batches of {batch:?}");
    }
    let network = small_image(32, 3, Resize::Corners);
    let (weights, images) = (random.weights(&network), random.normal(9 * 12 * 16 * 3, 1.0));
    let run = |threads, batch, n: usize| {
        let options = Options { threads, batch, ..Options::default() };
        let mut compiled = Compiled::new(&network, (12, 16), &weights, options).expect("compiles");
        let mut out = vec![f32::NAN; 9 * compiled.features()];
        let (image, features) = (12 * 16 * 3, compiled.features());
        for (images, out) in images.chunks(n * image).zip(out.chunks_mut(n * features)) {
            compiled.run(images, images.len() / image, out).expect("runs");
        }
        bits(&out)
    };
    let alone = run(1, Some(1), 1);
    for (threads, batch, n) in [(1, None, 9), (2, Some(3), 9), (3, None, 2), (4, Some(2), 5)] {
        assert!(run(threads, batch, n) == alone, "{threads} threads, batches of {batch:?}, {n} at a time");
    }
}

#[test]
fn tokens_at_the_cut_become_rows_or_their_mean() {
    let cut = network("minilm_l6").and_then(|whole| whole.up_to("block1")).expect("known");
    let mut random = Random::new(8);
    let (weights, text) = (random.weights(&cut), Text::of(&mut random, &cut, &[4, 6]));
    let rows = encode(&cut, &weights, Options::default(), &text.whole());
    assert_eq!(rows.len(), 10 * 384);
    let means = encode(&cut, &weights, Options { pool: true, ..Options::default() }, &text.whole());
    for (mean, rows) in means.chunks_exact(384).zip([&rows[..4 * 384], &rows[4 * 384..]]) {
        for (column, mean) in mean.iter().enumerate() {
            let sum: f32 = rows.iter().skip(column).step_by(384).sum();
            assert!((sum / (rows.len() / 384) as f32 - mean).abs() < 1e-6);
        }
    }
}

/// A network that ends in one token computes only the needed part of its last block: the token's bits are
/// those among all.
#[test]
fn one_token_alone_has_the_bits_that_it_has_among_all() {
    let mut random = Random::new(9);
    let whole = small_image(32, 3, Resize::Corners);
    let weights = random.weights(&whole);
    let images = random.normal(5 * 12 * 12 * 3, 1.0);
    for at in [0, 4] {
        let run = |nodes: Vec<Node>| {
            let options = Options { threads: 2, ..Options::default() };
            let mut compiled =
                Compiled::new(&network_of(nodes), (12, 12), &weights, options).expect("compiles");
            let mut out = vec![f32::NAN; 5 * compiled.features()];
            compiled.run(&images, 5, &mut out).expect("runs");
            out
        };
        let mut nodes = whole.nodes[..=15].to_vec();
        let among: Vec<f32> = run(nodes.clone())
            .chunks_exact(10 * 32)
            .flat_map(|rows| rows[at * 32..][..32].to_vec())
            .collect();
        nodes.push(node("", Op::Token { at }, &[15]));
        assert!(bits(&run(nodes)) == bits(&among), "token {at}");
    }
}

/// Every form on a line of numbers, against float64.
#[test]
fn gelu_is_within_a_millionth() {
    let line: Vec<f32> =
        (-9000..9000).map(|x| x as f32 * 1e-3).chain([-300.0, 300.0, 0.0, 88.0, -1e30, 1e30]).collect();
    let count = line.len() / 8 * 8;
    for (isa, form) in
        isas().into_iter().flat_map(|isa| [Gelu::Erf, Gelu::Tanh, Gelu::Quick].map(|form| (isa, form)))
    {
        let target = Target::new(isa).expect("exists");
        let mut values = line[..count].to_vec();
        target.gelu(&mut GeluRows { values: &mut values, rows: 1, pitch: count, columns: count, form });
        for (x, found) in line.iter().zip(&values) {
            let wanted = gelu(form, f64::from(*x));
            let error = (f64::from(*found) - wanted).abs() / wanted.abs().max(1.0);
            assert!(error < 1e-6, "{isa:?}, {form:?}: {x} gives {found}, expected {wanted}");
        }
    }
}

#[test]
fn what_is_broken_shows() {
    for isa in isas() {
        let target = Target::new(isa).expect("exists");
        let mut scores = vec![0.5; 2 * 16];
        (scores[3], scores[20]) = (f32::from_bits(0x7FC1_2345), 3.0);
        let mut factors = [0.0; 2];
        target.softmax(&mut Softmax {
            scores: &mut scores,
            rows: 2,
            pitch: 16,
            count: 9,
            factors: &mut factors,
        });
        assert!(factors[0].is_nan() && factors[1].is_finite(), "{isa:?}: a sum with NaN is NaN");
        let mut values = [f32::from_bits(0xFFC0_0001); 8];
        for form in [Gelu::Erf, Gelu::Tanh, Gelu::Quick] {
            target.gelu(&mut GeluRows { values: &mut values, rows: 1, pitch: 8, columns: 8, form });
            assert!(values.iter().all(|x| x.is_nan()), "{isa:?}, {form:?}");
        }
        let mut row = [1.0; 16];
        row[5] = f32::NAN;
        let (weight, bias) = (&[1.0; 16][..], &[0.0; 16][..]);
        target.normalise(&mut Normalise {
            values: &mut row,
            rows: 1,
            pitch: 16,
            to: 0,
            weight,
            bias,
            epsilon: 0.1,
        });
        assert!(row.iter().all(|x| x.is_nan()), "{isa:?}");
    }
}

#[test]
fn what_cannot_be_computed_is_said() {
    let network = small_text(16, 1, Gelu::Erf, false);
    let weights = Random::new(1).weights(&network);
    let mut encoder = Encoder::new(&network, &weights, Options::default()).expect("compiles");
    let mut says = |ids: &[u32], segments: &[u8], lengths: &[usize], room: usize, words: [&str; 2]| {
        let error =
            encoder.run(&Sentences { ids, segments, lengths }, &mut vec![0.0; room]).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    says(&[1, 30], &[], &[2], 16, ["token id 30", "below 30"]);
    says(&[1, 2], &[0, 2], &[2], 16, ["segment 2", "below 2"]);
    says(&[1, 2], &[], &[2, 0], 32, ["1 to 40", "found one of 0"]);
    says(&[1; 41], &[], &[41], 16, ["1 to 40", "41"]);
    says(&[1, 2], &[], &[1], 16, ["expected 1 ids", "found 2"]);
    says(&[1, 2], &[0], &[2], 16, ["expected 2 segments", "found 1"]);
    says(&[1, 2], &[], &[2], 15, ["expected 16 places", "found 15"]);
    let error =
        |network: &Network| Encoder::new(network, &weights, Options::default()).err().map(|e| e.to_string());
    let images = error(&small_image(32, 2, Resize::Corners)).unwrap_or_default();
    assert!(images.contains("reads images"), "{images}");
    let thin = error(&small_text(24, 1, Gelu::Erf, false)).unwrap_or_default();
    assert!(thin.contains("24") && thin.contains("multiple of 16"), "{thin}");
    let mut relu = small_text(16, 1, Gelu::Erf, false);
    relu.nodes.push(Node { name: String::new(), op: Op::Relu, inputs: vec![relu.output()] });
    let relu = error(&relu).unwrap_or_default();
    assert!(relu.contains("Relu") && relu.contains("among tokens"), "{relu}");
    let options = TrainedOptions::default();
    let trained =
        Trained::new(&small_image(32, 2, Resize::Corners), (8, 8), &options).unwrap_err().to_string();
    assert!(trained.contains("no gradient"), "{trained}");
    assert!(Isa::best().exists());
}
