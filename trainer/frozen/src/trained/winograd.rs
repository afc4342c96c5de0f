//! The derivatives by the weights of a 3×3 convolution of stride 1, from Winograd's points:
//! a quarter of the direct sums' products.

use networks::Conv;
use rayon::prelude::*;

use super::layer::{Map, Run};
use crate::kernels::{Buffer, DeltaTile, InputTile, OUTPUTS, Outer, PANEL, POINTS};
use crate::plan::padded;
use crate::{Error, choice};

/// Products of a tile.
const PRODUCTS: usize = POINTS * POINTS;

/// The tiles of some images.
struct Tiles {
    high: usize,
    wide: usize,
    images: std::ops::Range<usize>,
}

impl Tiles {
    fn len(&self) -> usize {
        self.images.len() * self.high * self.wide
    }

    /// Floats of a panel: `[PRODUCTS][tiles][PANEL]`.
    fn panel(&self) -> usize {
        PRODUCTS * self.len() * PANEL
    }

    /// Each tile's image and first output.
    fn places(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let (high, wide) = (self.high, self.wide);
        let down = move |image| (0..high).map(move |row| (image, row));
        let across =
            move |(image, row)| (0..wide).map(move |column| (image, row * OUTPUTS, column * OUTPUTS));
        self.images.clone().flat_map(down).flat_map(across)
    }
}

/// Rows of products that a thread sums at a time: their pixels stay in the level-2 cache.
pub(super) const ROWS: usize = 64;

/// The sums of all tiles' products at each point, `[PRODUCTS][inputs][outputs]`.
///
/// Errors: no memory.
pub(super) fn products(conv: &Conv, run: &Run, from: Map, to: Map) -> Result<Buffer, Error> {
    let (inputs, outputs) = (padded(conv.inputs), padded(conv.outputs));
    let (high, wide) = (to.view.size.height.div_ceil(OUTPUTS), to.view.size.width.div_ceil(OUTPUTS));
    let floats = PRODUCTS * high * wide * (inputs + outputs);
    let together = (choice::WINOGRAD_GRADIENT_FLOATS / floats).max(1);
    let mut sums = run.memory.take(PRODUCTS * inputs * outputs)?;
    for first in (0..run.n).step_by(together) {
        let tiles = Tiles { high, wide, images: first..run.n.min(first + together) };
        let mut v = run.memory.take(inputs.div_ceil(PANEL) * tiles.panel())?;
        transform_inputs(conv, run, &tiles, from, &mut v);
        let mut m = run.memory.take(outputs.div_ceil(PANEL) * tiles.panel())?;
        transform_deltas(run, &tiles, to, &mut m);
        let points = sums[..PRODUCTS * inputs * outputs].chunks_mut(inputs * outputs).enumerate();
        let blocks = points.flat_map(|(point, sums)| {
            let blocks = sums.chunks_mut(ROWS * outputs).enumerate();
            blocks.map(move |(block, sums)| (point, block * ROWS, sums))
        });
        blocks.collect::<Vec<_>>().into_par_iter().for_each(|(point, row, sums)| {
            let offset = point * tiles.len() * PANEL;
            run.crew.target.outer(&mut Outer {
                a: &v[row / PANEL * tiles.panel() + offset..],
                a_panel: tiles.panel(),
                a_pitch: 0,
                a_step: PANEL,
                b: &m[offset..],
                b_panel: tiles.panel(),
                segments: 1,
                depth: tiles.len(),
                rows: sums.len() / outputs,
                columns: outputs,
                c: sums,
                c_pitch: outputs,
                add: first > 0,
            });
        });
        [v, m].into_iter().for_each(|buffer| run.memory.give(buffer));
    }
    Ok(sums)
}

/// Bᵀ d B of all tiles, a panel of channels after the other.
fn transform_inputs(conv: &Conv, run: &Run, tiles: &Tiles, from: Map, v: &mut [f32]) {
    let Map { view, values } = from;
    let zeros = [0.0; PANEL];
    let panels = view.columns().div_ceil(PANEL);
    v.par_chunks_mut(tiles.panel()).take(panels).enumerate().for_each(|(panel, v)| {
        for (at, (image, y, x)) in tiles.places().enumerate() {
            run.crew.target.input_tile(&mut InputTile {
                image: &values[image * view.image() + panel * PANEL..],
                height: view.size.height,
                width: view.size.width,
                pitch: view.pitch,
                y: y as isize - conv.padding as isize,
                x: x as isize - conv.padding as isize,
                channels: PANEL.min(view.columns() - panel * PANEL),
                zeros: &zeros,
                v: &mut v[at * PANEL..],
                v_pitch: tiles.len() * PANEL,
            });
        }
    });
}

/// A δ Aᵀ of all tiles, a panel of channels after the other.
fn transform_deltas(run: &Run, tiles: &Tiles, to: Map, m: &mut [f32]) {
    let Map { view, values: delta } = to;
    let panels = view.columns().div_ceil(PANEL);
    m.par_chunks_mut(tiles.panel()).take(panels).enumerate().for_each(|(panel, m)| {
        for (at, (image, y, x)) in tiles.places().enumerate() {
            let first = image * view.image() + y * view.row() + x * view.pitch + panel * PANEL;
            run.crew.target.delta_tile(&mut DeltaTile {
                delta: &delta[first..],
                row_pitch: view.row(),
                pixel_pitch: view.pitch,
                rows: OUTPUTS.min(view.size.height - y),
                columns: OUTPUTS.min(view.size.width - x),
                channels: PANEL.min(view.columns() - panel * PANEL),
                m: &mut m[at * PANEL..],
                m_pitch: tiles.len() * PANEL,
            });
        }
    });
}
