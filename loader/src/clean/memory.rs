//! What the stateful operators remember: which keys were seen, and at which visit first.
//!
//! A visit is one settled block. Because every key knows its first visit, the memory as it was after any earlier visit
//! can be written down at any later time. It knows nothing of operators beyond their order.

use crate::{Error, Result};
use std::collections::{HashMap, hash_map::Entry};

/// The keys seen, of each stateful operator in the recipe's order.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    visits: u32,
    /// The standard hasher, although keys are hashes already: data or a state file could be made so that their keys'
    /// bits collide.
    seen: Vec<HashMap<Key, u32>>,
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

const MAGIC: &[u8; 8] = b"ARBLMEM1";
const ENTRY: usize = 16 + 4;

impl Memory {
    /// How many blocks were settled with this memory.
    #[must_use]
    pub const fn visits(&self) -> u32 {
        self.visits
    }

    /// Whether one of `keys` was seen before by the stateful operator `slot`; from now on all of them were.
    pub(super) fn saw(&mut self, slot: usize, keys: &[u128]) -> bool {
        if self.seen.len() <= slot {
            self.seen.resize_with(slot + 1, HashMap::new);
        }
        let mut saw = false;
        for (at, &key) in keys.iter().enumerate() {
            // A row is no duplicate of itself.
            if keys[..at].contains(&key) {
                continue;
            }
            match self.seen[slot].entry(key.into()) {
                Entry::Occupied(_) => saw = true,
                Entry::Vacant(place) => {
                    place.insert(self.visits);
                }
            }
        }
        saw
    }

    /// Ends a visit.
    pub(super) const fn end_visit(&mut self) {
        self.visits = self.visits.saturating_add(1);
    }

    /// What was remembered after the first `visits` visits (or all, if there were fewer). Later visits do not change
    /// it, and equal memories give equal bytes.
    ///
    /// Layout, in little-endian numbers: the magic `ARBLMEM1`, the visits (u32), the number of operators up to the
    /// last one that remembers anything (u32), and for each the number of its keys (u64) and the keys in ascending
    /// order (u128) with their first visit (u32).
    #[must_use]
    pub fn to_bytes(&self, visits: u32) -> Vec<u8> {
        let visits = visits.min(self.visits);
        let mut operators: Vec<Vec<(u128, u32)>> = self
            .seen
            .iter()
            .map(|seen| {
                let before = seen.iter().filter(|&(_, &visit)| visit < visits);
                let mut keys: Vec<(u128, u32)> = before.map(|(&key, &visit)| (key.into(), visit)).collect();
                keys.sort_unstable();
                keys
            })
            .collect();
        // An operator that has seen nothing yet leaves no trace, so that an untouched memory equals a new one.
        while operators.pop_if(|keys| keys.is_empty()).is_some() {}
        let keys: usize = operators.iter().map(Vec::len).sum();
        let mut bytes = Vec::with_capacity(MAGIC.len() + 8 + 8 * operators.len() + ENTRY * keys);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&visits.to_le_bytes());
        bytes.extend_from_slice(&(operators.len() as u32).to_le_bytes());
        for keys in operators {
            bytes.extend_from_slice(&(keys.len() as u64).to_le_bytes());
            for (key, visit) in keys {
                bytes.extend_from_slice(&key.to_le_bytes());
                bytes.extend_from_slice(&visit.to_le_bytes());
            }
        }
        bytes
    }

    /// The memory that [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    ///
    /// [`Error::State`] where `bytes` are not exactly what a memory writes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::parse(bytes).ok_or_else(|| {
            Error::State(
                "the memory of the stateful operators is damaged; take an earlier checkpoint, or start anew".to_owned(),
            )
        })
    }

    fn parse(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        if take::<8>(bytes)? != *MAGIC {
            return None;
        }
        let visits = u32::from_le_bytes(take(bytes)?);
        let operators = u32::from_le_bytes(take(bytes)?);
        let mut memory = Self { visits, seen: Vec::new() };
        for _ in 0..operators {
            let count = usize::try_from(u64::from_le_bytes(take(bytes)?)).ok()?;
            if bytes.len() / ENTRY < count {
                return None;
            }
            let mut seen = HashMap::with_capacity(count);
            let mut before = None;
            for _ in 0..count {
                let key = u128::from_le_bytes(take(bytes)?);
                let visit = u32::from_le_bytes(take(bytes)?);
                if before.is_some_and(|before| before >= key) || visit >= visits {
                    return None;
                }
                before = Some(key);
                seen.insert(key.into(), visit);
            }
            memory.seen.push(seen);
        }
        let canonical = bytes.is_empty() && memory.seen.last().is_none_or(|seen| !seen.is_empty());
        canonical.then_some(memory)
    }

    /// The heap that the keys take, in bytes: about 24 to 48 a key.
    #[must_use]
    pub fn bytes_in_memory(&self) -> usize {
        // The standard map keeps a power of two of buckets, at most 7/8 full, and one control byte each.
        const BUCKET: usize = size_of::<(Key, u32)>() + 1;
        let buckets = |capacity: usize| if capacity == 0 { 0 } else { (capacity * 8).div_ceil(7).next_power_of_two() };
        let maps = self.seen.capacity() * size_of::<HashMap<Key, u32>>();
        maps + self.seen.iter().map(|seen| buckets(seen.capacity()) * BUCKET).sum::<usize>()
    }
}

/// The first `N` of `bytes`, which go on behind them.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::Memory;
    use proptest::prelude::*;

    /// A memory that was shown each visit's (slot, keys).
    fn shown(visits: &[Vec<(usize, u8)>]) -> Memory {
        let mut memory = Memory::default();
        for visit in visits {
            for &(slot, key) in visit {
                memory.saw(slot, &[u128::from(key) << 120 | 7]);
            }
            memory.end_visit();
        }
        memory
    }

    proptest! {
        #[test]
        fn bytes_at_a_visit_do_not_depend_on_later_visits(
            visits in prop::collection::vec(prop::collection::vec((0..3_usize, any::<u8>()), 0..8), 0..8)
        ) {
            let whole = shown(&visits);
            for at in 0..=visits.len() {
                let then = shown(&visits[..at]);
                let bytes = then.to_bytes(then.visits());
                prop_assert_eq!(&whole.to_bytes(at as u32), &bytes);
                let again = Memory::from_bytes(&bytes).expect("own bytes");
                prop_assert_eq!(again.visits(), at as u32);
                prop_assert_eq!(again.to_bytes(u32::MAX), bytes);
            }
        }

        #[test]
        fn hostile_bytes_are_refused_or_are_canonical(
            visits in prop::collection::vec(prop::collection::vec((0..3_usize, any::<u8>()), 0..8), 1..5),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in any::<prop::sample::Index>(),
            more in prop::collection::vec(any::<u8>(), 0..30),
        ) {
            let mut bytes = shown(&visits).to_bytes(u32::MAX);
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(cut.index(bytes.len() + 1).max(8));
            bytes.extend(more);
            if let Ok(memory) = Memory::from_bytes(&bytes) {
                prop_assert_eq!(memory.to_bytes(u32::MAX), bytes);
            }
        }
    }

    #[test]
    fn a_claimed_length_is_checked_before_it_is_believed() {
        let mut bytes = shown(&[vec![(0, 1)]]).to_bytes(1);
        assert!(Memory::from_bytes(&bytes).is_ok());
        bytes[16..24].copy_from_slice(&(u64::MAX / 32).to_le_bytes());
        assert!(Memory::from_bytes(&bytes).is_err());
        bytes[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        bytes[16..24].copy_from_slice(&1_u64.to_le_bytes());
        assert!(Memory::from_bytes(&bytes).is_err());
        assert!(Memory::from_bytes(&[]).is_err());
    }

    #[test]
    fn rows_match_by_any_shared_key_and_never_by_their_own() {
        let mut memory = Memory::default();
        assert!(!memory.saw(0, &[1, 1, 2]));
        assert!(!memory.saw(1, &[1, 2]), "another operator's keys");
        assert!(!memory.saw(0, &[3, 4]));
        assert!(memory.saw(0, &[5, 2]));
        assert!(memory.saw(0, &[5, 6]), "the duplicate's own keys are remembered too");
    }

    #[test]
    fn the_stated_size_follows_the_keys() {
        let mut memory = Memory::default();
        assert_eq!(memory.bytes_in_memory(), 0);
        let keys: Vec<u128> = (0..10_000).collect();
        memory.saw(0, &keys);
        let bytes = memory.bytes_in_memory();
        assert!((210_000..=600_000).contains(&bytes), "{bytes}");
    }
}
