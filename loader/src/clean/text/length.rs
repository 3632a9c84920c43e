//! `length`: a text shorter or longer than asked for, in code points, words, bytes or tokens.

use super::{
    characters::{length, split},
    filter::{Filter, Row, on_column},
    words::{LONGEST_TEXT, Word, words},
};
use crate::clean::{
    Rule,
    spec::{Built, Settings},
};
use serde::Deserialize;

pub(in crate::clean) const NAME: &str = "length";

/// Bounds, inclusive. Words stand between white space, tokens are the English word tokens that datatrove counts.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    min_chars: Option<u64>,
    max_chars: Option<u64>,
    min_words: Option<u64>,
    max_words: Option<u64>,
    min_bytes: Option<u64>,
    max_bytes: Option<u64>,
    min_tokens: Option<u64>,
    max_tokens: Option<u64>,
}

pub(in crate::clean) fn build(settings: Settings<'_>) -> Result<Built, String> {
    let limits: Limits = settings.read()?;
    if limits == Limits::default() {
        return Err(
            "say what is too short or too long: `min_` or `max_` with `chars`, `words`, `bytes` or `tokens`".to_owned()
        );
    }
    for (unit, min, max) in limits.by_unit() {
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            return Err(format!("`min_{unit}` = {min} is above `max_{unit}` = {max}"));
        }
    }
    on_column(settings, limits)
}

impl Limits {
    const fn by_unit(&self) -> [(&'static str, Option<u64>, Option<u64>); 4] {
        [
            ("bytes", self.min_bytes, self.max_bytes),
            ("chars", self.min_chars, self.max_chars),
            ("words", self.min_words, self.max_words),
            ("tokens", self.min_tokens, self.max_tokens),
        ]
    }
}

impl Filter for Limits {
    const NAME: &'static str = NAME;
    type Scratch = Vec<Word>;

    fn options(&self) -> String {
        format!("{self:?}")
    }

    fn rules(&self) -> Vec<Rule> {
        let rules = self
            .by_unit()
            .map(|(unit, ..)| [Rule::at_least(format!("too_few_{unit}")), Rule::at_most(format!("too_many_{unit}"))]);
        rules.into_iter().flatten().chain([Rule::at_most("too_long")]).collect()
    }

    fn judge(&self, text: &str, _: &[Word], cut: &mut Vec<Word>, row: &mut Row<'_>) {
        for (at, (unit, min, max)) in self.by_unit().into_iter().enumerate() {
            if min.is_none() && max.is_none() {
                continue;
            }
            let measured = match unit {
                "bytes" => text.len(),
                "chars" => length(text),
                "words" => split(text).count(),
                _ if text.len() > LONGEST_TEXT => {
                    row.measured(8, text.len() as f64, Some(LONGEST_TEXT as f64));
                    continue;
                }
                _ => {
                    cut.clear();
                    words(text, cut);
                    cut.len()
                }
            };
            for (rule, limit) in [(2 * at, min), (2 * at + 1, max)] {
                if let Some(limit) = limit {
                    row.hold(rule, measured as f64, limit as f64);
                }
            }
        }
    }
}
