//! A Bloom filter (Bloom 1970) that can be wound back: which keys were seen, without their being kept.
//!
//! Bits have no age. So that a filter as it was at an earlier visit can still be written down, the places of bits set
//! lately are kept in a journal until nobody can ask for what was before them.

use super::journal::Journal;

/// The key's bits are found by double hashing (Kirsch and Mitzenmacher 2006).
#[derive(Clone, Debug)]
pub(in crate::clean) struct Bloom {
    words: Vec<u64>,
    hashes: u32,
    ones: u64,
    /// How many keys were new to it.
    keys: u64,
    /// The bits that were set in visits that may have to be undone.
    journal: Journal,
}

/// The bits that a filter takes for each key so that it errs with a chance of `false_positive` when it is full.
pub(in crate::clean) fn bits_per_key(false_positive: f64) -> f64 {
    -false_positive.ln() / (std::f64::consts::LN_2 * std::f64::consts::LN_2)
}

/// The number of bits a key for which that is least.
pub(in crate::clean) fn best_hashes(false_positive: f64) -> u32 {
    (bits_per_key(false_positive) * std::f64::consts::LN_2).round().clamp(1.0, 64.0) as u32
}

impl Bloom {
    /// The places of a key's bits.
    fn places(&self, key: u64) -> impl Iterator<Item = u64> + use<> {
        let bits = 64 * self.words.len() as u128;
        // The finalizer of SplitMix64, so that the second hash does not hang on the first.
        let mut step = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
        step = (step ^ step >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        step = (step ^ step >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        let step = (step ^ step >> 31) | 1;
        (0..u64::from(self.hashes)).map(move |at| {
            let hash = key.wrapping_add(at.wrapping_mul(step));
            ((u128::from(hash) * bits) >> 64) as u64
        })
    }

    /// Whether `key` was seen, or seems to have been.
    pub(in crate::clean) fn contains(&self, key: u64) -> bool {
        self.places(key).all(|place| self.words[(place / 64) as usize] >> (place % 64) & 1 == 1)
    }

    /// Sees `key` at `visit`, which is not before that of any earlier call; whether it was seen already, or seems so.
    pub(in crate::clean) fn insert(&mut self, key: u64, visit: u32) -> bool {
        let mut seen = true;
        for place in self.places(key) {
            let (word, bit) = (&mut self.words[(place / 64) as usize], 1 << (place % 64));
            if *word & bit == 0 {
                *word |= bit;
                self.journal.set(visit, self.keys, place);
                self.ones += 1;
                seen = false;
            }
        }
        self.keys += u64::from(!seen);
        seen
    }

    /// Gives up what is needed to wind back to before `visit`, of later insertions too.
    pub(in crate::clean) fn release(&mut self, visit: u32) {
        self.journal.release(visit);
    }

    /// The bits as they were before `visit`, unless that was released, and how many keys there were.
    pub(in crate::clean) fn before(&self, visit: u32) -> (Vec<u64>, u64) {
        let mut words = self.words.clone();
        let Some(keys) = self.journal.keys_before(visit) else { return (words, self.keys) };
        self.journal.since(visit, |place| words[(place / 64) as usize] &= !(1 << (place % 64)));
        (words, keys)
    }

    /// The filter with these bits, at least 64 of them, `hashes` of them a key, and so many keys, in which nothing from
    /// before the visit `released` is ever to be undone.
    pub(in crate::clean) fn from_words(words: Vec<u64>, hashes: u32, keys: u64, released: u32) -> Self {
        let ones = words.iter().map(|word| u64::from(word.count_ones())).sum();
        let journal = Journal::new(64 * words.len() as u64, released);
        Self { words, hashes, ones, keys, journal }
    }

    /// How many keys were new to it when they came.
    pub(in crate::clean) const fn keys(&self) -> u64 {
        self.keys
    }

    /// The chance that a key never seen seems to have been, as things stand: the share of set bits to the power of a
    /// key's bits.
    pub(in crate::clean) fn false_positive(&self) -> f64 {
        (self.ones as f64 / (64 * self.words.len()) as f64).powi(self.hashes as i32)
    }

    /// The heap that it takes, in bytes.
    pub(in crate::clean) fn bytes_in_memory(&self) -> usize {
        8 * self.words.capacity() + self.journal.bytes_in_memory()
    }
}

#[cfg(test)]
mod tests {
    use super::{Bloom, best_hashes, bits_per_key};
    use proptest::prelude::*;

    fn key(number: u64) -> u64 {
        xxhash_rust::xxh3::xxh3_64(&number.to_le_bytes())
    }

    #[test]
    fn a_full_filter_errs_as_often_as_it_says() {
        for (wanted, keys) in [(0.05, 20_000_u64), (0.001, 20_000)] {
            let words = (bits_per_key(wanted) * keys as f64 / 64.0).ceil() as usize;
            let mut filter = Bloom::from_words(vec![0; words], best_hashes(wanted), 0, 0);
            for number in 0..keys {
                filter.insert(key(number), 0);
            }
            assert!((0..keys).all(|number| filter.contains(key(number))));
            let strangers = 400_000;
            let wrong = (keys..keys + strangers).filter(|&number| filter.contains(key(number))).count();
            let (measured, said) = (wrong as f64 / strangers as f64, filter.false_positive());
            assert!((said / wanted - 1.0).abs() < 0.1, "said {said}, wanted {wanted}");
            // Five standard deviations of the count.
            assert!(
                (measured - said).abs() < 5.0 * (said / strangers as f64).sqrt(),
                "measured {measured}, said {said}"
            );
        }
    }

    proptest! {
        #[test]
        fn it_is_wound_back_to_any_visit_that_was_not_released(
            visits in prop::collection::vec(prop::collection::vec(any::<u64>(), 0..20), 1..8),
            released in 0..8_u32,
        ) {
            let mut filter = Bloom::from_words(vec![0; 8], 7, 0, 0);
            let mut then = Vec::new();
            for (visit, keys) in (0..).zip(&visits) {
                then.push(filter.before(visit));
                for &key in keys {
                    filter.insert(key, visit);
                }
            }
            prop_assert_eq!(filter.before(0), (vec![0; 8], 0));
            filter.release(released);
            for (visit, then) in (0..).zip(&then).filter(|&(visit, _)| visit >= released) {
                prop_assert_eq!(&filter.before(visit), then);
            }
            let (words, keys) = filter.before(u32::MAX);
            let again = Bloom::from_words(words, filter.hashes, keys, 0);
            prop_assert!(visits.iter().flatten().all(|&key| again.contains(key)));
            prop_assert_eq!(again.false_positive(), filter.false_positive());
        }
    }

    #[test]
    fn what_winding_back_takes_is_little_and_nothing_where_nobody_will_ask() {
        const KEYS: u64 = 400_000;
        let words = (bits_per_key(0.001) * KEYS as f64 / 64.0).ceil() as usize;
        let [mut kept, mut released] =
            [0, 10].map(|from| Bloom::from_words(vec![0; words], best_hashes(0.001), 0, from));
        let (mut then, mut set) = (Vec::new(), 0);
        for number in 0..KEYS {
            let visit = (number / 100_000) as u32;
            if number == 200_000 {
                (then, set) = (kept.words.clone(), kept.ones);
            }
            assert_eq!(kept.insert(key(number), visit), released.insert(key(number), visit));
        }
        assert_eq!(kept.words, released.words);
        assert_eq!(kept.before(2).0, then);
        assert_eq!(released.bytes_in_memory(), 8 * words);
        kept.release(2);
        let each = (kept.bytes_in_memory() - 8 * words) as f64 / (kept.ones - set) as f64;
        assert!(each < 2.6, "{each} bytes a bit");
    }
}
