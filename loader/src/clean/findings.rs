//! Where an operator says what it found of a block: what its rules speak against, what passed closely, new values,
//! scores. The frame decides what follows from it.

use super::texts::rewritten;
use crate::{Error, Place, Result};
use arrow::{array::ArrayRef, record_batch::RecordBatch};
use std::collections::BTreeMap;

/// What a rule said of a row.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Flag {
    pub(super) row: u32,
    pub(super) rule: u32,
    pub(super) measured: Option<f64>,
    pub(super) threshold: Option<f64>,
}

impl Flag {
    /// How far from its threshold the rule measured.
    pub(super) fn distance(&self) -> f64 {
        match (self.measured, self.threshold) {
            (Some(measured), Some(threshold)) => (measured - threshold).abs(),
            _ => f64::INFINITY,
        }
    }
}

/// How many rows that a rule let pass are kept as its border cases, of each block.
pub(super) const NEAREST: usize = 3;

/// Where an operator says what it found.
#[derive(Debug)]
pub struct Findings {
    alive: Vec<bool>,
    rules: usize,
    flags: Vec<Flag>,
    /// By rule, the rows nearest to its threshold that it let pass, nearest first.
    passed: BTreeMap<u32, Vec<Flag>>,
    /// By column, new texts by row.
    texts: BTreeMap<usize, Vec<(u32, Option<String>)>>,
    /// Whole columns that were replaced.
    columns: BTreeMap<usize, ArrayRef>,
    /// By score, one number a row; NaN where none was given.
    scores: Vec<Vec<f32>>,
    /// The first thing said that cannot be.
    fault: Option<String>,
}

/// What an operator found, put in order.
pub(super) struct Found {
    /// By row, then rule, each pair once.
    pub(super) flags: Vec<Flag>,
    /// By rule, then nearness.
    pub(super) passed: Vec<Flag>,
    pub(super) scores: Vec<Vec<f32>>,
    /// The columns that were rewritten, and the rows of each, ascending; whole columns are all rows.
    pub(super) rewritten: Vec<(usize, Vec<u32>)>,
}

impl Findings {
    pub(super) fn new(alive: &[bool], rules: usize, scores: usize) -> Self {
        Self {
            alive: alive.to_vec(),
            rules,
            flags: Vec::new(),
            passed: BTreeMap::new(),
            texts: BTreeMap::new(),
            columns: BTreeMap::new(),
            scores: vec![vec![f32::NAN; alive.len()]; scores],
            fault: None,
        }
    }

    /// The rule with the index `rule` speaks against `row`.
    pub fn add(&mut self, row: usize, rule: usize) {
        self.flag(row, rule, None, None);
    }

    /// The same, with what was measured and the threshold that it crossed, where there is one.
    pub fn measured(&mut self, row: usize, rule: usize, measured: f64, threshold: Option<f64>) {
        self.flag(row, rule, Some(measured), threshold);
    }

    /// The rule measured `row` and let it pass. Nothing follows from it, but the rows that passed most closely are
    /// shown as the rule's border cases.
    pub fn passed(&mut self, row: usize, rule: usize, measured: f64, threshold: f64) {
        if !self.checked(row, rule) {
            return;
        }
        let flag = Flag { row: row as u32, rule: rule as u32, measured: Some(measured), threshold: Some(threshold) };
        let nearest = self.passed.entry(rule as u32).or_default();
        let at = nearest.partition_point(|other| other.distance() <= flag.distance());
        if at < NEAREST {
            nearest.insert(at, flag);
            nearest.truncate(NEAREST);
        }
    }

    /// [`measured`](Self::measured) where the rule `speaks`, [`passed`](Self::passed) where it does not.
    pub fn hold(&mut self, speaks: bool, row: usize, rule: usize, measured: f64, threshold: f64) {
        if speaks {
            self.measured(row, rule, measured, Some(threshold));
        } else {
            self.passed(row, rule, measured, threshold);
        }
    }

    /// `row` gets `text` in the text column `column` (by index), or null. Operators behind this one see the new text.
    pub fn rewrite(&mut self, row: usize, column: usize, text: impl Into<Option<String>>) {
        if self.reaches(row) {
            self.texts.entry(column).or_default().push((row as u32, text.into()));
        }
    }

    /// The whole column `column` (by index) is replaced by `values`: as many, of the same type. What stands in rows
    /// that do not reach the operator does not matter.
    pub fn replace(&mut self, column: usize, values: ArrayRef) {
        self.columns.insert(column, values);
    }

    /// `row` has the score `value`, the operator's score with the index `score`.
    pub fn score(&mut self, row: usize, score: usize, value: f32) {
        match self.scores.get_mut(score).and_then(|scores| scores.get_mut(row)) {
            Some(place) => *place = value,
            None => self.is_at_fault(|| format!("gave row {row} a score {score} that it has not declared")),
        }
    }

    fn flag(&mut self, row: usize, rule: usize, measured: Option<f64>, threshold: Option<f64>) {
        if self.checked(row, rule) {
            self.flags.push(Flag { row: row as u32, rule: rule as u32, measured, threshold });
        }
    }

    /// Whether what is said counts: of a rule and a row that exist (else the operator is at fault), and of a row that
    /// reaches the operator.
    fn checked(&mut self, row: usize, rule: usize) -> bool {
        let rules = self.rules;
        if rule >= rules {
            self.is_at_fault(|| format!("spoke of rule {rule} of {rules}"));
        }
        rule < rules && self.reaches(row)
    }

    fn reaches(&mut self, row: usize) -> bool {
        let rows = self.alive.len();
        match self.alive.get(row) {
            Some(&alive) => alive,
            None => {
                self.is_at_fault(|| format!("spoke of row {row} of {rows}"));
                false
            }
        }
    }

    fn is_at_fault(&mut self, what: impl FnOnce() -> String) {
        self.fault.get_or_insert_with(what);
    }

    /// What was found, in order, and `data` as it is after rewriting; the first word on a row and a rule counts.
    pub(super) fn finish(mut self, operator: &str, data: RecordBatch) -> Result<(Found, RecordBatch)> {
        let at_fault = |what| Err(Error::recipe(format!("operator `{operator}` {what}; the operator is at fault")));
        if let Some(what) = self.fault.take() {
            return at_fault(what);
        }
        let key = |flag: &Flag| (flag.row, flag.rule);
        if !self.flags.is_sorted_by_key(key) {
            self.flags.sort_by_key(key);
        }
        self.flags.dedup_by_key(|flag| key(flag));
        let mut changed = Vec::with_capacity(self.columns.len() + self.texts.len());
        let schema = data.schema();
        let mut columns = data.columns().to_vec();
        for (column, values) in self.columns {
            let Some(old) = columns.get_mut(column) else {
                return at_fault(format!("replaced column {column}, which there is not"));
            };
            if old.data_type() != values.data_type() || old.len() != values.len() {
                return at_fault(format!(
                    "replaced {} values of {} by {} of {}",
                    old.len(),
                    old.data_type(),
                    values.len(),
                    values.data_type()
                ));
            }
            *old = values;
            changed.push((column, (0..data.num_rows() as u32).collect()));
        }
        for (column, mut texts) in self.texts {
            let Some(old) = columns.get_mut(column) else {
                return at_fault(format!("rewrote column {column}, which there is not"));
            };
            // The last word on a row counts: an operator may rewrite what it rewrote.
            texts.reverse();
            texts.sort_by_key(|(row, _)| *row);
            texts.dedup_by_key(|(row, _)| *row);
            let place = || Place::default().column(schema.field(column).name());
            *old = rewritten(old, &texts).map_err(|what| Error::data(place(), what))?;
            changed.push((column, texts.into_iter().map(|(row, _)| row).collect()));
        }
        let data = if changed.is_empty() {
            data
        } else {
            RecordBatch::try_new(schema, columns).map_err(|error| Error::data(Place::default(), error.to_string()))?
        };
        let passed = self.passed.into_values().flatten().collect();
        Ok((Found { flags: self.flags, passed, scores: self.scores, rewritten: changed }, data))
    }
}
