//! An exact index: which 128-bit keys were seen, and at which visit first.
//!
//! Because every key knows its first visit, the index as it was after any earlier visit can be written down at any
//! later time.

use super::{
    matcher::{Index, Match},
    memory::take,
};
use crate::Position;
use std::collections::{HashMap, hash_map::Entry};

/// Bytes of memory a key, at most: the standard map keeps a power of two of buckets, at most 7/8 full, with one control
/// byte each.
pub(super) const BYTES_A_KEY: u64 = 40;

/// The keys seen: two words make one, and rows match if they share any.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The standard hasher, although keys are hashes already: data or a state file could be made so that their keys'
    /// bits collide.
    keys: HashMap<Key, u32>,
}

/// A 128-bit key in words of 32 bits: an entry then takes 20 bytes, where the alignment of u128 would make it 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key([u32; 4]);

impl From<u128> for Key {
    fn from(key: u128) -> Self {
        Self([(key >> 96) as u32, (key >> 64) as u32, (key >> 32) as u32, key as u32])
    }
}

impl From<Key> for u128 {
    fn from(Key(words): Key) -> Self {
        words.into_iter().fold(0, |key, word| key << 32 | Self::from(word))
    }
}

const ENTRY: usize = 16 + 4;

impl Seen {
    /// The index that [`Index::to_bytes`] wrote: the number of keys (u64) and the keys in ascending order (u128) with
    /// their first visit (u32), all little-endian.
    pub(super) fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let count = usize::try_from(u64::from_le_bytes(take(bytes)?)).ok()?;
        if count.checked_mul(ENTRY)? != bytes.len() {
            return None;
        }
        let mut keys = HashMap::with_capacity(count);
        let mut before = None;
        for _ in 0..count {
            let key = u128::from_le_bytes(take(bytes)?);
            let visit = u32::from_le_bytes(take(bytes)?);
            // No state is written after the last visit that there can be.
            if before.is_some_and(|before| before >= key) || visit == u32::MAX {
                return None;
            }
            before = Some(key);
            keys.insert(key.into(), visit);
        }
        Some(Self { keys })
    }
}

impl Index for Seen {
    fn meet(&mut self, visit: u32, _at: Position, keys: &[u64]) -> Option<Match> {
        let (pairs, _) = keys.as_chunks::<2>();
        let mut matches = false;
        for (at, pair) in pairs.iter().enumerate() {
            // A row is no duplicate of itself.
            if pairs[..at].contains(pair) {
                continue;
            }
            match self.keys.entry((u128::from(pair[0]) << 64 | u128::from(pair[1])).into()) {
                Entry::Occupied(_) => matches = true,
                Entry::Vacant(place) => {
                    place.insert(visit);
                }
            }
        }
        matches.then(Match::default)
    }

    fn to_bytes(&self, visits: u32) -> Vec<u8> {
        let before = self.keys.iter().filter(|&(_, &visit)| visit < visits);
        let mut keys: Vec<(u128, u32)> = before.map(|(&key, &visit)| (key.into(), visit)).collect();
        keys.sort_unstable();
        let mut bytes = Vec::with_capacity(8 + ENTRY * keys.len());
        bytes.extend_from_slice(&(keys.len() as u64).to_le_bytes());
        for (key, visit) in keys {
            bytes.extend_from_slice(&key.to_le_bytes());
            bytes.extend_from_slice(&visit.to_le_bytes());
        }
        bytes
    }

    fn bytes_in_memory(&self) -> usize {
        const BUCKET: usize = size_of::<(Key, u32)>() + 1;
        match self.keys.capacity() {
            0 => 0,
            capacity => (capacity * 8).div_ceil(7).next_power_of_two() * BUCKET,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Seen;
    use crate::{Position, clean::matcher::Index};
    use proptest::prelude::*;

    const AT: Position = Position::new(0, 0);

    fn saw(seen: &mut Seen, visit: u32, keys: &[u64]) -> bool {
        let keys: Vec<u64> = keys.iter().flat_map(|&key| [key << 56 | 7, key]).collect();
        seen.meet(visit, AT, &keys).is_some()
    }

    /// An index that was shown each visit's keys.
    fn shown(visits: &[Vec<u8>]) -> Seen {
        let mut seen = Seen::default();
        for (visit, keys) in (0..).zip(visits) {
            for &key in keys {
                saw(&mut seen, visit, &[u64::from(key)]);
            }
        }
        seen
    }

    proptest! {
        #[test]
        fn bytes_at_a_visit_do_not_depend_on_later_visits(
            visits in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..8), 0..8)
        ) {
            let whole = shown(&visits);
            for at in 0..=visits.len() {
                let bytes = shown(&visits[..at]).to_bytes(u32::MAX);
                prop_assert_eq!(&whole.to_bytes(at as u32), &bytes);
                prop_assert_eq!(Seen::from_bytes(&bytes).expect("own bytes").to_bytes(u32::MAX), bytes);
            }
        }

        #[test]
        fn hostile_bytes_are_refused_or_are_canonical(
            visits in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..8), 1..5),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in any::<prop::sample::Index>(),
            more in prop::collection::vec(any::<u8>(), 0..30),
        ) {
            let mut bytes = shown(&visits).to_bytes(u32::MAX);
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(cut.index(bytes.len() + 1));
            bytes.extend(more);
            if let Some(seen) = Seen::from_bytes(&bytes) {
                prop_assert_eq!(seen.to_bytes(u32::MAX), bytes);
            }
        }
    }

    #[test]
    fn a_claimed_length_is_checked_before_it_is_believed() {
        let mut bytes = shown(&[vec![1]]).to_bytes(1);
        assert!(Seen::from_bytes(&bytes).is_some());
        bytes[..8].copy_from_slice(&(u64::MAX / 32).to_le_bytes());
        assert!(Seen::from_bytes(&bytes).is_none());
        assert!(Seen::from_bytes(&[]).is_none());
    }

    #[test]
    fn rows_match_by_any_shared_key_and_never_by_their_own() {
        let mut seen = Seen::default();
        assert!(!saw(&mut seen, 0, &[1, 1, 2]));
        assert!(!saw(&mut seen, 0, &[3, 4]));
        assert!(saw(&mut seen, 0, &[5, 2]));
        assert!(saw(&mut seen, 0, &[5, 6]), "the duplicate's own keys are remembered too");
        assert!(!saw(&mut seen, 0, &[]), "a row without a key");
    }

    #[test]
    fn the_stated_size_follows_the_keys() {
        let mut seen = Seen::default();
        assert_eq!(seen.bytes_in_memory(), 0);
        let keys: Vec<u64> = (0..20_000).collect();
        seen.meet(0, AT, &keys);
        let bytes = seen.bytes_in_memory();
        assert!((210_000..=600_000).contains(&bytes), "{bytes}");
    }
}
