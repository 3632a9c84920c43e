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
    /// Rows of the same blocks that belong to other parts of the data (`[split]`): no rows of this stream, so they are not
    /// among those read. With them, read + `held_out` are the rows of the plan.
    #[serde(default)]
    pub held_out: u64,
}

impl Account {
    /// Rows dropped for any reason.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.values().fold(0, |sum, &rows| sum.saturating_add(rows))
    }

    /// Counts `rows` of those that were kept as quarantined: they turned out later to be no good.
    pub fn set_aside(&mut self, rows: u64) {
        let rows = rows.min(self.kept);
        self.kept -= rows;
        self.quarantined = self.quarantined.saturating_add(rows);
    }

    /// Whether every row that was read has exactly one fate.
    #[must_use]
    pub fn balances(&self) -> bool {
        // In 128 bits, so that no set of numbers that a file may hold wraps round to a balance.
        let parts = [self.kept, self.quarantined].into_iter().chain(self.dropped.values().copied());
        parts.map(u128::from).sum::<u128>() == u128::from(self.read)
    }
}

impl AddAssign<&Self> for Account {
    fn add_assign(&mut self, other: &Self) {
        self.read = self.read.saturating_add(other.read);
        self.kept = self.kept.saturating_add(other.kept);
        self.quarantined = self.quarantined.saturating_add(other.quarantined);
        self.held_out = self.held_out.saturating_add(other.held_out);
        for (reason, rows) in &other.dropped {
            let sum = self.dropped.entry(reason.clone()).or_default();
            *sum = sum.saturating_add(*rows);
        }
    }
}
