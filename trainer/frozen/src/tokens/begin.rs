//! The first tokens: ids by a table, images by patches.

use std::ops::Range;

use networks::Conv;

use super::layer::{Batch, Layer};
use super::place::View;
use crate::choice;
use crate::kernels::{Buffer, Finish, Multiply};
use crate::strips::{Crew, even, inside_images};

/// The rows of tokens' ids in a table, with those of their places and segments added.
pub(super) struct Embed {
    pub(super) words: Vec<f32>,
    /// The places' table, from the first token's row on.
    pub(super) positions: Vec<f32>,
    pub(super) segments: Vec<f32>,
    pub(super) output: View,
}

impl Layer for Embed {
    fn run(&self, crew: &Crew, batch: &Batch, _: &[&[f32]], out: &mut [f32]) {
        let width = self.output.width;
        let floats = |of: &Range<usize>| batch.of(of.start).len() * self.output.pitch;
        crew.deal(out, even(batch.sequences(), 1, 1), floats, |of, out, _| {
            let tokens = batch.of(of.start);
            for (place, (at, row)) in tokens.zip(out.chunks_mut(self.output.pitch)).enumerate() {
                let (row, id) = (&mut row[..width], batch.ids[at] as usize);
                row.copy_from_slice(&self.words[id * width..][..width]);
                let segment = batch.segments.get(at).copied().unwrap_or(0) as usize;
                for (table, at) in [(&self.positions, place), (&self.segments, segment)] {
                    if !table.is_empty() {
                        row.iter_mut().zip(&table[at * width..]).for_each(|(sum, x)| *sum += x);
                    }
                }
            }
        });
    }

    fn algorithm(&self) -> &'static str {
        "embed"
    }
}

/// Images in patches: one product for all of a strip; each row of a window is a segment.
pub(super) struct Patches {
    pub(super) conv: Conv,
    /// `[height, width]` of the image in pixels.
    pub(super) image: (usize, usize),
    /// `[outputs / PANEL][kernel, kernel, inputs][PANEL]`
    pub(super) weights: Buffer,
    pub(super) bias: Vec<f32>,
    /// The class token with its place added; none if the patches are alone.
    pub(super) class: Option<Vec<f32>>,
    /// The position of each patch, which is added to it; empty if there are none.
    pub(super) positions: Vec<f32>,
    pub(super) output: View,
}

impl Patches {
    /// Patches of a column and of a row.
    fn grid(&self) -> (usize, usize) {
        (self.image.0 / self.conv.kernel, self.image.1 / self.conv.kernel)
    }

    /// Some rows of one image's patches.
    fn strip(&self, crew: &Crew, rows: Range<usize>, image: &[f32], out: &mut [f32]) {
        let (line, kernel) = (self.image.1 * self.conv.inputs, self.conv.kernel);
        let (wide, width) = (self.grid().1, self.output.width);
        let count = rows.len() * wide;
        let start = |at: usize| (at / wide * line + at % wide * self.conv.inputs) * kernel;
        let finish = Finish {
            bias: &self.bias,
            low: f32::NEG_INFINITY,
            high: f32::INFINITY,
            addend: self
                .positions
                .get(rows.start * wide * width..)
                .filter(|rest| !rest.is_empty())
                .map(|rest| (rest, width)),
        };
        crew.target.multiply(&mut Multiply {
            a: &image[rows.start * kernel * line..],
            rows: &(0..count).map(start).collect::<Vec<usize>>(),
            segments: kernel,
            pitch: line,
            depth: kernel * self.conv.inputs,
            b: &self.weights,
            columns: width,
            c: out,
            c_rows: &(0..count).map(|at| at * self.output.pitch).collect::<Vec<usize>>(),
            residual: None,
            finish: Some(finish),
        });
    }
}

impl Layer for Patches {
    fn run(&self, crew: &Crew, batch: &Batch, _: &[&[f32]], out: &mut [f32]) {
        let ((high, wide), images) = (self.grid(), batch.sequences());
        let floats = self.image.0 * self.image.1 * self.conv.inputs;
        let before =
            |rows: &Range<usize>| usize::from(self.class.is_some() && rows.start.is_multiple_of(high));
        let most = (choice::TOKEN_ROWS / wide).max(1);
        let strips = inside_images(images, high, most, crew.threads.div_ceil(images));
        let size = |rows: &Range<usize>| (rows.len() * wide + before(rows)) * self.output.pitch;
        crew.deal(out, strips, size, |rows, mut out, _| {
            if let (1, Some(class)) = (before(&rows), &self.class) {
                let (first, rest) = out.split_at_mut(self.output.pitch);
                first[..class.len()].copy_from_slice(class);
                out = rest;
            }
            let image = &batch.images[rows.start / high * floats..][..floats];
            let from = rows.start % high;
            self.strip(crew, from..from + rows.len(), image, out);
        });
    }

    fn algorithm(&self) -> &'static str {
        "patches"
    }
}
