//! From a text to its shingles: overlapping n-grams of the tokens of the simplified text, hashed, as datatrove makes
//! them for MinHash and for decontamination.
//!
//! Shingles are handed over one by one: what is kept of a text is its simplified form, the tokens in a row, and the
//! beginnings of the last n of them, however long it is.

mod simplify;

use super::text::{
    special_cases::SpecialCases,
    words::{Word, words},
};
use serde::Deserialize;
use sha1_smol::Sha1;
use simplify::simplify;
use xxhash_rust::xxh64::xxh64;

/// What an n-gram consists of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Tokens {
    /// The words of spaCy's English tokenizer, as datatrove has it.
    #[default]
    Words,
    /// What stands between white space.
    Whitespace,
    /// Characters.
    Chars,
}

/// How an n-gram becomes 64 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ShingleHash {
    /// XXH64 with seed 0.
    #[default]
    Xxh64,
    /// The first 8 bytes of the SHA-1, little-endian.
    Sha1,
}

/// Cuts texts into shingles. Its buffers are kept between texts.
#[derive(Debug)]
pub(super) struct Shingler {
    tokens: Tokens,
    n: usize,
    hash: ShingleHash,
    lower: String,
    simple: String,
    /// The tokens, one space between two of them; characters without.
    row: String,
    /// Where the last n tokens begin in `row`, in a ring.
    starts: Vec<usize>,
    /// The words of one run.
    cut: Vec<Word>,
}

impl Shingler {
    /// Shingles of `n` tokens, at least 1.
    pub(super) fn new(tokens: Tokens, n: usize, hash: ShingleHash) -> Self {
        let starts = vec![0; n.max(1)];
        let (lower, simple, row) = Default::default();
        Self { tokens, n: n.max(1), hash, lower, simple, row, starts, cut: Vec::new() }
    }

    /// Calls `seen` with each shingle of `text` and its hash, in order, and returns how many tokens there are: with
    /// fewer than n there is no shingle.
    pub(super) fn for_each(&mut self, text: &str, mut seen: impl FnMut(&str, u64)) -> usize {
        simplify(text, &mut self.lower, &mut self.simple);
        self.row.clear();
        self.row.reserve(self.simple.len());
        let (mut count, n, hash) = (0, self.n, self.hash);
        let (row, starts) = (&mut self.row, &mut self.starts);
        let gap = if self.tokens == Tokens::Chars { "" } else { " " };
        let mut token = |token: &str| {
            if count > 0 {
                row.push_str(gap);
            }
            starts[count % n] = row.len();
            row.push_str(token);
            count += 1;
            if count >= n {
                let shingle = &row[starts[count % n]..];
                seen(shingle, hash.of(shingle));
            }
        };
        match self.tokens {
            Tokens::Whitespace => self.simple.split_whitespace().for_each(token),
            Tokens::Words => {
                let rules = SpecialCases::table();
                for run in self.simple.split_whitespace() {
                    // Of a run of small letters no affix rule takes anything; few are special cases.
                    if run.bytes().all(|byte| byte.is_ascii_lowercase()) && !rules.may_split(run) {
                        token(run);
                    } else {
                        self.cut.clear();
                        words(run, &mut self.cut);
                        self.cut.iter().for_each(|word| token(word.of(run)));
                    }
                }
            }
            Tokens::Chars => {
                let mut buffer = [0; 4];
                self.simple.chars().for_each(|c| token(c.encode_utf8(&mut buffer)));
            }
        }
        count
    }
}

/// The shingles of `text` as `near_duplicate` takes them with its defaults but `n`: n-grams of English words of the
/// simplified text, as the XXH64 of each, in order and with repetitions. Two texts' Jaccard similarity is that of the
/// sets. A text of fewer than `n` words has none; `n` of 0 is taken for 1.
#[must_use]
pub fn shingles(text: &str, n: usize) -> Vec<u64> {
    let mut all = Vec::new();
    Shingler::new(Tokens::Words, n, ShingleHash::Xxh64).for_each(text, |_, hash| all.push(hash));
    all
}

impl ShingleHash {
    fn of(self, shingle: &str) -> u64 {
        match self {
            Self::Xxh64 => xxh64(shingle.as_bytes(), 0),
            Self::Sha1 => {
                let digest = Sha1::from(shingle).digest().bytes();
                digest.first_chunk().map_or(0, |&head| u64::from_le_bytes(head))
            }
        }
    }
}
