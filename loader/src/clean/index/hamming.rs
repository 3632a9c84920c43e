//! An index of 64-bit hashes that finds one within a Hamming distance of another.
//!
//! A hash is cut into as many pieces as the distance and one more: of two hashes within that distance at least one
//! piece is equal (the pigeonhole principle; Manku, Jain and Das Sarma 2007). So only hashes that share a piece are
//! compared.

use std::collections::{HashMap, hash_map::Entry};

/// The most hashes under one piece that are compared, the earliest ones: past it a search may miss, and none takes
/// time without bound however alike the hashes are.
pub(in crate::clean) const MOST_COMPARED: usize = 4096;

/// Hashes with the first row that had each.
#[derive(Clone, Debug)]
pub(in crate::clean) struct HammingIndex {
    distance: u32,
    rows: HashMap<u64, u32>,
    /// Of each piece, the hashes that have it; empty where only equal hashes match.
    pieces: Vec<HashMap<u64, Vec<u64>>>,
}

impl HammingIndex {
    /// Hashes match if they differ in at most `distance` of their 64 bits, which is below 64.
    pub(in crate::clean) fn new(distance: u32) -> Self {
        let pieces = if distance == 0 { 0 } else { distance as usize + 1 };
        Self { distance, rows: HashMap::new(), pieces: vec![HashMap::new(); pieces] }
    }

    /// The nearest hash within the distance and its first row; of several, the earliest one.
    pub(in crate::clean) fn nearest(&self, hash: u64) -> Option<(u32, u32)> {
        if let Some(&row) = self.rows.get(&hash) {
            return Some((0, row));
        }
        let pieces = self.pieces.len();
        let candidates = self.pieces.iter().enumerate().filter_map(|(at, map)| map.get(&piece(hash, at, pieces)));
        let near = candidates.flatten().map(|&other| ((hash ^ other).count_ones(), other));
        let near = near.filter(|&(distance, _)| distance <= self.distance);
        near.filter_map(|(distance, other)| Some((distance, *self.rows.get(&other)?))).min()
    }

    /// Remembers that `row` has `hash`, unless an earlier one has it.
    pub(in crate::clean) fn insert(&mut self, hash: u64, row: u32) {
        let Entry::Vacant(place) = self.rows.entry(hash) else { return };
        place.insert(row);
        let pieces = self.pieces.len();
        for (at, map) in self.pieces.iter_mut().enumerate() {
            let hashes = map.entry(piece(hash, at, pieces)).or_default();
            if hashes.len() < MOST_COMPARED {
                hashes.push(hash);
            }
        }
    }

    /// How many hashes it holds.
    pub(in crate::clean) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The hashes and their rows, in no order.
    pub(in crate::clean) fn iter(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        self.rows.iter().map(|(&hash, &row)| (hash, row))
    }

    /// About the heap that a hash takes, in bytes: an entry of the map, and in each piece a list of its own at worst.
    pub(in crate::clean) const fn bytes_a_hash(distance: u32) -> usize {
        const ENTRY: usize = 32;
        const LIST: usize = 96;
        if distance == 0 { ENTRY } else { ENTRY + LIST * (distance as usize + 1) }
    }

    /// About the heap that it takes, in bytes.
    pub(in crate::clean) fn bytes_in_memory(&self) -> usize {
        self.rows.len() * Self::bytes_a_hash(self.distance)
    }
}

/// The `at`th of `pieces` pieces of `hash`, which are as long as one another or one bit longer.
const fn piece(hash: u64, at: usize, pieces: usize) -> u64 {
    let (from, to) = (64 * at / pieces, 64 * (at + 1) / pieces);
    hash >> from & (u64::MAX >> (64 - (to - from)))
}

#[cfg(test)]
mod tests {
    use super::{HammingIndex, MOST_COMPARED};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_finds_what_comparing_all_finds(
            distance in 0..12_u32,
            centres in prop::collection::vec(any::<u64>(), 1..4),
            flips in prop::collection::vec((any::<prop::sample::Index>(), prop::collection::vec(0..64_u32, 0..9)), 1..60),
        ) {
            let mut index = HammingIndex::new(distance);
            let mut seen: Vec<u64> = Vec::new();
            for (row, (centre, flips)) in (0..).zip(&flips) {
                let hash = flips.iter().fold(*centre.get(&centres), |hash, flip| hash ^ 1 << flip);
                let all = (0_u32..).zip(&seen).map(|(row, other)| ((hash ^ other).count_ones(), row));
                prop_assert_eq!(index.nearest(hash), all.filter(|&(apart, _)| apart <= distance).min());
                index.insert(hash, row);
                seen.push(hash);
            }
        }
    }

    #[test]
    fn a_crowd_under_one_piece_is_not_searched_to_its_end() {
        let mut index = HammingIndex::new(1);
        for row in 0..20_000 {
            index.insert(u64::from(row) << 32, row);
        }
        assert!(index.pieces.iter().flat_map(|piece| piece.values()).all(|hashes| hashes.len() <= MOST_COMPARED));
        assert_eq!(index.nearest(19_999 << 32), Some((0, 19_999)), "equal hashes are always found");
    }
}
