//! A linear layer over all tokens at once, and the operations after it: activation, sum and norm at the end
//! of each strip.
//!
//! A strip of rows is multiplied by the weights of one piece of its depth after the other. So the weights are
//! read once for many rows, and the piece of the rows stays in the cache. Each output is summed in the order
//! of the depth, whatever the cut.

use std::ops::Range;

use networks::{Conv, Gelu};

use super::layer::{Batch, Layer, Norm};
use super::place::{Each, View};
use crate::Error;
use crate::choice;
use crate::kernels::{Buffer, Finish, GeluRows, Multiply, PANEL, Residual};
use crate::layer::{lanes_of, no_memory, pack};
use crate::parameters::Kernels;
use crate::plan::padded;
use crate::strips::{Crew, even};

/// A layer's numbers, folded and ready to be packed.
pub(super) struct Dense {
    /// `[outputs, inputs]`
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
    /// The factor of each output.
    pub(super) scales: Option<Vec<f64>>,
}

/// The operations of a linear layer after its sums.
pub(super) struct After {
    pub(super) gelu: Option<Gelu>,
    pub(super) addend: Option<View>,
    pub(super) norm: Option<Norm>,
}

pub(super) struct Linear {
    input: View,
    output: View,
    /// `[pieces][outputs / PANEL][depth of the piece][PANEL]`
    weights: Vec<Buffer>,
    /// Where each piece begins, and the end: numbers of a row, or of a head's row times the heads.
    pieces: Vec<Range<usize>>,
    bias: Vec<f32>,
    after: After,
    /// Where the rows of the largest strip start, and where their outputs do.
    rows: Vec<usize>,
    out_rows: Vec<usize>,
}

impl Linear {
    pub(super) fn new(dense: Dense, input: View, output: View, after: After) -> Result<Linear, Error> {
        let (inputs, outputs) = (input.width, dense.bias.len());
        let depth = choice::token_depth(inputs, inputs / input.heads);
        let pieces: Vec<Range<usize>> =
            (0..inputs).step_by(depth).map(|from| from..inputs.min(from + depth)).collect();
        let weights = pieces.iter().map(|piece| {
            let rows = dense.weight.chunks_exact(inputs).flat_map(|row| &row[piece.clone()]);
            let part: Vec<f32> = rows.copied().collect();
            let conv = pointwise(piece.len(), outputs);
            pack(&Kernels::of(&conv, &part).scaled(dense.scales.as_deref())).map_err(no_memory)
        });
        let weights = weights.collect::<Result<_, _>>()?;
        let scaled = |(at, bias): (usize, &f32)| {
            let scale = dense.scales.as_ref().map_or(1.0, |scales| scales[at]);
            (f64::from(*bias) * scale) as f32
        };
        let bias: Vec<f32> = dense.bias.iter().enumerate().map(scaled).collect();
        let strip = choice::TOKEN_ROWS;
        let step = if input.heads > 1 { inputs / input.heads } else { input.pitch };
        Ok(Linear {
            input,
            output,
            weights,
            pieces,
            bias: lanes_of(&bias),
            after,
            rows: (0..strip).map(|row| row * step).collect(),
            out_rows: (0..strip).map(|row| row * output.pitch).collect(),
        })
    }

    /// The products of a strip's rows with all pieces, and the operations after them.
    fn strip(&self, crew: &Crew, all: usize, rows: Range<usize>, inputs: &[&[f32]], out: &mut [f32]) {
        let count = rows.len();
        for (at, (piece, weights)) in self.pieces.iter().zip(&self.weights).enumerate() {
            let last = at + 1 == self.pieces.len();
            let wide = if last && self.after.gelu.is_some() { choice::GELU_COLUMNS } else { self.bias.len() };
            for first in (0..self.bias.len()).step_by(wide) {
                let columns = wide.min(self.bias.len() - first);
                let addend =
                    self.after.addend.map(|view| (&inputs[1][rows.start * view.pitch + first..], view.pitch));
                let head = self.input.width / self.input.heads;
                let (segments, pitch, depth, from) = match self.input.heads {
                    1 => (1, 0, piece.len(), rows.start * self.input.pitch + piece.start),
                    _ => (piece.len() / head, all * head, head, piece.start * all + rows.start * head),
                };
                let bias = &self.bias[first..];
                let finish = Finish { bias, low: f32::NEG_INFINITY, high: f32::INFINITY, addend };
                crew.target.multiply(&mut Multiply {
                    a: &inputs[0][from..],
                    rows: &self.rows[..count],
                    segments,
                    pitch,
                    depth,
                    b: &weights[first * piece.len()..],
                    columns,
                    c: &mut out[first..],
                    c_rows: &self.out_rows[..count],
                    residual: (at > 0).then_some(Residual::There),
                    finish: last.then_some(finish),
                });
                if let Some(form) = self.after.gelu.filter(|_| last) {
                    let (values, pitch) = (&mut out[first..], self.output.pitch);
                    crew.target.gelu(&mut GeluRows { values, rows: count, pitch, columns, form });
                }
            }
        }
        if let Some(norm) = &self.after.norm {
            norm.apply(crew.target, self.output, count, out);
        }
    }
}

impl Layer for Linear {
    fn run(&self, crew: &Crew, batch: &Batch, inputs: &[&[f32]], out: &mut [f32]) {
        let all = match self.output.each {
            Each::Token => batch.tokens(),
            Each::Sequence => batch.sequences(),
        };
        let floats = |rows: &Range<usize>| rows.len() * self.output.pitch;
        crew.deal(out, strips(all, crew.threads), floats, |rows, out, _| {
            self.strip(crew, all, rows, inputs, out);
        });
    }

    fn algorithm(&self) -> &'static str {
        "tokens"
    }
}

/// Rows in strips of whole register tiles, as many for each thread.
pub(super) fn strips(rows: usize, threads: usize) -> impl Iterator<Item = Range<usize>> {
    const TILE: usize = choice::TOKEN_TILE;
    let tiles = even(rows.div_ceil(TILE), choice::TOKEN_ROWS / TILE, threads);
    tiles.map(move |tiles| tiles.start * TILE..rows.min(tiles.end * TILE))
}

fn pointwise(inputs: usize, outputs: usize) -> Conv {
    Conv { inputs, outputs, kernel: 1, stride: 1, padding: 0, groups: 1, bias: true }
}

/// Numbers of a row in memory.
pub(super) fn row_of(width: usize) -> usize {
    if width.is_multiple_of(PANEL) { width } else { padded(width) }
}
