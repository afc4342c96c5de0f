//! The system's time, and numbers that do not occur twice.

use std::{
    hash::{BuildHasher, RandomState},
    time::{SystemTime, UNIX_EPOCH},
};

/// Milliseconds since 1970.
pub(crate) fn epoch_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as u64
}

/// A number that does not occur twice: std seeds every hasher from the system's randomness and a counter.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0u8)
}
