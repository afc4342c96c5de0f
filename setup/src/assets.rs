//! What Baton carries: the small network's weights.

use learning::weights::Normalisation;

/// What `baton_small` expects of a pixel: about -2 to 2.
pub const NORMALISATION: Normalisation = Normalisation { mean: [0.5; 3], std: [0.25; 3] };
