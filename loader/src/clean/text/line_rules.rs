//! `lines`: C4's line rules alone, as a rewrite: lines go, pages stay.

use super::{
    c4::{Left, Page, Rules},
    filter::{Filter, Row, on_column},
    words::Word,
};
use crate::clean::{
    Rule,
    spec::{Built, Settings},
};
use serde::Deserialize;

pub(in crate::clean) const NAME: &str = "lines";

/// C4's options that concern lines.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Options {
    remove_citations: bool,
    filter_no_terminal_punct: bool,
    min_words_per_line: i64,
    max_word_length: i64,
    filter_javascript: bool,
    filter_policy: bool,
}

impl Default for Options {
    fn default() -> Self {
        let rules = Rules::default();
        Self {
            remove_citations: rules.remove_citations,
            filter_no_terminal_punct: rules.filter_no_terminal_punct,
            min_words_per_line: rules.min_words_per_line,
            max_word_length: rules.max_word_length,
            filter_javascript: rules.filter_javascript,
            filter_policy: rules.filter_policy,
        }
    }
}

struct LineRules(Rules);

pub(in crate::clean) fn build(settings: Settings<'_>) -> Result<Built, String> {
    let options: Options = settings.read()?;
    let rules = Rules {
        remove_citations: options.remove_citations,
        filter_no_terminal_punct: options.filter_no_terminal_punct,
        min_words_per_line: options.min_words_per_line,
        max_word_length: options.max_word_length,
        filter_javascript: options.filter_javascript,
        filter_policy: options.filter_policy,
        // Pages are not judged.
        min_num_sentences: -1,
        filter_lorem_ipsum: false,
        filter_curly_bracket: false,
        ..Rules::default()
    };
    rules.check()?;
    on_column(settings, LineRules(rules))
}

impl Filter for LineRules {
    const NAME: &'static str = NAME;
    const REWRITES: bool = true;
    type Scratch = ();

    fn options(&self) -> String {
        format!("{:?}", self.0)
    }

    fn rules(&self) -> Vec<Rule> {
        vec![Rule::plain("no_line_left"), Rule::note("lines_left_out")]
    }

    fn judge(&self, text: &str, words: &[Word], (): &mut (), row: &mut Row<'_>) {
        let mut left = Left::default();
        let Page::Lines(Some(kept), _) = self.0.judge(text, words, &mut left) else { return };
        if kept.is_empty() && !text.is_empty() {
            row.add(0);
        }
        if left.sum() > 0 {
            row.measured(1, left.sum() as f64 / left.all as f64, None);
        }
        row.rewrite(kept);
    }
}
