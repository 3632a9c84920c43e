//! Which rows an index has met: each has a number, and from the number follow its visit and its position.

use crate::{Position, clean::memory::take};

/// The visits in which rows were met, in order.
#[derive(Clone, Debug, Default)]
pub(in crate::clean) struct MetRows {
    visits: Vec<Met>,
    /// How many rows were met.
    rows: u64,
}

/// What was met in one visit.
#[derive(Clone, Copy, Debug)]
struct Met {
    visit: u32,
    block: u32,
    /// The number of the block's row 0.
    first: u32,
    /// One more than the greatest row met.
    end: u32,
    /// How many rows were met before.
    rows: u64,
}

const BYTES: usize = 4 * 4 + 8;

impl MetRows {
    /// Meets the row at `at`, at `visit`; gives its number. Visits do not go back, and a visit is of one block.
    pub(in crate::clean) fn meet(&mut self, visit: u32, at: Position) -> u32 {
        if self.visits.last().is_none_or(|last| last.visit != visit) {
            let first = self.visits.last().map_or(0, |last| last.first.saturating_add(last.end));
            self.visits.push(Met { visit, block: at.block, first, end: 0, rows: self.rows });
        }
        self.rows += 1;
        self.visits.last_mut().map_or(0, |last| {
            last.end = last.end.max(at.row.saturating_add(1));
            // The greatest number means "none" to the tables. No index of so many rows fits a memory.
            last.first.saturating_add(at.row).min(u32::MAX - 1)
        })
    }

    /// Where the row with this number lies.
    pub(in crate::clean) fn position(&self, number: u32) -> Option<Position> {
        let at = self.visits.partition_point(|met| met.first <= number).checked_sub(1)?;
        let met = self.visits.get(at)?;
        Some(Position::new(met.block, number - met.first))
    }

    /// How many rows were met.
    pub(in crate::clean) const fn rows(&self) -> u64 {
        self.rows
    }

    /// The rows met in the first `visits` visits, and the number with which later ones began.
    pub(in crate::clean) fn before(&self, visits: u32) -> (Self, u32) {
        let end = self.visits.partition_point(|met| met.visit < visits);
        let next = self.visits.get(end);
        let then = Self { visits: self.visits[..end].to_vec(), rows: next.map_or(self.rows, |next| next.rows) };
        (then, next.map_or(u32::MAX, |next| next.first))
    }

    /// As bytes: the rows (u64), the number of visits (u32), and of each its fields in order, little-endian.
    pub(in crate::clean) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.rows.to_le_bytes());
        bytes.extend_from_slice(&(self.visits.len() as u32).to_le_bytes());
        for met in &self.visits {
            for number in [met.visit, met.block, met.first, met.end] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.extend_from_slice(&met.rows.to_le_bytes());
        }
    }

    /// What [`write`](Self::write) wrote at the front of `bytes`, which go on behind it.
    pub(in crate::clean) fn read(bytes: &mut &[u8]) -> Option<Self> {
        let rows = u64::from_le_bytes(take(bytes)?);
        let count = u32::from_le_bytes(take(bytes)?) as usize;
        if bytes.len() / BYTES < count {
            return None;
        }
        let mut visits = Vec::with_capacity(count);
        for _ in 0..count {
            let mut number = || Some(u32::from_le_bytes(take(bytes)?));
            let (visit, block, first, end) = (number()?, number()?, number()?, number()?);
            visits.push(Met { visit, block, first, end, rows: u64::from_le_bytes(take(bytes)?) });
        }
        let ordered = visits.is_sorted_by(|one, next| one.visit < next.visit && one.first <= next.first);
        ordered.then_some(Self { visits, rows })
    }

    /// The heap that it takes, in bytes.
    pub(in crate::clean) fn bytes_in_memory(&self) -> usize {
        self.visits.capacity() * size_of::<Met>()
    }
}
