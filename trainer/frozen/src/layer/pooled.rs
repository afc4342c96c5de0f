//! A direct convolution and the max pooling after it, a few rows at a time: the map in between never leaves
//! the cache.
use std::ops::Range;

use super::Layer;
use super::direct::Direct;
use super::pooling::MaxPool;
use crate::choice;
use crate::strips::{Crew, slide, whole_images};

pub(crate) struct Pooled {
    conv: Direct,
    pool: MaxPool,
    /// Output rows of a chunk.
    chunk: usize,
}

impl Pooled {
    /// `pool` reads the output of `conv`.
    pub(crate) fn new(conv: Direct, pool: MaxPool) -> Pooled {
        let lines = choice::pooled_lines(pool.input.row());
        let chunk =
            (lines.saturating_sub(pool.window.size) / pool.window.stride + 1).min(pool.output.size.height);
        Pooled { conv, pool, chunk }
    }

    /// Floats of the rows that a chunk reads.
    fn lines(&self) -> usize {
        ((self.chunk - 1) * self.pool.window.stride + self.pool.window.size) * self.pool.input.row()
    }

    /// Output rows `rows` of the batch, which are in one image.
    fn run_strip(
        &self,
        crew: &Crew,
        rows: Range<usize>,
        inputs: &[&[f32]],
        strip: &mut [f32],
        scratch: &mut [f32],
    ) {
        let (height, line) = (self.pool.output.size.height, self.pool.input.row());
        let (lines, scratch) = scratch.split_at_mut(self.lines());
        let first_line = rows.start / height * self.pool.input.size.height;
        let end = (rows.end - 1) % height + 1;
        let mut from = rows.start % height;
        let mut there = 0..0; // lines of the image that the chunk before left
        let mut outputs = strip.chunks_mut(self.pool.output.row());
        while from < end {
            let to = (from + self.chunk).min(end);
            let reads = self.pool.reads(from..to);
            let missing = slide(lines, line, &there, &reads);
            for first in missing.clone().step_by(self.conv.most_rows()) {
                let some = first..missing.end.min(first + self.conv.most_rows());
                let out = &mut lines[(first - reads.start) * line..];
                self.conv.run_strip(
                    crew,
                    first_line + some.start..first_line + some.end,
                    inputs,
                    out,
                    scratch,
                );
            }
            for (row, out) in (from..to).zip(&mut outputs) {
                let window = self.pool.reads(row..row + 1);
                self.pool.run_row(crew, window.len(), &lines[(window.start - reads.start) * line..], out);
            }
            (from, there) = (to, reads);
        }
    }
}

impl Layer for Pooled {
    fn run(&self, crew: &Crew, n: usize, inputs: &[&[f32]], out: &mut [f32]) {
        let strips = whole_images(n, self.pool.output.size.height, crew.threads);
        let floats = |rows: &Range<usize>| rows.len() * self.pool.output.row();
        crew.deal(out, strips, floats, |rows, strip, scratch| {
            self.run_strip(crew, rows, inputs, strip, scratch);
        });
    }

    fn scratch(&self) -> usize {
        self.lines() + self.conv.scratch()
    }

    fn algorithm(&self) -> &'static str {
        "direct, pool"
    }
}
