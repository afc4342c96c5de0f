//! The frozen pass of networks that read texts.

use networks::{Input, Network};
use rayon::ThreadPool;

use crate::choice;
use crate::compiled::crew_of;
use crate::error::Error;
use crate::options::Options;
use crate::parameters::{Parameters, Source};
use crate::part::LayerTime;
use crate::strips::Crew;
use crate::tokens::{Batch, Each, Tokens};

/// Sentences one after the other, without padding.
#[derive(Clone, Copy, Debug)]
pub struct Sentences<'a> {
    /// Every token's id, including those that the tokenizer puts before and after a sentence.
    pub ids: &'a [u32],
    /// Every token's segment: 1 in the second sentence of a pair. If it is empty, all are 0.
    pub segments: &'a [u8],
    /// Tokens of each sentence.
    pub lengths: &'a [usize],
}

/// A network of texts up to its cut, compiled for this machine's CPU, for sentences of any length.
pub struct Encoder {
    name: &'static str,
    tokens: Tokens,
    vocabulary: usize,
    most: usize,
    segments: usize,
    /// The most sentences that go together, if the caller has set it.
    batch: Option<usize>,
    crew: Crew,
    threads: ThreadPool,
}

impl Encoder {
    /// Compiles a network, already cut.
    ///
    /// With `options.pool` tokens at the cut become their mean.
    ///
    /// Errors: the network reads images, a parameter is missing or of another shape, the CPU lacks
    /// `options.isa`.
    pub fn new(network: &Network, parameters: &dyn Parameters, options: Options) -> Result<Encoder, Error> {
        let Input::Tokens { vocabulary, most } = network.input() else {
            return Err(networks::Error::OtherInput {
                network: network.name,
                reads: "images",
                given: "sentences",
            }
            .into());
        };
        let shapes = network.token_shapes(most)?;
        let (crew, threads) = crew_of(&options)?;
        let source = Source { network, parameters };
        let tokens = threads.install(|| Tokens::new(network, &shapes, &source, options.pool))?;
        let crew = crew.with_scratch(tokens.scratch())?;
        let segments = network.nodes.iter().find_map(|node| match node.op {
            networks::Op::Segments { rows, .. } => Some(rows),
            _ => None,
        });
        let (batch, segments) = (options.batch, segments.unwrap_or(1));
        Ok(Encoder { name: network.name, tokens, vocabulary, most, segments, batch, crew, threads })
    }

    /// Numbers of a row: of a sentence, or of each of its tokens if the network is cut at tokens.
    pub fn features(&self) -> usize {
        self.tokens.width()
    }

    /// Whether a row is a token's, and not a sentence's.
    pub fn of_tokens(&self) -> bool {
        self.tokens.each() == Each::Token
    }

    /// Tokens of the longest sentence that it reads.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Rows of the output for some sentences.
    pub fn rows(&self, sentences: &Sentences) -> usize {
        if self.of_tokens() { sentences.ids.len() } else { sentences.lengths.len() }
    }

    /// Computes the features of some sentences. A sentence's features are the same to the last bit whatever
    /// the batch.
    ///
    /// Shapes: `out` `[rows, features]`.
    /// Errors: a sentence is empty or too long, the network does not have an id or a segment, a length
    /// contradicts another; no memory.
    pub fn run(&mut self, sentences: &Sentences, out: &mut [f32]) -> Result<(), Error> {
        self.check(sentences, out.len())?;
        let (width, of_tokens) = (self.features(), self.of_tokens());
        let (mut first, mut from, mut out) = (0, 0, out);
        while first < sentences.lengths.len() {
            let starts = self.group(&sentences.lengths[first..]);
            let (count, tokens) = (starts.len() - 1, starts[starts.len() - 1]);
            let rows = if of_tokens { tokens } else { count };
            let (now, later) = std::mem::take(&mut out).split_at_mut(rows * width);
            let segments = sentences.segments.get(from..from + tokens).unwrap_or(&[]);
            let ids = &sentences.ids[from..from + tokens];
            let batch = Batch { starts: &starts, ids, segments, images: &[] };
            let Encoder { tokens: net, crew, threads, .. } = self;
            threads.install(|| net.run(crew, &batch, now))?;
            (first, from, out) = (first + count, from + tokens, later);
        }
        Ok(())
    }

    /// The time each layer has taken so far.
    pub fn profile(&self) -> Vec<LayerTime> {
        self.tokens.profile().collect()
    }

    /// Where the tokens of the next sentences that go together begin and end.
    fn group(&self, lengths: &[usize]) -> Vec<usize> {
        let mut starts = vec![0];
        for length in lengths {
            let so_far = starts[starts.len() - 1];
            let full = match self.batch {
                Some(batch) => starts.len() > batch,
                None => so_far > 0 && so_far + length > choice::TOKENS,
            };
            if full {
                break;
            }
            starts.push(so_far + length);
        }
        starts
    }

    fn check(&self, sentences: &Sentences, room: usize) -> Result<(), Error> {
        let (ids, lengths, network) = (sentences.ids, sentences.lengths, self.name);
        if let Some(&found) = lengths.iter().find(|length| !(1..=self.most).contains(*length)) {
            return Err(networks::Error::SentenceLength { network, most: self.most, found }.into());
        }
        let (sum, segments) = (lengths.iter().sum(), sentences.segments.len());
        let wrong = |what, expected, found| Err(Error::Numbers { what, expected, found });
        if ids.len() != sum {
            return wrong("ids for the sentences' lengths", sum, ids.len());
        }
        if segments != 0 && segments != sum {
            return wrong("segments for the sentences' lengths", sum, segments);
        }
        let expected = self.rows(sentences) * self.features();
        if room != expected {
            return wrong("places for the features", expected, room);
        }
        let beyond = |what, found: usize, below| Error::Beyond { network, what, found, below };
        if let Some(&id) = ids.iter().find(|id| **id as usize >= self.vocabulary) {
            return Err(beyond("token id", id as usize, self.vocabulary));
        }
        match sentences.segments.iter().find(|segment| usize::from(**segment) >= self.segments) {
            Some(&segment) => Err(beyond("segment", segment.into(), self.segments)),
            None => Ok(()),
        }
    }
}
