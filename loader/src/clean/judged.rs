//! What cleaning found in one block: what the operators said, and what came of it.
//!
//! Findings hold small numbers; names are looked up when somebody asks for evidence. It knows nothing of columns.

use super::{
    Action, Rule,
    action::{LEAST_WEIGHT, margin, weight_factor},
    findings::{Flag, NEAREST},
    matcher::{Keys, Match},
};
use crate::{Evidence, Keep, Verdict};
use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// What an operator is called, and what follows where it speaks.
#[derive(Clone, Debug)]
pub(super) struct Label {
    pub(super) op: String,
    pub(super) rules: Vec<Rule>,
    pub(super) action: Action,
}

/// What one operator found in a block.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Found {
    /// What its rules speak against, by row, then rule.
    Flags(Vec<Flag>),
    /// The keys of all rows, to be held against earlier ones.
    Keys(Keys),
}

/// What the operators said of one block's rows, before earlier rows were asked.
#[derive(Clone, Debug)]
pub struct Judged {
    pub(super) labels: Arc<[Label]>,
    /// Which rows could be read.
    pub(super) readable: Vec<bool>,
    /// One an operator, in order.
    pub(super) found: Vec<Found>,
    /// One an operator: what its rules let pass most closely.
    pub(super) passed: Vec<Vec<Flag>>,
    /// One an operator: the rows that it rewrote, ascending.
    pub(super) repaired: Vec<Vec<u32>>,
    /// One a score, of all rows.
    pub(super) scores: Vec<Vec<f32>>,
    /// The rows as the operators left them.
    pub(super) data: RecordBatch,
}

/// What became of one block's rows: kept + dropped + quarantined = rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    /// Which rows are kept.
    pub keep: Keep,
    /// Rows dropped, by the reason that dropped them; sorted by reason. A row counts once.
    pub dropped: Vec<(String, u64)>,
    /// Rows that an annotating rule spoke of, by reason; sorted by reason. A row counts once for each reason of each
    /// operator, and is still kept or dropped by the others.
    pub annotated: Vec<(String, u64)>,
    /// Rows whose weight a rule lowered, by reason; sorted by reason. Counted as annotations are.
    pub weighed: Vec<(String, u64)>,
    /// Kept rows in which an operator rewrote something, by operator; sorted by name.
    pub repaired: Vec<(String, u64)>,
    /// Rows that could not be read.
    pub quarantined: u64,
    /// The factor on each row's target weight v, of all rows of the block; empty where all are 1.
    pub weights: Vec<f32>,
    /// By score in the cleaner's order, the number of each row of the block; NaN where a row has none.
    pub scores: Vec<Vec<f32>>,
    /// What is taken away from texts of kept rows because of earlier rows.
    pub cuts: Cuts,
    /// Of each operator, the rows that matched an earlier one, ascending.
    pub(super) matched: Vec<Vec<(u32, Match)>>,
}

impl Settled {
    fn match_of(&self, operator: usize, row: u32) -> Option<&Match> {
        let rows = self.matched.get(operator)?;
        rows.binary_search_by_key(&row, |(row, _)| *row).ok().map(|at| &rows[at].1)
    }
}

/// A row near a rule's threshold.
#[derive(Clone, Debug, PartialEq)]
pub struct Border {
    /// Which of the recipe's operators, from 0.
    pub operator: usize,
    /// The row within its block.
    pub row: u32,
    /// Whether the rule spoke of it, or let it pass.
    pub caught: bool,
    /// What was measured.
    pub evidence: Evidence,
}

/// What a matcher takes away from the texts of some kept rows of a block: by row, ascending, in the matcher's own
/// notation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cuts(pub(super) Vec<(u32, serde_bytes::ByteBuf)>);

impl Cuts {
    /// Whether nothing is taken away.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// An operator's word on a row that reached it.
struct Word {
    operator: usize,
    flag: Flag,
}

impl Judged {
    /// How many rows the block holds.
    #[must_use]
    pub fn rows(&self) -> u32 {
        // `judge` refuses larger blocks.
        self.readable.len() as u32
    }

    /// All rows of the block, as the operators left them: repaired where they rewrite columns.
    #[must_use]
    pub const fn data(&self) -> &RecordBatch {
        &self.data
    }

    /// The rows that rules of the block alone speak of, with the evidence, operator by operator and row by row.
    ///
    /// Rows are judged as far as the earlier operators of that kind let them; whether a duplicate among them was
    /// dropped before is only known to [`verdicts`](Self::verdicts).
    pub fn evidence(&self) -> impl Iterator<Item = (u32, Evidence)> + '_ {
        self.found.iter().zip(self.labels.iter()).flat_map(|(found, label)| {
            let flags = match found {
                Found::Flags(flags) => flags.as_slice(),
                Found::Keys(_) => &[],
            };
            flags.iter().map(|flag| (flag.row, label.evidence(flag)))
        })
    }

    /// The verdict on each row in order, and the evidence against it: of a row that was dropped, first that of the
    /// rule that dropped it, then annotations and lowered weights in the operators' order.
    ///
    /// `settled` is what settling this same block gave.
    #[must_use]
    pub fn verdicts(&self, settled: &Settled) -> Vec<(Verdict, Vec<Evidence>)> {
        let read = |&readable: &bool| match readable {
            true => (Verdict::Keep, Vec::new()),
            false => (Verdict::Quarantine("unreadable".to_owned()), Vec::new()),
        };
        let mut verdicts: Vec<(Verdict, Vec<Evidence>)> = self.readable.iter().map(read).collect();
        let matched = |operator: usize, row: u32, _: &[u64]| settled.match_of(operator, row).cloned();
        self.walk(matched, |Word { operator, flag }| {
            let label = &self.labels[operator];
            let (verdict, against) = &mut verdicts[flag.row as usize];
            let mut evidence = label.evidence(&flag);
            if let Found::Keys(_) = self.found[operator] {
                evidence.twin = settled.match_of(operator, flag.row).and_then(|found| found.twin);
            }
            if label.drops(flag.rule) {
                *verdict = Verdict::Drop(evidence.reason.clone());
                against.insert(0, evidence);
            } else {
                against.push(evidence);
            }
        });
        verdicts
    }

    /// The rows nearest to each rule's threshold, on both sides of it: a few a rule and side, nearest first.
    ///
    /// `settled` is what settling this same block gave.
    #[must_use]
    pub fn borders(&self, settled: &Settled) -> Vec<Border> {
        let mut nearest: BTreeMap<(usize, u32, bool), Vec<Flag>> = BTreeMap::new();
        let mut offer = |operator: usize, caught: bool, flag: Flag| {
            if flag.measured.is_some_and(f64::is_finite) && flag.threshold.is_some_and(f64::is_finite) {
                let flags = nearest.entry((operator, flag.rule, caught)).or_default();
                let at = flags.partition_point(|other| other.distance() <= flag.distance());
                if at < NEAREST {
                    flags.insert(at, flag);
                    flags.truncate(NEAREST);
                }
            }
        };
        let matched = |operator: usize, row: u32, _: &[u64]| settled.match_of(operator, row).cloned();
        self.walk(matched, |Word { operator, flag }| offer(operator, true, flag));
        for (operator, flags) in self.passed.iter().enumerate() {
            flags.iter().for_each(|&flag| offer(operator, false, flag));
        }
        let border = |((operator, _, caught), flags): ((usize, u32, bool), Vec<Flag>)| {
            let label = self.labels[operator].clone();
            flags.into_iter().map(move |flag| Border {
                operator,
                row: flag.row,
                caught,
                evidence: label.evidence(&flag),
            })
        };
        nearest.into_iter().flat_map(border).collect()
    }

    /// The rows that no rule of the block alone drops: the kept ones are among them.
    #[must_use]
    pub fn not_dropped_alone(&self) -> Keep {
        let alive = self.walk(|_, _, _| None, |_| ());
        Keep::from_fn(self.rows(), |row| alive[row as usize])
    }

    /// Settles the block. `meet` says whether a row with these keys matches an earlier one that reached the operator.
    pub(super) fn settle(&self, mut meet: impl FnMut(usize, u32, &[u64]) -> Option<Match>) -> Settled {
        let mut counts: BTreeMap<(usize, u32), u64> = BTreeMap::new();
        let mut matched = vec![Vec::new(); self.found.len()];
        let mut weights = Weights::default();
        let remember = |operator: usize, row: u32, keys: &[u64]| {
            let found = meet(operator, row, keys)?;
            matched[operator].push((row, found.clone()));
            Some(found)
        };
        let alive = self.walk(remember, |Word { operator, flag }| {
            *counts.entry((operator, flag.rule)).or_default() += 1;
            let label = &self.labels[operator];
            if let (Action::Weigh { floor }, false) = (label.action, label.notes(flag.rule)) {
                let margin = label.margin(&flag);
                weights.lower(operator, flag.row, weight_factor(margin, floor));
            }
        });
        let by_reason = |wanted: &dyn Fn(&Label, u32) -> bool| {
            let mut by_reason: BTreeMap<&str, u64> = BTreeMap::new();
            for (&(operator, rule), count) in &counts {
                let label = &self.labels[operator];
                if wanted(label, rule) {
                    *by_reason.entry(label.reason(rule)).or_default() += count;
                }
            }
            by_reason.into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect()
        };
        let weighs = |label: &Label, rule| matches!(label.action, Action::Weigh { .. }) && !label.notes(rule);
        let cuts = matched.iter().flatten().filter(|(row, found)| alive[*row as usize] && !found.cut.is_empty());
        let cuts: Vec<_> = cuts.map(|(row, found)| (*row, serde_bytes::ByteBuf::from(found.cut.clone()))).collect();
        let mut repaired: BTreeMap<&str, u64> = BTreeMap::new();
        for (at, label) in self.labels.iter().enumerate() {
            let rewritten = self.repaired.get(at).into_iter().flatten().filter(|&&row| alive[row as usize]).count();
            let cut = matched[at].iter().filter(|(row, found)| alive[*row as usize] && !found.cut.is_empty()).count();
            if rewritten + cut > 0 {
                *repaired.entry(&label.op).or_default() += (rewritten + cut) as u64;
            }
        }
        Settled {
            keep: Keep::from_fn(self.rows(), |row| alive[row as usize]),
            dropped: by_reason(&|label, rule| label.drops(rule)),
            annotated: by_reason(&|label, rule| !label.drops(rule) && !weighs(label, rule)),
            weighed: by_reason(&weighs),
            repaired: repaired.into_iter().map(|(op, count)| (op.to_owned(), count)).collect(),
            quarantined: self.readable.iter().filter(|&&readable| !readable).count() as u64,
            weights: weights.of_rows(self.readable.len()),
            scores: self.scores.clone(),
            cuts: Cuts(cuts),
            matched,
        }
    }

    /// Leads the rows through the operators: calls `speak` with every word on a row that reaches its operator, and
    /// returns which rows are alive at the end.
    fn walk(
        &self,
        mut meet: impl FnMut(usize, u32, &[u64]) -> Option<Match>,
        mut speak: impl FnMut(Word),
    ) -> Vec<bool> {
        let mut alive = self.readable.clone();
        for (operator, (found, label)) in self.found.iter().zip(self.labels.iter()).enumerate() {
            let mut word = |flag: Flag, alive: &mut bool| {
                let drops = label.drops(flag.rule);
                speak(Word { operator, flag });
                *alive = !drops;
            };
            match found {
                Found::Flags(flags) => {
                    for &flag in flags {
                        let alive = &mut alive[flag.row as usize];
                        if *alive {
                            word(flag, alive);
                        }
                    }
                }
                Found::Keys(keys) => {
                    for (row, alive) in alive.iter_mut().enumerate() {
                        let found = if *alive { meet(operator, row as u32, keys.of(row)) } else { None };
                        if let Some(Match { rule, measured, threshold, .. }) = found {
                            word(Flag { row: row as u32, rule, measured, threshold }, alive);
                        }
                    }
                }
            }
        }
        alive
    }
}

/// The factors on target weights, while words come in operator by operator and row by row.
#[derive(Default)]
struct Weights {
    /// The product over the operators before the one at hand.
    rows: BTreeMap<u32, f64>,
    /// The operator and the row that words come in on, and the least factor among them.
    open: Option<(usize, u32, f64)>,
}

impl Weights {
    /// Of several rules of one operator the one that is worst for the row counts.
    fn lower(&mut self, operator: usize, row: u32, factor: f64) {
        match &mut self.open {
            Some((of, at, least)) if (*of, *at) == (operator, row) => *least = least.min(factor),
            _ => {
                self.close();
                self.open = Some((operator, row, factor));
            }
        }
    }

    fn close(&mut self) {
        if let Some((_, row, factor)) = self.open.take() {
            *self.rows.entry(row).or_insert(1.0) *= factor;
        }
    }

    fn of_rows(mut self, rows: usize) -> Vec<f32> {
        self.close();
        if self.rows.is_empty() {
            return Vec::new();
        }
        let mut weights = vec![1.0; rows];
        for (row, weight) in self.rows {
            weights[row as usize] = weight.max(LEAST_WEIGHT) as f32;
        }
        weights
    }
}

impl Label {
    fn reason(&self, rule: u32) -> &str {
        self.rules.get(rule as usize).map_or("", |rule| &rule.reason)
    }

    /// Whether the rule takes note only, whatever the action.
    fn notes(&self, rule: u32) -> bool {
        self.rules.get(rule as usize).is_none_or(|rule| rule.note)
    }

    pub(super) fn drops(&self, rule: u32) -> bool {
        self.action == Action::Drop && !self.notes(rule)
    }

    /// The margin of what a rule said; none for a rule that has no threshold.
    fn margin(&self, flag: &Flag) -> Option<f64> {
        let bound = self.rules.get(flag.rule as usize)?.bound;
        if bound == super::Bound::None { None } else { margin(flag.measured, flag.threshold) }
    }

    pub(super) fn evidence(&self, flag: &Flag) -> Evidence {
        Evidence {
            op: self.op.clone(),
            reason: self.reason(flag.rule).to_owned(),
            measured: flag.measured,
            threshold: flag.threshold,
            twin: None,
        }
    }
}
