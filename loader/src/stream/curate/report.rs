//! What each rule did in a curation, with the rows nearest to its threshold on both sides.

use crate::{Evidence, Position, clean::Border};
use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::cast,
    datatypes::DataType,
    record_batch::RecordBatch,
};
use std::collections::BTreeMap;

/// How many border cases are shown of each rule and side.
const SHOWN: usize = 3;

/// How long an excerpt is, in characters.
const EXCERPT: usize = 80;

/// What a rule did.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct RuleReport {
    /// The operator.
    pub op: String,
    /// The rule.
    pub reason: String,
    /// Rows that it dropped.
    pub dropped: u64,
    /// Rows that it spoke of without dropping them.
    pub noted: u64,
    /// The rows nearest to its threshold of which it spoke, nearest first.
    pub caught: Vec<BorderCase>,
    /// The rows nearest to its threshold that it let pass, nearest first.
    pub passed: Vec<BorderCase>,
}

/// A row near a rule's threshold.
#[derive(Clone, Debug, serde::Serialize)]
pub struct BorderCase {
    /// The shard's name.
    pub shard: String,
    /// The block in the plan.
    pub block: u32,
    /// The row within the block.
    pub row: u32,
    /// What was measured.
    pub measured: Option<f64>,
    /// The threshold.
    pub threshold: Option<f64>,
    /// The beginning of the row's text that the operator judges, or else of its longest one, where it has one.
    pub excerpt: String,
}

impl BorderCase {
    fn distance(&self) -> f64 {
        match (self.measured, self.threshold) {
            (Some(measured), Some(threshold)) => (measured - threshold).abs(),
            _ => f64::INFINITY,
        }
    }
}

/// The rules, while blocks come in.
#[derive(Default)]
pub(super) struct Rules(BTreeMap<(String, String), RuleReport>);

impl Rules {
    fn rule(&mut self, evidence: &Evidence) -> &mut RuleReport {
        let key = (evidence.op.clone(), evidence.reason.clone());
        self.0.entry(key).or_insert_with(|| RuleReport {
            op: evidence.op.clone(),
            reason: evidence.reason.clone(),
            ..RuleReport::default()
        })
    }

    /// Counts what was said of a row; where it is dropped, the first word is what dropped it.
    pub(super) fn count(&mut self, dropped: bool, evidence: &[Evidence]) {
        for (at, evidence) in evidence.iter().enumerate() {
            let rule = self.rule(evidence);
            *(if dropped && at == 0 { &mut rule.dropped } else { &mut rule.noted }) += 1;
        }
    }

    /// Takes in a border case, in plan order: of two that are as near, the earlier one is shown.
    pub(super) fn border(&mut self, shard: &str, at: Position, border: Border, excerpt: String) {
        let case = BorderCase {
            shard: shard.to_owned(),
            block: at.block,
            row: at.row,
            measured: border.evidence.measured,
            threshold: border.evidence.threshold,
            excerpt,
        };
        let rule = self.rule(&border.evidence);
        let cases = if border.caught { &mut rule.caught } else { &mut rule.passed };
        let place = cases.partition_point(|other| other.distance() <= case.distance());
        if place < SHOWN {
            cases.insert(place, case);
            cases.truncate(SHOWN);
        }
    }

    /// What the rules did, in the order of `order`: operators and reasons, as they are applied.
    pub(super) fn finish(mut self, order: &[(String, String)]) -> Vec<RuleReport> {
        let known: Vec<RuleReport> = order.iter().filter_map(|rule| self.0.remove(rule)).collect();
        known.into_iter().chain(self.0.into_values()).collect()
    }
}

/// The beginning, on one line, of the row's text in one of `columns`, or else of its longest text.
pub(super) fn excerpt(data: &RecordBatch, row: usize, columns: &[String]) -> String {
    let text = |column: &ArrayRef| {
        let text = matches!(column.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let one = text.then(|| cast(&column.slice(row, 1), &DataType::LargeUtf8).ok()).flatten()?;
        let one = one.as_string_opt::<i64>()?;
        one.is_valid(0).then(|| one.value(0).to_owned())
    };
    let named = columns.iter().find_map(|name| text(data.column_by_name(name)?));
    let longest = || data.columns().iter().filter_map(text).max_by_key(String::len);
    let text = named.or_else(longest).unwrap_or_default();
    let mut excerpt: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(EXCERPT).collect();
    if text.chars().nth(EXCERPT).is_some() {
        excerpt.push('…');
    }
    excerpt
}
