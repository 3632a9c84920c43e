//! The class of each row, as the label column gives it: what a policy needs to be fair to classes.
//!
//! It knows nothing of the label's type or name; whoever reads the column numbers the classes.

use super::blocks::{Blocks, Record};
use crate::{Error, Place, Position, Result};

/// The class of a row whose label was not read, is null, or has no class.
pub const UNKNOWN_CLASS: u32 = u32::MAX;

impl Record for u32 {
    const MAGIC: [u8; 4] = *b"ACL1";
    const BYTES: usize = 4;
    const BLANK: Self = UNKNOWN_CLASS;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Result<Self> {
        let bytes = bytes.try_into().map_err(|_| Error::State("a class of another length".into()))?;
        Ok(Self::from_le_bytes(bytes))
    }
}

/// The class of each row, dense by (block, row); 4 bytes for each row of the blocks that were set.
///
/// A clone is a snapshot: one pointer a block.
#[derive(Clone, Debug, PartialEq)]
pub struct Classes(Blocks<u32>);

impl Classes {
    /// No class known, for a plan whose blocks have `block_rows` rows each.
    #[must_use]
    pub fn new(block_rows: &[u32]) -> Self {
        Self(Blocks::new(block_rows))
    }

    /// Sets the classes of a whole block, one a row.
    ///
    /// # Errors
    /// [`Error::Data`] if the plan has no such block, or not with that many rows.
    pub fn set(&mut self, block: u32, classes: Vec<u32>) -> Result<()> {
        if self.0.rows(block).is_none_or(|rows| rows as usize != classes.len()) {
            let what = format!("{} labels do not fit the rows that the plan has here", classes.len());
            return Err(Error::data(Place::default().block(block), what));
        }
        self.0.put(block, classes);
        Ok(())
    }

    /// The row's class, [`UNKNOWN_CLASS`] where none is known.
    #[must_use]
    pub fn get(&self, position: Position) -> u32 {
        self.0.get(position).copied().unwrap_or(UNKNOWN_CLASS)
    }

    /// The classes as they are now, in time proportional to the blocks.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        self.clone()
    }

    /// The classes as bytes; equal classes give equal bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    /// The classes of [`to_bytes`](Self::to_bytes), for the same plan.
    ///
    /// # Errors
    /// [`Error::State`] if the bytes are damaged or of another plan.
    pub fn from_bytes(block_rows: &[u32], bytes: &[u8]) -> Result<Self> {
        Blocks::from_bytes(block_rows, bytes).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_what_was_set_and_unknown_elsewhere() {
        let rows = [2, 3];
        let mut classes = Classes::new(&rows);
        let before = classes.snapshot();
        classes.set(1, vec![4, UNKNOWN_CLASS, 0]).unwrap();
        let read =
            |classes: &Classes| [(0, 0), (1, 0), (1, 1), (1, 2), (7, 0)].map(|(b, r)| classes.get(Position::new(b, r)));
        assert_eq!(read(&classes), [UNKNOWN_CLASS, 4, UNKNOWN_CLASS, 0, UNKNOWN_CLASS]);
        assert_eq!(read(&before), [UNKNOWN_CLASS; 5]);
        assert_eq!(Classes::from_bytes(&rows, &classes.to_bytes()).unwrap(), classes);
    }

    #[test]
    fn a_block_of_another_length_is_refused() {
        let mut classes = Classes::new(&[2]);
        assert!(matches!(classes.set(0, vec![1]), Err(Error::Data { .. })));
        assert!(matches!(classes.set(1, vec![]), Err(Error::Data { .. })));
    }

    #[test]
    fn a_block_without_any_class_leaves_no_trace() {
        let mut classes = Classes::new(&[2]);
        classes.set(0, vec![UNKNOWN_CLASS; 2]).unwrap();
        assert_eq!(classes.to_bytes(), Classes::new(&[2]).to_bytes());
    }
}
