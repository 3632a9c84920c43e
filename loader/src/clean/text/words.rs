//! Word tokens as spaCy's blank English pipeline cuts them, which is how datatrove counts words.
//!
//! A text is cut into runs of space and of everything else; a run into prefixes, infixes, suffixes and what is left
//! ([`affixes`](super::affixes)), except for special cases and web addresses. What a run is cut into depends on the run
//! alone, so short runs are remembered. The time is linear in the text, whatever it holds.
//!
//! One rule of datatrove's is left out: where a token is `IS_ALPHA`, spaCy fails on some calls and not on others, and
//! datatrove then takes that string out of the text.

use super::{
    affixes,
    characters::{Characters, LETTER, PUNCTUATION, SENTENCE_END, SPACE, SYMBOL},
    special_cases::SpecialCases,
    web_address::is_web_address,
};
use crate::{
    Result,
    clean::{Analysis, Rows},
};
use std::cell::RefCell;

/// A stretch of a run or of a text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) start: u32,
    pub(super) end: u32,
}

/// A word token: where it stands in its text, in bytes, and what the filters ask of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::clean) struct Word {
    pub(in crate::clean) start: u32,
    pub(in crate::clean) end: u32,
    traits: u8,
}

/// Only ASCII: its length in bytes is that in characters.
const IS_ASCII: u8 = 1;
const HAS_LETTER: u8 = 1 << 1;
const IS_SYMBOL: u8 = 1 << 2;
const IS_PUNCTUATION: u8 = 1 << 3;
const ENDS_SENTENCE: u8 = 1 << 4;
const BEGINS_PHRASE: u8 = 1 << 5;
const FOLLOWS_IN_PHRASE: u8 = 1 << 6;

impl Word {
    /// The word itself. `text` is the one that it was cut from.
    pub(in crate::clean) fn of<'t>(&self, text: &'t str) -> &'t str {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Its length in code points.
    pub(in crate::clean) fn length(&self, text: &str) -> usize {
        if self.has(IS_ASCII) { (self.end - self.start) as usize } else { super::characters::length(self.of(text)) }
    }

    /// Whether any of its characters is a letter.
    pub(in crate::clean) const fn has_letter(&self) -> bool {
        self.has(HAS_LETTER)
    }

    /// Whether all its characters are in datatrove's `PUNCTUATION_SET`.
    pub(in crate::clean) const fn is_symbol(&self) -> bool {
        self.has(IS_SYMBOL)
    }

    /// Whether all its characters are punctuation by Unicode's categories.
    pub(super) const fn is_punctuation(&self) -> bool {
        self.has(IS_PUNCTUATION)
    }

    /// Whether it is one of the sentencizer's ends.
    pub(super) const fn ends_sentence(&self) -> bool {
        self.has(ENDS_SENTENCE)
    }

    const fn has(&self, one: u8) -> bool {
        self.traits & one != 0
    }
}

/// The longest text that is cut into words, in bytes. Twelve bytes a word, and what the repetition rules need, then
/// stay below some hundred MiB whatever a text holds.
pub(in crate::clean) const LONGEST_TEXT: usize = 8 << 20;

/// The word tokens of a text column. A text longer than [`LONGEST_TEXT`] has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::clean) struct Words {
    /// Where each row's words end.
    ends: Vec<usize>,
    words: Vec<Word>,
}

impl Words {
    /// The words of `row`.
    pub(in crate::clean) fn of(&self, row: usize) -> &[Word] {
        let end = self.ends.get(row).copied().unwrap_or(0);
        let start = row.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.words.get(start..end).unwrap_or_default()
    }
}

impl Analysis for Words {
    fn of(rows: &Rows<'_>, column: usize) -> Result<Self> {
        let texts = rows.texts(column)?;
        let mut all = Self { ends: Vec::with_capacity(rows.len()), words: Vec::new() };
        for row in 0..rows.len() {
            if let Some(text) = texts.get(row).filter(|text| rows.reaches(row) && text.len() <= LONGEST_TEXT) {
                words(text, &mut all.words);
            }
            all.ends.push(all.words.len());
        }
        Ok(all)
    }
}

/// Writes the word tokens of `text` behind those in `words`. What lies beyond [`LONGEST_TEXT`] is not cut.
pub(in crate::clean) fn words(text: &str, words: &mut Vec<Word>) {
    thread_local! {
        static TOKENIZER: RefCell<Tokenizer> = RefCell::new(Tokenizer::new());
    }
    TOKENIZER.with_borrow_mut(|tokenizer| tokenizer.cut(text, words));
}

/// The most bytes of a run that is remembered.
const SHORT: usize = 24;
/// The most tokens of a run that is remembered.
const FEW: usize = 4;
/// How many runs are remembered. A power of two.
const REMEMBERED: usize = 1 << 13;

/// A short run and its tokens.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// The run's bytes, padded with zeros.
    key: [u64; SHORT / 8],
    /// 0 where nothing is remembered.
    length: u8,
    tokens: u8,
    ends: [u8; FEW],
    traits: [u8; FEW],
}

/// Cuts texts, and keeps what it needs for that from text to text: half a MiB.
#[derive(Debug)]
struct Tokenizer {
    table: &'static Characters,
    rules: &'static SpecialCases,
    runs: Vec<Run>,
    pieces: Vec<Piece>,
    suffixes: Vec<Piece>,
    /// Start, length in tokens.
    matches: Vec<(usize, usize)>,
    taken: Vec<bool>,
    mended: Vec<Word>,
}

impl Tokenizer {
    fn new() -> Self {
        let empty = Run { key: [0; SHORT / 8], length: 0, tokens: 0, ends: [0; FEW], traits: [0; FEW] };
        Self {
            table: Characters::table(),
            rules: SpecialCases::table(),
            runs: vec![empty; REMEMBERED],
            pieces: Vec::new(),
            suffixes: Vec::new(),
            matches: Vec::new(),
            taken: Vec::new(),
            mended: Vec::new(),
        }
    }

    fn cut(&mut self, text: &str, words: &mut Vec<Word>) {
        let text = text.get(..text.floor_char_boundary(LONGEST_TEXT)).unwrap_or_default();
        let first = words.len();
        let bytes = text.as_bytes();
        let mut at = 0;
        let mut candidates = false;
        loop {
            at += self.space(&text[at..]);
            if at == bytes.len() {
                break;
            }
            let end = at + self.run(&text[at..]);
            self.cut_run(text, at, end, words);
            at = end;
        }
        for pair in words[first..].windows(2) {
            candidates |= pair[0].has(BEGINS_PHRASE) && pair[1].has(FOLLOWS_IN_PHRASE);
        }
        if candidates {
            self.mend(text, first, words);
        }
    }

    /// The length of the space that `text` begins with.
    fn space(&self, text: &str) -> usize {
        let mut at = 0;
        for &byte in text.as_bytes() {
            if !byte.is_ascii() {
                return at + (text[at..].len() - super::characters::strip_start(&text[at..]).len());
            }
            if self.table.of_byte(byte) & SPACE == 0 {
                return at;
            }
            at += 1;
        }
        at
    }

    /// The length of the run that `text` begins with.
    fn run(&self, text: &str) -> usize {
        let bytes = text.as_bytes();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if byte.is_ascii() {
                if self.table.of_byte(byte) & SPACE != 0 {
                    return at;
                }
                at += 1;
            } else {
                let Some(character) = text[at..].chars().next() else { return at };
                if self.table.is(character, SPACE) {
                    return at;
                }
                at += character.len_utf8();
            }
        }
        at
    }

    fn cut_run(&mut self, text: &str, start: usize, end: usize, words: &mut Vec<Word>) {
        let length = end - start;
        if length > SHORT {
            self.cut_unknown(text, start, end, words);
            return;
        }
        let key = key(text.as_bytes(), start, length);
        let slot = slot(key);
        let run = &self.runs[slot];
        if run.key == key && usize::from(run.length) == length {
            let mut from = start as u32;
            for (&end, &traits) in run.ends.iter().zip(&run.traits).take(usize::from(run.tokens)) {
                let end = start as u32 + u32::from(end);
                words.push(Word { start: from, end, traits });
                from = end;
            }
            return;
        }
        let before = words.len();
        self.cut_unknown(text, start, end, words);
        let tokens = &words[before..];
        if tokens.len() <= FEW {
            let mut run =
                Run { key, length: length as u8, tokens: tokens.len() as u8, ends: [0; FEW], traits: [0; FEW] };
            for (at, word) in tokens.iter().enumerate() {
                run.ends[at] = (word.end as usize - start) as u8;
                run.traits[at] = word.traits;
            }
            self.runs[slot] = run;
        }
    }

    fn cut_unknown(&mut self, text: &str, start: usize, end: usize, words: &mut Vec<Word>) {
        self.pieces.clear();
        let run = &text[start..end];
        cut(self.table, Some(self.rules), run, &mut self.suffixes, &mut self.pieces);
        for piece in &self.pieces {
            let token = &run[piece.start as usize..piece.end as usize];
            let traits = traits(self.table, self.rules, token);
            words.push(Word { start: start as u32 + piece.start, end: start as u32 + piece.end, traits });
        }
    }

    /// spaCy's last pass: special cases that the affix rules cut are put together again, the longest first.
    fn mend(&mut self, text: &str, first: usize, words: &mut Vec<Word>) {
        let Self { matches, taken, mended, .. } = self;
        let rules = self.rules;
        let tokens = &words[first..];
        matches.clear();
        for (at, pair) in tokens.windows(2).enumerate() {
            if pair[0].has(BEGINS_PHRASE) && pair[1].has(FOLLOWS_IN_PHRASE) {
                let neighbours = tokens[at..].iter().enumerate().map_while(|(number, word)| {
                    (number == 0 || are_neighbours(text, &tokens[at + number - 1], word)).then(|| word.of(text))
                });
                rules.phrases().lengths(neighbours, |length| matches.push((at, length)));
            }
        }
        // A match that overlaps a longer one is not applied, but takes its tokens from shorter ones all the same.
        matches.sort_unstable_by_key(|&(start, length)| (std::cmp::Reverse(length), start));
        taken.clear();
        taken.resize(tokens.len(), false);
        matches.retain(|&(start, length)| {
            let free = !taken[start] && !taken[start + length - 1];
            taken[start..start + length].fill(true);
            free
        });
        matches.sort_unstable();
        mended.clear();
        let mut next = 0;
        for &(start, length) in matches.iter() {
            mended.extend_from_slice(&tokens[next..start]);
            next = start;
            let from = tokens[start].start;
            let whole = text.get(from as usize..tokens[start + length - 1].end as usize).unwrap_or_default();
            // Tokens with a space between them are no special case, whatever they spell.
            if let Some(ends) = rules.get(whole) {
                let mut before = 0;
                for &end in ends {
                    let token = &whole[before as usize..end as usize];
                    let traits = traits(self.table, rules, token);
                    mended.push(Word { start: from + before, end: from + end, traits });
                    before = end;
                }
                next = start + length;
            }
        }
        mended.extend_from_slice(&tokens[next..]);
        words.truncate(first);
        words.extend_from_slice(mended);
    }
}

/// Whether two words have nothing between them that spaCy makes a token of: nothing, or one space.
fn are_neighbours(text: &str, one: &Word, next: &Word) -> bool {
    matches!(text.get(one.end as usize..next.start as usize), Some("" | " "))
}

/// The bytes of a short run, padded with zeros.
fn key(bytes: &[u8], start: usize, length: usize) -> [u64; SHORT / 8] {
    if let Some(&whole) = bytes.get(start..).and_then(|rest| rest.first_chunk::<SHORT>()) {
        let part = |at: usize| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&whole[8 * at..8 * at + 8]);
            let kept = length.saturating_sub(8 * at).min(8) as u32;
            u64::from_le_bytes(eight) & u64::MAX.checked_shr(64 - 8 * kept).unwrap_or(0)
        };
        return [part(0), part(1), part(2)];
    }
    let mut padded = [0; SHORT];
    padded[..length].copy_from_slice(&bytes[start..start + length]);
    let mut key = [0; SHORT / 8];
    for (part, eight) in key.iter_mut().zip(padded.as_chunks::<8>().0) {
        *part = u64::from_le_bytes(*eight);
    }
    key
}

/// Where a run is remembered.
fn slot(key: [u64; SHORT / 8]) -> usize {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mixed = (key[0] ^ key[1].rotate_left(21) ^ key[2].rotate_left(42)).wrapping_mul(ODD);
    (mixed >> 40) as usize % REMEMBERED
}

/// What the filters ask of a token.
fn traits(table: &Characters, rules: &SpecialCases, token: &str) -> u8 {
    let (mut any, mut all) = (0, u32::MAX);
    for character in token.chars() {
        let flags = table.of(character);
        any |= flags;
        all &= flags;
    }
    let mut characters = token.chars();
    let is_one = characters.next().is_some() && characters.next().is_none();
    let mut traits = 0;
    for (holds, one) in [
        (token.is_ascii(), IS_ASCII),
        (any & LETTER != 0, HAS_LETTER),
        (all & SYMBOL != 0, IS_SYMBOL),
        (all & PUNCTUATION != 0, IS_PUNCTUATION),
        (is_one && all & SENTENCE_END != 0, ENDS_SENTENCE),
        (rules.phrases().begins(token), BEGINS_PHRASE),
        (rules.phrases().follows(token), FOLLOWS_IN_PHRASE),
    ] {
        if holds {
            traits |= one;
        }
    }
    traits
}

/// Whether spaCy's rules would cut something off `text`, or in it.
pub(super) fn has_affix(table: &Characters, text: &str) -> bool {
    let mut infix = false;
    affixes::infixes(table, text, |_, _| infix = true);
    infix || affixes::prefix(table, text) > 0 || affixes::suffix(table, text) > 0
}

/// Cuts one run without space into `pieces`; `suffixes` is room for what is cut off its end. Without `rules` there are
/// no special cases.
pub(super) fn cut(
    table: &Characters,
    rules: Option<&SpecialCases>,
    run: &str,
    suffixes: &mut Vec<Piece>,
    pieces: &mut Vec<Piece>,
) {
    let special = |text: &str| rules.and_then(|rules| rules.get(text));
    let piece = |start: usize, end: usize| Piece { start: start as u32, end: end as u32 };
    suffixes.clear();
    let (mut start, mut end) = (0, run.len());
    while start < end && special(&run[start..end]).is_none() {
        let prefix = affixes::prefix(table, &run[start..end]);
        if prefix > 0 && special(&run[start + prefix..end]).is_some() {
            pieces.push(piece(start, start + prefix));
            start += prefix;
            break;
        }
        // A suffix does not see the prefix.
        let suffix = affixes::suffix(table, &run[start + prefix..end]);
        if suffix > 0 && special(&run[start..end - suffix]).is_some() {
            suffixes.push(piece(end - suffix, end));
            end -= suffix;
            break;
        }
        if prefix == 0 && suffix == 0 {
            break;
        }
        if prefix > 0 {
            pieces.push(piece(start, start + prefix));
            start += prefix;
        }
        if suffix > 0 {
            suffixes.push(piece(end - suffix, end));
            end -= suffix;
        }
    }
    let rest = &run[start..end];
    if let Some(ends) = special(rest) {
        let mut from = start;
        for &cut in ends {
            pieces.push(piece(from, start + cut as usize));
            from = start + cut as usize;
        }
    } else if !rest.is_empty() {
        let mut from = start;
        if !is_web_address(table, rest) {
            affixes::infixes(table, rest, |at, to| {
                // An infix at the beginning stays with what follows.
                if at > 0 {
                    if start + at > from {
                        pieces.push(piece(from, start + at));
                    }
                    pieces.push(piece(start + at, start + to));
                    from = start + to;
                }
            });
        }
        if from < end {
            pieces.push(piece(from, end));
        }
    }
    pieces.extend(suffixes.iter().rev());
}
