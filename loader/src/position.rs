//! Where a row stands in a plan. The key of a sample everywhere.

use std::fmt;

/// A sample's key: its block in the plan and its row within that block, both counted from 0.
///
/// Ordered by block, then row: plan order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Position {
    /// Index into [`Plan::blocks`](crate::Plan::blocks).
    pub block: u32,
    /// Row within the block.
    pub row: u32,
}

impl Position {
    /// The position of `row` in `block`.
    #[must_use]
    pub const fn new(block: u32, row: u32) -> Self {
        Self { block, row }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.block, self.row)
    }
}
