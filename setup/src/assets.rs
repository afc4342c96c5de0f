//! Assets of the binary: the small network's weights.

use crate::Failure;
use crate::output::write_whole;
use std::path::Path;
use storage::Root;
use transfer::weights::{Normalisation, install};

/// The normalisation that `baton_small` expects: pixels from about -2 to 2.
pub const NORMALISATION: Normalisation = Normalisation { mean: [0.5; 3], std: [0.25; 3] };

/// The weights of `baton_small`, made by `baton pretrain --steps 1500` with seed 1, on generated images only.
const BATON_SMALL: &[u8] = include_bytes!("../assets/baton_small.safetensors");

/// Installs the weights of `baton_small` under `root`, unless they exist.
///
/// # Errors
/// A folder that cannot be written, or other weights of that name in it.
pub fn install_baton_small(root: &Path) -> Result<(), Failure> {
    let folder = Root::open(root)?.weights("baton_small")?;
    let file = root.join("baton_small.safetensors");
    write_whole(&file, BATON_SMALL)?;
    let installed =
        install(&folder, &file, &networks::network("baton_small").map_err(Failure::input)?, NORMALISATION);
    std::fs::remove_file(&file).map_err(Failure::io("remove", &file))?;
    installed.map_err(Failure::of)?;
    Ok(())
}
