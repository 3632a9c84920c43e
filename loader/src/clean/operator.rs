//! What an operator is: a judgement over the rows of one block that reach it.
//!
//! Operators know nothing of actions, counts, or one another.

use crate::{Error, Result};
use arrow::record_batch::RecordBatch;

/// A rule, or a few, that judge rows by what their block alone holds.
///
/// ```
/// use arable_loader::{Result, arrow::array::AsArray, clean::{Flags, Operator, Rows}};
///
/// /// Speaks against texts that shout.
/// struct Shouting;
///
/// impl Operator for Shouting {
///     fn name(&self) -> &str {
///         "shouting"
///     }
///     fn version(&self) -> u32 {
///         1
///     }
///     fn reasons(&self) -> Vec<String> {
///         vec!["shouting:text".to_owned()]
///     }
///     fn judge(&self, rows: &Rows<'_>, flags: &mut Flags) -> Result<()> {
///         let Some(text) = rows.data().column_by_name("text").and_then(|column| column.as_string_opt::<i32>()) else {
///             return Ok(());
///         };
///         for row in rows.iter() {
///             let marks = text.value(row).bytes().filter(|&byte| byte == b'!').count();
///             if marks > 3 {
///                 flags.measured(row, 0, marks as f64, Some(3.0));
///             }
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait Operator: Send + Sync {
    /// Its contract name, such as `range`.
    fn name(&self) -> &str;

    /// A number that goes up whenever a row may be judged otherwise than before.
    fn version(&self) -> u32;

    /// Its options in a canonical text: whatever changes a judgement. Part of the cleaner's fingerprint.
    fn options(&self) -> String {
        String::new()
    }

    /// Its reasons, in the order in which they stand where a row has several: stable strings, with the column where
    /// there is one (`missing:label`). [`Flags`] speaks of them by index.
    fn reasons(&self) -> Vec<String>;

    /// Flags the rows that its rules speak against. A pure function of the rows' content: neither the block's borders
    /// nor any earlier call may change what is said of a row.
    ///
    /// Rows that do not reach the operator may be flagged all the same; it counts for nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where a column is not what the operator was made for.
    fn judge(&self, rows: &Rows<'_>, flags: &mut Flags) -> Result<()>;
}

/// An operator that speaks against a row which matches an earlier one. It says only by which keys rows match;
/// remembering and comparing them is [`Memory`](super::Memory)'s.
pub(super) trait Matcher: Send + Sync {
    /// As [`Operator::name`].
    fn name(&self) -> &str;

    /// As [`Operator::version`].
    fn version(&self) -> u32;

    /// As [`Operator::options`].
    fn options(&self) -> String;

    /// Its one reason.
    fn reason(&self) -> String;

    /// How many keys a row has, at least 1. Rows match if they share any: a content has one key, a MinHash signature
    /// one for each band.
    fn keys_per_row(&self) -> usize;

    /// The keys of all rows, row after row; those of rows that do not reach the operator are never looked at.
    fn keys(&self, rows: &Rows<'_>) -> Result<Vec<u128>>;
}

/// The rows of a block, and which of them reach an operator.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    data: &'a RecordBatch,
    alive: &'a [bool],
}

impl<'a> Rows<'a> {
    pub(super) const fn new(data: &'a RecordBatch, alive: &'a [bool]) -> Self {
        Self { data, alive }
    }

    /// The columns, with all rows of the block.
    #[must_use]
    pub const fn data(&self) -> &'a RecordBatch {
        self.data
    }

    /// How many rows the block holds, whether they reach the operator or not.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.alive.len()
    }

    /// Whether the block holds no row.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.alive.is_empty()
    }

    /// Whether `row` reaches the operator: it could be read, and no earlier operator dropped it.
    #[must_use]
    pub fn reaches(&self, row: usize) -> bool {
        self.alive.get(row).is_some_and(|&alive| alive)
    }

    /// The rows that reach the operator, in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + use<'a> {
        self.alive.iter().enumerate().filter_map(|(row, &alive)| alive.then_some(row))
    }
}

/// What a rule said of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Flag {
    pub(super) row: u32,
    pub(super) reason: u32,
    pub(super) measured: Option<f64>,
    pub(super) threshold: Option<f64>,
}

/// Where an operator says which rows its rules speak against.
#[derive(Debug, Default)]
pub struct Flags {
    flags: Vec<Flag>,
}

impl Flags {
    /// The rule with the index `reason` speaks against `row`.
    pub fn add(&mut self, row: usize, reason: usize) {
        self.push(row, reason, None, None);
    }

    /// The same, with what was measured and the border that it crossed, where there is one.
    pub fn measured(&mut self, row: usize, reason: usize, measured: f64, threshold: Option<f64>) {
        self.push(row, reason, Some(measured), threshold);
    }

    fn push(&mut self, row: usize, reason: usize, measured: Option<f64>, threshold: Option<f64>) {
        // What does not fit 32 bits lies outside any block, and `into_sorted` refuses it.
        let (row, reason) = (u32::try_from(row).unwrap_or(u32::MAX), u32::try_from(reason).unwrap_or(u32::MAX));
        self.flags.push(Flag { row, reason, measured, threshold });
    }

    /// The flags of rows that are alive, by row, then reason, each pair once; the first word counts.
    pub(super) fn into_sorted(mut self, operator: &str, alive: &[bool], reasons: usize) -> Result<Vec<Flag>> {
        if let Some(flag) =
            self.flags.iter().find(|flag| flag.row as usize >= alive.len() || flag.reason as usize >= reasons)
        {
            return Err(Error::recipe(format!(
                "operator `{operator}` flagged row {} of {} with reason {} of {reasons}; the operator is at fault",
                flag.row,
                alive.len(),
                flag.reason
            )));
        }
        self.flags.retain(|flag| alive[flag.row as usize]);
        let key = |flag: &Flag| (flag.row, flag.reason);
        if !self.flags.is_sorted_by_key(key) {
            self.flags.sort_by_key(key);
        }
        self.flags.dedup_by_key(|flag| key(flag));
        Ok(self.flags)
    }
}
