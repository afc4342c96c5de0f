//! Positions of an image's patches resized to another grid by bicubic interpolation, as PyTorch computes it.

use networks::Resize;

/// PyTorch's parameter of the cubic convolution.
const A: f64 = -0.75;

/// The four places that a new one is computed from, and their shares.
type Taps = [(usize, f64); 4];

/// A grid of rows, `[from.0 * from.1, width]`, at another grid's places; the same grid stays as it is.
pub(crate) fn resized(grid: &[f32], from: (usize, usize), to: (usize, usize), resize: Resize) -> Vec<f32> {
    if from == to {
        return grid.to_vec();
    }
    let width = grid.len() / (from.0 * from.1);
    let (down, across) = (taps(from.0, to.0, resize), taps(from.1, to.1, resize));
    let mut out = Vec::with_capacity(to.0 * to.1 * width);
    for (down, across) in down.iter().flat_map(|down| across.iter().map(move |across| (down, across))) {
        let mut sum = vec![0f64; width];
        for ((row, high), (column, wide)) in
            down.iter().flat_map(|row| across.iter().map(move |column| (row, column)))
        {
            let values = &grid[(row * from.1 + column) * width..][..width];
            sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += high * wide * f64::from(*value));
        }
        out.extend(sum.into_iter().map(|sum| sum as f32));
    }
    out
}

/// The places among `from` that each of `to` places is computed from.
fn taps(from: usize, to: usize, resize: Resize) -> Vec<Taps> {
    let place = |at: usize| match resize {
        Resize::Corners if to > 1 => at as f64 * (from - 1) as f64 / (to - 1) as f64,
        Resize::Corners => 0.0,
        Resize::Borders => (at as f64 + 0.5) * from as f64 / to as f64 - 0.5,
    };
    let taps = |at: usize| {
        let whole = place(at).floor();
        let t = place(at) - whole;
        std::array::from_fn(|tap| {
            let near = (whole + tap as f64 - 1.0).clamp(0.0, (from - 1) as f64);
            (near as usize, share((tap as f64 - 1.0 - t).abs()))
        })
    };
    (0..to).map(taps).collect()
}

/// The share of a place at this distance.
fn share(away: f64) -> f64 {
    if away <= 1.0 {
        ((A + 2.0) * away - (A + 3.0)) * away * away + 1.0
    } else {
        ((A * away - 5.0 * A) * away + 8.0 * A) * away - 4.0 * A
    }
}
