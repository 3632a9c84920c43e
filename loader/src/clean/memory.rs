//! What the stateful operators of a recipe remember: one index each, and how many blocks they have seen.
//!
//! A visit is one settled block. The memory as it was after any earlier visit can be written down at any later time,
//! as long as nobody said that it would not be asked for. It knows nothing of what the indexes hold.

use super::matcher::{Index, Match, Matcher};
use crate::{Error, Position, Result};

/// The indexes of the stateful operators, in the recipe's order. Made by [`Cleaner::memory`](super::Cleaner::memory).
#[derive(Debug)]
pub struct Memory {
    visits: u32,
    /// Each with its operator's name.
    indexes: Vec<(String, Box<dyn Index>)>,
}

/// How often an operator takes something for seen that was never there, as things stand.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct FalsePositives {
    /// The operator.
    pub op: String,
    /// The chance for the next row (`near_duplicate`) or the next n-gram (`paragraph_duplicate`): 0 to 1.
    pub chance: f64,
}

const MAGIC: &[u8; 8] = b"ARBLMEM2";

impl Memory {
    pub(super) fn new<'a>(matchers: impl Iterator<Item = &'a dyn Matcher>) -> Self {
        Self { visits: 0, indexes: matchers.map(|matcher| (matcher.name().to_owned(), matcher.index())).collect() }
    }

    /// How many blocks were settled with this memory.
    #[must_use]
    pub const fn visits(&self) -> u32 {
        self.visits
    }

    /// Holds a row against those that the stateful operator `slot` has seen, and remembers it.
    pub(super) fn meet(&mut self, slot: usize, at: Position, keys: &[u64]) -> Option<Match> {
        self.indexes.get_mut(slot)?.1.meet(self.visits, at, keys)
    }

    /// Ends a visit.
    pub(super) const fn end_visit(&mut self) {
        self.visits = self.visits.saturating_add(1);
    }

    /// No state before `visits` visits will be asked for any more; the visits may be yet to come, and `u32::MAX` says that
    /// none will ever be asked for but the latest.
    pub fn forget_before(&mut self, visits: u32) {
        self.indexes.iter_mut().for_each(|(_, index)| index.forget_before(visits));
    }

    /// What was remembered after the first `visits` visits (or all, if there were fewer). Later visits do not change
    /// it, and equal memories give equal bytes.
    ///
    /// Layout, in little-endian numbers: the magic `ARBLMEM2`, the visits (u32), the number of operators (u32), and for
    /// each the length of what it writes (u64) and that.
    #[must_use]
    pub fn to_bytes(&self, visits: u32) -> Vec<u8> {
        let visits = visits.min(self.visits);
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&visits.to_le_bytes());
        bytes.extend_from_slice(&(self.indexes.len() as u32).to_le_bytes());
        for (_, index) in &self.indexes {
            let index = index.to_bytes(visits);
            bytes.extend_from_slice(&(index.len() as u64).to_le_bytes());
            bytes.extend_from_slice(&index);
        }
        bytes
    }

    /// The memory that [`to_bytes`](Self::to_bytes) wrote for these operators.
    pub(super) fn from_bytes<'a>(bytes: &[u8], matchers: impl Iterator<Item = &'a dyn Matcher>) -> Result<Self> {
        Self::parse(bytes, matchers).ok_or_else(|| {
            Error::State(
                "the memory of the stateful operators is damaged; take an earlier checkpoint, or start anew".to_owned(),
            )
        })
    }

    fn parse<'a>(mut bytes: &[u8], mut matchers: impl Iterator<Item = &'a dyn Matcher>) -> Option<Self> {
        let bytes = &mut bytes;
        if take::<8>(bytes)? != *MAGIC {
            return None;
        }
        let visits = u32::from_le_bytes(take(bytes)?);
        let operators = u32::from_le_bytes(take(bytes)?);
        let mut indexes = Vec::new();
        for _ in 0..operators {
            let length = usize::try_from(u64::from_le_bytes(take(bytes)?)).ok()?;
            let (index, rest) = bytes.split_at_checked(length)?;
            *bytes = rest;
            let matcher = matchers.next()?;
            indexes.push((matcher.name().to_owned(), matcher.restore(index)?));
        }
        (bytes.is_empty() && matchers.next().is_none()).then_some(Self { visits, indexes })
    }

    /// The heap that the indexes take, in bytes.
    #[must_use]
    pub fn bytes_in_memory(&self) -> usize {
        self.indexes.iter().map(|(_, index)| index.bytes_in_memory()).sum()
    }

    /// The live estimates of the operators whose indexes may err, in the recipe's order; exact ones are left out.
    #[must_use]
    pub fn false_positives(&self) -> Vec<FalsePositives> {
        let estimate = |(op, index): &(String, Box<dyn Index>)| {
            Some(FalsePositives { op: op.clone(), chance: index.false_positives()? })
        };
        self.indexes.iter().filter_map(estimate).collect()
    }
}

/// The first `N` of `bytes`, which go on behind them.
pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}
