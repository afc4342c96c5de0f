//! burn's devices by the names that a job uses.

use crate::Result;
use burn::tensor::Device;

/// The device that a job names.
///
/// # Errors
/// [`crate::Error::Argument`] if this build has no `ndarray`.
pub fn device(named: crate::job::Device) -> Result<Device> {
    match named {
        crate::job::Device::Flex => Ok(Device::flex()),
        crate::job::Device::Ndarray => ndarray(),
    }
}

// Deprecated upstream in favour of flex and removed in burn 0.23; it is still used here.
#[cfg(feature = "ndarray")]
#[allow(deprecated)]
fn ndarray() -> Result<Device> {
    Ok(Device::ndarray())
}

#[cfg(not(feature = "ndarray"))]
fn ndarray() -> Result<Device> {
    Err(crate::Error::argument("device", "`flex`, or a build with the feature `ndarray`", "ndarray"))
}
