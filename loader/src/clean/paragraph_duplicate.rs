//! `paragraph_duplicate`: paragraphs whose n-grams earlier ones hold already are taken out of a text, and a text that
//! consists of such is dropped.
//!
//! The rules are those of the Bloom filter tool of DataComp-LM in its mode `old-both`, by which DCLM-Baseline was made. A
//! paragraph is what stands between line feeds; its tokens are the words of Unicode's rules (UAX 29) that are not white
//! space; n-grams of them are looked for among those seen. Where more than the threshold were, the paragraph goes, and
//! is not remembered; else it is remembered at once, so that a repetition within one text counts. Paragraphs of fewer
//! tokens than an n-gram stay and count for nothing. A text of whose n-grams more than the threshold were seen is dropped.
//!
//! Theirs is one filter for the whole run and depends on the threads' timing; this one works in order, keeps to its
//! byte budget by forgetting the oldest, and says how often it errs.

use super::{
    Rows, Rule,
    index::{Generations, RotatingBloom},
    matcher::{Extent, Index, Keys, Match, Matcher, Undo},
    near_duplicate::one_text_column,
    spec::{Built, Column, Settings},
};
use crate::{Position, Result};
use serde::Deserialize;
use std::collections::VecDeque;
use unicode_segmentation::UnicodeSegmentation;
use xxhash_rust::xxh3::xxh3_64;

pub(super) const NAME: &str = "paragraph_duplicate";

/// What the filter takes where the recipe does not say.
const BYTES: u64 = 64 << 20;

/// How many n-grams a block brings is not known before it is read. It is reckoned with one for so many of its bytes, of
/// whatever column: a text has no more n-grams than words, a word and what parts it from the next take five to six bytes in
/// European languages, and an ideograph takes three.
const BYTES_A_GRAM: u64 = 3;

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    n: usize,
    threshold: f64,
    false_positive: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { n: 13, threshold: 0.8, false_positive: 0.01 }
    }
}

struct ParagraphDuplicate {
    column: Column,
    options: Options,
    budget: u64,
}

pub(super) fn build(mut settings: Settings<'_>) -> Result<Built, String> {
    let options: Options = settings.read()?;
    let column = one_text_column(&mut settings)?;
    if !(1..=4096).contains(&options.n) {
        return Err(format!("`n` = {}: must be at least 1 and at most 4096", options.n));
    }
    if !(0.0..=1.0).contains(&options.threshold) {
        return Err(format!("`threshold` = {}: a share is at least 0 and at most 1", options.threshold));
    }
    if !(1e-9..=0.5).contains(&options.false_positive) {
        return Err(format!("`false_positive` = {}: must be at least 1e-9 and at most 0.5", options.false_positive));
    }
    let budget = settings.memory.unwrap_or(BYTES);
    Ok(Built::Matching(Box::new(ParagraphDuplicate { column, options, budget })))
}

impl ParagraphDuplicate {
    fn generations(&self) -> Generations {
        Generations::new(self.budget, self.options.false_positive)
    }
}

impl Matcher for ParagraphDuplicate {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn options(&self) -> String {
        format!("column = {:?}, {:?}", self.column.name, self.options)
    }

    fn rules(&self) -> Vec<Rule> {
        vec![Rule::at_most(NAME), Rule::note("repeated_paragraphs")]
    }

    /// Of each paragraph, the number of its n-grams, and they.
    fn keys(&self, rows: &Rows<'_>) -> Result<Keys> {
        let n = self.options.n;
        let texts = rows.texts(self.column.index)?;
        let mut keys = Keys::default();
        let mut window = Window::default();
        for row in 0..rows.len() {
            for paragraph in texts.get(row).filter(|_| rows.reaches(row)).into_iter().flat_map(|text| text.split('\n'))
            {
                let (place, mut grams) = (keys.leave_open(), 0);
                window.clear();
                for token in paragraph.split_word_bounds().filter(|token| !token.trim().is_empty()) {
                    if let Some(gram) = window.push(token, n) {
                        keys.push(gram);
                        grams += 1;
                    }
                }
                keys.set(place, grams);
            }
            keys.end_row();
        }
        Ok(keys)
    }

    fn index(&self) -> Box<dyn Index> {
        Box::new(Paragraphs { threshold: self.options.threshold, seen: RotatingBloom::new(self.generations()) })
    }

    fn restore(&self, bytes: &[u8]) -> Option<Box<dyn Index>> {
        let seen = RotatingBloom::from_bytes(self.generations(), bytes)?;
        Some(Box::new(Paragraphs { threshold: self.options.threshold, seen }))
    }

    fn index_bytes(&self, _: u64) -> u64 {
        self.budget
    }

    fn undo(&self, block: Extent, all: Extent) -> Undo {
        self.generations().undo(block.bytes / BYTES_A_GRAM, all.bytes / BYTES_A_GRAM)
    }

    fn cuts(&self) -> Option<usize> {
        Some(self.column.index)
    }

    fn cut(&self, text: &str, cut: &[u8]) -> String {
        let (numbers, _) = cut.as_chunks::<4>();
        let mut gone = numbers.iter().map(|&number| u32::from_le_bytes(number)).peekable();
        let kept = (0..).zip(text.split('\n')).filter(|(number, _)| gone.next_if_eq(number).is_none());
        kept.map(|(_, paragraph)| paragraph).collect::<Vec<_>>().join("\n")
    }
}

/// The latest tokens of a paragraph, one behind the other.
#[derive(Default)]
struct Window {
    text: String,
    /// Where the tokens begin of which the next n-gram may consist.
    starts: VecDeque<usize>,
}

impl Window {
    /// What was read is moved away once there is so much of it, in bytes.
    const READ: usize = 64 << 10;

    fn clear(&mut self) {
        self.text.clear();
        self.starts.clear();
    }

    /// One more token; the hash of the `n` latest ones, if there are as many.
    fn push(&mut self, token: &str, n: usize) -> Option<u64> {
        self.starts.push_back(self.text.len());
        self.text.push_str(token);
        // No token holds it, so that the borders between tokens count.
        self.text.push('\n');
        if self.starts.len() < n {
            return None;
        }
        let start = self.starts.pop_front()?;
        let gram = xxh3_64(&self.text.as_bytes()[start..]);
        if start > Self::READ {
            let read = self.starts.front().copied().unwrap_or(self.text.len());
            self.text.drain(..read);
            self.starts.iter_mut().for_each(|start| *start -= read);
        }
        Some(gram)
    }
}

/// The n-grams of the paragraphs that were kept.
#[derive(Debug)]
struct Paragraphs {
    threshold: f64,
    seen: RotatingBloom,
}

impl Index for Paragraphs {
    fn meet(&mut self, visit: u32, _: Position, keys: &[u64]) -> Option<Match> {
        let (mut cut, mut rest, mut number) = (Vec::new(), keys, 0_u32);
        let (mut seen, mut grams) = (0_u64, 0_u64);
        while let Some((&count, behind)) = rest.split_first() {
            let (paragraph, next) = behind.split_at(usize::try_from(count).unwrap_or(usize::MAX).min(behind.len()));
            rest = next;
            let known = paragraph.iter().filter(|&&gram| self.seen.contains(gram)).count() as u64;
            if is_above(known, count, self.threshold) {
                cut.extend_from_slice(&number.to_le_bytes());
            } else {
                paragraph.iter().for_each(|&gram| self.seen.insert(gram, visit));
            }
            (seen, grams, number) = (seen + known, grams + count, number.saturating_add(1));
        }
        let (measured, threshold) = (Some(seen as f64 / grams as f64), Some(self.threshold));
        if is_above(seen, grams, self.threshold) {
            return Some(Match { measured, threshold, ..Match::default() });
        }
        (!cut.is_empty()).then(|| Match { rule: 1, measured, threshold, cut, ..Match::default() })
    }

    fn to_bytes(&self, visits: u32) -> Vec<u8> {
        self.seen.to_bytes(visits)
    }

    fn forget_before(&mut self, visits: u32) {
        self.seen.forget_before(visits);
    }

    fn bytes_in_memory(&self) -> usize {
        self.seen.bytes_in_memory()
    }

    fn false_positives(&self) -> Option<f64> {
        Some(self.seen.false_positive())
    }
}

/// Whether `part` is more than `share` of `whole`; nothing of nothing is not.
fn is_above(part: u64, whole: u64, share: f64) -> bool {
    whole > 0 && part as f64 / whole as f64 > share
}
