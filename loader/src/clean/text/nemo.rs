//! Gopher's rules as NeMo Curator 1.4.0 applies them to English: words are what stands between white space, lines are
//! those that are not blank, and lengths are code points. The rules stand in the order of its English recipe.
//!
//! It divides by zero where a text has no line; here such a text has no line of its own.

use super::{
    characters::{length, split, strip},
    filter::{Filter, Row},
    gopher_quality, gopher_repetition,
    grams::Grams,
};
use crate::clean::Rule;
use memchr::memmem;

/// The quality rules.
pub(super) struct Quality(pub(super) gopher_quality::Limits);

/// The repetition rules.
pub(super) struct Repetition(pub(super) gopher_repetition::Limits);

const BULLETS: [char; 12] = ['•', '‣', '⁃', '⁌', '⁍', '∙', '○', '●', '◘', '◦', '⦾', '⦿'];
/// What a line of which more follows ends with.
const ELLIPSES: [&str; 6] = ["...", "[...]", "…", "(...)", "[…]", "-»"];
/// The same, in any capitals.
const READ_MORE: [&str; 2] = ["read more..", "read more"];

/// The lines that are not blank.
fn lines(text: &str) -> impl Iterator<Item = &str> + Clone {
    text.split('\n').filter(|line| !strip(line).is_empty())
}

/// `part` of `whole`; of nothing, what the peer takes then.
fn share(part: usize, whole: usize, of_nothing: f64) -> f64 {
    if whole == 0 { of_nothing } else { part as f64 / whole as f64 }
}

/// Whether a word is an ellipsis or has more runs of `#` than half its characters.
fn is_symbol(word: &str) -> bool {
    if ELLIPSES.contains(&word) {
        return true;
    }
    let bytes = word.as_bytes();
    let runs = (0..bytes.len()).filter(|&at| bytes[at] == b'#' && (at == 0 || bytes[at - 1] != b'#')).count();
    2 * runs > length(word)
}

fn ends_in_ellipsis(line: &str) -> bool {
    let line = strip(line);
    let ends_with = |end: &str| {
        let from = line.len().checked_sub(end.len());
        from.and_then(|from| line.get(from..)).is_some_and(|tail| tail.eq_ignore_ascii_case(end))
    };
    ELLIPSES.iter().any(|end| line.ends_with(end)) || READ_MORE.iter().any(|end| ends_with(end))
}

impl Filter for Quality {
    const NAME: &'static str = gopher_quality::NAME;
    type Scratch = ();

    fn options(&self) -> String {
        format!("{:?}", self.0)
    }

    fn rules(&self) -> Vec<Rule> {
        vec![
            Rule::at_most("symbol_to_word"),
            Rule::between("word_count"),
            Rule::at_least("words_without_alphabets"),
            Rule::at_least("common_english_words"),
            Rule::between("mean_word_length"),
            Rule::at_most("ellipsis"),
            Rule::at_most("bullet_ratio"),
        ]
    }

    fn judge(&self, text: &str, _: &[super::words::Word], (): &mut (), row: &mut Row<'_>) {
        let limits = &self.0;
        let (mut number, mut characters, mut symbols, mut alphabetic, mut common) = (0, 0, 0, 0, 0);
        for word in split(text) {
            number += 1;
            characters += length(word);
            symbols += usize::from(is_symbol(word));
            alphabetic += usize::from(word.chars().any(char::is_alphabetic));
            common += usize::from(limits.is_stop_word(word));
        }
        row.unless_off(0, share(symbols, number, 1.0), limits.max_symbol_word_ratio);
        row.within(1, number as f64, limits.min_doc_words, limits.max_doc_words);
        row.unless_off(2, share(alphabetic, number, 0.0), limits.min_alpha_words_ratio);
        row.unless_off(3, common as f64, limits.min_stop_words);
        row.within(4, share(characters, number, 0.0), limits.min_avg_word_length, limits.max_avg_word_length);
        let (mut number, mut bullets, mut ended) = (0, 0, 0);
        for line in lines(text) {
            number += 1;
            bullets += usize::from(strip(line).starts_with(BULLETS));
            ended += usize::from(ends_in_ellipsis(line));
        }
        row.unless_off(5, share(ended, number, 1.0), limits.max_ellipsis_lines_ratio);
        row.unless_off(6, share(bullets, number, 1.0), limits.max_bullet_lines_ratio);
    }
}

impl Filter for Repetition {
    const NAME: &'static str = gopher_repetition::NAME;
    type Scratch = Grams;

    fn options(&self) -> String {
        format!("{:?}", self.0)
    }

    fn rules(&self) -> Vec<Rule> {
        let parts = ["repeated_lines", "repeated_paragraphs", "repeated_lines_char", "repeated_paragraphs_char"];
        let top = self.0.top_n_grams.iter().map(|(n, _)| Rule::at_most(format!("repeating_top_{n}grams")));
        let repeated = self.0.dup_n_grams.iter().map(|(n, _)| Rule::at_most(format!("repeating_dup_{n}gram")));
        parts.into_iter().map(Rule::at_least).chain(top).chain(repeated).collect()
    }

    fn judge(&self, text: &str, _: &[super::words::Word], grams: &mut Grams, row: &mut Row<'_>) {
        let limits = &self.0;
        // What must be left of lines and paragraphs without their copies; 0 is off, as with the other peers.
        let mut left = |rule: usize, distinct: usize, all: usize, most_gone: f64| {
            if most_gone != 0.0 {
                row.hold(rule, share(distinct, all, 0.0), 1.0 - most_gone);
            }
        };
        grams.take_in(text, lines(text), length);
        let (number, characters) = grams.distinct();
        left(0, number, grams.len(), limits.dup_line_frac);
        left(2, characters, grams.length(), limits.dup_line_char_frac);
        grams.take_in(text, text.split("\n\n"), length);
        let (number, characters) = grams.distinct();
        left(1, number, grams.len(), limits.dup_para_frac);
        left(3, characters, grams.length(), limits.dup_para_char_frac);

        grams.take_in(text, split(text), length);
        let all = length(text);
        let mut rule = 4;
        for &(n, limit) in &limits.top_n_grams {
            grams.count(n);
            // A text of fewer words repeats nothing but itself.
            let gone = grams.most_frequent().map_or(all, |(at, _)| removed(text, grams, at, n));
            row.unless_off(rule, share(gone, all, 1.0), limit);
            rule += 1;
        }
        for &(n, limit) in &limits.dup_n_grams {
            let repeated = if grams.len() < n { all } else { repeated(grams, n) };
            row.unless_off(rule, share(repeated, all, 1.0), limit);
            rule += 1;
        }
    }
}

/// How many code points `text` is shorter without the run of `n` words at `at`, joined by single blanks, wherever it
/// stands, within words too.
fn removed(text: &str, grams: &Grams, at: usize, n: usize) -> usize {
    let mut joined = String::new();
    for word in split(&text[grams.place(at, n)]) {
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(word);
    }
    memmem::find_iter(text.as_bytes(), joined.as_bytes()).count() * length(&joined)
}

/// Code points of runs of `n` words that stood earlier, with the blanks between them, each word once.
fn repeated(grams: &mut Grams, n: usize) -> usize {
    let (mut repeated, mut overlap) = (0, 0);
    grams.walk(n, |grams, at, again| {
        if again {
            repeated += grams.lengths(at + overlap, at + n) + (n - overlap).min(n - 1);
            overlap = n;
        }
        overlap = overlap.saturating_sub(1);
    });
    repeated
}
