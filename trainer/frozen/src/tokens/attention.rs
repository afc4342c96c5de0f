//! Attention of each image's or sentence's tokens among themselves, head by head.
//!
//! The queries' layer has the factor log₂e/√d in its weights, so 2 is raised to a row of scores.

use std::ops::Range;

use super::layer::{Batch, Layer};
use super::place::View;
use crate::choice;
use crate::kernels::{Interleave, Multiply, PANEL, ScaleRows, Scales, Softmax};
use crate::strips::Crew;

pub(super) struct Attention {
    /// Queries, keys and values side by side.
    pub(super) input: View,
    /// The heads' rows, each head's together.
    pub(super) output: View,
    /// The one token whose queries are used; all of them if none.
    pub(super) only: Option<usize>,
    /// The most tokens of a sequence.
    pub(super) most: usize,
}

/// A thread's scratch for one head of one sequence.
struct Scratch<'a> {
    keys: &'a mut [f32],
    values: &'a mut [f32],
    scores: &'a mut [f32],
    factors: &'a mut [f32],
}

impl Attention {
    /// Columns of a head.
    fn head(&self) -> usize {
        self.output.width / self.output.heads
    }

    /// The queries that are used of a sequence of `count` tokens.
    fn asked(&self, count: usize) -> Range<usize> {
        self.only.map_or(0..count, |at| at..at + 1)
    }

    fn split<'a>(&self, count: usize, scratch: &'a mut [f32]) -> Scratch<'a> {
        let (head, columns) = (self.head(), count.next_multiple_of(PANEL));
        let rows = choice::attention_rows(columns);
        let (keys, rest) = scratch.split_at_mut(columns * head);
        let (values, rest) = rest.split_at_mut(count * head);
        let (scores, rest) = rest.split_at_mut(rows * columns);
        Scratch { keys, values, scores, factors: &mut rest[..rows] }
    }

    /// Keys to panels of sixteen side by side, values to panels of sixteen columns.
    fn pack(&self, crew: &Crew, count: usize, rows: &[f32], scratch: &mut Scratch) {
        let (head, width, pitch) = (self.head(), self.output.width, self.input.pitch);
        for (panel, to) in scratch.keys.chunks_exact_mut(head * PANEL).enumerate() {
            let first = panel * PANEL;
            crew.target.interleave(&mut Interleave {
                from: &rows[first * pitch + width..],
                pitch,
                step: 1,
                taps: 1,
                turned: false,
                rows: PANEL.min(count - first),
                count: head,
                scales: Scales::None,
                to,
                to_pitch: PANEL,
            });
        }
        for (panel, to) in scratch.values.chunks_exact_mut(count * PANEL).enumerate() {
            let from = rows[2 * width + panel * PANEL..].chunks(pitch);
            for (to, from) in to.as_chunks_mut::<PANEL>().0.iter_mut().zip(from) {
                to.copy_from_slice(&from[..PANEL]);
            }
        }
    }

    /// One head of one sequence; `rows` begins with its first token's queries.
    fn one(&self, crew: &Crew, count: usize, rows: &[f32], out: &mut [f32], scratch: &mut [f32]) {
        let (head, columns) = (self.head(), count.next_multiple_of(PANEL));
        let mut scratch = self.split(count, scratch);
        self.pack(crew, count, rows, &mut scratch);
        let asked = self.asked(count);
        let most = choice::attention_rows(columns).min(asked.len());
        let starts = |pitch: usize| (0..most).map(|row| row * pitch).collect::<Vec<usize>>();
        let (queries, scores, results) = (starts(self.input.pitch), starts(columns), starts(head));
        for first in asked.clone().step_by(most) {
            let some = most.min(asked.end - first);
            crew.target.multiply(&mut Multiply {
                a: &rows[first * self.input.pitch..],
                rows: &queries[..some],
                segments: 1,
                pitch: 0,
                depth: head,
                b: scratch.keys,
                columns,
                c: scratch.scores,
                c_rows: &scores[..some],
                residual: None,
                finish: None,
            });
            let (factors, pitch) = (&mut scratch.factors[..some], columns);
            crew.target.softmax(&mut Softmax { scores: scratch.scores, rows: some, pitch, count, factors });
            let out = &mut out[(first - asked.start) * head..][..some * head];
            crew.target.multiply(&mut Multiply {
                a: scratch.scores,
                rows: &scores[..some],
                segments: 1,
                pitch: 0,
                depth: count,
                b: scratch.values,
                columns: head,
                c: out,
                c_rows: &results[..some],
                residual: None,
                finish: None,
            });
            crew.target.scale_rows(&mut ScaleRows {
                values: out,
                columns: head,
                factors: &scratch.factors[..some],
            });
        }
    }
}

impl Layer for Attention {
    fn run(&self, crew: &Crew, batch: &Batch, inputs: &[&[f32]], out: &mut [f32]) {
        let (head, sequences) = (self.head(), batch.sequences());
        let all = (0..self.output.heads * sequences).map(|at| at..at + 1);
        let floats = |at: &Range<usize>| self.asked(batch.of(at.start % sequences).len()).len() * head;
        crew.deal(out, all, floats, |at, out, scratch| {
            let tokens = batch.of(at.start % sequences);
            let rows = &inputs[0][tokens.start * self.input.pitch + at.start / sequences * head..];
            self.one(crew, tokens.len(), rows, out, scratch);
        });
    }

    fn scratch(&self) -> usize {
        let columns = self.most.next_multiple_of(PANEL);
        let most =
            (1..=columns / PANEL).map(|panels| choice::attention_rows(panels * PANEL) * panels * PANEL);
        2 * columns * self.head() + most.max().unwrap_or(0) + choice::attention_rows(PANEL)
    }

    fn algorithm(&self) -> &'static str {
        "attention"
    }
}
