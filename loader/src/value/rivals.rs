//! Which class each row's label is taken for, kept beside its trajectory, and one row of each class by which the model's
//! numbers of classes are told from the labels of the data.
//!
//! It knows nothing of labels themselves, nor of what follows from a rival.

use super::blocks::{Blocks, Reader, Record};
use crate::{ClassPair, Error, Position, Result};
use std::sync::Arc;

/// The class that a row's label is most often, and of late, taken for: 4 bytes, a class of 24 bits and its votes.
///
/// Each presentation is a vote for the strongest rival of that moment. A vote for the class that is kept counts 1, at most
/// to 255, one for any other counts 2 against it, and a class whose votes run out makes room for the other: the majority
/// vote of Boyer and Moore (1991) with dissent counted twice, so that a class stays as long as it has two thirds. A plain
/// majority is slow to forget the first presentations, when the model knew nothing; the last rival alone is noise once all
/// is learnt by heart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rival(u32);

impl Rival {
    /// No rival yet.
    pub const NONE: Self = Self(u32::MAX);
    /// The highest number of a class that is kept; a vote for a higher one is none.
    pub const MOST_CLASS: u32 = (1 << 24) - 2;
    const VOTES: u32 = 0xff;
    const DISSENT: u32 = 2;

    /// The class, by the model's number; `None` before the first vote.
    #[must_use]
    pub const fn class(self) -> Option<u32> {
        let class = self.0 >> 8;
        if class > Self::MOST_CLASS { None } else { Some(class) }
    }

    /// How many votes it is ahead, from 0 to 255.
    #[must_use]
    pub const fn votes(self) -> u8 {
        if self.class().is_some() { (self.0 & Self::VOTES) as u8 } else { 0 }
    }

    /// A class with so many votes; [`NONE`](Self::NONE) for a class above [`MOST_CLASS`](Self::MOST_CLASS).
    #[must_use]
    pub const fn new(class: u32, votes: u8) -> Self {
        if class > Self::MOST_CLASS { Self::NONE } else { Self(class << 8 | votes as u32) }
    }

    /// Takes in a vote for `class`.
    pub fn vote(&mut self, class: u32) {
        if class > Self::MOST_CLASS {
            return;
        }
        let votes = self.0 & Self::VOTES;
        *self = match self.class() {
            Some(kept) if kept == class => Self(class << 8 | (votes + 1).min(Self::VOTES)),
            Some(kept) if votes >= Self::DISSENT => Self(kept << 8 | (votes - Self::DISSENT)),
            _ => Self(class << 8 | 1),
        };
    }
}

impl Record for Rival {
    const MAGIC: [u8; 4] = *b"ARV1";
    const BYTES: usize = 4;
    const BLANK: Self = Self::NONE;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.0.to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Result<Self> {
        let damaged = || Error::State("the rival of a row is damaged".into());
        let rival = Self(u32::from_le_bytes(bytes.try_into().map_err(|_| damaged())?));
        if rival.class().is_some() || rival == Self::NONE { Ok(rival) } else { Err(damaged()) }
    }
}

/// The rival of each row, dense by (block, row), and for each class of the model the first row that was seen labelled with
/// it.
///
/// A clone is a snapshot: one pointer a block.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rivals {
    rows: Blocks<Rival>,
    /// By the model's number of a class.
    examples: Arc<Vec<Option<Position>>>,
}

/// Classes from this number on have no example: half a megabyte is enough.
const MOST_EXAMPLES: usize = 1 << 16;
const EXAMPLES_MAGIC: [u8; 4] = *b"AEX1";

impl Rivals {
    pub(super) fn new(block_rows: &[u32]) -> Self {
        Self { rows: Blocks::new(block_rows), examples: Arc::default() }
    }

    /// The row's rival, [`Rival::NONE`] where none is known.
    pub(super) fn get(&self, position: Position) -> Rival {
        self.rows.get(position).copied().unwrap_or(Rival::NONE)
    }

    /// A presentation of the row.
    pub(super) fn update(&mut self, position: Position, pair: ClassPair) {
        // A block comes into being with its first rival, not with a vote that says nothing.
        if pair.rival <= Rival::MOST_CLASS
            && let Some(rival) = self.rows.get_mut(position)
        {
            rival.vote(pair.rival);
        }
        self.set_example(pair.label, position);
    }

    /// Gives the row the rival that it had in an earlier run, where it had one.
    pub(super) fn set(&mut self, position: Position, rival: Rival) {
        if rival != Rival::NONE
            && let Some(kept) = self.rows.get_mut(position)
        {
            *kept = rival;
        }
    }

    /// Makes the row at `position` the example of `class`, if the plan has it and there is none yet.
    pub(super) fn set_example(&mut self, class: u32, position: Position) {
        let class = class as usize;
        let is_known = self.examples.get(class).is_some_and(Option::is_some);
        if !is_known && class < MOST_EXAMPLES && self.rows.has(position) {
            let examples = Arc::make_mut(&mut self.examples);
            examples.resize(examples.len().max(class + 1), None);
            examples[class] = Some(position);
        }
    }

    /// The classes that have an example, in order, each with it.
    pub(super) fn examples(&self) -> impl Iterator<Item = (u32, Position)> {
        (0..).zip(self.examples.iter()).filter_map(|(class, position)| Some((class, (*position)?)))
    }

    /// The rivals, then the examples: magic, their number, and class, block and row of each. Integers are u32,
    /// little-endian.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.rows.to_bytes();
        bytes.extend(EXAMPLES_MAGIC);
        bytes.extend((self.examples().count() as u32).to_le_bytes());
        for (class, position) in self.examples() {
            [class, position.block, position.row].iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        }
        bytes
    }

    /// The rivals of [`to_bytes`](Self::to_bytes), for the same plan, and the bytes that follow them.
    pub(super) fn read<'a>(block_rows: &[u32], bytes: &'a [u8]) -> Result<(Self, &'a [u8])> {
        let damaged = || Error::State("the rows that classes are known by are damaged".into());
        let (rows, rest) = Blocks::read(block_rows, bytes)?;
        let mut rivals = Self { rows, examples: Arc::default() };
        let mut reader = Reader(rest);
        if reader.take(4)? != EXAMPLES_MAGIC {
            return Err(damaged());
        }
        let mut next = 0;
        for _ in 0..reader.integer()? {
            let (class, block, row) = (reader.integer()?, reader.integer()?, reader.integer()?);
            let position = Position::new(block, row);
            if class < next || class as usize >= MOST_EXAMPLES || !rivals.rows.has(position) {
                return Err(damaged());
            }
            next = class + 1;
            rivals.set_example(class, position);
        }
        Ok((rivals, reader.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROWS: [u32; 3] = [3, 0, 2];

    fn voted(votes: &[u32]) -> Rival {
        let mut rival = Rival::NONE;
        votes.iter().for_each(|&class| rival.vote(class));
        rival
    }

    proptest! {
        #[test]
        fn more_than_two_thirds_of_the_votes_win_in_whatever_order(
            others in prop::collection::vec(0_u32..5, 0..40), order in any::<u64>(), winner in 5_u32..=Rival::MOST_CLASS
        ) {
            // Not more than 255 in all, so that no count is cut off.
            let mut votes = vec![winner; 2 * others.len() + 1];
            votes.extend(&others);
            let mut state = order;
            for last in (1..votes.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                votes.swap(last, (state >> 33) as usize % (last + 1));
            }
            prop_assert_eq!(voted(&votes).class(), Some(winner));
        }

        #[test]
        fn the_class_is_one_that_was_voted_for_and_names_of_classes_say_nothing(votes in prop::collection::vec(0_u32..4, 1..60)) {
            let found = voted(&votes);
            prop_assert!(found.class().is_some_and(|class| votes.contains(&class)));
            let renamed: Vec<u32> = votes.iter().map(|class| 90_000 - 7 * class).collect();
            prop_assert_eq!(voted(&renamed), Rival::new(90_000 - 7 * found.class().unwrap(), found.votes()));
        }

        #[test]
        fn bytes_bring_back_the_rivals_and_are_canonical_and_damage_never_panics(
            votes in prop::collection::vec((0_usize..5, prop_oneof![0_u32..9, Rival::MOST_CLASS..], 0_u32..70_000), 0..30),
            at in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>(), byte: u8,
        ) {
            let mut rivals = Rivals::new(&ROWS);
            for (row, rival, label) in votes {
                let position = [(0, 0), (0, 1), (0, 2), (2, 0), (2, 1)][row];
                rivals.update(Position::new(position.0, position.1), ClassPair { label, rival });
            }
            let bytes = rivals.to_bytes();
            let (again, rest) = Rivals::read(&ROWS, &bytes).unwrap();
            prop_assert!(again == rivals && rest.is_empty());
            prop_assert!(Rivals::read(&ROWS, &bytes[..cut.index(bytes.len())]).is_err());
            let mut changed = bytes.clone();
            changed[at.index(bytes.len())] = byte;
            if let Ok((rivals, rest)) = Rivals::read(&ROWS, &changed) {
                prop_assert_eq!(rivals.to_bytes().len() + rest.len(), changed.len());
                prop_assert!(changed.starts_with(&rivals.to_bytes()));
            }
        }
    }

    #[test]
    fn dissent_counts_twice_and_votes_saturate() {
        assert_eq!(voted(&[]), Rival::NONE);
        assert_eq!(voted(&[7, 7, 7]), Rival::new(7, 3));
        assert_eq!(voted(&[7, 7, 7, 2]), Rival::new(7, 1));
        assert_eq!(voted(&[7, 7, 7, 2, 2]), Rival::new(2, 1));
        assert_eq!(voted(&[7, 7, 2]), Rival::new(7, 0));
        assert_eq!(voted(&[7, 7, 2, 3]), Rival::new(3, 1));
        assert_eq!(voted(&[9; 300]), Rival::new(9, u8::MAX));
    }

    #[test]
    fn classes_that_do_not_fit_say_nothing() {
        assert_eq!(voted(&[Rival::MOST_CLASS]).class(), Some(Rival::MOST_CLASS));
        for class in [Rival::MOST_CLASS + 1, u32::MAX] {
            assert_eq!(voted(&[class]), Rival::NONE);
            assert_eq!(voted(&[3, class]), Rival::new(3, 1));
            assert_eq!(Rival::new(class, 3), Rival::NONE);
        }
        assert_eq!((Rival::NONE.class(), Rival::NONE.votes()), (None, 0));
    }

    #[test]
    fn the_first_row_of_a_class_is_its_example_and_stays_it() {
        let mut rivals = Rivals::new(&ROWS);
        for (block, row, label) in [(2, 1, 4), (0, 0, 4), (0, 2, 1), (0, 1, MOST_EXAMPLES as u32), (9, 9, 3)] {
            rivals.update(Position::new(block, row), ClassPair { label, rival: 0 });
        }
        assert!(rivals.examples().eq([(1, Position::new(0, 2)), (4, Position::new(2, 1))]));
    }
}
