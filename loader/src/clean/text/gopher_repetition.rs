//! Gopher's repetition rules (Rae et al. 2021, arXiv:2112.11446, table A1) as datatrove applies them.
//!
//! All lengths are code points, all shares are of the whole text, white space included, and all thresholds are the most
//! that passes.

use super::{
    characters::{length, strip},
    counts::Counts,
    datamap, dolma,
    filter::{Filter, Row, at_least_zero, on_column},
    grams::mix,
    lines::{duplicates, split_runs},
    modes::Mode,
    nemo,
    words::Word,
};
use crate::clean::{
    Rule,
    spec::{Built, Settings},
};
use serde::Deserialize;

pub(in crate::clean) const NAME: &str = "gopher_repetition";

/// The thresholds, which are the operator's options; a rule with 0 is off.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    /// Whose rules these are.
    pub(super) mode: Mode,
    pub(super) dup_para_frac: f64,
    pub(super) dup_para_char_frac: f64,
    pub(super) dup_line_frac: f64,
    pub(super) dup_line_char_frac: f64,
    /// n and the share of the most frequent n-gram.
    pub(super) top_n_grams: Vec<(usize, f64)>,
    /// n and the share of repeated n-grams.
    pub(super) dup_n_grams: Vec<(usize, f64)>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            dup_para_frac: 0.3,
            dup_para_char_frac: 0.2,
            dup_line_frac: 0.3,
            dup_line_char_frac: 0.2,
            top_n_grams: vec![(2, 0.2), (3, 0.18), (4, 0.16)],
            dup_n_grams: vec![(5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10)],
        }
    }
}

/// What is used for one text after another.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    counts: Counts,
    /// By word and one more, the hash of all words before it joined, its bytes and its code points.
    prefixes: Vec<Prefix>,
    grams: Vec<u64>,
    powers: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Prefix {
    hash: u64,
    bytes: u32,
    characters: u32,
}

impl Limits {
    /// The names of the rules, in order.
    pub(super) fn reasons(&self) -> Vec<String> {
        let fixed = ["empty", "dup_para_frac", "dup_para_char_frac", "dup_line_frac", "dup_line_char_frac"];
        fixed
            .into_iter()
            .map(str::to_owned)
            .chain(self.top_n_grams.iter().map(|(n, _)| format!("top_{n}_gram")))
            .chain(self.dup_n_grams.iter().map(|(n, _)| format!("duplicated_{n}_n_grams")))
            .collect()
    }

    /// Calls `hold` with what each rule measures of `text` and its threshold.
    pub(super) fn measure(
        &self,
        text: &str,
        words: &[Word],
        scratch: &mut Scratch,
        mut hold: impl FnMut(usize, f64, f64),
    ) {
        if text.is_empty() {
            // The threshold is the least length.
            hold(0, 0.0, 1.0);
            return;
        }
        let characters = length(text) as f64;
        let mut part = |rule: usize, measured: f64, limit: f64| {
            if limit != 0.0 {
                hold(rule, measured, limit);
            }
        };
        for (rule, parts, limits) in [
            (1, (strip(text), 2), (self.dup_para_frac, self.dup_para_char_frac)),
            (3, (text, 1), (self.dup_line_frac, self.dup_line_char_frac)),
        ] {
            let parts = split_runs(parts.0, parts.1);
            let (copies, copied) = duplicates(parts.clone(), &mut scratch.counts);
            part(rule, copies as f64 / parts.count() as f64, limits.0);
            part(rule + 1, copied as f64 / characters, limits.1);
        }
        scratch.take_in(text, words);
        for (at, &(n, limit)) in self.top_n_grams.iter().enumerate() {
            if words.len() >= n {
                part(5 + at, scratch.top(n) as f64 / characters, limit);
            }
        }
        for (at, &(n, limit)) in self.dup_n_grams.iter().enumerate() {
            part(5 + self.top_n_grams.len() + at, scratch.repeated(n) as f64 / characters, limit);
        }
    }
}

/// 2^61 - 1, a prime.
const PRIME: u64 = (1 << 61) - 1;
/// The base of the hash of joined words: some number below the prime.
const BASE: u64 = 0x0b3c_a5ea_1f96_d6e5;

const fn times(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    let folded = (product as u64 & PRIME) + (product >> 61) as u64;
    if folded >= PRIME { folded - PRIME } else { folded }
}

impl Scratch {
    fn take_in(&mut self, text: &str, words: &[Word]) {
        self.prefixes.clear();
        self.prefixes.reserve(words.len() + 1);
        let mut prefix = Prefix { hash: 0, bytes: 0, characters: 0 };
        self.prefixes.push(prefix);
        for word in words {
            for &byte in word.of(text).as_bytes() {
                prefix.hash = times(prefix.hash, BASE) + u64::from(byte) + 1;
            }
            prefix.hash %= PRIME;
            prefix.bytes += word.end - word.start;
            prefix.characters += word.length(text) as u32;
            self.prefixes.push(prefix);
        }
        if self.powers.is_empty() {
            self.powers = std::iter::successors(Some(1), |&power| Some(times(power, BASE))).take(1024).collect();
        }
    }

    /// The hash of the words from `from` to `to`, joined: it does not depend on where one ends and the next begins.
    fn joined(&self, from: usize, to: usize) -> u64 {
        let (from, to) = (self.prefixes[from], self.prefixes[to]);
        let bytes = (to.bytes - from.bytes) as usize;
        let power = self.powers.get(bytes).copied().unwrap_or_else(|| power(bytes));
        let before = times(from.hash, power);
        if to.hash >= before { to.hash - before } else { to.hash + PRIME - before }
    }

    /// Code points of the words from `from` to `to`.
    fn characters(&self, from: usize, to: usize) -> usize {
        (self.prefixes[to].characters - self.prefixes[from].characters) as usize
    }

    /// The length of the most frequent n-gram, its words joined by blanks, times how often it occurs; of several the
    /// one that comes first.
    fn top(&mut self, n: usize) -> usize {
        let words = self.prefixes.len() - 1;
        let grams = words + 1 - n;
        // Here it matters where a word ends, so hashes of words are mixed, in order.
        self.grams.clear();
        for word in 0..words {
            let hash = self.joined(word, word + 1);
            self.grams.push(hash);
        }
        for at in 0..grams {
            let mut mixed = 0;
            for word in at..at + n {
                mixed = mix(mixed, self.grams[word]);
            }
            self.grams[at] = mixed;
        }
        self.counts.clear(grams);
        let mut most = 0;
        for &gram in &self.grams[..grams] {
            most = most.max(self.counts.add(gram));
        }
        let first = self.grams[..grams].iter().position(|&gram| self.counts.get(gram) == most).unwrap_or(0);
        (self.characters(first, first + n) + n - 1) * most as usize
    }

    /// Code points of n-grams, their words joined by nothing, that stood earlier; one that did is stepped over.
    fn repeated(&mut self, n: usize) -> usize {
        let words = self.prefixes.len() - 1;
        self.counts.clear(words);
        let (mut at, mut repeated) = (0, 0);
        while at + n <= words {
            if self.counts.add(self.joined(at, at + n)) > 1 {
                repeated += self.characters(at, at + n);
                at += n;
            } else {
                at += 1;
            }
        }
        repeated
    }
}

fn power(mut exponent: usize) -> u64 {
    let (mut result, mut square) = (1, BASE);
    while exponent > 0 {
        if exponent % 2 == 1 {
            result = times(result, square);
        }
        square = times(square, square);
        exponent /= 2;
    }
    result
}

pub(in crate::clean) fn build(settings: Settings<'_>) -> Result<Built, String> {
    let limits: Limits = settings.read()?;
    at_least_zero(&[
        ("dup_line_frac", limits.dup_line_frac),
        ("dup_para_frac", limits.dup_para_frac),
        ("dup_line_char_frac", limits.dup_line_char_frac),
        ("dup_para_char_frac", limits.dup_para_char_frac),
    ])?;
    for (name, grams) in [("top_n_grams", &limits.top_n_grams), ("dup_n_grams", &limits.dup_n_grams)] {
        for &(n, limit) in grams {
            at_least_zero(&[(name, limit)])?;
            if n == 0 {
                return Err(format!("`{name}` asks for n-grams of no word"));
            }
        }
    }
    match limits.mode {
        Mode::Datatrove => on_column(settings, limits),
        Mode::Nemo => on_column(settings, nemo::Repetition(limits)),
        Mode::Dolma => {
            let default = Limits::default();
            if (limits.dup_para_frac, limits.dup_para_char_frac) != (default.dup_para_frac, default.dup_para_char_frac)
            {
                return Err(
                    "`mode` = \"dolma\" has no rules on paragraphs: leave `dup_para_frac` and `dup_para_char_frac` \
                            out"
                    .to_owned(),
                );
            }
            on_column(settings, dolma::Repetition(limits))
        }
        Mode::Datamap => on_column(settings, datamap::Repetition(limits)),
    }
}

impl Filter for Limits {
    const NAME: &'static str = NAME;
    const READS_WORDS: bool = true;
    type Scratch = Scratch;

    fn options(&self) -> String {
        format!("{self:?}")
    }

    fn rules(&self) -> Vec<Rule> {
        let mut rules: Vec<Rule> = self.reasons().into_iter().map(Rule::at_most).collect();
        // The empty text has less than the least length.
        if let Some(empty) = rules.first_mut() {
            empty.bound = crate::clean::Bound::Lower;
        }
        rules
    }

    fn judge(&self, text: &str, words: &[Word], scratch: &mut Scratch, row: &mut Row<'_>) {
        self.measure(text, words, scratch, |rule, measured, limit| row.hold(rule, measured, limit));
    }
}
