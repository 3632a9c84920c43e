//! What cleaning found in one block: what the operators said, and what came of it.
//!
//! Findings hold small numbers; names are looked up when somebody asks for evidence. It knows nothing of columns.

use super::{Action, operator::Flag};
use crate::{Evidence, Keep, Verdict};
use std::{collections::BTreeMap, sync::Arc};

/// What an operator is called, and what follows where it speaks.
#[derive(Clone, Debug)]
pub(super) struct Label {
    pub(super) op: String,
    pub(super) reasons: Vec<String>,
    pub(super) action: Action,
}

/// What one operator found in a block.
#[derive(Clone, Debug)]
pub(super) enum Findings {
    /// What its rules speak against, by row, then reason.
    Flags(Vec<Flag>),
    /// The keys of all rows, so many a row, to be held against earlier ones.
    Keys { per_row: usize, keys: Vec<u128> },
}

/// What the operators said of one block's rows, before earlier rows were asked.
#[derive(Clone, Debug)]
pub struct Judged {
    pub(super) labels: Arc<[Label]>,
    /// Which rows could be read.
    pub(super) readable: Vec<bool>,
    /// One an operator, in order.
    pub(super) findings: Vec<Findings>,
}

/// What became of one block's rows: kept + dropped + quarantined = rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Which rows are kept.
    pub keep: Keep,
    /// Rows dropped, by the reason that dropped them; sorted by reason. A row counts once.
    pub dropped: Vec<(String, u64)>,
    /// Rows that an annotating operator spoke against, by reason; sorted by reason. A row counts once for each reason
    /// of each operator, and is still kept or dropped by the others.
    pub annotated: Vec<(String, u64)>,
    /// Rows that could not be read.
    pub quarantined: u64,
    /// Of each operator, the rows that matched an earlier one, ascending.
    matched: Vec<Vec<u32>>,
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

    /// The rows that rules of the block alone speak against, with the evidence, operator by operator and row by row.
    ///
    /// Rows are judged as far as the earlier operators of that kind let them; whether a duplicate among them was
    /// dropped before is only known to [`verdicts`](Self::verdicts).
    pub fn evidence(&self) -> impl Iterator<Item = (u32, Evidence)> + '_ {
        self.findings.iter().zip(self.labels.iter()).flat_map(|(findings, label)| {
            let flags = match findings {
                Findings::Flags(flags) => flags.as_slice(),
                Findings::Keys { .. } => &[],
            };
            flags.iter().map(|flag| (flag.row, evidence(label, flag)))
        })
    }

    /// The verdict on each row in order, and the evidence against it: of a row that was dropped, first that of the
    /// rule that dropped it, then annotations in the operators' order.
    ///
    /// `settled` is what settling this same block gave.
    #[must_use]
    pub fn verdicts(&self, settled: &Settled) -> Vec<(Verdict, Vec<Evidence>)> {
        let read = |&readable: &bool| match readable {
            true => (Verdict::Keep, Vec::new()),
            false => (Verdict::Quarantine("unreadable".to_owned()), Vec::new()),
        };
        let mut verdicts: Vec<(Verdict, Vec<Evidence>)> = self.readable.iter().map(read).collect();
        let matched = |operator: usize, row: u32, _: &[u128]| {
            settled.matched.get(operator).is_some_and(|rows| rows.binary_search(&row).is_ok())
        };
        self.walk(matched, |Word { operator, flag }| {
            let label = &self.labels[operator];
            let (verdict, against) = &mut verdicts[flag.row as usize];
            let evidence = evidence(label, &flag);
            match label.action {
                Action::Annotate => against.push(evidence),
                Action::Drop => {
                    *verdict = Verdict::Drop(evidence.reason.clone());
                    against.insert(0, evidence);
                }
            }
        });
        verdicts
    }

    /// Settles the block. `matches` says whether a row with these keys matches an earlier one that reached the operator.
    pub(super) fn settle(&self, mut matches: impl FnMut(usize, &[u128]) -> bool) -> Settled {
        let mut counts: BTreeMap<(usize, u32), u64> = BTreeMap::new();
        let mut matched = vec![Vec::new(); self.findings.len()];
        let remember = |operator: usize, row: u32, keys: &[u128]| {
            let matches = matches(operator, keys);
            if matches {
                matched[operator].push(row);
            }
            matches
        };
        let alive = self.walk(remember, |Word { operator, flag }| {
            *counts.entry((operator, flag.reason)).or_default() += 1;
        });
        let by_reason = |action: Action| {
            let mut by_reason: BTreeMap<&str, u64> = BTreeMap::new();
            for (&(operator, reason), count) in &counts {
                let label = &self.labels[operator];
                if label.action == action {
                    *by_reason.entry(label.reason(reason)).or_default() += count;
                }
            }
            by_reason.into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect()
        };
        Settled {
            keep: Keep::from_fn(self.rows(), |row| alive[row as usize]),
            dropped: by_reason(Action::Drop),
            annotated: by_reason(Action::Annotate),
            quarantined: self.readable.iter().filter(|&&readable| !readable).count() as u64,
            matched,
        }
    }

    /// Leads the rows through the operators: calls `speak` with every word on a row that reaches its operator, and
    /// returns which rows are alive at the end.
    fn walk(&self, mut matches: impl FnMut(usize, u32, &[u128]) -> bool, mut speak: impl FnMut(Word)) -> Vec<bool> {
        let mut alive = self.readable.clone();
        for (operator, (findings, label)) in self.findings.iter().zip(self.labels.iter()).enumerate() {
            let mut word = |flag: Flag, alive: &mut bool| {
                speak(Word { operator, flag });
                *alive = label.action != Action::Drop;
            };
            match findings {
                Findings::Flags(flags) => {
                    for &flag in flags {
                        let alive = &mut alive[flag.row as usize];
                        if *alive {
                            word(flag, alive);
                        }
                    }
                }
                Findings::Keys { per_row, keys } => {
                    for (row, (keys, alive)) in keys.chunks_exact(*per_row).zip(&mut alive).enumerate() {
                        let row = row as u32;
                        if *alive && matches(operator, row, keys) {
                            word(Flag { row, reason: 0, measured: None, threshold: None }, alive);
                        }
                    }
                }
            }
        }
        alive
    }
}

impl Label {
    fn reason(&self, reason: u32) -> &str {
        self.reasons.get(reason as usize).map_or("", String::as_str)
    }
}

fn evidence(label: &Label, flag: &Flag) -> Evidence {
    Evidence {
        op: label.op.clone(),
        reason: label.reason(flag.reason).to_owned(),
        measured: flag.measured,
        threshold: flag.threshold,
    }
}
