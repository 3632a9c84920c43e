//! C4's line and page rules (Raffel et al. 2020, section 2.2) as datatrove applies them: a rewrite that leaves lines
//! out, and three rules on the page.

use super::{
    characters::{Characters, DIGIT, split, strip},
    filter::{Filter, Row, on_column},
    lines::{count_sentences, cut_sentences, lines},
    words::{self, Word},
};
use crate::clean::{
    Rule,
    spec::{Built, Settings},
};
use aho_corasick::{AhoCorasick, AhoCorasickBuilder};
use serde::Deserialize;
use std::{borrow::Cow, sync::LazyLock};

pub(in crate::clean) const NAME: &str = "c4";

/// Which rules there are, which are the operator's options.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Rules {
    /// Whether lines are judged, or else sentences.
    pub(super) split_paragraph: bool,
    pub(super) remove_citations: bool,
    pub(super) filter_no_terminal_punct: bool,
    /// The fewest sentences of a page; -1 for any number.
    pub(super) min_num_sentences: i64,
    /// The fewest words of a line; -1 for any number.
    pub(super) min_words_per_line: i64,
    /// The longest word of a line, in code points; -1 for any length.
    pub(super) max_word_length: i64,
    pub(super) filter_lorem_ipsum: bool,
    pub(super) filter_javascript: bool,
    pub(super) filter_curly_bracket: bool,
    pub(super) filter_policy: bool,
    /// The fewest lines of a page as it came, of at least `min_paragraph_len` code points, of at most three: mC4's
    /// rule, which has 3; 0 for any number.
    pub(super) min_paragraphs: usize,
    pub(super) min_paragraph_len: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            split_paragraph: true,
            remove_citations: true,
            filter_no_terminal_punct: true,
            min_num_sentences: 5,
            min_words_per_line: 3,
            max_word_length: 1000,
            filter_lorem_ipsum: true,
            filter_javascript: true,
            filter_curly_bracket: true,
            filter_policy: true,
            min_paragraphs: 0,
            min_paragraph_len: 200,
        }
    }
}

/// What the rules make of a page.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Page {
    /// It holds "lorem ipsum", in a line that the rules before had let pass.
    LoremIpsum,
    /// It holds "{", likewise.
    CurlyBracket,
    /// What is left, and its sentences. Without a change the text is `None`.
    Lines(Option<String>, usize),
}

/// Lines that were left out, by the rule.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Left {
    pub(super) all: usize,
    pub(super) long_word: usize,
    pub(super) no_end: usize,
    pub(super) few_words: usize,
    pub(super) javascript: usize,
    pub(super) policy: usize,
}

impl Left {
    pub(super) fn sum(self) -> usize {
        self.long_word + self.no_end + self.few_words + self.javascript + self.policy
    }
}

/// What is looked for in a line, whatever its case; the first two are on their own, the rest are policies.
const PHRASES: [&str; 8] = [
    "lorem ipsum",
    "javascript",
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
];

static FINDER: LazyLock<Option<AhoCorasick>> =
    LazyLock::new(|| AhoCorasickBuilder::new().ascii_case_insensitive(true).build(PHRASES).ok());

/// What a line that was not left out has.
enum Kept {
    Left,
    LoremIpsum,
    CurlyBracket,
    Line,
}

impl Rules {
    /// Judges a page whose words are `words`.
    pub(super) fn judge(&self, text: &str, words: &[Word], left: &mut Left) -> Page {
        let mut kept = String::new();
        let mut number = 0;
        let mut sentences = 0;
        let mut rest = words;
        let mut cut = Vec::new();
        let mut doc: Option<Page> = None;
        let mut one = |piece: &str, at: usize| {
            if doc.is_some() {
                return;
            }
            let stripped = strip(piece);
            let start = at + (stripped.as_ptr().addr() - piece.as_ptr().addr());
            let end = start + stripped.len();
            let of_line = if self.split_paragraph {
                // The words of a line are a stretch of those of the page, since no word spans a break.
                let before = rest.partition_point(|word| (word.start as usize) < start);
                let until = before + rest[before..].partition_point(|word| (word.start as usize) < end);
                let of_line = &rest[before..until];
                rest = &rest[until..];
                of_line
            } else {
                &[]
            };
            let (line, fate) = self.line(stripped, left);
            match fate {
                Kept::Left => return,
                Kept::LoremIpsum => return doc = Some(Page::LoremIpsum),
                Kept::CurlyBracket => return doc = Some(Page::CurlyBracket),
                Kept::Line => {}
            }
            if self.min_num_sentences != -1 {
                sentences += match &line {
                    _ if !self.split_paragraph => 1,
                    Cow::Borrowed(line) => count_sentences(line, of_line, start),
                    Cow::Owned(line) => {
                        cut.clear();
                        words::words(line, &mut cut);
                        count_sentences(line, &cut, 0)
                    }
                };
            }
            if number > 0 {
                kept.push(if self.split_paragraph { '\n' } else { ' ' });
            } else {
                kept.reserve(text.len());
            }
            number += 1;
            kept.push_str(&line);
        };
        let offset = |piece: &str| piece.as_ptr().addr() - text.as_ptr().addr();
        if self.split_paragraph {
            for line in lines(text) {
                one(line, offset(line));
            }
        } else {
            let mut ends = Vec::new();
            cut_sentences(text, words, 0, |end| ends.push(end));
            // What follows the last token belongs to the last sentence, what follows another's to the next one.
            ends.pop();
            ends.push(text.len());
            let mut from = 0;
            for end in ends {
                one(&text[from..end], from);
                from = end;
            }
        }
        doc.unwrap_or_else(|| {
            let kept = if strip(&kept).len() == kept.len() { kept } else { strip(&kept).to_owned() };
            Page::Lines((kept != text).then_some(kept), sentences)
        })
    }

    /// What becomes of a line, which is stripped; and the line without its citations.
    fn line<'t>(&self, line: &'t str, left: &mut Left) -> (Cow<'t, str>, Kept) {
        left.all += 1;
        let most = usize::try_from(self.max_word_length).ok();
        let (words, longest) = word_lengths(line, most);
        if most.is_some_and(|most| longest > most) {
            left.long_word += 1;
            return (Cow::Borrowed(line), Kept::Left);
        }
        let line = if self.remove_citations { without_citations(line) } else { Cow::Borrowed(line) };
        if self.filter_no_terminal_punct && (!line.ends_with(['.', '?', '!', '"', '\'']) || line.ends_with("...")) {
            left.no_end += 1;
            return (line, Kept::Left);
        }
        if (words as i64) < self.min_words_per_line {
            left.few_words += 1;
            return (line, Kept::Left);
        }
        let found = found_in(&line);
        let fate = if self.filter_lorem_ipsum && found & 1 != 0 {
            Kept::LoremIpsum
        } else if self.filter_javascript && found & 2 != 0 {
            left.javascript += 1;
            Kept::Left
        } else if self.filter_curly_bracket && line.contains('{') {
            Kept::CurlyBracket
        } else if self.filter_policy && found & !3 != 0 {
            left.policy += 1;
            Kept::Left
        } else {
            Kept::Line
        };
        (line, fate)
    }
}

/// The phrases in a line, as bits.
fn found_in(line: &str) -> u32 {
    // The characters outside ASCII whose lower case is, or begins with, an ASCII letter.
    let lowered = if line.is_ascii() || !line.contains(['\u{130}', '\u{212a}']) {
        Cow::Borrowed(line)
    } else {
        Cow::Owned(line.to_lowercase())
    };
    let Some(finder) = FINDER.as_ref() else { return 0 };
    // No phrase of one kind begins within one of another kind, so matches without overlap find every kind.
    finder.find_iter(lowered.as_ref()).fold(0, |found, phrase| found | 1 << phrase.pattern().as_u32())
}

/// How many words a line has between its spaces, and the length of the longest in code points, where it matters.
fn word_lengths(line: &str, most: Option<usize>) -> (usize, usize) {
    let (mut words, mut longest) = (0, 0);
    // No word is longer in code points than in bytes.
    let may_be_long = most.is_some_and(|most| line.len() > most);
    if may_be_long || !line.is_ascii() {
        for word in split(line) {
            words += 1;
            if may_be_long && word.len() > longest {
                longest = longest.max(word.chars().count());
            }
        }
    } else {
        let mut in_space = true;
        for byte in line.bytes() {
            let space = matches!(byte, b' ' | 9..=13 | 28..=31);
            words += usize::from(in_space && !space);
            in_space = space;
        }
    }
    (words, longest)
}

/// The line without "[12]", "[]", "[edit]" and "[citation needed]".
pub(super) fn without_citations(line: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut from = 0;
    let mut at = 0;
    while let Some(bracket) = memchr::memchr(b'[', &line.as_bytes()[at..]) {
        let start = at + bracket;
        let inside = &line[start + 1..];
        let end = ["edit]", "citation needed]"].iter().find(|name| inside.starts_with(**name)).map(|name| name.len());
        let end = end.or_else(|| {
            let digits = inside.find(|c| !Characters::table().is(c, DIGIT))?;
            inside[digits..].starts_with(']').then_some(digits + 1)
        });
        at = start + 1;
        if let Some(end) = end {
            out.push_str(&line[from..start]);
            at += end;
            from = at;
        }
    }
    if from == 0 {
        return Cow::Borrowed(line);
    }
    out.push_str(&line[from..]);
    Cow::Owned(out)
}

/// The three longest lines between line feeds, in code points, and the number of lines (mC4, Xue et al. 2021).
pub(super) fn longest_lines(text: &str) -> ([usize; 3], usize) {
    let mut longest = [0; 3];
    let mut lines = 0;
    for line in text.split('\n') {
        lines += 1;
        let length = super::characters::length(line);
        if length > longest[2] {
            longest[2] = length;
            longest.sort_unstable_by(|a, b| b.cmp(a));
        }
    }
    (longest, lines)
}

pub(in crate::clean) fn build(settings: Settings<'_>) -> Result<Built, String> {
    let rules: Rules = settings.read()?;
    rules.check()?;
    on_column(settings, rules)
}

impl Rules {
    /// Refuses numbers that mean nothing.
    pub(super) fn check(&self) -> Result<(), String> {
        for (name, value) in [
            ("min_num_sentences", self.min_num_sentences),
            ("min_words_per_line", self.min_words_per_line),
            ("max_word_length", self.max_word_length),
        ] {
            if value < -1 {
                return Err(format!("`{name}` = {value}: give a number of at least 0, or -1 to switch the rule off"));
            }
        }
        if self.min_paragraphs > 3 {
            return Err(format!("`min_paragraphs` = {}: give 0 to 3", self.min_paragraphs));
        }
        Ok(())
    }
}

impl Filter for Rules {
    const NAME: &'static str = NAME;
    const READS_WORDS: bool = true;
    const REWRITES: bool = true;
    type Scratch = ();

    fn options(&self) -> String {
        format!("{self:?}")
    }

    fn rules(&self) -> Vec<Rule> {
        vec![
            Rule::at_least(format!("< {} paragraphs", self.min_paragraphs)),
            Rule::plain("lorem_ipsum"),
            Rule::plain("curly_bracket"),
            Rule::at_least("too_few_sentences"),
            Rule::note("lines_left_out"),
        ]
    }

    fn judge(&self, text: &str, words: &[Word], (): &mut (), row: &mut Row<'_>) {
        if self.min_paragraphs > 0 {
            let (longest, lines) = longest_lines(text);
            let nth = longest[self.min_paragraphs.min(3) - 1];
            let measured = if lines < self.min_paragraphs { 0 } else { nth };
            row.hold(0, measured as f64, self.min_paragraph_len as f64);
        }
        let mut left = Left::default();
        match self.judge(text, words, &mut left) {
            Page::LoremIpsum => row.add(1),
            Page::CurlyBracket => row.add(2),
            Page::Lines(kept, sentences) => {
                if self.min_num_sentences != -1 {
                    row.hold(3, sentences as f64, self.min_num_sentences as f64);
                }
                let too_few = (sentences as i64) < self.min_num_sentences;
                if left.sum() > 0 {
                    row.measured(4, left.sum() as f64 / left.all as f64, None);
                }
                // A page that is refused is left as it came.
                if let Some(kept) = kept.filter(|_| !too_few) {
                    row.rewrite(kept);
                }
            }
        }
    }
}
