//! Accounting: every row once, at its first pass.

use std::{collections::BTreeMap, ops::AddAssign};

/// Counts of rows. For every block and for every sum of blocks, read = kept + Σ dropped + quarantined (invariant I1).
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Account {
    /// Rows that the plan led to.
    pub read: u64,
    /// Rows that cleaning kept.
    pub kept: u64,
    /// Rows that cleaning dropped, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Rows that could not be read, or whose block could not.
    pub quarantined: u64,
}

impl Account {
    /// Rows dropped for any reason.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// Whether every row that was read has exactly one fate.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.read == self.kept + self.dropped() + self.quarantined
    }
}

impl AddAssign<&Self> for Account {
    fn add_assign(&mut self, other: &Self) {
        self.read += other.read;
        self.kept += other.kept;
        self.quarantined += other.quarantined;
        for (reason, rows) in &other.dropped {
            *self.dropped.entry(reason.clone()).or_default() += rows;
        }
    }
}
