//! What the operators over texts have in common: one text column, judged row by row, with or without its words.

use super::words::{LONGEST_TEXT, Word, Words};
use crate::{
    Result,
    clean::{
        Bound, Findings, Operator, Rows, Rule,
        spec::{Built, Column, Settings},
        texts::is_text,
    },
};
use std::rc::Rc;

/// The rules of an operator over one text column.
pub(super) trait Filter: Send + Sync + 'static {
    /// Its contract name.
    const NAME: &'static str;
    /// As [`Operator::version`].
    const VERSION: u32 = 1;
    /// Whether its rules stand on word tokens. A text that is too long for that gets the reason `too_long`.
    const READS_WORDS: bool = false;
    /// Whether it may write other texts.
    const REWRITES: bool = false;

    /// Room that is used for one text after another.
    type Scratch: Default;

    /// Its options in a canonical text.
    fn options(&self) -> String;

    /// Its rules, in order.
    fn rules(&self) -> Vec<Rule>;

    /// Judges one text.
    fn judge(&self, text: &str, words: &[Word], scratch: &mut Self::Scratch, row: &mut Row<'_>);
}

/// One row as a filter speaks of it.
pub(super) struct Row<'a> {
    findings: &'a mut Findings,
    rules: &'a [Rule],
    row: usize,
    column: usize,
}

impl Row<'_> {
    /// The rule with the index `rule` measured this. It speaks where that lies beyond the threshold, by its bound.
    pub(super) fn hold(&mut self, rule: usize, measured: f64, threshold: f64) {
        let speaks = match self.rules.get(rule).map(|rule| rule.bound) {
            Some(Bound::Lower) => measured < threshold,
            _ => measured > threshold,
        };
        self.findings.hold(speaks, self.row, rule, measured, threshold);
    }

    /// The same, unless its threshold is 0, which turns it off.
    pub(super) fn unless_off(&mut self, rule: usize, measured: f64, threshold: f64) {
        if threshold != 0.0 {
            self.hold(rule, measured, threshold);
        }
    }

    /// The rule with the index `rule` measured this. It speaks below `least` and above `most`, where these are not 0,
    /// and names the one that was crossed or is nearer.
    pub(super) fn within(&mut self, rule: usize, measured: f64, least: f64, most: f64) {
        let upper = if most == 0.0 { f64::INFINITY } else { most };
        if least == 0.0 && most == 0.0 {
            return;
        }
        let speaks = measured < least || measured > upper;
        let nearer_to_upper = measured >= least && (least == 0.0 || upper - measured < measured - least);
        let threshold = if measured > upper || nearer_to_upper { upper } else { least };
        self.findings.hold(speaks, self.row, rule, measured, threshold);
    }

    /// The rule with the index `rule` speaks.
    pub(super) fn add(&mut self, rule: usize) {
        self.findings.add(self.row, rule);
    }

    /// The same, with what was measured and, where there is one, the threshold.
    pub(super) fn measured(&mut self, rule: usize, measured: f64, threshold: Option<f64>) {
        self.findings.measured(self.row, rule, measured, threshold);
    }

    /// The row gets another text.
    pub(super) fn rewrite(&mut self, text: String) {
        self.findings.rewrite(self.row, self.column, text);
    }
}

/// A filter on its column.
struct OnColumn<F> {
    column: Column,
    filter: F,
}

/// The operator of `filter` on the one text column that the settings name.
pub(super) fn on_column<F: Filter>(mut settings: Settings<'_>, filter: F) -> Result<Built, String> {
    let columns = settings.columns()?;
    let [column] = columns.as_slice() else {
        return Err("it judges one column; write one table for each".to_owned());
    };
    if !is_text(&column.data_type) {
        return Err(format!("column `{}` holds {}; it judges text", column.name, column.data_type));
    }
    Ok(Built::Pure(Box::new(OnColumn { column: column.clone(), filter })))
}

/// Refuses what is no share, length or number: anything but finite numbers from 0.
pub(super) fn at_least_zero(options: &[(&str, f64)]) -> Result<(), String> {
    match options.iter().find(|(_, value)| !(value.is_finite() && *value >= 0.0)) {
        None => Ok(()),
        Some((name, value)) => Err(format!("`{name}` = {value}: give a number of at least 0")),
    }
}

impl<F: Filter> Operator for OnColumn<F> {
    fn name(&self) -> &str {
        F::NAME
    }

    fn version(&self) -> u32 {
        F::VERSION
    }

    fn options(&self) -> String {
        format!("column = {:?}, {}", self.column.name, self.filter.options())
    }

    fn rules(&self) -> Vec<Rule> {
        let mut rules = self.filter.rules();
        if F::READS_WORDS {
            rules.push(Rule::at_most("too_long"));
        }
        rules
    }

    fn rewrites(&self) -> Vec<usize> {
        if F::REWRITES { vec![self.column.index] } else { Vec::new() }
    }

    fn judge(&self, rows: &Rows<'_>, findings: &mut Findings) -> Result<()> {
        let rules = self.rules();
        let texts = rows.texts(self.column.index)?;
        let words: Option<Rc<Words>> = if F::READS_WORDS { Some(rows.shared(self.column.index)?) } else { None };
        let mut scratch = F::Scratch::default();
        for (row, text) in rows.iter().filter_map(|row| Some((row, texts.get(row)?))) {
            let words = words.as_ref().map_or(&[][..], |words| words.of(row));
            let mut said = Row { findings, rules: &rules, row, column: self.column.index };
            if F::READS_WORDS && text.len() > LONGEST_TEXT {
                said.measured(rules.len() - 1, text.len() as f64, Some(LONGEST_TEXT as f64));
            } else {
                self.filter.judge(text, words, &mut scratch, &mut said);
            }
        }
        Ok(())
    }
}
