//! Where does a number come from that nobody else has?

use std::hash::{BuildHasher, Hasher, RandomState};

/// A number drawn from the system's randomness, by way of the keys that the
/// standard library draws for its hash maps. It tells files apart; no secret
/// rests on it.
pub(crate) fn number() -> u64 {
    // The keys are drawn once a thread and then counted up; time and process
    // are mixed in so that neighbours are far from each other.
    let mut hasher = RandomState::new().build_hasher();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    hasher.write_u128(now.map_or(0, |since| since.as_nanos()));
    hasher.write_u32(std::process::id());
    hasher.finish()
}
