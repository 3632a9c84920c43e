//! A Bloom filter that never overfills: two generations within one byte budget.
//!
//! Keys enter the newer generation and are looked for in both. When the newer one holds as many keys as it was made for,
//! it becomes the older one, and what was the older one is forgotten: so at least that many of the latest keys are
//! known, in memory that does not grow.

use super::{
    bloom::{Bloom, best_hashes, bits_per_key},
    journal::{packed_bytes, waiting_bytes},
};
use crate::clean::{matcher::Undo, memory::take};
use std::collections::VecDeque;

/// How large the generations are, and how often they err.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::clean) struct Generations {
    /// The bytes of one of them.
    bytes: usize,
    /// The keys for which it is made.
    keys: u64,
    /// The chance that a full one takes a key for one that it has seen.
    false_positive: f64,
}

impl Generations {
    /// Two that take `budget` bytes together, and together err with a chance of `false_positive` for each key.
    pub(in crate::clean) fn new(budget: u64, false_positive: f64) -> Self {
        let each = 1.0 - (1.0 - false_positive).sqrt();
        let bytes = usize::try_from(budget / 2).unwrap_or(usize::MAX).max(8) / 8 * 8;
        let keys = (8.0 * bytes as f64 / bits_per_key(each)).floor().max(1.0) as u64;
        Self { bytes, keys, false_positive: each }
    }

    /// The keys that are known at least, of those seen last.
    #[cfg(test)]
    pub(in crate::clean) const fn keys(&self) -> u64 {
        self.keys
    }

    fn empty(&self, released: u32) -> Bloom {
        Bloom::from_words(vec![0; self.bytes / 8], self.hashes(), 0, released)
    }

    /// What it takes to go back, where a block brings up to `block` keys and all blocks together bring `all`: the places of
    /// the bits that it sets, and the generations that are forgotten meanwhile.
    pub(in crate::clean) fn undo(&self, block: u64, all: u64) -> Undo {
        let bits = 8 * self.bytes as u64;
        // What so many keys set of an empty generation, whose bits they meet as if by chance: the more there are, the more
        // often one that is set. However the keys are spread over generations, they set no more.
        let places = |keys: u64| {
            let met = f64::from(self.hashes()) * keys as f64 / bits as f64;
            (bits as f64 * (1.0 - libm::exp(-met))).ceil() as u64
        };
        let (whole, rest) = (block / self.keys, block % self.keys);
        let packed = whole.saturating_mul(packed_bytes(bits, places(self.keys)));
        let forgets = all / 2 >= self.keys;
        let forgotten = if forgets { (block as f64 / self.keys as f64 * self.bytes as f64).ceil() as u64 } else { 0 };
        Undo {
            fixed: 2 * waiting_bytes(bits) + if forgets { self.bytes as u64 } else { 0 },
            block: packed.saturating_add(packed_bytes(bits, places(rest))).saturating_add(forgotten),
        }
    }

    /// How many bits a key has: so many that a full generation errs least often.
    fn hashes(&self) -> u32 {
        best_hashes(self.false_positive)
    }
}

/// Two generations of a Bloom filter, and those before them that a state may still have to name.
#[derive(Debug)]
pub(in crate::clean) struct RotatingBloom {
    made: Generations,
    /// Oldest first, each with the visit in which it began. The last two are asked.
    generations: VecDeque<(u32, Bloom)>,
    /// No state before this visit will be asked for.
    released: u32,
}

impl RotatingBloom {
    pub(in crate::clean) fn new(made: Generations) -> Self {
        Self { made, generations: VecDeque::from([(0, made.empty(0))]), released: 0 }
    }

    fn asked(&self) -> impl Iterator<Item = &Bloom> {
        self.generations.iter().rev().take(2).map(|(_, bloom)| bloom)
    }

    /// Whether `key` was seen lately, or seems to have been.
    pub(in crate::clean) fn contains(&self, key: u64) -> bool {
        self.asked().any(|bloom| bloom.contains(key))
    }

    /// Sees `key` at `visit`, which is not before that of any earlier call.
    pub(in crate::clean) fn insert(&mut self, key: u64, visit: u32) {
        if self.generations.back().is_none_or(|(_, newest)| newest.keys() >= self.made.keys) {
            // What no state will name makes room before room is taken.
            while visit < self.released && self.generations.len() > 1 {
                self.generations.pop_front();
            }
            self.generations.push_back((visit, self.made.empty(self.released)));
        }
        if let Some((_, newest)) = self.generations.back_mut() {
            newest.insert(key, visit);
        }
    }

    /// Gives up what is needed for states before `visits` visits, of later insertions too.
    pub(in crate::clean) fn forget_before(&mut self, visits: u32) {
        self.released = self.released.max(visits);
        while self.generations.get(2).is_some_and(|&(began, _)| began < visits) {
            self.generations.pop_front();
        }
        self.generations.iter_mut().for_each(|(_, bloom)| bloom.release(visits));
    }

    /// What it was after `visits` visits: how many generations there were (u32), and of each the visit in which it began
    /// (u32), its keys (u64) and its bits (u64 each), little-endian.
    pub(in crate::clean) fn to_bytes(&self, visits: u32) -> Vec<u8> {
        // The first one is there from the beginning.
        let count = self.generations.iter().filter(|&&(began, _)| began < visits).count().max(1);
        let then = self.generations.iter().take(count).skip(count.saturating_sub(2));
        let mut bytes = (count.min(2) as u32).to_le_bytes().to_vec();
        for (began, bloom) in then {
            let (words, keys) = bloom.before(visits);
            bytes.extend_from_slice(&began.to_le_bytes());
            bytes.extend_from_slice(&keys.to_le_bytes());
            words.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
        }
        bytes
    }

    /// What [`to_bytes`](Self::to_bytes) wrote of one that was made alike; `None` for anything else.
    pub(in crate::clean) fn from_bytes(made: Generations, mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let count = u32::from_le_bytes(take(bytes)?);
        let each = made.bytes.checked_add(4 + 8)?;
        if !(1..=2).contains(&count) || bytes.len() != each.checked_mul(count as usize)? {
            return None;
        }
        let mut generations = VecDeque::new();
        for _ in 0..count {
            let began = u32::from_le_bytes(take(bytes)?);
            let keys = u64::from_le_bytes(take(bytes)?);
            let mut words = Vec::with_capacity(made.bytes / 8);
            for _ in 0..made.bytes / 8 {
                words.push(u64::from_le_bytes(take(bytes)?));
            }
            generations.push_back((began, Bloom::from_words(words, made.hashes(), keys, 0)));
        }
        generations.iter().is_sorted_by_key(|(began, _)| began).then_some(Self { made, generations, released: 0 })
    }

    /// The chance, as things stand, that a key never seen seems to have been.
    pub(in crate::clean) fn false_positive(&self) -> f64 {
        1.0 - self.asked().map(|bloom| 1.0 - bloom.false_positive()).product::<f64>()
    }

    /// The heap that it takes, in bytes.
    pub(in crate::clean) fn bytes_in_memory(&self) -> usize {
        self.generations.iter().map(|(_, bloom)| bloom.bytes_in_memory()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::{Generations, RotatingBloom};
    use proptest::prelude::*;

    fn key(number: u64) -> u64 {
        xxhash_rust::xxh3::xxh3_64(&number.to_le_bytes())
    }

    #[test]
    fn the_latest_keys_are_known_within_the_budget_and_the_oldest_are_not() {
        let made = Generations::new(1 << 14, 0.001);
        let mut filter = RotatingBloom::new(made);
        for number in 0..20 * made.keys() {
            filter.insert(key(number), number as u32);
            filter.forget_before(number as u32);
            assert!(filter.false_positive() <= 0.0012);
            assert!((number.saturating_sub(made.keys())..=number).step_by(50).all(|known| filter.contains(key(known))));
        }
        assert!(filter.bytes_in_memory() < (1 << 14) + 4096, "{}", filter.bytes_in_memory());
        let forgotten = (0..10_000.min(made.keys())).filter(|&number| filter.contains(key(number))).count();
        assert!(forgotten < 20, "{forgotten}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn going_back_takes_no_more_than_is_said(
            budget in 1_u64 << 12..1 << 21,
            per_mille in 1_u32..200,
            of_block in 1_u64..20_000,
            blocks in 1_u64..12,
            behind in 1_u64..4,
        ) {
            let made = Generations::new(budget, f64::from(per_mille) / 1000.0);
            let mut filter = RotatingBloom::new(made);
            let undo = made.undo(of_block, of_block * blocks);
            let most = (2 * made.bytes as u64 + undo.fixed + undo.block * behind) as f64;
            for block in 0..blocks {
                filter.forget_before((block + 1).saturating_sub(behind) as u32);
                for number in block * of_block..(block + 1) * of_block {
                    filter.insert(key(number), block as u32);
                }
                let taken = filter.bytes_in_memory() as f64;
                // What is said of gaps is their mean.
                prop_assert!(taken <= 1.02 * most, "{taken}, said {most}");
            }
        }

        #[test]
        fn its_bytes_are_those_of_then_and_what_they_restore_goes_on_alike(
            visits in prop::collection::vec(0..200_u64, 1..12),
            at in any::<prop::sample::Index>(),
        ) {
            let made = Generations::new(512, 0.01);
            let show = |filter: &mut RotatingBloom, visit: usize| {
                let before: u64 = visits[..visit].iter().sum();
                (before..before + visits[visit]).for_each(|number| filter.insert(key(number), visit as u32));
            };
            let at = at.index(visits.len());
            let (mut whole, mut part) = (RotatingBloom::new(made), RotatingBloom::new(made));
            (0..visits.len()).for_each(|visit| show(&mut whole, visit));
            (0..at).for_each(|visit| show(&mut part, visit));
            whole.forget_before(at as u32);
            let then = part.to_bytes(at as u32);
            prop_assert_eq!(&whole.to_bytes(at as u32), &then);
            let mut again = RotatingBloom::from_bytes(made, &then).expect("own bytes");
            prop_assert_eq!(again.to_bytes(at as u32), then.clone());
            (at..visits.len()).for_each(|visit| show(&mut again, visit));
            prop_assert_eq!(again.to_bytes(u32::MAX), whole.to_bytes(u32::MAX));
            prop_assert!(RotatingBloom::from_bytes(made, &then[..then.len() - 1]).is_none());
        }
    }
}
