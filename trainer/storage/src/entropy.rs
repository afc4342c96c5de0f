//! Randomness for file names and waiting times; a run's results may not depend on it.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// 64 bits that no other call in any process returns, as far as possible.
///
/// `RandomState` is seeded by the operating system. Process, time and a counter are mixed in, in case two
/// sandboxes were frozen and copied from one image and so share their seed.
pub(crate) fn random() -> u64 {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.write_u128(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos()));
    hasher.write_u64(COUNTER.fetch_add(1, Ordering::Relaxed));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    #[test]
    fn values_do_not_repeat() {
        let values: std::collections::HashSet<u64> = (0..10_000).map(|_| super::random()).collect();
        assert_eq!(values.len(), 10_000);
    }
}
