//! What a stateful operator is: keys of rows, and an index that holds them against those of earlier rows.
//!
//! Keys follow from a block alone and are made by any worker; the index is asked row by row, in stream or plan order,
//! on one thread. Neither knows of actions or of other operators.

use super::{Rows, Rule};
use crate::{Position, Result};
use std::fmt;

/// An operator that speaks against a row which matches an earlier one.
pub(super) trait Matcher: Send + Sync {
    /// As [`Operator::name`](super::Operator::name).
    fn name(&self) -> &str;

    /// As [`Operator::version`](super::Operator::version).
    fn version(&self) -> u32;

    /// As [`Operator::options`](super::Operator::options). The order and the byte budget are the frame's, and need not
    /// be in it.
    fn options(&self) -> String;

    /// As [`Operator::rules`](super::Operator::rules); [`Match::rule`] knows them by index.
    fn rules(&self) -> Vec<Rule>;

    /// The keys of each row of the block; none for rows that do not reach the operator.
    fn keys(&self, rows: &Rows<'_>) -> Result<Keys>;

    /// An index that has seen nothing.
    fn index(&self) -> Box<dyn Index>;

    /// The index that [`Index::to_bytes`] wrote; `None` where `bytes` are not exactly what it writes. Lengths are
    /// checked before they are believed.
    fn restore(&self, bytes: &[u8]) -> Option<Box<dyn Index>>;

    /// Bytes of memory that the index takes for a dataset of so many rows, at most.
    fn index_bytes(&self, rows: u64) -> u64;

    /// Beside the index, what it takes at most so that states of earlier visits can still be written down, where a block
    /// holds up to `block`, and all of them together hold `all`.
    fn undo(&self, block: Extent, all: Extent) -> Undo {
        let _ = (block, all);
        Undo::default()
    }

    /// The text column (by index) of which [`Match::cut`] takes parts away. Such an operator stands last in a recipe.
    fn cuts(&self) -> Option<usize> {
        None
    }

    /// What is left of `text` where `cut` was found in it. Called again on every later pass.
    fn cut(&self, text: &str, cut: &[u8]) -> String {
        let _ = cut;
        text.to_owned()
    }
}

/// How much there is of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Rows.
    pub rows: u64,
    /// Bytes, decoded.
    pub bytes: u64,
}

/// What it takes to go back to earlier visits, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Undo {
    /// However few they are.
    pub fixed: u64,
    /// For each block.
    pub block: u64,
}

impl std::iter::Sum for Undo {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, next| Self {
            fixed: sum.fixed.saturating_add(next.fixed),
            block: sum.block.saturating_add(next.block),
        })
    }
}

/// What a matcher remembers of the rows that have reached it.
///
/// A visit is one settled block, counted from 0. The state of a stream may be asked for as it was after an earlier
/// visit, so an index either knows the visit of each key, or keeps what each visit changed until
/// [`forget_before`](Self::forget_before) says that nobody will ask.
pub(super) trait Index: Send + fmt::Debug {
    /// Holds a row against the rows before it, and remembers it. A row never matches itself.
    fn meet(&mut self, visit: u32, at: Position, keys: &[u64]) -> Option<Match>;

    /// What it was after its first `visits` visits. Equal indexes give equal bytes; later visits do not change them.
    fn to_bytes(&self, visits: u32) -> Vec<u8>;

    /// No state before `visits` visits will be asked for any more, of visits to come either.
    fn forget_before(&mut self, visits: u32) {
        let _ = visits;
    }

    /// The heap that it takes.
    fn bytes_in_memory(&self) -> usize;

    /// The live estimate of the chance that a row, or what a row is looked up by, is taken for seen that was not; `None`
    /// where it is exact.
    fn false_positives(&self) -> Option<f64> {
        None
    }
}

/// What an index says of a row that matches.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Match {
    /// Which of the matcher's rules speaks.
    pub(super) rule: u32,
    pub(super) measured: Option<f64>,
    pub(super) threshold: Option<f64>,
    /// The earlier row, where the index knows it.
    pub(super) twin: Option<Position>,
    /// What is to be taken away from the row's text; empty where nothing is. Its meaning is the matcher's.
    #[serde(with = "serde_bytes")]
    pub(super) cut: Vec<u8>,
}

/// The keys of a block's rows: any number of 64-bit words a row, in one vector.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Keys {
    ends: Vec<usize>,
    words: Vec<u64>,
}

impl Keys {
    /// Room for `rows` rows of `words` words.
    pub(super) fn with_capacity(rows: usize, words: usize) -> Self {
        Self { ends: Vec::with_capacity(rows), words: Vec::with_capacity(rows.saturating_mul(words)) }
    }

    /// One more word of the row at hand.
    pub(super) fn push(&mut self, word: u64) {
        self.words.push(word);
    }

    /// One more word, which is yet to be [set](Self::set); its place.
    pub(super) fn leave_open(&mut self) -> usize {
        self.words.push(0);
        self.words.len() - 1
    }

    /// Sets the word at `place`, which was left open.
    pub(super) fn set(&mut self, place: usize, word: u64) {
        if let Some(open) = self.words.get_mut(place) {
            *open = word;
        }
    }

    /// Ends the row at hand; the next one follows.
    pub(super) fn end_row(&mut self) {
        self.ends.push(self.words.len());
    }

    /// Whether these are the keys of exactly `rows` rows.
    pub(super) fn are_of(&self, rows: usize) -> bool {
        self.ends.len() == rows && self.ends.is_sorted() && self.ends.last().copied().unwrap_or(0) == self.words.len()
    }

    /// The words of `row`.
    pub(super) fn of(&self, row: usize) -> &[u64] {
        let end = self.ends.get(row).copied().unwrap_or(0);
        let start = row.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0).min(end);
        self.words.get(start..end).unwrap_or_default()
    }
}
