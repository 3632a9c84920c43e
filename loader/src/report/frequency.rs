//! How many different values there are, and which come most often, in bounded memory and one pass.
//!
//! Two sketches over 64-bit hashes of values. Both are exact as long as they are not full, and both depend on nothing
//! but the values and their order.

use std::collections::{HashMap, HashSet};

/// About how many different hashes were seen.
///
/// Adaptive sampling (Wegman; analysed in Flajolet 1990, "On adaptive sampling"): the hashes whose last `level` bits
/// are zero are kept; when they are too many, the level rises. Their number times 2^level is an unbiased estimate with
/// a relative standard error of about 1.2 / √capacity.
#[derive(Clone, Debug)]
pub(super) struct DistinctHashes {
    kept: HashSet<u64>,
    level: u32,
    capacity: usize,
}

impl DistinctHashes {
    /// With room for `capacity` hashes, at least one.
    pub(super) fn new(capacity: usize) -> Self {
        Self { kept: HashSet::new(), level: 0, capacity: capacity.max(1) }
    }

    pub(super) fn insert(&mut self, hash: u64) {
        if hash.trailing_zeros() < self.level {
            return;
        }
        self.kept.insert(hash);
        // Ends at the latest at level 64, which only the hash 0 reaches.
        while self.kept.len() > self.capacity {
            self.level += 1;
            let level = self.level;
            self.kept.retain(|hash| hash.trailing_zeros() >= level);
        }
    }

    /// How many, and whether that is exact.
    pub(super) fn count(&self) -> (u64, bool) {
        let scale = 1_u64.checked_shl(self.level).unwrap_or(u64::MAX);
        ((self.kept.len() as u64).saturating_mul(scale), self.level == 0)
    }
}

/// The values that come most often.
///
/// Misra and Gries 1982, "Finding repeated elements": every value that makes up more than 1/(capacity + 1) of all is
/// among those kept, and a count falls short of the truth by at most [`missed`](Self::missed).
#[derive(Clone, Debug)]
pub(super) struct FrequentValues {
    kept: HashMap<u64, (String, u64)>,
    missed: u64,
    capacity: usize,
}

impl FrequentValues {
    /// With room for `capacity` values, at least one.
    pub(super) fn new(capacity: usize) -> Self {
        Self { kept: HashMap::new(), missed: 0, capacity: capacity.max(1) }
    }

    /// One more value, with what is to be shown of it should it be kept.
    pub(super) fn insert(&mut self, hash: u64, shown: impl FnOnce() -> String) {
        if let Some((_, count)) = self.kept.get_mut(&hash) {
            *count += 1;
        } else if self.kept.len() < self.capacity {
            self.kept.insert(hash, (shown(), 1));
        } else {
            // It and one of each of the others cancel out.
            self.missed += 1;
            self.kept.retain(|_, (_, count)| {
                *count -= 1;
                *count > 0
            });
        }
    }

    /// By how much the counts may fall short; 0 where they are exact.
    pub(super) const fn missed(&self) -> u64 {
        self.missed
    }

    /// The values kept, most frequent first, then by what is shown of them.
    pub(super) fn top(&self) -> Vec<(&str, u64)> {
        let mut top: Vec<(&str, u64)> = self.kept.values().map(|(shown, count)| (shown.as_str(), *count)).collect();
        top.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        top
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use xxhash_rust::xxh3::xxh3_64;

    #[test]
    fn the_number_of_values_is_about_right_beyond_the_capacity() {
        for values in [5_000_u64, 100_000] {
            let mut distinct = DistinctHashes::new(4096);
            // Every value three times: repetition does not count.
            (0..3 * values).for_each(|i| distinct.insert(xxh3_64(&(i % values).to_le_bytes())));
            let (count, exact) = distinct.count();
            // Five standard errors of 1.2 / √4096.
            let error = (count as f64 / values as f64 - 1.0).abs();
            assert!(!exact && error < 5.0 * 1.2 / 64.0, "{count} of {values}");
            assert!(distinct.kept.len() <= 4096);
        }
    }

    #[test]
    fn a_hash_that_fits_every_level_does_not_hang_it() {
        let mut distinct = DistinctHashes::new(0);
        [0, 1 << 63, 1 << 62, 0].into_iter().for_each(|hash| distinct.insert(hash));
        assert!(distinct.kept.len() <= 1);
    }

    proptest! {
        #[test]
        fn the_number_of_values_is_exact_within_the_capacity(values in prop::collection::vec(0_u64..200, 0..500)) {
            let mut distinct = DistinctHashes::new(200);
            values.iter().for_each(|value| distinct.insert(xxh3_64(&value.to_le_bytes())));
            let expected = values.iter().collect::<std::collections::BTreeSet<_>>().len() as u64;
            prop_assert_eq!(distinct.count(), (expected, true));
        }

        #[test]
        fn a_frequent_value_is_never_lost_and_its_count_falls_short_by_no_more_than_said(
            values in prop::collection::vec(0_u64..40, 0..400),
            capacity in 1_usize..50,
        ) {
            let mut frequent = FrequentValues::new(capacity);
            let mut truth = BTreeMap::new();
            for value in &values {
                frequent.insert(*value, || value.to_string());
                *truth.entry(*value).or_insert(0_u64) += 1;
            }
            let top: BTreeMap<&str, u64> = frequent.top().into_iter().collect();
            prop_assert!(top.len() <= capacity);
            prop_assert!(frequent.missed() <= values.len() as u64 / (capacity as u64 + 1));
            for (value, count) in truth {
                let kept = top.get(value.to_string().as_str()).copied().unwrap_or(0);
                prop_assert!(kept <= count && count <= kept + frequent.missed());
            }
        }
    }
}
