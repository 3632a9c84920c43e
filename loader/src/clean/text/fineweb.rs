//! FineWeb's own quality rules (Penedo et al. 2024, arXiv:2406.17557, section 3.6) as datatrove applies them.

use super::{
    characters::{Characters, TERMINAL, length, strip},
    counts::Counts,
    filter::{Filter, Row, at_least_zero, on_column},
    lines::{duplicates, split_feeds},
    words::Word,
};
use crate::clean::{
    Rule,
    spec::{Built, Settings},
};
use serde::Deserialize;

pub(in crate::clean) const NAME: &str = "fineweb";

/// The thresholds, which are the operator's options.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    /// The least share of lines that end in a stop character.
    pub(super) line_punct_thr: f64,
    /// Whether a text without any such line passes.
    pub(super) line_punct_exclude_zero: bool,
    /// In place of the terminal punctuation of all scripts.
    pub(super) stop_chars: Option<Vec<char>>,
    pub(super) short_line_thr: f64,
    /// The longest short line, in code points.
    pub(super) short_line_length: usize,
    pub(super) char_duplicates_ratio: f64,
    /// The most line feeds a word.
    pub(super) new_line_ratio: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line_punct_thr: 0.12,
            line_punct_exclude_zero: false,
            stop_chars: None,
            short_line_thr: 0.67,
            short_line_length: 30,
            char_duplicates_ratio: 0.01,
            new_line_ratio: 0.3,
        }
    }
}

/// The names of the rules, in datatrove's order, and whether the threshold is the most that passes.
pub(super) const RULES: [(&str, bool); 5] = [
    ("empty", false),
    ("line_punct_ratio", false),
    ("short_line_ratio", true),
    ("char_dup_ratio", true),
    ("list_ratio", true),
];

impl Limits {
    /// Calls `hold` with what each rule measures of `text`, which has `words` word tokens, and its threshold.
    pub(super) fn measure(&self, text: &str, words: usize, counts: &mut Counts, mut hold: impl FnMut(usize, f64, f64)) {
        let table = Characters::table();
        let lines = split_feeds(text).filter(|line| !strip(line).is_empty());
        let (mut number, mut ended, mut short) = (0_usize, 0_usize, 0_usize);
        for line in lines.clone() {
            number += 1;
            let last = line.chars().next_back();
            ended += usize::from(last.is_some_and(|last| match &self.stop_chars {
                Some(stops) => stops.contains(&last),
                None => table.is(last, TERMINAL),
            }));
            short += usize::from(line.len() / 4 <= self.short_line_length && length(line) <= self.short_line_length);
        }
        hold(0, number as f64, 1.0);
        if number == 0 {
            return;
        }
        if ended > 0 || !self.line_punct_exclude_zero {
            hold(1, ended as f64 / number as f64, self.line_punct_thr);
        }
        hold(2, short as f64 / number as f64, self.short_line_thr);
        let feeds = memchr::memchr_iter(b'\n', text.as_bytes()).count();
        let (_, copied) = duplicates(lines, counts);
        hold(3, copied as f64 / (length(text) - feeds) as f64, self.char_duplicates_ratio);
        if words > 0 {
            hold(4, feeds as f64 / words as f64, self.new_line_ratio);
        }
    }
}

pub(in crate::clean) fn build(settings: Settings<'_>) -> Result<Built, String> {
    let limits: Limits = settings.read()?;
    at_least_zero(&[
        ("line_punct_thr", limits.line_punct_thr),
        ("short_line_thr", limits.short_line_thr),
        ("char_duplicates_ratio", limits.char_duplicates_ratio),
        ("new_line_ratio", limits.new_line_ratio),
    ])?;
    on_column(settings, limits)
}

impl Filter for Limits {
    const NAME: &'static str = NAME;
    const READS_WORDS: bool = true;
    type Scratch = Counts;

    fn options(&self) -> String {
        format!("{self:?}")
    }

    fn rules(&self) -> Vec<Rule> {
        RULES.map(|(reason, upper)| if upper { Rule::at_most(reason) } else { Rule::at_least(reason) }).to_vec()
    }

    fn judge(&self, text: &str, words: &[Word], counts: &mut Counts, row: &mut Row<'_>) {
        self.measure(text, words.len(), counts, |rule, measured, limit| row.hold(rule, measured, limit));
    }
}
