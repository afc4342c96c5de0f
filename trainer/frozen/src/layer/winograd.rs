//! A 3×3 convolution of stride 1 by Winograd F(4×4, 3×3), fused per block of tiles.
//!
//! A block's tiles are transformed, multiplied and transformed back while they are in the cache: there is no
//! transformed tensor of the whole layer. A strip is a run of tile rows, so its outputs are contiguous.
use std::ops::Range;

use networks::Conv;
use rayon::prelude::*;

use super::{Activation, Addend, Layer, View, Wiring, lanes_of, no_memory};
use crate::Error;
use crate::choice;
use crate::kernels::{
    Buffer, InputTile, LANES, Multiply, OUTPUTS, OutputTile, PANEL, POINTS, Pitches, Residual, Target,
    WeightTile,
};
use crate::parameters::{Affine, Kernels};
use crate::plan::padded;
use crate::strips::{Crew, even};

/// Products of a tile.
const PRODUCTS: usize = POINTS * POINTS;

/// Inputs whose kernels are transformed one after the other.
const TOGETHER: usize = 16;

pub(crate) struct Winograd {
    input: View,
    output: View,
    padding: usize,
    /// Rows and columns before pooling.
    height: usize,
    width: usize,
    pool: bool,
    /// `[outputs / WINOGRAD_OUTPUTS][PRODUCTS][panels][inputs][PANEL]`
    weights: Buffer,
    bias: Vec<f32>,
    activation: Activation,
    zeros: Vec<f32>,
    /// Tiles of a block.
    block: usize,
    /// Where the transformed tiles of a block start.
    rows: Vec<usize>,
    /// Where their products start.
    m_rows: Vec<usize>,
}

/// The output rows of a strip, in memory from row `first` on.
struct Strip<'a> {
    rows: &'a mut [f32],
    first: usize,
}

/// The products' sums of a tile, for some of the output's channels.
struct TileSums<'a> {
    m: &'a [f32],
    channels: Range<usize>,
}

impl Winograd {
    pub(crate) fn new(conv: &Conv, affine: Affine, wiring: Wiring, pool: bool) -> Result<Winograd, Error> {
        let Wiring { input, output, activation } = wiring;
        let block = choice::winograd_tiles(conv.inputs);
        let kernels = Kernels::of(conv, &affine.weight);
        let floats = PRODUCTS * kernels.inputs * padded(kernels.outputs);
        let mut weights = Buffer::zeroed(floats).map_err(no_memory)?;
        transform_into(Target::best(), &kernels, &mut weights);
        Ok(Winograd {
            input,
            output,
            padding: conv.padding,
            height: input.size.height + 2 * conv.padding - 2,
            width: input.size.width + 2 * conv.padding - 2,
            pool,
            weights,
            bias: lanes_of(&affine.bias),
            activation,
            zeros: vec![0.0; input.columns()],
            block,
            rows: (0..block).map(|tile| tile * (input.columns() + 2 * LANES)).collect(),
            m_rows: (0..block).map(|tile| tile * choice::WINOGRAD_OUTPUTS).collect(),
        })
    }

    fn tiles_high(&self) -> usize {
        self.height.div_ceil(OUTPUTS)
    }

    fn tiles_wide(&self) -> usize {
        self.width.div_ceil(OUTPUTS)
    }

    /// Floats from a product's transformed inputs to the next product's. The extra cache line keeps the
    /// products from falling on the same lines of the level-1 cache.
    fn v_pitch(&self) -> usize {
        self.block * self.tile_pitch() + 2 * LANES
    }

    /// Floats from a tile's transformed inputs to the next tile's, of the same product; an odd number of
    /// cache lines as well.
    fn tile_pitch(&self) -> usize {
        self.input.columns() + 2 * LANES
    }

    fn m_pitch(&self) -> usize {
        self.block * choice::WINOGRAD_OUTPUTS + 2 * LANES
    }

    /// Output rows, pooled if they are, before the tile row `row` (counted over all images).
    fn rows_before(&self, row: usize) -> usize {
        let (image, row) = (row / self.tiles_high(), row % self.tiles_high());
        let scale = if self.pool { 2 } else { 1 };
        image * self.output.size.height + (row * OUTPUTS / scale).min(self.output.size.height)
    }

    /// The place of a tile of the batch: image, row and column of tiles.
    fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (row, column) = (tile / self.tiles_wide(), tile % self.tiles_wide());
        (row / self.tiles_high(), row % self.tiles_high(), column)
    }

    /// One block of tiles, all the way.
    fn run_block(
        &self,
        crew: &Crew,
        tiles: Range<usize>,
        inputs: &[&[f32]],
        strip: &mut Strip,
        scratch: &mut [f32],
    ) {
        let (v, m) = scratch.split_at_mut(PRODUCTS * self.v_pitch());
        for (at, tile) in tiles.clone().enumerate() {
            self.transform_input(crew, tile, inputs[0], &mut v[at * self.tile_pitch()..]);
        }
        let (columns, depth) = (self.output.columns(), self.input.size.channels);
        for from in (0..columns).step_by(choice::WINOGRAD_OUTPUTS) {
            let width = choice::WINOGRAD_OUTPUTS.min(columns - from);
            let weights = &self.weights[from * depth * PRODUCTS..];
            for product in 0..PRODUCTS {
                crew.target.multiply(&mut Multiply {
                    a: &v[product * self.v_pitch()..],
                    rows: &self.rows[..tiles.len()],
                    segments: 1,
                    pitch: 0,
                    depth,
                    b: &weights[product * depth * width..],
                    columns: width,
                    c: &mut m[product * self.m_pitch()..],
                    c_rows: &self.m_rows[..tiles.len()],
                    residual: None,
                    finish: None,
                });
            }
            for (at, tile) in tiles.clone().enumerate() {
                let sums = TileSums { m: &m[at * choice::WINOGRAD_OUTPUTS..], channels: from..from + width };
                self.transform_output(crew, tile, sums, inputs, strip);
            }
        }
    }

    fn transform_input(&self, crew: &Crew, tile: usize, input: &[f32], v: &mut [f32]) {
        let (image, row, column) = self.place(tile);
        crew.target.input_tile(&mut InputTile {
            image: &input[image * self.input.image()..],
            height: self.input.size.height,
            width: self.input.size.width,
            pitch: self.input.pitch,
            y: (row * OUTPUTS) as isize - self.padding as isize,
            x: (column * OUTPUTS) as isize - self.padding as isize,
            channels: self.input.columns(),
            zeros: &self.zeros,
            v,
            v_pitch: self.v_pitch(),
        });
    }

    fn transform_output(
        &self,
        crew: &Crew,
        tile: usize,
        sums: TileSums,
        inputs: &[&[f32]],
        strip: &mut Strip,
    ) {
        let TileSums { m, channels } = sums;
        let (image, row, column) = self.place(tile);
        let pitches = |view: &View| Pitches { row: view.row(), pixel: view.pitch };
        let (y, x) = (row * OUTPUTS, column * OUTPUTS);
        let scale = if self.pool { 2 } else { 1 };
        let (rows, columns) = ((self.height - y).min(OUTPUTS), (self.width - x).min(OUTPUTS));
        if rows < scale || columns < scale {
            return; // pooling drops an odd last row or column
        }
        let out_row = image * self.output.size.height + y / scale - strip.first;
        let out = out_row * self.output.row() + x / scale * self.output.pitch + channels.start;
        let residual = self.activation.residual.map(|addend| match addend {
            Addend::Value(view) => {
                let at = image * view.image() + y * view.row() + x * view.pitch + channels.start;
                Residual::Values(&inputs[1][at..], pitches(&view))
            }
            Addend::There => Residual::There,
        });
        crew.target.output_tile(&mut OutputTile {
            m,
            m_pitch: self.m_pitch(),
            channels: channels.len(),
            bias: &self.bias[channels],
            low: self.activation.clamp.low,
            high: self.activation.clamp.high,
            residual,
            out: &mut strip.rows[out..],
            pitches: pitches(&self.output),
            rows,
            columns,
            pool: self.pool,
        });
    }
}

impl Layer for Winograd {
    fn run(&self, crew: &Crew, n: usize, inputs: &[&[f32]], out: &mut [f32]) {
        let wide = self.tiles_wide();
        // A block of tiles in a strip, or a row of tiles if that is more.
        let rows = (self.block / wide).max(1);
        let strips = even(n * self.tiles_high(), rows, crew.threads);
        let floats = |rows: &Range<usize>| {
            (self.rows_before(rows.end) - self.rows_before(rows.start)) * self.output.row()
        };
        crew.deal(out, strips, floats, |rows, strip, scratch| {
            let mut strip = Strip { rows: strip, first: self.rows_before(rows.start) };
            let count = rows.len() * wide;
            for block in even(count, self.block, 1) {
                let tiles = rows.start * wide + block.start..rows.start * wide + block.end;
                self.run_block(crew, tiles, inputs, &mut strip, scratch);
            }
        });
    }

    fn load(&mut self, target: Target, kernels: &Kernels, bias: &[f32]) {
        transform_into(target, kernels, &mut self.weights);
        self.bias = lanes_of(bias);
    }

    fn scratch(&self) -> usize {
        PRODUCTS * (self.v_pitch() + self.m_pitch())
    }

    fn algorithm(&self) -> &'static str {
        if self.pool { "winograd+pool" } else { "winograd" }
    }
}

/// G g Gᵀ of every kernel, packed for the products.
fn transform_into(target: Target, kernels: &Kernels, packed: &mut [f32]) {
    let inputs = kernels.inputs;
    packed.par_chunks_mut(PRODUCTS * inputs * choice::WINOGRAD_OUTPUTS).enumerate().for_each(
        |(block, chunk)| {
            let width = chunk.len() / PRODUCTS / inputs;
            for panel in (0..width).step_by(PANEL) {
                let lanes = PANEL.min(width - panel);
                let first = block * choice::WINOGRAD_OUTPUTS + panel;
                let outputs = first..kernels.outputs.min(first + lanes);
                for from in (0..inputs).step_by(TOGETHER) {
                    let some = from..inputs.min(from + TOGETHER);
                    let mut taps = [0.0; 9 * TOGETHER * PANEL];
                    kernels.interleave(target, &outputs, some.clone(), (&mut taps, PANEL));
                    for (at, input) in some.clone().enumerate() {
                        target.weight_tile(&mut WeightTile {
                            taps: &taps[at * PANEL..],
                            taps_pitch: some.len() * PANEL,
                            out: &mut chunk[panel * inputs + input * lanes..],
                            pitch: width * inputs,
                            lanes,
                        });
                    }
                }
            }
        },
    );
}
