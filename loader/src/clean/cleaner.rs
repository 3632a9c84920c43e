//! The operators of a recipe, in order, and the two steps in which they judge: a block alone, then against the past.
//!
//! It knows operators by their traits only.

use super::{
    Action, Judged, Memory, Operator, OperatorSpec, Rows, Settled,
    judged::{Findings, Label},
    operator::Flags,
    spec::{self, Built},
};
use crate::{Error, Hash, Place, Result};
use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use std::{fmt, sync::Arc};

/// The operators of a recipe, in order.
pub struct Cleaner {
    schema: SchemaRef,
    operators: Vec<Built>,
    labels: Arc<[Label]>,
}

impl fmt::Debug for Cleaner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cleaner").field("operators", &self.labels).finish_non_exhaustive()
    }
}

impl Cleaner {
    /// The operators that `specs` ask for, for rows of `schema`.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`], with the number of the `[[clean]]` table: an operator, an option or a column that is not
    /// known, a value of the wrong type, or a column of a type that the operator cannot judge.
    pub fn new(specs: &[OperatorSpec], schema: &SchemaRef) -> Result<Self> {
        let empty = Self { schema: Arc::clone(schema), operators: Vec::new(), labels: Arc::new([]) };
        specs.iter().enumerate().try_fold(empty, |cleaner, (at, spec)| {
            let (operator, action) = spec::build(at + 1, spec, schema)?;
            Ok(cleaner.with(operator, action))
        })
    }

    /// With one more operator, behind the others.
    #[must_use]
    pub fn with_operator(self, operator: Box<dyn Operator>, action: Action) -> Self {
        self.with(Built::Pure(operator), action)
    }

    fn with(mut self, operator: Built, action: Action) -> Self {
        let label = match &operator {
            Built::Pure(operator) => Label { op: operator.name().to_owned(), reasons: operator.reasons(), action },
            Built::Matching(matcher) => {
                Label { op: matcher.name().to_owned(), reasons: vec![matcher.reason()], action }
            }
        };
        self.labels = self.labels.iter().cloned().chain([label]).collect();
        self.operators.push(operator);
        self
    }

    /// Whether there is no operator: every row that can be read is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operators.is_empty()
    }

    /// Whether verdicts depend on earlier rows, so that blocks must be settled in the stream's order.
    #[must_use]
    pub fn remembers(&self) -> bool {
        self.operators.iter().any(|operator| matches!(operator, Built::Matching(_)))
    }

    /// The identity of what the operators decide: their names, versions, actions and options with defaults filled in,
    /// in order. Equal recipes have equal fingerprints however they are written.
    #[must_use]
    pub fn fingerprint(&self) -> Hash {
        let mut bytes = b"arable clean 1".to_vec();
        for (operator, label) in self.operators.iter().zip(self.labels.iter()) {
            let (version, options) = match operator {
                Built::Pure(operator) => (operator.version(), operator.options()),
                Built::Matching(matcher) => (matcher.version(), matcher.options()),
            };
            bytes.extend_from_slice(&version.to_le_bytes());
            for text in [label.op.as_str(), label.action.name(), &options] {
                bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
        }
        Hash::of(&bytes)
    }

    /// Judges a block by itself: the part that any worker can do, in any order. `bad` are the rows that could not be
    /// read; what `data` holds for them is not judged.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where `data` has other columns than the schema that the operators were made for, or a row of
    /// `bad` lies outside; [`Error::Recipe`] where an operator of the caller's is at fault.
    pub fn judge(&self, data: &RecordBatch, bad: &[u32]) -> Result<Judged> {
        if u32::try_from(data.num_rows()).is_err() {
            let what = format!("a block of {} rows; at most 2³² − 1 fit", data.num_rows());
            return Err(Error::data(Place::default().row(u32::MAX), what));
        }
        let mut readable = vec![true; data.num_rows()];
        for &row in bad {
            *readable.get_mut(row as usize).ok_or_else(|| {
                let what = format!("said to be unreadable in a block of {} rows", data.num_rows());
                Error::data(Place::default().row(row), what)
            })? = false;
        }
        let findings = if self.is_empty() { Vec::new() } else { self.findings(data, readable.clone())? };
        Ok(Judged { labels: Arc::clone(&self.labels), readable, findings })
    }

    fn findings(&self, data: &RecordBatch, mut alive: Vec<bool>) -> Result<Vec<Findings>> {
        self.check_columns(data)?;
        let mut findings = Vec::with_capacity(self.operators.len());
        for (operator, label) in self.operators.iter().zip(self.labels.iter()) {
            let rows = Rows::new(data, &alive);
            findings.push(match operator {
                Built::Pure(operator) => {
                    let mut flags = Flags::default();
                    operator.judge(&rows, &mut flags)?;
                    let flags = flags.into_sorted(&label.op, &alive, label.reasons.len())?;
                    if label.action == Action::Drop {
                        for flag in &flags {
                            alive[flag.row as usize] = false;
                        }
                    }
                    Findings::Flags(flags)
                }
                Built::Matching(matcher) => {
                    Findings::Keys { per_row: matcher.keys_per_row().max(1), keys: matcher.keys(&rows)? }
                }
            });
        }
        Ok(findings)
    }

    /// Columns are found by index and read by type, so both must be as the schema said.
    fn check_columns(&self, data: &RecordBatch) -> Result<()> {
        let (wanted, found) = (self.schema.fields(), data.schema_ref().fields());
        let differ = |at: &usize| match (wanted.get(*at), found.get(*at)) {
            (Some(wanted), Some(found)) => {
                !Arc::ptr_eq(wanted, found)
                    && (wanted.name() != found.name() || wanted.data_type() != found.data_type())
            }
            _ => true,
        };
        let Some(at) = (0..wanted.len().max(found.len())).find(differ) else { return Ok(()) };
        let name = wanted.get(at).or_else(|| found.get(at)).map_or("", |field| field.name());
        let show = |fields: &arrow::datatypes::Fields| {
            fields.get(at).map_or("none".to_owned(), |field| format!("`{}` of {}", field.name(), field.data_type()))
        };
        let what = format!(
            "column {} should be {} and is {}; the files of a dataset must share one schema",
            at + 1,
            show(wanted),
            show(found)
        );
        Err(Error::data(Place::default().column(name), what))
    }

    /// Settles a judged block against the rows before it, and remembers its own: called block by block in the stream's
    /// order, once a block, with the memory of this cleaner's earlier calls.
    ///
    /// A row is a duplicate if an earlier row that reached the operator, kept or not by later ones, matches it.
    pub fn settle(&self, judged: &Judged, memory: &mut Memory) -> Settled {
        let stateful = |findings: &Findings| matches!(findings, Findings::Keys { .. });
        // Memory counts the stateful operators alone.
        let slots: Vec<usize> = judged
            .findings
            .iter()
            .scan(0, |next, findings| {
                let slot = *next;
                *next += usize::from(stateful(findings));
                Some(slot)
            })
            .collect();
        let settled = judged.settle(|operator, keys| memory.saw(slots[operator], keys));
        memory.end_visit();
        settled
    }
}

#[cfg(test)]
mod tests;
