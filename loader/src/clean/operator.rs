//! What an operator is: a judgement over the rows of one block that reach it.
//!
//! Operators know nothing of actions, counts, or one another.

use super::{Findings, Rows, Survey};
use crate::{Error, Result};

/// A rule, or a few, that judge rows by what their block alone holds.
///
/// ```
/// use arable_loader::{Result, clean::{Findings, Operator, Rows, Rule}};
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
///     fn rules(&self) -> Vec<Rule> {
///         vec![Rule::at_most("too_many_marks")]
///     }
///     fn judge(&self, rows: &Rows<'_>, findings: &mut Findings) -> Result<()> {
///         let texts = rows.texts(rows.index_of("text")?)?;
///         for (row, text) in rows.iter().filter_map(|row| Some((row, texts.get(row)?))) {
///             let marks = text.bytes().filter(|&byte| byte == b'!').count();
///             findings.hold(marks > 3, row, 0, marks as f64, 3.0);
///         }
///         Ok(())
///     }
/// }
/// ```
///
/// It is plugged in with [`StreamBuilder::operator`](crate::stream::StreamBuilder::operator).
pub trait Operator: Send + Sync {
    /// Its contract name, such as `range`.
    fn name(&self) -> &str;

    /// A number that goes up whenever a row may be judged otherwise than before.
    fn version(&self) -> u32;

    /// Its options in a canonical text: whatever changes a judgement, the columns among it. Part of the cleaner's
    /// fingerprint.
    fn options(&self) -> String {
        String::new()
    }

    /// Its rules, in the order in which they stand where several speak against a row. [`Findings`] knows them by index.
    fn rules(&self) -> Vec<Rule>;

    /// The names of the scores that it gives each row; [`Findings::score`] knows them by index.
    fn scores(&self) -> Vec<String> {
        Vec::new()
    }

    /// The columns (by index) whose values it may replace. On later passes over a block the rows that were kept are
    /// judged again by the operators that name any, and their findings thrown away: so what it writes into a row must
    /// follow from the row alone.
    fn rewrites(&self) -> Vec<usize> {
        Vec::new()
    }

    /// What it has to learn from the whole data before it can judge. The bytes that the survey comes to are given to
    /// [`fit`](Self::fit) before the first judgement.
    fn survey(&self) -> Option<Survey> {
        None
    }

    /// Takes in what its survey came to, in this process or in an earlier one.
    ///
    /// # Errors
    ///
    /// [`Error::State`] where `fit` is not what this operator's survey writes.
    fn fit(&mut self, fit: &[u8]) -> Result<()> {
        let what = format!("a fit of {} bytes for operator `{}`, which takes none", fit.len(), self.name());
        Err(Error::State(what))
    }

    /// Says what its rules speak against. A pure function of the rows' content (and of the fit): neither the block's
    /// borders nor any earlier call may change what is said of a row.
    ///
    /// What is said of rows that do not reach the operator counts for nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where a column is not what the operator was made for. What a row holds is never an error: it is
    /// a finding.
    fn judge(&self, rows: &Rows<'_>, findings: &mut Findings) -> Result<()>;
}

/// One rule of an operator: the stable name of what it finds, and where its border lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// A stable name, with the column where there is one (`missing:label`), or the name that a peer gives it.
    pub reason: String,
    /// On which side of its threshold it speaks.
    pub bound: Bound,
    /// Whether it only takes note, whatever the operator's action: for what was repaired, not refused.
    pub note: bool,
}

/// On which side of its threshold a rule speaks. From it follows what a margin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// It measures nothing, or nothing that has a threshold.
    None,
    /// The threshold is the most that it lets pass.
    Upper,
    /// The threshold is the least that it lets pass.
    Lower,
    /// It has one of each, and names the one that was crossed.
    Both,
}

impl Rule {
    /// A rule without a threshold.
    pub fn plain(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), bound: Bound::None, note: false }
    }

    /// A rule that speaks where more is measured than its threshold.
    pub fn at_most(reason: impl Into<String>) -> Self {
        Self { bound: Bound::Upper, ..Self::plain(reason) }
    }

    /// A rule that speaks where less is measured than its threshold.
    pub fn at_least(reason: impl Into<String>) -> Self {
        Self { bound: Bound::Lower, ..Self::plain(reason) }
    }

    /// A rule that speaks below one threshold and above another.
    pub fn between(reason: impl Into<String>) -> Self {
        Self { bound: Bound::Both, ..Self::plain(reason) }
    }

    /// A rule that takes note of a row and never speaks against it.
    pub fn note(reason: impl Into<String>) -> Self {
        Self { note: true, ..Self::plain(reason) }
    }
}
