//! BERT and networks of the same form: MiniLM, DistilBERT, RoBERTa; bge and e5 are these, too.
//!
//! Points: `embeddings`, `block1` … (tokens), `mean` (the mean of all tokens) of MiniLM, `class` (the first
//! token) of the others. Names are Hugging Face's, without its prefix (`bert.`). Source: Devlin et al. 2018,
//! Wang et al. 2020, Sanh et al. 2019, Liu et al. 2019, as `transformers` builds them.

use crate::build::Builder;
use crate::graph::{Input, Network, Op, Positions};
use crate::transformer::{Names, Size};

/// A member of the family.
pub(crate) struct Bert {
    size: Size,
    vocabulary: usize,
    /// The table of positions, and the first token's row.
    positions: (usize, usize),
    /// Segments that tokens may belong to; none if there is no table of them.
    segments: usize,
    epsilon: f64,
    end: End,
    module: &'static str,
    names: Names,
}

/// How the tokens become one vector at the end.
#[derive(Clone, Copy)]
enum End {
    Mean,
    First,
}

const MINILM: Size = Size { width: 384, depth: 6, heads: 12 };
const BASE: Size = Size { width: 768, depth: 12, heads: 12 };

const NAMES: Names = Names {
    qkv: &["attention.self.query", "attention.self.key", "attention.self.value"],
    out: "attention.output.dense",
    norm1: "attention.output.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    norm2: "output.LayerNorm",
};

const DISTILBERT_NAMES: Names = Names {
    qkv: &["attention.q_lin", "attention.k_lin", "attention.v_lin"],
    out: "attention.out_lin",
    norm1: "sa_layer_norm",
    up: "ffn.lin1",
    down: "ffn.lin2",
    norm2: "output_layer_norm",
};

pub(crate) const BERT_BASE: Bert = Bert {
    size: BASE,
    vocabulary: 30522,
    positions: (512, 0),
    segments: 2,
    epsilon: 1e-12,
    end: End::First,
    module: "encoder.layer.",
    names: NAMES,
};
pub(crate) const MINILM_L6: Bert = Bert { size: MINILM, end: End::Mean, ..BERT_BASE };
pub(crate) const MINILM_L12: Bert = Bert { size: Size { depth: 12, ..MINILM }, end: End::Mean, ..BERT_BASE };
pub(crate) const DISTILBERT_BASE: Bert = Bert {
    size: Size { depth: 6, ..BASE },
    segments: 0,
    module: "transformer.layer.",
    names: DISTILBERT_NAMES,
    ..BERT_BASE
};
/// The first two rows of its table of positions are for padding and unused.
pub(crate) const ROBERTA_BASE: Bert =
    Bert { vocabulary: 50265, positions: (514, 2), segments: 1, epsilon: 1e-5, ..BERT_BASE };

pub(crate) fn bert(name: &'static str, bert: &Bert) -> Network {
    let Size { width, depth, .. } = bert.size;
    let (rows, first) = bert.positions;
    let input = Input::Tokens { vocabulary: bert.vocabulary, most: rows - first };
    let norm = Op::LayerNorm { width, epsilon: bert.epsilon };
    let mut net = Builder::reading(name, input, 1);
    net.push("embeddings.word_embeddings.weight", Op::Embed { rows: bert.vocabulary, width }, width);
    let positions = Positions::Text { rows, width, first };
    net.push("embeddings.position_embeddings.weight", Op::Positions(positions), width);
    if bert.segments > 0 {
        let segments = Op::Segments { rows: bert.segments, width };
        net.push("embeddings.token_type_embeddings.weight", segments, width);
    }
    net.push("embeddings.LayerNorm", norm.clone(), width).point("embeddings").keep(Op::Dropout { rate: 0.1 });
    for block in 0..depth {
        let module = format!("{}{block}.", bert.module);
        let from = net.here();
        bert.size.attention(&mut net, &module, &bert.names);
        net.keep(Op::Dropout { rate: 0.1 }).add(from);
        let between = net.push(&format!("{module}{}", bert.names.norm1), norm.clone(), width).here();
        bert.size.perceptron(&mut net, &module, &bert.names);
        net.keep(Op::Dropout { rate: 0.1 }).add(between);
        net.push(&format!("{module}{}", bert.names.norm2), norm.clone(), width);
        net.point(format!("block{}", block + 1));
    }
    let (point, op) = match bert.end {
        End::Mean => ("mean", Op::MeanTokens),
        End::First => ("class", Op::Token { at: 0 }),
    };
    net.keep(op).point(point);
    net.encoder(point)
}
