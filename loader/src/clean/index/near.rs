//! The two indexes of `near_duplicate`: rows match if they share the key of a band.
//!
//! [`BandIndex`] knows the twin and how many bands are shared with it; [`BandBloom`] knows only how many bands were seen
//! before, in a fifth of the memory, and is sometimes wrong.

use super::{
    bands::BandTable,
    rotation::{Generations, RotatingBloom},
    visits::MetRows,
};
use crate::{
    Position,
    clean::{
        matcher::{Index, Match, Undo},
        memory::take,
    },
};
use std::collections::{BTreeMap, VecDeque};

/// What one key takes of a [`BandTable`], at most, in bytes.
const BYTES_A_KEY: f64 = 13.9;

/// Bytes of a [`BandIndex`] for so many rows of so many bands, at most.
pub(in crate::clean) fn exact_bytes(rows: u64, bands: usize) -> u64 {
    // What empty tables and a row of visits take.
    const SPARE: u64 = 8 << 10;
    (rows as f64 * bands as f64 * BYTES_A_KEY).ceil() as u64 + SPARE
}

/// What it takes a [`BandIndex`] of this budget to go back, where a block has up to `block` rows and all blocks `all`: the
/// generations that are forgotten meanwhile.
pub(in crate::clean) fn exact_undo(bands: usize, budget: Option<u64>, block: u64, all: u64) -> Undo {
    let rows = rows_of(bands, budget);
    if all / 2 < rows {
        return Undo::default();
    }
    let fixed = exact_bytes(rows, bands);
    Undo { fixed, block: (block as f64 / rows as f64 * fixed as f64).ceil() as u64 }
}

/// Keys of bands with the first row that had each. Within a budget, the rows are in two generations, of which the older
/// one is forgotten when the newer one is full.
#[derive(Debug)]
pub(in crate::clean) struct BandIndex {
    /// The rows of one generation.
    rows: u64,
    met: MetRows,
    /// Oldest first, each with the visit in which it began and the rows that were met before it.
    generations: VecDeque<(u32, u64, BandTable)>,
    /// No state before this visit will be asked for.
    released: u32,
}

impl BandIndex {
    /// Of rows of `bands` bands, within a budget of bytes where there is one.
    pub(in crate::clean) fn new(bands: usize, budget: Option<u64>) -> Self {
        Self { rows: rows_of(bands, budget), met: MetRows::default(), generations: VecDeque::new(), released: 0 }
    }

    /// What [`Index::to_bytes`] wrote of one that was made alike: the rows met, the number of generations (u32), and of
    /// each the visit in which it began (u32), the rows met before it (u64), its keys' number (u64), and the keys in
    /// ascending order (u64) with the number of their first row (u32), little-endian.
    pub(in crate::clean) fn from_bytes(bands: usize, budget: Option<u64>, mut bytes: &[u8]) -> Option<Self> {
        const ENTRY: usize = 8 + 4;
        let bytes = &mut bytes;
        let met = MetRows::read(bytes)?;
        let mut generations = VecDeque::new();
        let count = u32::from_le_bytes(take(bytes)?);
        for _ in 0..count {
            let began = u32::from_le_bytes(take(bytes)?);
            let before = u64::from_le_bytes(take(bytes)?);
            let keys = usize::try_from(u64::from_le_bytes(take(bytes)?)).ok()?;
            if count > 2 || bytes.len() / ENTRY < keys || before > met.rows() {
                return None;
            }
            let (mut table, mut last) = (BandTable::default(), None);
            for _ in 0..keys {
                let (key, row) = (u64::from_le_bytes(take(bytes)?), u32::from_le_bytes(take(bytes)?));
                if last.is_some_and(|last| last >= key) || row == u32::MAX {
                    return None;
                }
                last = Some(key);
                table.insert(key, row);
            }
            generations.push_back((began, before, table));
        }
        bytes.is_empty().then_some(Self { rows: rows_of(bands, budget), met, generations, released: 0 })
    }
}

/// How many rows one of two generations holds.
fn rows_of(bands: usize, budget: Option<u64>) -> u64 {
    budget.map_or(u64::MAX, |budget| (budget as f64 / 2.0 / (bands as f64 * BYTES_A_KEY)).max(1.0) as u64)
}

impl Index for BandIndex {
    fn meet(&mut self, visit: u32, at: Position, keys: &[u64]) -> Option<Match> {
        if keys.is_empty() {
            return None;
        }
        let before = self.met.rows();
        let row = self.met.meet(visit, at);
        // The row that most bands name; of several, the earliest.
        let mut twins: BTreeMap<u32, u32> = BTreeMap::new();
        for &key in keys {
            let mut tables = self.generations.iter().rev().take(2).rev().map(|(_, _, table)| table);
            if let Some(twin) = tables.find_map(|table| table.get(key)).filter(|&twin| twin != row) {
                *twins.entry(twin).or_default() += 1;
            }
        }
        if self.generations.back().is_none_or(|(_, first, _)| before - first >= self.rows) {
            // What no state will name makes room before room is taken.
            while visit < self.released && self.generations.len() > 1 {
                self.generations.pop_front();
            }
            self.generations.push_back((visit, before, BandTable::default()));
        }
        if let Some((_, _, newest)) = self.generations.back_mut() {
            for &key in keys {
                newest.insert(key, row);
            }
        }
        let (twin, shared) = twins.into_iter().max_by_key(|&(twin, shared)| (shared, std::cmp::Reverse(twin)))?;
        Some(shared_bands(shared, self.met.position(twin)))
    }

    fn to_bytes(&self, visits: u32) -> Vec<u8> {
        let (met, next) = self.met.before(visits);
        let mut bytes = Vec::new();
        met.write(&mut bytes);
        let count = self.generations.iter().filter(|(began, _, _)| *began < visits).count();
        bytes.extend_from_slice(&(count.min(2) as u32).to_le_bytes());
        for (began, before, table) in self.generations.iter().take(count).skip(count.saturating_sub(2)) {
            let mut keys: Vec<(u64, u32)> = table.iter().filter(|&(_, row)| row < next).collect();
            keys.sort_unstable();
            bytes.extend_from_slice(&began.to_le_bytes());
            bytes.extend_from_slice(&before.to_le_bytes());
            bytes.extend_from_slice(&(keys.len() as u64).to_le_bytes());
            for (key, row) in keys {
                bytes.extend_from_slice(&key.to_le_bytes());
                bytes.extend_from_slice(&row.to_le_bytes());
            }
        }
        bytes
    }

    fn forget_before(&mut self, visits: u32) {
        self.released = self.released.max(visits);
        while self.generations.get(2).is_some_and(|&(began, _, _)| began < visits) {
            self.generations.pop_front();
        }
    }

    fn bytes_in_memory(&self) -> usize {
        let tables: usize = self.generations.iter().map(|(_, _, table)| table.bytes_in_memory()).sum();
        tables + self.met.bytes_in_memory()
    }
}

/// Keys of bands in a Bloom filter of two generations.
#[derive(Debug)]
pub(in crate::clean) struct BandBloom {
    bands: usize,
    seen: RotatingBloom,
}

/// The generations of a filter that takes one row in 1 / `false_positive` for a duplicate that is none: a row errs if any
/// of its bands does.
fn generations(bands: usize, budget: u64, false_positive: f64) -> Generations {
    let of_band = 1.0 - libm::pow(1.0 - false_positive, 1.0 / bands as f64);
    Generations::new(budget, of_band)
}

/// What it takes a [`BandBloom`] to go back, where a block has up to `block` rows and all blocks `all`.
pub(in crate::clean) fn bloom_undo(bands: usize, budget: u64, false_positive: f64, block: u64, all: u64) -> Undo {
    let keys = |rows: u64| rows.saturating_mul(bands as u64);
    generations(bands, budget, false_positive).undo(keys(block), keys(all))
}

impl BandBloom {
    /// Of rows of `bands` bands, in `budget` bytes, erring for a share of `false_positive` of the rows when it is full.
    pub(in crate::clean) fn new(bands: usize, budget: u64, false_positive: f64) -> Self {
        Self { bands, seen: RotatingBloom::new(generations(bands, budget, false_positive)) }
    }

    /// What [`Index::to_bytes`] wrote of one that was made alike.
    pub(in crate::clean) fn from_bytes(bands: usize, budget: u64, false_positive: f64, bytes: &[u8]) -> Option<Self> {
        let seen = RotatingBloom::from_bytes(generations(bands, budget, false_positive), bytes)?;
        Some(Self { bands, seen })
    }
}

impl Index for BandBloom {
    fn meet(&mut self, visit: u32, _: Position, keys: &[u64]) -> Option<Match> {
        let shared = keys.iter().filter(|&&key| self.seen.contains(key)).count();
        for &key in keys {
            self.seen.insert(key, visit);
        }
        (shared > 0).then(|| shared_bands(shared as u32, None))
    }

    fn to_bytes(&self, visits: u32) -> Vec<u8> {
        self.seen.to_bytes(visits)
    }

    fn forget_before(&mut self, visits: u32) {
        self.seen.forget_before(visits);
    }

    fn bytes_in_memory(&self) -> usize {
        self.seen.bytes_in_memory()
    }

    fn false_positives(&self) -> Option<f64> {
        Some(1.0 - libm::pow(1.0 - self.seen.false_positive(), self.bands as f64))
    }
}

fn shared_bands(shared: u32, twin: Option<Position>) -> Match {
    Match { measured: Some(f64::from(shared)), threshold: Some(0.0), twin, ..Match::default() }
}

#[cfg(test)]
mod tests {
    use super::{BandBloom, BandIndex, exact_bytes};
    use crate::{
        Position,
        clean::matcher::{Index, Match},
    };
    use proptest::prelude::*;

    const BANDS: usize = 3;

    /// Rows of few different keys, by visit.
    fn visits() -> impl Strategy<Value = Vec<Vec<[u64; BANDS]>>> {
        prop::collection::vec(prop::collection::vec([0..12_u64, 0..12_u64, 0..12_u64], 0..12), 1..8)
    }

    /// The keys of different bands are never equal.
    fn keys(row: [u64; BANDS]) -> Vec<u64> {
        (0..).zip(row).map(|(band, key)| key * BANDS as u64 + band).collect()
    }

    fn show(index: &mut dyn Index, visit: u32, rows: &[[u64; BANDS]]) -> Vec<Option<Match>> {
        (0..).zip(rows).map(|(row, keys_of)| index.meet(visit, Position::new(visit, row), &keys(*keys_of))).collect()
    }

    proptest! {
        #[test]
        fn the_twin_is_the_first_row_of_the_most_shared_bands(visits in visits()) {
            let mut index = BandIndex::new(BANDS, None);
            let mut seen: Vec<(Position, [u64; BANDS])> = Vec::new();
            for (visit, rows) in (0..).zip(&visits) {
                for (at, found) in show(&mut index, visit, rows).into_iter().enumerate() {
                    let row = rows[at];
                    let first = |band: usize| seen.iter().position(|(_, other)| other[band] == row[band]);
                    let firsts: Vec<usize> = (0..BANDS).filter_map(first).collect();
                    let shared = |twin: usize| firsts.iter().filter(|&&first| first == twin).count();
                    let twin = firsts.iter().copied().max_by_key(|&twin| (shared(twin), std::cmp::Reverse(twin)));
                    let expected = twin.map(|twin| (Some(seen[twin].0), Some(shared(twin) as f64)));
                    prop_assert_eq!(found.map(|found| (found.twin, found.measured)), expected);
                    seen.push((Position::new(visit, at as u32), row));
                }
            }
        }

        #[test]
        fn both_go_on_from_an_earlier_visit_as_if_nothing_had_been(
            visits in visits(),
            at in any::<prop::sample::Index>(),
            budget in prop::sample::select(vec![None, Some(500), Some(64 << 10)]),
        ) {
            let at = at.index(visits.len()) as u32;
            let bloom = budget.unwrap_or(4 << 10);
            let new: [&dyn Fn() -> Box<dyn Index>; 2] = [
                &|| Box::new(BandIndex::new(BANDS, budget)),
                &|| Box::new(BandBloom::new(BANDS, bloom, 0.01)),
            ];
            type Restore<'a> = &'a dyn Fn(&[u8]) -> Option<Box<dyn Index>>;
            let restore: [Restore<'_>; 2] = [
                &|bytes| Some(Box::new(BandIndex::from_bytes(BANDS, budget, bytes)?)),
                &|bytes| Some(Box::new(BandBloom::from_bytes(BANDS, bloom, 0.01, bytes)?)),
            ];
            for (new, restore) in new.into_iter().zip(restore) {
                let mut whole = new();
                let all: Vec<_> = (0..).zip(&visits).map(|(visit, rows)| show(whole.as_mut(), visit, rows)).collect();
                whole.forget_before(at);
                let then = whole.to_bytes(at);
                let mut again = restore(&then).expect("own bytes");
                prop_assert_eq!(again.to_bytes(at), then.clone());
                for (visit, rows) in (0..).zip(&visits).skip(at as usize) {
                    prop_assert_eq!(&show(again.as_mut(), visit, rows), &all[visit as usize]);
                }
                prop_assert_eq!(again.to_bytes(u32::MAX), whole.to_bytes(u32::MAX));
                prop_assert!(restore(&then[..then.len() - 1]).is_none());
            }
        }
    }

    #[test]
    fn bytes_a_document_are_as_stated() {
        let documents = 30_000_u32;
        let keys = |row: u32| (0..14).map(move |band| xxhash_rust::xxh3::xxh3_64_with_seed(&row.to_le_bytes(), band));
        let (mut exact, mut bloom) = (BandIndex::new(14, None), BandBloom::new(14, 38 * u64::from(documents), 0.001));
        bloom.forget_before(u32::MAX);
        let mut wrong = 0;
        for row in 0..documents {
            let keys: Vec<u64> = keys(row).collect();
            exact.meet(row, Position::new(row, 0), &keys);
            wrong += u32::from(bloom.meet(row, Position::new(row, 0), &keys).is_some());
        }
        // The visits here are of one row; those of a dataset are of a block.
        let bytes = exact.generations[0].2.bytes_in_memory() as f64 / f64::from(documents);
        assert!(bytes <= 200.0, "{bytes}");
        assert!(exact.generations[0].2.bytes_in_memory() as u64 <= exact_bytes(u64::from(documents), 14));
        let bytes = bloom.bytes_in_memory() as f64 / f64::from(documents);
        assert!(bytes <= 40.0, "{bytes}");
        assert!(bloom.false_positives().is_some_and(|share| share <= 0.001) && wrong < 40, "{wrong} wrong");
        // None of them is forgotten.
        assert!((0..documents).flat_map(keys).all(|key| bloom.seen.contains(key)));
    }
}
