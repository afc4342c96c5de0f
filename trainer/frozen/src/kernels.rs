//! The kernels and the choice among instruction sets; the only module with `unsafe`.
//!
//! A kernel is written once over [`vector::Vector`] and compiled for each instruction set. Its job is a
//! struct of slices. `check` proves that every access is inside them, so callers need no `unsafe`.
#![allow(unsafe_code)]
// Registers are named by row and column; iterators over them would hide which,
// and must not be left to the optimiser.
#![allow(clippy::needless_range_loop)]

use std::sync::OnceLock;
use std::time::Instant;

mod activation;
mod attention;
mod backward;
mod buffer;
mod depthwise;
mod dot;
mod interleave;
mod linear;
mod maximum;
mod multiply;
mod normalise;
mod outer;
mod peak;
mod vector;
mod weighted;
mod winograd;
mod winograd_weights;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

pub(crate) use activation::GeluRows;
pub(crate) use attention::{ScaleRows, Softmax};
pub(crate) use backward::{ChannelSums, CutOff, WindowBack};
pub use buffer::Buffer;
pub(crate) use depthwise::{DepthwiseProducts, DepthwiseRow};
pub(crate) use dot::{Dot, GROUP, PIECE};
pub(crate) use interleave::{Deposit, Interleave, Scales, scaled};
pub(crate) use linear::{Gradient, Scores};
pub(crate) use maximum::Window;
pub(crate) use multiply::{Finish, Multiply, PANEL};
pub(crate) use normalise::Normalise;
pub(crate) use outer::Outer;
pub(crate) use peak::Peak;
pub(crate) use vector::LANES;
pub(crate) use weighted::Weighted;
pub(crate) use winograd::{InputTile, OUTPUTS, OutputTile, POINTS, Pitches};
pub(crate) use winograd_weights::{DeltaTile, WeightSums, WeightTile};

/// An instruction set that the kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// x86-64 with AVX-512F. It computes the bits of [`Isa::Avx2`].
    Avx512,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// aarch64.
    Neon,
    /// Any CPU.
    Portable,
}

impl Isa {
    /// The fastest one on this CPU.
    ///
    /// AVX-512 is chosen only if it is measured to be faster, once in the process: some CPUs split its
    /// operations in halves, or lower their clock. Only the time depends on this.
    pub fn best() -> Isa {
        static BEST: OnceLock<Isa> = OnceLock::new();
        let faster = || {
            let rate = |isa| measured(isa, 20_000, 5).unwrap_or(0.0);
            rate(Isa::Avx512) > 1.1 * rate(Isa::Avx2)
        };
        let seen = |isa: &Isa| isa.exists() && (*isa != Isa::Avx512 || faster());
        let all = [Isa::Avx512, Isa::Avx2, Isa::Neon];
        *BEST.get_or_init(|| all.into_iter().find(seen).unwrap_or(Isa::Portable))
    }

    /// The one that represents all with the same bits.
    pub fn rounding(self) -> Isa {
        if self == Isa::Avx512 { Isa::Avx2 } else { self }
    }

    /// Whether this CPU has it.
    pub fn exists(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Isa::Avx2.exists() && is_x86_feature_detected!("avx512f"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => true,
            Isa::Portable => true,
            #[allow(unreachable_patterns)]
            _ => false,
        }
    }
}

/// Floating-point operations per second of one thread on registers alone: the upper bound for every kernel.
///
/// None when this CPU does not have the instruction set.
pub fn peak(isa: Isa) -> Option<f64> {
    measured(isa, 1_000_000, 20)
}

/// The most operations per second of some tries.
fn measured(isa: Isa, rounds: usize, tries: u32) -> Option<f64> {
    let target = Target::new(isa)?;
    let rate = |_| {
        let mut job = Peak { rounds, lanes: 0, result: 0.0 };
        let start = Instant::now();
        target.peak(&mut job);
        let seconds = start.elapsed().as_secs_f64();
        std::hint::black_box(job.result);
        job.operations() as f64 / seconds
    };
    (0..tries).map(rate).reduce(f64::max)
}

/// An instruction set that was found on this CPU; having one is the licence to run its kernels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target(Isa);

impl Target {
    /// That of this CPU.
    pub(crate) fn best() -> Target {
        Target(Isa::best())
    }

    pub(crate) fn new(isa: Isa) -> Option<Target> {
        isa.exists().then_some(Target(isa))
    }
}

/// Values that are added to a convolution's sums.
#[derive(Clone, Copy)]
pub(crate) enum Residual<'a, Pitch> {
    /// These, with the given pitch.
    Values(&'a [f32], Pitch),
    /// Those at the place of the outputs.
    There,
}

/// Compiles every kernel for one vector type; the attribute switches its instruction set on.
macro_rules! entry_points {
    ($vector:ty, #[$attribute:meta]) => {
        super::entry_points!($vector, #[$attribute],
            multiply(Multiply) = multiply::run;
            input_tile(InputTile) = winograd::input;
            output_tile(OutputTile) = winograd::output;
            weight_tile(WeightTile) = winograd_weights::weights;
            weight_sums(WeightSums) = winograd_weights::sums;
            delta_tile(DeltaTile) = winograd_weights::delta;
            depthwise_row(DepthwiseRow) = depthwise::run;
            depthwise_products(DepthwiseProducts) = depthwise::products;
            maximum(Window) = maximum::run;
            dot(Dot) = dot::run;
            scores(Scores) = linear::scores;
            gradient(Gradient) = linear::gradient;
            outer(Outer) = outer::run;
            interleave(Interleave) = interleave::run;
            deposit(Deposit) = interleave::deposit;
            weighted(Weighted) = weighted::run;
            cut_off(CutOff) = backward::cut_off;
            channel_sums(ChannelSums) = backward::sums;
            window_back(WindowBack) = backward::window_back;
            gelu(GeluRows) = activation::gelu;
            normalise(Normalise) = normalise::run;
            softmax(Softmax) = attention::softmax;
            scale_rows(ScaleRows) = attention::scale_rows;
            peak(Peak) = peak::run;);
    };
    ($vector:ty, #[$attribute:meta], $($name:ident($job:ident) = $module:ident::$run:ident;)*) => {
        $(
            /// # Safety
            /// The job's check has passed and the CPU has this instruction set.
            #[$attribute]
            pub(super) unsafe fn $name(job: &mut super::$job) {
                // SAFETY: this function's own contract.
                unsafe { super::$module::$run::<$vector>(job) }
            }
        )*
    };
}
use entry_points;

/// The safe way to each kernel: check the job, then run it on the target's instruction set.
macro_rules! dispatch {
    ($($(#[$doc:meta])* $name:ident($job:ident);)*) => {
        impl Target {
            $(
                $(#[$doc])*
                pub(crate) fn $name(self, job: &mut $job) {
                    job.check();
                    // SAFETY: the job was checked, and a Target exists only for an instruction set
                    // of this CPU.
                    unsafe {
                        match self.0 {
                            #[cfg(target_arch = "x86_64")]
                            Isa::Avx512 => avx512::$name(job),
                            #[cfg(target_arch = "x86_64")]
                            Isa::Avx2 => avx2::$name(job),
                            #[cfg(target_arch = "aarch64")]
                            Isa::Neon => neon::$name(job),
                            _ => portable::$name(job),
                        }
                    }
                }
            )*
        }
    };
}
dispatch! {
    /// Matrix multiply.
    multiply(Multiply);
    /// Winograd's input transform of one tile.
    input_tile(InputTile);
    /// Winograd's output transform of one tile.
    output_tile(OutputTile);
    /// Winograd's transform of some kernels.
    weight_tile(WeightTile);
    /// The derivatives by some kernels of a Winograd convolution.
    weight_sums(WeightSums);
    /// Winograd's transform of one tile of derivatives.
    delta_tile(DeltaTile);
    /// One row of a depthwise convolution.
    depthwise_row(DepthwiseRow);
    /// The derivatives by a depthwise convolution's weights.
    depthwise_products(DepthwiseProducts);
    /// One output of a max pooling.
    maximum(Window);
    /// A run of a linear layer's outputs.
    dot(Dot);
    /// A thin linear layer's scores.
    scores(Scores);
    /// A thin linear layer's gradient.
    gradient(Gradient);
    /// Sums of outer products.
    outer(Outer);
    /// Rows to a panel.
    interleave(Interleave);
    /// A panel to rows.
    deposit(Deposit);
    /// Weighted sums.
    weighted(Weighted);
    /// Derivatives by a clamp's input.
    cut_off(CutOff);
    /// Sums of derivatives.
    channel_sums(ChannelSums);
    /// The derivative by one output of a max pooling.
    window_back(WindowBack);
    /// GELU of some rows.
    gelu(GeluRows);
    /// Layer norm of some rows.
    normalise(Normalise);
    /// Softmax of some rows, without the factor of each row.
    softmax(Softmax);
    /// Each row multiplied by its number.
    scale_rows(ScaleRows);
    /// Multiply-adds on registers.
    peak(Peak);
}
