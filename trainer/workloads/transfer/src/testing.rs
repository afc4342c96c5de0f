//! Shared by the tests of this crate: the paths of reference values and real data, and the difference of
//! numbers.

use crate::weights::Weights;
use burn::tensor::Device;
use std::path::{Path, PathBuf};

/// A file of `tests/reference`, made by `make_reference.py`.
pub(crate) fn reference_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/reference").join(name)
}

pub(crate) fn reference(name: &str) -> Weights {
    Weights::open(&reference_path(name)).unwrap()
}

/// A file of the real data; prints a note if it is missing.
pub(crate) fn data(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("BATON_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/data"), PathBuf::from);
    let path = folder.join(name);
    if !path.exists() {
        println!("SKIPPED: {} is not there; set BATON_DATA to the folder of real data", path.display());
        return None;
    }
    Some(path)
}

/// Every device of this build.
pub(crate) fn devices() -> Vec<(&'static str, Device)> {
    let named = [("flex", crate::job::Device::Flex), ("ndarray", crate::job::Device::Ndarray)];
    let built = named.into_iter().filter(|(name, _)| *name == "flex" || cfg!(feature = "ndarray"));
    built.map(|(name, device)| (name, crate::device::device(device).unwrap())).collect()
}

/// The largest difference, as a share of the largest expected value.
pub(crate) fn largest_error(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
    let error = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    // Not `max`, which would leave a NaN out.
    error.fold(0.0, |most: f32, error| if error > most || error.is_nan() { error } else { most }) / largest
}
