//! The parts of gradients that are not products: single numbers of maps, channel by channel. Lanes are
//! independent, so the compiler makes the vectors.
use super::vector::{LANES, Vector};

/// Sets the derivatives by an image's values to 0 where these are not between the bounds.
pub(crate) struct CutOff<'a> {
    /// Pixels that are `pitch` floats apart, as in `delta`.
    pub(crate) values: &'a [f32],
    pub(crate) delta: &'a mut [f32],
    pub(crate) pitch: usize,
    pub(crate) pixels: usize,
    pub(crate) channels: usize,
    pub(crate) low: f32,
    pub(crate) high: f32,
}

impl CutOff<'_> {
    pub(super) fn check(&self) {
        assert!(self.pixels > 0 && self.channels <= self.pitch);
    }
}

/// # Safety
/// `V`'s instruction set exists.
#[inline(always)]
pub(super) unsafe fn cut_off<V: Vector>(job: &mut CutOff) {
    for pixel in 0..job.pixels {
        let values = &job.values[pixel * job.pitch..][..job.channels];
        let delta = &mut job.delta[pixel * job.pitch..][..job.channels];
        for (delta, value) in delta.iter_mut().zip(values) {
            *delta = if *value > job.low && *value < job.high { *delta } else { 0.0 };
        }
    }
}

/// Adds an image's derivatives to the sums of their channels, pixel by pixel.
pub(crate) struct ChannelSums<'a> {
    pub(crate) delta: &'a [f32],
    /// Floats from a pixel to the next.
    pub(crate) pitch: usize,
    pub(crate) pixels: usize,
    /// `[channels]`
    pub(crate) sums: &'a mut [f64],
}

impl ChannelSums<'_> {
    pub(super) fn check(&self) {
        assert!(self.pixels > 0 && self.sums.len() <= self.pitch);
    }
}

/// # Safety
/// `V`'s instruction set exists.
#[inline(always)]
pub(super) unsafe fn sums<V: Vector>(job: &mut ChannelSums) {
    for pixel in 0..job.pixels {
        let delta = &job.delta[pixel * job.pitch..][..job.sums.len()];
        job.sums.iter_mut().zip(delta).for_each(|(sum, delta)| *sum += f64::from(*delta));
    }
}

/// Adds the derivative by a window's maximum to that by the first pixel that has it.
pub(crate) struct WindowBack<'a> {
    /// From the window's first pixel.
    pub(crate) values: &'a [f32],
    /// The same of their derivatives.
    pub(crate) into: &'a mut [f32],
    pub(crate) row_pitch: usize,
    pub(crate) pixel_pitch: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// `[channels]`
    pub(crate) delta: &'a [f32],
    /// A multiple of [`LANES`].
    pub(crate) channels: usize,
}

impl WindowBack<'_> {
    pub(super) fn check(&self) {
        assert!(self.rows > 0 && self.columns > 0 && self.channels.is_multiple_of(LANES));
    }

    /// Where the window's pixels begin.
    #[inline(always)]
    fn pixels(&self) -> impl Iterator<Item = usize> + use<> {
        let (columns, row_pitch, pixel_pitch) = (self.columns, self.row_pitch, self.pixel_pitch);
        let row = move |row| (0..columns).map(move |column| row * row_pitch + column * pixel_pitch);
        (0..self.rows).flat_map(row)
    }
}

/// # Safety
/// `V`'s instruction set exists.
#[inline(always)]
pub(super) unsafe fn window_back<V: Vector>(job: &mut WindowBack) {
    for c in (0..job.channels).step_by(LANES) {
        let (mut most, mut place) = ([f32::NEG_INFINITY; LANES], [0u32; LANES]);
        for (number, pixel) in job.pixels().enumerate() {
            let values: &[f32; LANES] = job.values[pixel + c..].first_chunk().expect("whole lanes");
            for lane in 0..LANES {
                place[lane] = if values[lane] > most[lane] { number as u32 } else { place[lane] };
                most[lane] = if values[lane] > most[lane] { values[lane] } else { most[lane] };
            }
        }
        let delta: &[f32; LANES] = job.delta[c..].first_chunk().expect("whole lanes");
        for (number, pixel) in job.pixels().enumerate() {
            let into: &mut [f32; LANES] = job.into[pixel + c..].first_chunk_mut().expect("whole lanes");
            for lane in 0..LANES {
                into[lane] += if place[lane] == number as u32 { delta[lane] } else { 0.0 };
            }
        }
    }
}
