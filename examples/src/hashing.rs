//! Words and cells as numbers below a bound, without a vocabulary to be learnt.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A bucket from 1 to `buckets` − 1 for `text`; 0 stands for nothing. `kind` keeps equal texts of different kinds apart.
#[must_use]
pub fn bucket(text: &str, kind: u64, buckets: usize) -> i64 {
    let most = (buckets as u64).saturating_sub(1).max(1);
    (xxh3_64_with_seed(text.as_bytes(), kind) % most) as i64 + 1
}
