//! A compact hash table from the keys of bands to the first row that had each.
//!
//! An entry takes 12 bytes, and the table grows by a small step at a time, part by part, so that it stays nine tenths
//! full: 13 to 14 bytes a key, where the standard map takes 20 to 40. Nothing that it answers depends on its layout.

use std::hash::{BuildHasher, RandomState};

/// The parts that grow by themselves: while one is laid out anew, the old copy of that part alone is there twice.
const PARTS: usize = 64;

/// A part grows when it would be fuller than this, …
const FULLEST: f64 = 0.92;

/// … to be as full as this.
const AFTER_GROWTH: f64 = 0.87;

/// A key, low half and high half, and the row; no row where the slot is free.
type Slot = [u32; 3];

const FREE: Slot = [0, 0, u32::MAX];

/// The keys of bands, each with the number of the first row that had it.
#[derive(Clone, Debug)]
pub(in crate::clean) struct BandTable {
    parts: Vec<Part>,
    /// Keyed at random: keys could be made so that they fall on one slot.
    hasher: RandomState,
}

#[derive(Clone, Debug, Default)]
struct Part {
    slots: Vec<Slot>,
    taken: usize,
}

impl Default for BandTable {
    fn default() -> Self {
        Self { parts: vec![Part::default(); PARTS], hasher: RandomState::new() }
    }
}

impl BandTable {
    /// The row of `key`, if it was seen.
    pub(in crate::clean) fn get(&self, key: u64) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        self.parts[part_of(hash)].find(hash, key).ok()
    }

    /// Remembers that `row` has `key`, unless an earlier row has it: then that row. `row` is below 2³² − 1.
    pub(in crate::clean) fn insert(&mut self, key: u64, row: u32) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        let part = &mut self.parts[part_of(hash)];
        if let Ok(first) = part.find(hash, key) {
            return Some(first);
        }
        if (part.taken + 1) as f64 > FULLEST * part.slots.len() as f64 {
            part.grow(&self.hasher);
        }
        part.place(hash, key, row);
        None
    }

    /// The keys and their rows, in no order.
    pub(in crate::clean) fn iter(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        let slots = self.parts.iter().flat_map(|part| &part.slots);
        slots.filter(|slot| slot[2] != u32::MAX).map(|&[low, high, row]| (u64::from(high) << 32 | u64::from(low), row))
    }

    /// The heap that it takes, in bytes.
    pub(in crate::clean) fn bytes_in_memory(&self) -> usize {
        let slots: usize = self.parts.iter().map(|part| part.slots.capacity()).sum();
        slots * size_of::<Slot>() + PARTS * size_of::<Part>()
    }
}

const fn part_of(hash: u64) -> usize {
    (hash >> (u64::BITS - PARTS.trailing_zeros())) as usize
}

impl Part {
    /// The row of `key`, or the free slot where the search for it ended.
    fn find(&self, hash: u64, key: u64) -> Result<u32, usize> {
        if self.slots.is_empty() {
            return Err(0);
        }
        // The part was chosen by the upper bits.
        let hash = hash << PARTS.trailing_zeros();
        let mut at = ((u128::from(hash) * self.slots.len() as u128) >> 64) as usize;
        loop {
            match self.slots[at] {
                [_, _, u32::MAX] => return Err(at),
                [low, high, row] if low == key as u32 && high == (key >> 32) as u32 => return Ok(row),
                _ => at = if at + 1 == self.slots.len() { 0 } else { at + 1 },
            }
        }
    }

    /// Puts a key that is not there into a part that is not full.
    fn place(&mut self, hash: u64, key: u64, row: u32) {
        if let Err(free) = self.find(hash, key) {
            self.slots[free] = [key as u32, (key >> 32) as u32, row];
            self.taken += 1;
        }
    }

    fn grow(&mut self, hasher: &RandomState) {
        let slots = ((self.taken + 1) as f64 / AFTER_GROWTH).ceil() as usize + 1;
        let old = std::mem::replace(self, Self { slots: vec![FREE; slots], taken: 0 });
        for [low, high, row] in old.slots.into_iter().filter(|slot| slot[2] != u32::MAX) {
            let key = u64::from(high) << 32 | u64::from(low);
            self.place(hasher.hash_one(key), key, row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::BandTable;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_holds_what_a_map_holds(keys in prop::collection::vec(0..300_u64, 0..600)) {
            let (mut table, mut map) = (BandTable::default(), BTreeMap::new());
            for (row, &key) in (0..).zip(&keys) {
                prop_assert_eq!(table.get(key), map.get(&key).copied());
                let first = *map.entry(key).or_insert(row);
                prop_assert_eq!(table.insert(key, row), (first != row).then_some(first));
            }
            let mut entries: Vec<_> = table.iter().collect();
            entries.sort_unstable();
            prop_assert_eq!(entries, map.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn fourteen_keys_take_less_than_two_hundred_bytes_at_any_size() {
        let mut table = BandTable::default();
        for row in 0..20_000_u32 {
            for band in 0..14_u64 {
                table.insert(xxhash_rust::xxh3::xxh3_64_with_seed(&row.to_le_bytes(), band), row);
            }
            if row >= 1_000 && row % 97 == 0 {
                let bytes = table.bytes_in_memory() as f64 / f64::from(row + 1);
                assert!(bytes <= 200.0, "{bytes} bytes a row after {row}");
            }
        }
        assert_eq!(table.iter().count(), 280_000);
    }
}
