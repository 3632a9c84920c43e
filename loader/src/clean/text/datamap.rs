//! Gopher's rules as datamap-rs applies them with its DCLM recipe: filters of their own in the recipe's order, words
//! that the rules do not count alike, lengths in bytes, shares in single precision.

use super::{
    filter::{Filter, Row},
    gopher_quality, gopher_repetition,
    grams::Grams,
};
use crate::clean::Rule;
use memchr::memmem;
use unicode_segmentation::UnicodeSegmentation;

/// The quality rules.
pub(super) struct Quality(pub(super) gopher_quality::Limits);

/// The repetition rules, its `massive_web_repetition_filter`.
pub(super) struct Repetition(pub(super) gopher_repetition::Limits);

/// A threshold in the precision that it is compared in.
const fn single(limit: f64) -> f64 {
    limit as f32 as f64
}

/// `part` of `whole` in single precision; of nothing, no number.
const fn share(part: usize, whole: usize) -> f64 {
    (part as f32 / whole as f32) as f64
}

/// Runs of ASCII letters and digits, or, where any character is beyond ASCII, Unicode's words (UAX 29).
fn count_words(text: &str) -> usize {
    if !text.is_ascii() {
        return text.unicode_words().count();
    }
    let bytes = text.as_bytes();
    let begins = |at: usize| bytes[at].is_ascii_alphanumeric() && (at == 0 || !bytes[at - 1].is_ascii_alphanumeric());
    (0..bytes.len()).filter(|&at| begins(at)).count()
}

impl Filter for Quality {
    const NAME: &'static str = gopher_quality::NAME;
    type Scratch = String;

    fn options(&self) -> String {
        format!("{:?}", self.0)
    }

    fn rules(&self) -> Vec<Rule> {
        vec![
            Rule::between("page_len_filter"),
            Rule::between("word_len_filter"),
            Rule::at_most("symbol_ratio_filter"),
            Rule::at_most("bullet_filter"),
            Rule::at_most("ellipsis_line_ratio_filter"),
            Rule::at_most("alphabetic_word_ratio_filter"),
            Rule::at_least("stop_word_filter"),
        ]
    }

    fn judge(&self, text: &str, _: &[super::words::Word], lower: &mut String, row: &mut Row<'_>) {
        let limits = &self.0;
        let (mut number, mut bytes, mut unlettered, mut stop_words) = (0, 0, 0, 0);
        for word in text.split_whitespace() {
            number += 1;
            bytes += word.len();
            unlettered += usize::from(!word.chars().any(char::is_alphabetic));
            lower.clear();
            lower.extend(word.chars().flat_map(char::to_lowercase));
            stop_words += usize::from(limits.is_stop_word(lower));
        }
        row.within(0, count_words(text) as f64, limits.min_doc_words, limits.max_doc_words);
        // Of no word there is no mean, which passes no comparison.
        let mean = if number == 0 { 0.0 } else { share(bytes, number) };
        row.within(1, mean, single(limits.min_avg_word_length), single(limits.max_avg_word_length));
        let spaced = memmem::find_iter(text.as_bytes(), b". . .").count();
        let symbols = ["#", "...", "…"].iter().map(|symbol| memmem::find_iter(text.as_bytes(), symbol).count());
        // A spaced ellipsis counts as one word there, not three.
        let joined = if spaced == 0 { number } else { text.replace(". . .", "...").split_whitespace().count() };
        let symbols = symbols.sum::<usize>() + spaced;
        row.unless_off(2, share(symbols, joined.max(1)), single(limits.max_symbol_word_ratio));
        let (mut lines, mut bullets) = (0, 0);
        for line in text.split('\n') {
            lines += 1;
            bullets += usize::from(line.starts_with(['●', '•', '*', '-']));
        }
        row.unless_off(3, share(bullets, lines), single(limits.max_bullet_lines_ratio));
        let (mut lines, mut ended) = (0, 0);
        for line in text.lines().filter(|line| !line.is_empty()) {
            lines += 1;
            ended += usize::from(["...", ". . .", "…"].iter().any(|end| line.ends_with(end)));
        }
        row.unless_off(4, share(ended, lines.max(1)), single(limits.max_ellipsis_lines_ratio));
        if limits.min_alpha_words_ratio != 0.0 {
            // A single word is refused whatever it is, and so is none.
            let unlettered = if number < 2 { 1.0 } else { share(unlettered, number) };
            row.hold(5, unlettered, single(1.0 - limits.min_alpha_words_ratio));
        }
        row.unless_off(6, stop_words as f64, limits.min_stop_words);
    }
}

impl Filter for Repetition {
    const NAME: &'static str = gopher_repetition::NAME;
    type Scratch = Grams;

    fn options(&self) -> String {
        format!("{:?}", self.0)
    }

    fn rules(&self) -> Vec<Rule> {
        let parts = ["lines", "paragraphs", "line_bytes", "paragraph_bytes"].into_iter().map(str::to_owned);
        let grams = self.0.top_n_grams.iter().chain(&self.0.dup_n_grams).map(|(n, _)| format!("{n}_grams"));
        parts.chain(grams).map(|part| Rule::at_most(format!("massive_web_repetition_filter:{part}"))).collect()
    }

    fn judge(&self, text: &str, _: &[super::words::Word], grams: &mut Grams, row: &mut Row<'_>) {
        let limits = &self.0;
        for (rule, separator, number, bytes) in [
            (0, "\n", limits.dup_line_frac, limits.dup_line_char_frac),
            (1, "\n\n", limits.dup_para_frac, limits.dup_para_char_frac),
        ] {
            grams.take_in(text, text.split(separator).filter(|part| !part.is_empty()), str::len);
            let (copies, copied) = copies(grams);
            row.unless_off(rule, copies, single(number));
            row.unless_off(rule + 2, copied, single(bytes));
        }
        grams.take_in(text, text.unicode_words(), str::len);
        let top = limits.top_n_grams.iter().map(|top| (top, true));
        let all = limits.dup_n_grams.iter().map(|all| (all, false));
        for (rule, (&(n, limit), most_frequent_only)) in (4..).zip(top.chain(all)) {
            row.unless_off(rule, repeated(grams, n, most_frequent_only), single(limit));
        }
    }
}

/// The shares of items that have a copy: in number, and in bytes.
fn copies(grams: &mut Grams) -> (f64, f64) {
    match grams.count(1) {
        0 => (1.0, 1.0),
        1 => (0.0, 0.0),
        number => {
            let copied = |at: usize| grams.occurs(at) > 1;
            let copies = (0..number).filter(|&at| copied(at)).count();
            (share(copies, number), share(grams.covered(1, copied), grams.length()))
        }
    }
}

/// The share, in bytes, of the words that lie in runs of `n` words which occur more than once, or in the most frequent
/// of these.
fn repeated(grams: &mut Grams, n: usize, most_frequent_only: bool) -> f64 {
    if grams.count(n) < 2 {
        return 0.0;
    }
    let chosen = if most_frequent_only {
        match grams.longest_most_frequent(n) {
            Some((at, times)) if times > 1 => Some(at),
            _ => return 0.0,
        }
    } else {
        None
    };
    let counts = |at: usize| chosen.map_or(grams.occurs(at) > 1, |chosen| grams.equal(at, chosen));
    share(grams.covered(n, counts), grams.length())
}
