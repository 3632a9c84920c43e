//! Gopher's quality rules (Rae et al. 2021, arXiv:2112.11446, appendix A1.1) as datatrove applies them.

use super::{
    characters::{strip_end, strip_start},
    datamap, dolma,
    filter::{Filter, Row, at_least_zero, on_column},
    lines::lines,
    modes::Mode,
    nemo,
    words::Word,
};
use crate::clean::{
    Rule,
    spec::{Built, Settings},
};
use memchr::memmem;
use serde::Deserialize;

pub(in crate::clean) const NAME: &str = "gopher_quality";

/// The thresholds, which are the operator's options; a rule with 0 is off.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    /// Whose rules these are.
    pub(super) mode: Mode,
    pub(super) min_doc_words: f64,
    pub(super) max_doc_words: f64,
    pub(super) min_avg_word_length: f64,
    pub(super) max_avg_word_length: f64,
    pub(super) max_symbol_word_ratio: f64,
    pub(super) max_bullet_lines_ratio: f64,
    pub(super) max_ellipsis_lines_ratio: f64,
    pub(super) min_alpha_words_ratio: f64,
    pub(super) min_stop_words: f64,
    /// Sorted, each once.
    pub(super) stop_words: Vec<String>,
}

/// The stop words, sorted.
pub(super) const STOP_WORDS: [&str; 8] = ["and", "be", "have", "of", "that", "the", "to", "with"];

impl Default for Limits {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            min_doc_words: 50.0,
            max_doc_words: 100_000.0,
            min_avg_word_length: 3.0,
            max_avg_word_length: 10.0,
            max_symbol_word_ratio: 0.1,
            max_bullet_lines_ratio: 0.9,
            max_ellipsis_lines_ratio: 0.3,
            min_alpha_words_ratio: 0.8,
            min_stop_words: 2.0,
            stop_words: STOP_WORDS.map(str::to_owned).to_vec(),
        }
    }
}

/// The names of the rules, in datatrove's order, and whether the threshold is the most that passes.
pub(super) const RULES: [(&str, bool); 10] = [
    ("gopher_short_doc", false),
    ("gopher_long_doc", true),
    ("gopher_below_avg_threshold", false),
    ("gopher_above_avg_threshold", true),
    ("gopher_too_many_hashes", true),
    ("gopher_too_many_ellipsis", true),
    ("gopher_too_many_bullets", true),
    ("gopher_too_many_end_ellipsis", true),
    ("gopher_below_alpha_threshold", false),
    ("gopher_enough_stop_words", false),
];

impl Limits {
    /// Whether `word` is one of the stop words.
    pub(super) fn is_stop_word(&self, word: &str) -> bool {
        self.stop_words.binary_search_by(|stop| stop.as_str().cmp(word)).is_ok()
    }

    /// Calls `hold` with what each rule measures of `text` and its threshold. Shares of nothing are left out: the rule
    /// on the least number of words speaks then.
    pub(super) fn measure(&self, text: &str, words: &[Word], mut hold: impl FnMut(usize, f64, f64)) {
        let mut rule = |rule: usize, measured: f64, limit: f64| {
            if limit != 0.0 && !measured.is_nan() {
                hold(rule, measured, limit);
            }
        };
        let (mut plain, mut length, mut alphabetic, mut stop_words) = (0_usize, 0_usize, 0_usize, 0_u64);
        let longest_stop_word = self.stop_words.iter().map(String::len).max().unwrap_or(0);
        let mut distinct = std::collections::BTreeSet::new();
        for word in words {
            if !word.is_symbol() {
                plain += 1;
                length += word.length(text);
            }
            alphabetic += usize::from(word.has_letter());
            if (word.end - word.start) as usize <= longest_stop_word
                && let Ok(found) = self.stop_words.binary_search_by(|stop| stop.as_str().cmp(word.of(text)))
            {
                // Few lists are longer than a machine word has bits.
                match 1_u64.checked_shl(found as u32) {
                    Some(bit) => stop_words |= bit,
                    None => _ = distinct.insert(found),
                }
            }
        }
        let all = words.len() as f64;
        rule(0, plain as f64, self.min_doc_words);
        rule(1, plain as f64, self.max_doc_words);
        let mean = length as f64 / plain as f64;
        rule(2, mean, self.min_avg_word_length);
        rule(3, mean, self.max_avg_word_length);
        let hashes = memchr::memchr_iter(b'#', text.as_bytes()).count();
        rule(4, hashes as f64 / all, self.max_symbol_word_ratio);
        let ellipses = memmem::find_iter(text.as_bytes(), b"...").count()
            + memmem::find_iter(text.as_bytes(), "…".as_bytes()).count();
        rule(5, ellipses as f64 / all, self.max_symbol_word_ratio);
        let (mut number, mut bullets, mut ended) = (0_usize, 0_usize, 0_usize);
        for line in lines(text) {
            number += 1;
            bullets += usize::from(strip_start(line).starts_with(['•', '-']));
            let end = strip_end(line);
            ended += usize::from(end.ends_with("...") || end.ends_with('…'));
        }
        rule(6, bullets as f64 / number as f64, self.max_bullet_lines_ratio);
        rule(7, ended as f64 / number as f64, self.max_ellipsis_lines_ratio);
        rule(8, alphabetic as f64 / all, self.min_alpha_words_ratio);
        rule(9, (stop_words.count_ones() as usize + distinct.len()) as f64, self.min_stop_words);
    }
}

pub(in crate::clean) fn build(settings: Settings<'_>) -> Result<Built, String> {
    let mut limits: Limits = settings.read()?;
    at_least_zero(&[
        ("min_doc_words", limits.min_doc_words),
        ("max_doc_words", limits.max_doc_words),
        ("min_avg_word_length", limits.min_avg_word_length),
        ("max_avg_word_length", limits.max_avg_word_length),
        ("max_symbol_word_ratio", limits.max_symbol_word_ratio),
        ("max_bullet_lines_ratio", limits.max_bullet_lines_ratio),
        ("max_ellipsis_lines_ratio", limits.max_ellipsis_lines_ratio),
        ("min_alpha_words_ratio", limits.min_alpha_words_ratio),
        ("min_stop_words", limits.min_stop_words),
    ])?;
    limits.stop_words.sort_unstable();
    limits.stop_words.dedup();
    match limits.mode {
        Mode::Datatrove => on_column(settings, limits),
        Mode::Nemo => on_column(settings, nemo::Quality(limits)),
        Mode::Dolma => on_column(settings, dolma::Quality(limits)),
        Mode::Datamap => on_column(settings, datamap::Quality(limits)),
    }
}

impl Filter for Limits {
    const NAME: &'static str = NAME;
    const READS_WORDS: bool = true;
    type Scratch = ();

    fn options(&self) -> String {
        format!("{self:?}")
    }

    fn rules(&self) -> Vec<Rule> {
        RULES.map(|(reason, upper)| if upper { Rule::at_most(reason) } else { Rule::at_least(reason) }).to_vec()
    }

    fn judge(&self, text: &str, words: &[Word], (): &mut (), row: &mut Row<'_>) {
        self.measure(text, words, |rule, measured, limit| row.hold(rule, measured, limit));
    }
}
