//! Gopher's rules as Dolma's tagger `gopher_v1` (1.2.1) measures them: words are what stands between white space, lines
//! what stands between line feeds, and of what is repeated all copies count. The tagger has no thresholds; Gopher's are
//! the defaults, and the rules are named as its attributes are.

use super::{
    characters::{Characters, LETTER, length, split},
    filter::{Filter, Row},
    gopher_quality, gopher_repetition,
    grams::Grams,
};
use crate::clean::Rule;

/// The quality rules.
pub(super) struct Quality(pub(super) gopher_quality::Limits);

/// The repetition rules.
pub(super) struct Repetition(pub(super) gopher_repetition::Limits);

/// `part` of `whole`, and nothing of nothing.
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

impl Filter for Quality {
    const NAME: &'static str = gopher_quality::NAME;
    type Scratch = Vec<usize>;

    fn options(&self) -> String {
        format!("{:?}", self.0)
    }

    fn rules(&self) -> Vec<Rule> {
        vec![
            Rule::between("word_count"),
            Rule::between("median_word_length"),
            Rule::at_most("symbol_to_word_ratio"),
            Rule::at_least("fraction_of_words_with_alpha_character"),
            Rule::at_least("required_word_count"),
            Rule::at_most("fraction_of_lines_starting_with_bullet_point"),
            Rule::at_most("fraction_of_lines_ending_with_ellipsis"),
        ]
    }

    fn judge(&self, text: &str, _: &[super::words::Word], lengths: &mut Vec<usize>, row: &mut Row<'_>) {
        let (limits, table) = (&self.0, Characters::table());
        let (mut symbols, mut alphabetic, mut required) = (0, 0, 0);
        lengths.clear();
        for word in split(text) {
            lengths.push(length(word));
            symbols += usize::from(word.contains(['#', '…']));
            alphabetic += usize::from(word.chars().any(|character| table.is(character, LETTER)));
            required += usize::from(limits.is_stop_word(word));
        }
        let number = lengths.len();
        row.within(0, number as f64, limits.min_doc_words, limits.max_doc_words);
        row.within(1, median(lengths), limits.min_avg_word_length, limits.max_avg_word_length);
        row.unless_off(2, share(symbols, number), limits.max_symbol_word_ratio);
        row.unless_off(3, share(alphabetic, number), limits.min_alpha_words_ratio);
        row.unless_off(4, required as f64, limits.min_stop_words);
        let (mut number, mut bullets, mut ended) = (0, 0, 0);
        if !text.is_empty() {
            for line in text.split('\n') {
                number += 1;
                bullets += usize::from(line.starts_with(['*', '-']));
                ended += usize::from(line.ends_with('…'));
            }
        }
        row.unless_off(5, share(bullets, number), limits.max_bullet_lines_ratio);
        row.unless_off(6, share(ended, number), limits.max_ellipsis_lines_ratio);
    }
}

/// The median, of two in the middle their mean; of nothing 0.
fn median(values: &mut [usize]) -> f64 {
    let middle = values.len() / 2;
    if values.is_empty() {
        return 0.0;
    }
    let odd = values.len() % 2 == 1;
    let (below, &mut upper, _) = values.select_nth_unstable(middle);
    if odd { upper as f64 } else { (below.iter().max().copied().unwrap_or(upper) + upper) as f64 / 2.0 }
}

impl Filter for Repetition {
    const NAME: &'static str = gopher_repetition::NAME;
    type Scratch = Grams;

    fn options(&self) -> String {
        format!("{:?}", self.0)
    }

    fn rules(&self) -> Vec<Rule> {
        let lines = ["fraction_of_duplicate_lines", "fraction_of_characters_in_duplicate_lines"];
        let top = self.0.top_n_grams.iter();
        let top = top.map(|(n, _)| format!("fraction_of_characters_in_most_common_{n}grams"));
        let repeated = self.0.dup_n_grams.iter();
        let repeated = repeated.map(|(n, _)| format!("fraction_of_characters_in_duplicate_{n}grams"));
        lines.into_iter().map(str::to_owned).chain(top).chain(repeated).map(Rule::at_most).collect()
    }

    fn judge(&self, text: &str, _: &[super::words::Word], grams: &mut Grams, row: &mut Row<'_>) {
        if text.is_empty() {
            return;
        }
        let limits = &self.0;
        grams.take_in(text, text.split('\n'), length);
        let number = grams.count(1);
        let copies = (0..number).filter(|&at| grams.occurs(at) > 1).count();
        let copied = grams.covered(1, |at| grams.occurs(at) > 1);
        grams.take_in(text, split(text), length);
        let all = grams.length();
        row.unless_off(0, share(copies, number), limits.dup_line_frac);
        // Lines with their white space, of words without.
        row.unless_off(1, share(copied, all), limits.dup_line_char_frac);
        let mut rule = 2;
        for &(n, limit) in &limits.top_n_grams {
            grams.count(n);
            if let Some((at, times)) = grams.most_frequent() {
                row.unless_off(rule, share(times * grams.lengths(at, at + n), all), limit);
            }
            rule += 1;
        }
        for &(n, limit) in &limits.dup_n_grams {
            let runs = grams.count(n);
            let (mut copied, mut all) = (0, 0);
            for at in 0..runs {
                let length = grams.lengths(at, at + n);
                all += length;
                copied += if grams.occurs(at) > 1 { length } else { 0 };
            }
            if runs > 0 {
                row.unless_off(rule, share(copied, all), limit);
            }
            rule += 1;
        }
    }
}
