//! Steps that go row by row: those that could not be folded into a linear layer, and the ends, which return
//! one row per image or sentence.

use std::ops::Range;

use networks::Gelu;

use super::layer::{Batch, Layer, Norm};
use super::linear::strips;
use super::place::{Each, View};
use crate::kernels::GeluRows;
use crate::strips::{Crew, even};

/// The change that a step makes to each row.
pub(super) enum Change {
    Norm(Norm),
    Gelu(Gelu),
    /// Multiplied by a number per column.
    Scale(Vec<f32>),
    /// The second input is added.
    Add,
}

/// A change of rows on its own.
pub(super) struct Rowwise {
    pub(super) change: Change,
    pub(super) inputs: Vec<View>,
    pub(super) output: View,
}

impl Layer for Rowwise {
    fn run(&self, crew: &Crew, batch: &Batch, inputs: &[&[f32]], out: &mut [f32]) {
        let all = match self.output.each {
            Each::Token => batch.tokens(),
            Each::Sequence => batch.sequences(),
        };
        let View { width, pitch, .. } = self.output;
        let floats = |rows: &Range<usize>| rows.len() * pitch;
        crew.deal(out, strips(all, crew.threads), floats, |rows, out, _| {
            let from =
                |at: usize| inputs[at][rows.start * self.inputs[at].pitch..].chunks(self.inputs[at].pitch);
            for (to, from) in out.chunks_mut(pitch).zip(from(0)) {
                to[..width].copy_from_slice(&from[..width]);
            }
            match &self.change {
                Change::Norm(norm) => norm.apply(crew.target, self.output, rows.len(), out),
                &Change::Gelu(form) => {
                    let rows = rows.len();
                    crew.target.gelu(&mut GeluRows { values: out, rows, pitch, columns: width, form });
                }
                Change::Scale(scales) => {
                    let rows = out.chunks_mut(pitch);
                    rows.for_each(|row| row.iter_mut().zip(scales).for_each(|(x, scale)| *x *= scale));
                }
                Change::Add => {
                    for (to, from) in out.chunks_mut(pitch).zip(from(1)) {
                        to[..width].iter_mut().zip(from).for_each(|(sum, x)| *sum += x);
                    }
                }
            }
        });
    }

    fn algorithm(&self) -> &'static str {
        match self.change {
            Change::Norm(_) => "norm",
            Change::Gelu(_) => "gelu",
            Change::Scale(_) => "scale",
            Change::Add => "add",
        }
    }
}

/// One token of each image or sentence, or the mean of all of its tokens.
pub(super) struct End {
    /// Which token; none for the mean.
    pub(super) token: Option<usize>,
    pub(super) input: View,
    pub(super) output: View,
}

impl Layer for End {
    fn run(&self, crew: &Crew, batch: &Batch, inputs: &[&[f32]], out: &mut [f32]) {
        let (width, pitch) = (self.input.width, self.input.pitch);
        let floats = |of: &Range<usize>| of.len() * self.output.pitch;
        let sequences = even(batch.sequences(), 1, 1);
        crew.deal(&mut out[..batch.sequences() * self.output.pitch], sequences, floats, |of, out, _| {
            let tokens = batch.of(of.start);
            let mut rows = inputs[0][tokens.start * pitch..].chunks(pitch).take(tokens.len());
            let out = &mut out[..width];
            match self.token {
                Some(at) => {
                    let row = rows.nth(at).expect("the shapes have shown that there is one");
                    out.copy_from_slice(&row[..width]);
                }
                None => {
                    out.fill(0.0);
                    rows.for_each(|row| out.iter_mut().zip(row).for_each(|(sum, x)| *sum += x));
                    out.iter_mut().for_each(|sum| *sum /= tokens.len() as f32);
                }
            }
        });
    }

    fn algorithm(&self) -> &'static str {
        if self.token.is_some() { "token" } else { "mean" }
    }
}
