//! The trajectories of all rows of a plan, and how reports change them.
//!
//! A table is a pure fold over reports in batch order; it does not wait for any, which is the [`inbox`](super::inbox)'s
//! matter.

use super::{
    blocks::{Blocks, Record},
    recent::{Kept, Recent},
    rivals::{Rival, Rivals},
    trajectory::Trajectory,
};
use crate::{Error, Place, Position, Report, Result};
use std::hint::black_box;

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

/// What is kept of each row beside its trajectory.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Beside {
    /// A number that forgets, where the policy asks for one ([`Policy::recent`](super::Policy::recent)).
    pub recent: Option<Recent>,
    /// Which class its label is taken for.
    pub rivals: bool,
}

impl From<Option<Recent>> for Beside {
    fn from(recent: Option<Recent>) -> Self {
        Self { recent, rivals: false }
    }
}

/// One [`Trajectory`] a row, dense by (block, row), and beside it what was asked to be kept; 32 bytes, 4 more with a
/// [`Recent`], and 4 more with rivals once signals name classes, for each row of the blocks that a signal has reached.
///
/// A clone is a snapshot: one pointer a block, later writes copy only what they touch.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    rows: Blocks<Trajectory>,
    recent: Option<(Recent, Blocks<Kept>)>,
    rivals: Option<Rivals>,
}

impl Table {
    /// A table without signals, for a plan whose blocks have `block_rows` rows each.
    #[must_use]
    pub fn new(block_rows: &[u32]) -> Self {
        Self { rows: Blocks::new(block_rows), recent: None, rivals: None }
    }

    /// The same trajectories, with `beside` them what is asked for: what was kept by the same rule stays.
    #[must_use]
    pub fn keeping(self, beside: impl Into<Beside>) -> Self {
        let (Self { rows, recent: kept, rivals }, beside) = (self, beside.into());
        let recent = beside.recent.map(|rule| match kept {
            Some((same, kept)) if same == rule => (rule, kept),
            _ => (rule, Blocks::new(rows.all_rows())),
        });
        let rivals = beside.rivals.then(|| rivals.unwrap_or_else(|| Rivals::new(rows.all_rows())));
        Self { rows, recent, rivals }
    }

    /// The row's trajectory; `None` where no signal has reached its block, or the plan has no such row.
    #[must_use]
    pub fn get(&self, position: Position) -> Option<&Trajectory> {
        self.rows.get(position)
    }

    /// What the policy asked to be kept of the row: before its first signal the mean of an earlier run, or 0. Where the
    /// policy asked for nothing, the mean probability margin.
    #[must_use]
    pub fn recent(&self, position: Position) -> f32 {
        let mean = |rule: Recent| self.get(position).map_or(0.0, |trajectory| rule.mean(trajectory));
        match &self.recent {
            Some((rule, kept)) => kept.get(position).and_then(|kept| kept.get()).unwrap_or_else(|| mean(*rule)),
            None => self.get(position).map_or(0.0, Trajectory::mean_probability_margin),
        }
    }

    /// The class that the row's label is taken for; [`Rival::NONE`] where no signal has named one, or rivals are not kept.
    #[must_use]
    pub fn rival(&self, position: Position) -> Rival {
        self.rivals.as_ref().map_or(Rival::NONE, |rivals| rivals.get(position))
    }

    /// The classes of the model that a row is known for, in order, each with one whose label it is. So what the model
    /// calls k is what the data call that row.
    pub fn examples(&self) -> impl Iterator<Item = (u32, Position)> {
        self.rivals.iter().flat_map(Rivals::examples)
    }

    /// Takes in a batch's signals, in slot order: all of them, or none.
    ///
    /// # Errors
    /// [`Error::Feedback`] if the report names a row that the plan does not have.
    pub fn apply(&mut self, report: &Report) -> Result<()> {
        if let Some((position, _)) = report.rows.iter().find(|(position, _)| !self.rows.has(*position)) {
            let what = format!("row {position} is not in the plan; report the positions that the batch came with");
            return Err(Error::Feedback { batch: report.batch, what });
        }
        self.fetch(report);
        for (position, signal) in &report.rows {
            let Some(trajectory) = self.rows.get_mut(*position) else { continue };
            let before = *trajectory;
            let moved = trajectory.update(report.batch, signal);
            if let Some((rule, kept)) = &mut self.recent
                && moved
                && let Some(new) = rule.follows(signal)
                && let Some(kept) = kept.get_mut(*position)
            {
                rule.update(kept, &before, new);
            }
            if let Some(rivals) = &mut self.rivals
                && moved
                && let Some(pair) = signal.class.and_then(|class| class.pair)
            {
                rivals.update(*position, pair);
            }
        }
        Ok(())
    }

    /// Looks at every row of `report`, for no more than to have them in the processor's cache. Rows lie anywhere in the
    /// blocks of a window; writing to a block that a snapshot may share takes a locked instruction, which waits for one row
    /// before it lets the next be fetched, where reads wait for all of them at once.
    fn fetch(&self, report: &Report) {
        let look = |sum: u32, (position, _): &(Position, _)| {
            // At both ends: a record may lie in two lines of the cache.
            let of_record = |of: &Trajectory| of.mean_loss().to_bits().wrapping_add(of.presentations().into());
            let of_record = self.rows.get(*position).map_or(0, of_record);
            let votes = self.rivals.as_ref().map_or(0, |rivals| rivals.get(*position).votes());
            let recent = self.recent.as_ref().and_then(|(_, kept)| kept.get(*position)?.get());
            sum.wrapping_add(of_record).wrapping_add(votes.into()) ^ recent.unwrap_or(0.0).to_bits()
        };
        black_box(report.rows.iter().fold(0, look));
    }

    /// Sets a row's trajectory, as an earlier run left it.
    ///
    /// # Errors
    /// [`Error::Data`] if the plan has no such row.
    pub fn set(&mut self, position: Position, trajectory: Trajectory) -> Result<()> {
        self.check(position)?;
        if let Some(record) = self.rows.get_mut(position) {
            *record = trajectory;
        }
        Ok(())
    }

    /// Sets the class that a row's label is taken for, and which class it is the example of, as an earlier run left them;
    /// nothing where rivals are not kept.
    ///
    /// # Errors
    /// [`Error::Data`] if the plan has no such row.
    pub fn set_rival(&mut self, position: Position, rival: Rival, example_of: Option<u32>) -> Result<()> {
        self.check(position)?;
        if let Some(rivals) = &mut self.rivals {
            rivals.set(position, rival);
            if let Some(class) = example_of {
                rivals.set_example(class, position);
            }
        }
        Ok(())
    }

    fn check(&self, position: Position) -> Result<()> {
        if self.rows.has(position) {
            return Ok(());
        }
        let place = Place::default().block(position.block).row(position.row);
        Err(Error::data(place, "a table of values speaks of a row that the plan does not have"))
    }

    /// The table as it is now, in time proportional to the blocks, not the rows.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        self.clone()
    }

    /// Every row that a signal has reached, in position order.
    pub fn iter(&self) -> impl Iterator<Item = (Position, &Trajectory)> {
        self.rows.iter()
    }

    /// The table as bytes; equal tables give equal bytes. What was asked to be kept comes after the trajectories.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.rows.to_bytes();
        if let Some((_, kept)) = &self.recent {
            bytes.extend(kept.to_bytes());
        }
        if let Some(rivals) = &self.rivals {
            bytes.extend(rivals.to_bytes());
        }
        bytes
    }

    /// The table of [`to_bytes`](Self::to_bytes), for the same plan where the same is kept.
    ///
    /// # Errors
    /// [`Error::State`] if the bytes are damaged, of another plan, or something else was kept.
    pub fn from_bytes(block_rows: &[u32], beside: impl Into<Beside>, bytes: &[u8]) -> Result<Self> {
        let beside = beside.into();
        let (rows, rest) = Blocks::read(block_rows, bytes)?;
        let (recent, rest) = match beside.recent {
            None => (None, rest),
            Some(rule) => {
                let (kept, rest) = Blocks::read(block_rows, rest)?;
                (Some((rule, kept)), rest)
            }
        };
        let (rivals, rest) = if beside.rivals {
            let (rivals, rest) = Rivals::read(block_rows, rest)?;
            (Some(rivals), rest)
        } else {
            (None, rest)
        };
        if !rest.is_empty() {
            return Err(Error::State("a table of values is damaged: bytes are left over".into()));
        }
        Ok(Self { rows, recent, rivals })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClassPair, ClassSignal, Signal, value::RecentOf};
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
            let again = Table::from_bytes(&ROWS, None, &bytes).unwrap();
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
            prop_assert!(Table::from_bytes(&ROWS, None, &bytes[..cut.index(bytes.len())]).is_err());
            let mut changed = bytes.clone();
            changed[at.index(bytes.len())] = byte;
            // What is accepted is canonical: it is written back as it was read.
            if let Ok(table) = Table::from_bytes(&ROWS, None, &changed) {
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
        assert!(Table::from_bytes(&rows, None, &bytes).is_err());
    }

    #[test]
    fn rivals_are_kept_where_they_are_asked_for_and_go_through_bytes() {
        let beside = Beside { recent: Some(Recent { of: RecentOf::Loss, share: 0.5 }), rivals: true };
        let (seen, poisoned, other) = (Position::new(0, 1), Position::new(2, 3), Position::new(3, 0));
        let signal = |loss, pair: (u32, u32)| {
            let pair = Some(ClassPair { label: pair.0, rival: pair.1 });
            let class = ClassSignal { logit_margin: 1.0, probability_margin: 0.5, probability: 0.7, pair };
            Signal { loss, class: Some(class) }
        };
        let rows =
            vec![(seen, signal(1.0, (4, 2))), (poisoned, signal(f32::NAN, (3, 1))), (other, signal(2.0, (4, 0)))];
        let report = Report::new(0, rows);
        let mut table = Table::new(&ROWS).keeping(beside);
        table.apply(&report).unwrap();
        assert_eq!([seen, poisoned, other].map(|row| table.rival(row).class()), [Some(2), None, Some(0)]);
        assert!(table.examples().eq([(4, seen)]));
        let bytes = table.to_bytes();
        assert_eq!(Table::from_bytes(&ROWS, beside, &bytes).unwrap(), table);
        assert!(Table::from_bytes(&ROWS, Beside { rivals: false, ..beside }, &bytes).is_err());
        for length in 0..bytes.len() {
            assert!(Table::from_bytes(&ROWS, beside, &bytes[..length]).is_err());
        }
        // What is not asked for takes no room and is not known.
        let mut plain = Table::new(&ROWS);
        plain.apply(&report).unwrap();
        assert_eq!((plain.rival(seen), plain.examples().count()), (Rival::NONE, 0));
        assert_eq!(plain, table.clone().keeping(None));
        assert_eq!(table.clone().keeping(beside), table);
        // Signals that name no class leave no trace beside the trajectories.
        let mut silent = Table::new(&ROWS).keeping(Beside { rivals: true, ..Beside::default() });
        silent.apply(&Report::new(0, vec![(seen, Signal { loss: 1.0, class: None })])).unwrap();
        assert_eq!(silent.to_bytes().len(), 12 + 8 + 3 * 32 + 12 + 8);
    }

    #[test]
    fn what_a_policy_asks_for_forgets_and_goes_through_bytes() {
        let rule = Recent { of: RecentOf::Loss, share: 0.5 };
        let mut table = Table::new(&ROWS).keeping(Some(rule));
        let (seen, known, unseen) = (Position::new(0, 1), Position::new(2, 3), Position::new(3, 0));
        let mut earlier = Trajectory::NEW;
        earlier.update(0, &Signal { loss: 8.0, class: None });
        table.set(known, earlier).unwrap();
        assert_eq!(table.recent(known), 8.0);
        for (batch, loss) in [4.0, f32::NAN, 2.0, 1.0].into_iter().enumerate() {
            let signal = Signal { loss, class: None };
            table.apply(&Report::new(batch as u64, vec![(seen, signal), (known, signal)])).unwrap();
        }
        // 4, then (4 + 2)/2, then (3 + 1)/2; the other row begins with the 8 of its earlier run.
        assert_eq!((table.recent(seen), table.recent(known), table.recent(unseen)), (2.0, 2.5, 0.0));
        let bytes = table.to_bytes();
        let again = Table::from_bytes(&ROWS, Some(rule), &bytes).unwrap();
        assert_eq!((again.to_bytes(), again.recent(known)), (bytes.clone(), 2.5));
        assert_eq!(again, table.clone().keeping(Some(rule)));
        assert!(Table::from_bytes(&ROWS, None, &bytes).is_err());
        assert!(Table::from_bytes(&ROWS, Some(rule), &bytes[..bytes.len() - 1]).is_err());
        assert!(Table::from_bytes(&ROWS, Some(rule), &table.keeping(None).to_bytes()).is_err());
    }
}
