//! What cleaning decides of a row, and what it measured.

use crate::Position;

/// What cleaning decided of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The row is kept; it may have been repaired.
    Keep,
    /// The row is left out, for a reason: the rule's name, and the column where it has one ("missing:label").
    Drop(String),
    /// The row could not be read.
    Quarantine(String),
}

/// What a rule measured, and its threshold.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Evidence {
    /// The operator's contract name.
    pub op: String,
    /// Which of its rules spoke.
    pub reason: String,
    /// What it measured, in the rule's unit.
    pub measured: Option<f64>,
    /// Where its border lies.
    pub threshold: Option<f64>,
    /// The earlier row that a duplicate matched, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub twin: Option<Position>,
}

/// Which rows of a block are kept: one bit a row, bit i of byte i / 8, as Arrow packs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    bits: Vec<u8>,
    rows: u32,
}

impl Keep {
    /// The bits of `rows` rows.
    pub fn from_fn(rows: u32, keep: impl Fn(u32) -> bool) -> Self {
        let mut bits = vec![0_u8; (rows as usize).div_ceil(8)];
        for row in (0..rows).filter(|&row| keep(row)) {
            bits[row as usize / 8] |= 1 << (row % 8);
        }
        Self { bits, rows }
    }

    /// The bits as packed in `bits`; `None` if they are not exactly those of `rows` rows.
    #[must_use]
    pub fn from_bytes(bits: Vec<u8>, rows: u32) -> Option<Self> {
        if bits.len() != (rows as usize).div_ceil(8) {
            return None;
        }
        let spare = bits.len() * 8 - rows as usize;
        let clean = spare == 0 || bits.last().is_none_or(|last| last >> (8 - spare) == 0);
        clean.then_some(Self { bits, rows })
    }

    /// The packed bits.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bits
    }

    /// How many rows the block holds.
    #[must_use]
    pub const fn rows(&self) -> u32 {
        self.rows
    }

    /// Whether `row` is kept. Rows beyond the block are not.
    #[must_use]
    pub fn is_kept(&self, row: u32) -> bool {
        row < self.rows && self.bits[row as usize / 8] >> (row % 8) & 1 == 1
    }

    /// The kept rows, in order.
    pub fn kept(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.rows).filter(|&row| self.is_kept(row))
    }

    /// How many rows are kept.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.bits.iter().map(|byte| byte.count_ones()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_bits_come_back_and_what_is_not_of_so_many_rows_is_refused() {
        for rows in 0..40 {
            let keep = Keep::from_fn(rows, |row| row % 3 == 0);
            assert_eq!(keep.kept().collect::<Vec<_>>(), (0..rows).step_by(3).collect::<Vec<_>>());
            assert_eq!(keep.count() as usize, keep.kept().count());
            assert!(!keep.is_kept(rows));
            assert_eq!(Keep::from_bytes(keep.as_bytes().to_vec(), rows), Some(keep.clone()));
            assert_eq!(Keep::from_bytes(keep.as_bytes().to_vec(), rows + 8), None);
            assert_eq!(Keep::from_bytes(vec![0xff; (rows as usize).div_ceil(8)], rows).is_none(), rows % 8 != 0);
        }
    }
}
