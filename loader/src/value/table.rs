//! The trajectories of all rows of a plan, and how reports change them.
//!
//! A table is a pure fold over reports in batch order; it does not wait for any, which is the [`inbox`](super::inbox)'s
//! matter.

use super::blocks::{Blocks, Record};
use super::trajectory::Trajectory;
use crate::{Error, Place, Position, Report, Result};

impl Record for Trajectory {
    const MAGIC: [u8; 4] = *b"ATR1";
    const BYTES: usize = Self::BYTES;
    const BLANK: Self = Self::NEW;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.to_bytes());
    }

    fn read(bytes: &[u8]) -> Result<Self> {
        let bytes = bytes.try_into().map_err(|_| Error::State("a trajectory of another length".into()))?;
        Self::from_bytes(bytes)
    }
}

/// One [`Trajectory`] a row, dense by (block, row); 32 bytes for each row of the blocks that a signal has reached.
///
/// A clone is a snapshot: one pointer a block, later writes copy only what they touch.
#[derive(Clone, Debug, PartialEq)]
pub struct Table(Blocks<Trajectory>);

impl Table {
    /// A table without signals, for a plan whose blocks have `block_rows` rows each.
    #[must_use]
    pub fn new(block_rows: &[u32]) -> Self {
        Self(Blocks::new(block_rows))
    }

    /// The row's trajectory; `None` where no signal has reached its block, or the plan has no such row.
    #[must_use]
    pub fn get(&self, position: Position) -> Option<&Trajectory> {
        self.0.get(position)
    }

    /// Takes in a batch's signals, in slot order: all of them, or none.
    ///
    /// # Errors
    /// [`Error::Feedback`] if the report names a row that the plan does not have.
    pub fn apply(&mut self, report: &Report) -> Result<()> {
        if let Some((position, _)) = report.rows.iter().find(|(position, _)| !self.0.has(*position)) {
            let what = format!("row {position} is not in the plan; report the positions that the batch came with");
            return Err(Error::Feedback { batch: report.batch, what });
        }
        for (position, signal) in &report.rows {
            if let Some(trajectory) = self.0.get_mut(*position) {
                trajectory.update(report.batch, signal);
            }
        }
        Ok(())
    }

    /// Sets a row's trajectory, as an earlier run left it.
    ///
    /// # Errors
    /// [`Error::Data`] if the plan has no such row.
    pub fn set(&mut self, position: Position, trajectory: Trajectory) -> Result<()> {
        let Some(record) = self.0.get_mut(position) else {
            let place = Place::default().block(position.block).row(position.row);
            return Err(Error::data(place, "a table of values speaks of a row that the plan does not have"));
        };
        *record = trajectory;
        Ok(())
    }

    /// The table as it is now, in time proportional to the blocks, not the rows.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        self.clone()
    }

    /// Every row that a signal has reached, in position order.
    pub fn iter(&self) -> impl Iterator<Item = (Position, &Trajectory)> {
        self.0.iter()
    }

    /// The table as bytes; equal tables give equal bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    /// The table of [`to_bytes`](Self::to_bytes), for the same plan.
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
    use crate::Signal;
    use proptest::prelude::*;

    const ROWS: [u32; 4] = [3, 0, 5, 2];

    fn report(batch: u64, rows: &[(u32, u32)]) -> Report {
        let signal = |loss| Signal { loss, class: None };
        let rows = rows.iter().enumerate();
        let rows = rows.map(|(slot, &(block, row))| (Position::new(block, row), signal(slot as f32 + batch as f32)));
        Report::new(batch, rows.collect())
    }

    fn reports() -> impl Strategy<Value = Vec<Report>> {
        let position = prop_oneof![(Just(0_u32), 0..3_u32), (Just(2), 0..5_u32), (Just(3), 0..2_u32)];
        let batch = prop::collection::vec(position, 0..6);
        prop::collection::vec(batch, 0..8)
            .prop_map(|batches| batches.iter().enumerate().map(|(batch, rows)| report(batch as u64, rows)).collect())
    }

    fn table(reports: &[Report]) -> Table {
        let mut table = Table::new(&ROWS);
        reports.iter().for_each(|report| table.apply(report).unwrap());
        table
    }

    proptest! {
        #[test]
        fn bytes_bring_back_the_table_and_are_canonical(reports in reports()) {
            let table = table(&reports);
            let bytes = table.to_bytes();
            let again = Table::from_bytes(&ROWS, &bytes).unwrap();
            prop_assert_eq!(&again, &table);
            prop_assert_eq!(again.to_bytes(), bytes);
        }

        #[test]
        fn a_snapshot_never_changes(early in reports(), late in reports()) {
            let mut live = table(&early);
            let snapshot = live.snapshot();
            late.iter().for_each(|report| live.apply(report).unwrap());
            prop_assert_eq!(snapshot.to_bytes(), table(&early).to_bytes());
        }

        #[test]
        fn damaged_bytes_are_errors_never_panics(reports in reports(), at in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>(), byte: u8) {
            let bytes = table(&reports).to_bytes();
            prop_assert!(Table::from_bytes(&ROWS, &bytes[..cut.index(bytes.len())]).is_err());
            let mut changed = bytes.clone();
            changed[at.index(bytes.len())] = byte;
            // What is accepted is canonical: it is written back as it was read.
            if let Ok(table) = Table::from_bytes(&ROWS, &changed) {
                prop_assert_eq!(table.to_bytes(), changed);
            }
        }
    }

    #[test]
    fn a_report_is_applied_whole_or_not_at_all() {
        let mut table = Table::new(&ROWS);
        for stray in [(0, 3), (1, 0), (4, 0)] {
            let error = table.apply(&report(9, &[(0, 0), stray])).unwrap_err();
            assert!(matches!(error, Error::Feedback { batch: 9, .. }));
        }
        assert_eq!(table, Table::new(&ROWS));
    }

    #[test]
    fn rows_come_in_position_order_and_only_where_a_signal_came() {
        let table = table(&[report(0, &[(3, 1), (0, 2)]), report(1, &[(2, 4), (0, 0)])]);
        let rows: Vec<Position> = table.iter().map(|(position, _)| position).collect();
        assert_eq!(rows, [(0, 0), (0, 2), (2, 4), (3, 1)].map(|(block, row)| Position::new(block, row)));
        assert_eq!(table.get(Position::new(1, 0)), None);
        assert_eq!(table.get(Position::new(0, 1)), Some(&Trajectory::NEW));
    }

    #[test]
    fn a_huge_plan_takes_memory_only_where_signals_come() {
        // 3.2 TB of trajectories if they were made at once.
        let mut table = Table::new(&[100_000_000; 1_000]);
        assert_eq!(table.apply(&report(0, &[])).ok(), Some(()));
        assert_eq!(table.to_bytes().len(), 12);
    }

    #[test]
    fn a_claimed_length_takes_no_memory() {
        let rows = [u32::MAX; 2];
        let mut bytes = Table::new(&rows).to_bytes();
        bytes[8..12].copy_from_slice(&1_u32.to_le_bytes());
        bytes.extend(0_u32.to_le_bytes());
        bytes.extend(u32::MAX.to_le_bytes());
        assert!(Table::from_bytes(&rows, &bytes).is_err());
    }
}
