//! What the word rules and the filters ask of a character, from tables that were taken out of the peers.
//!
//! `characters.txt` has a line for each run of code points with equal answers: first, last (left out if it is the
//! same), and the answers as bits, all in hexadecimal. `loader/data/english.py` writes it from spaCy's and datatrove's
//! own tables and from Python's `str`, at the Unicode version of Python 3.11 (14.0), so that no verdict depends on the
//! Unicode tables of the compiler.

use std::sync::LazyLock;

/// Python's `str.isspace`: also the separators 0x1C to 0x1F and U+00A0, but not U+200B.
pub(super) const SPACE: u32 = 1;
/// spaCy's letters.
pub(super) const ALPHA: u32 = 1 << 1;
/// spaCy's lower-case letters, and those of scripts without case.
pub(super) const LOWER: u32 = 1 << 2;
/// spaCy's upper-case letters, and those of scripts without case.
pub(super) const UPPER: u32 = 1 << 3;
/// spaCy's quotation marks and brackets.
pub(super) const QUOTE: u32 = 1 << 4;
/// A prefix of its own.
pub(super) const PREFIX: u32 = 1 << 5;
/// A suffix of its own.
pub(super) const SUFFIX: u32 = 1 << 6;
/// An infix of its own: the ellipsis and the icons.
pub(super) const INFIX: u32 = 1 << 7;
/// What a final full stop is cut off behind.
pub(super) const BEFORE_STOP: u32 = 1 << 8;
/// A sign of currency, a suffix behind a digit.
pub(super) const CURRENCY: u32 = 1 << 9;
/// Python's `str.isalpha`: the categories L*.
pub(super) const LETTER: u32 = 1 << 10;
/// Python's `\w`.
pub(super) const WORD: u32 = 1 << 11;
/// Python's `\d`: the category Nd.
pub(super) const DIGIT: u32 = 1 << 12;
/// The categories P*.
pub(super) const PUNCTUATION: u32 = 1 << 13;
/// A token that ends a sentence.
pub(super) const SENTENCE_END: u32 = 1 << 14;
/// datatrove's `PUNCTUATION_SET`: a token of nothing else is a symbol.
pub(super) const SYMBOL: u32 = 1 << 15;
/// datatrove's `TERMINAL_PUNCTUATION`: ends of lines.
pub(super) const TERMINAL: u32 = 1 << 16;

const FACTS: &str = include_str!("characters.txt");
/// Code points in a block of the table. Most blocks are equal to another one and stored once.
const BLOCK: usize = 128;

static TABLE: LazyLock<Characters> = LazyLock::new(Characters::read);

/// The table, as two stages: which block a code point lies in, and the flags of each code point of a block.
#[derive(Debug)]
pub(super) struct Characters {
    blocks: Vec<u16>,
    flags: Vec<[u32; BLOCK]>,
    ascii: [u32; BLOCK],
}

impl Characters {
    pub(super) fn table() -> &'static Self {
        &TABLE
    }

    fn read() -> Self {
        let mut all = vec![0_u32; char::MAX as usize + 1];
        for line in FACTS.lines() {
            let mut numbers = line.split(' ').map(|number| usize::from_str_radix(number, 16).unwrap_or(0));
            let (first, last) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
            let (last, flags) = numbers.next().map_or((first, last), |flags| (last, flags));
            if let Some(run) = all.get_mut(first..=last) {
                run.fill(flags as u32);
            }
        }
        let mut flags: Vec<[u32; BLOCK]> = Vec::new();
        let mut known = std::collections::HashMap::new();
        let (chunks, _) = all.as_chunks::<BLOCK>();
        let blocks = chunks.iter().map(|&chunk| {
            *known.entry(chunk).or_insert_with(|| {
                flags.push(chunk);
                (flags.len() - 1) as u16
            })
        });
        let blocks = blocks.collect();
        Self { blocks, ascii: flags[0], flags }
    }

    /// The answers for `character`.
    pub(super) fn of(&self, character: char) -> u32 {
        let point = character as usize;
        self.flags[usize::from(self.blocks[point / BLOCK])][point % BLOCK]
    }

    /// Whether `character` has one of `flags`.
    pub(super) fn is(&self, character: char, flags: u32) -> bool {
        self.of(character) & flags != 0
    }

    /// The answers for an ASCII byte; none for another.
    pub(super) fn of_byte(&self, byte: u8) -> u32 {
        self.ascii.get(usize::from(byte)).copied().unwrap_or(0)
    }
}

/// Python's `str.strip`.
pub(super) fn strip(text: &str) -> &str {
    strip_end(strip_start(text))
}

/// Python's `str.lstrip`.
pub(super) fn strip_start(text: &str) -> &str {
    text.trim_start_matches(is_space)
}

/// Python's `str.rstrip`.
pub(super) fn strip_end(text: &str) -> &str {
    text.trim_end_matches(is_space)
}

/// Python's `str.isspace` of one character.
pub(super) fn is_space(character: char) -> bool {
    // Python's characters of space are Unicode's, and four separators.
    matches!(character, '\u{1c}'..='\u{1f}') || character.is_whitespace()
}

/// Python's `str.split()`: what stands between spaces.
pub(super) fn split(text: &str) -> impl Iterator<Item = &str> + Clone {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// The length of a text in code points.
pub(super) fn length(text: &str) -> usize {
    // A vector loop; `chars().count()` is one too, but slow to start on the many short texts.
    if text.len() < 32 { text.bytes().filter(|byte| (*byte as i8) >= -0x40).count() } else { text.chars().count() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_those_of_the_peers() {
        let table = Characters::table();
        let count = |flag| (0..=char::MAX as u32).filter_map(char::from_u32).filter(|&c| table.is(c, flag)).count();
        assert_eq!(count(SPACE), 29);
        assert_eq!(count(TERMINAL), 159);
        assert_eq!(count(SYMBOL), 281);
        assert_eq!(count(SENTENCE_END), 128);
        assert!(table.is('\u{ff11}', SYMBOL), "a full-width digit one, the peer's slip");
        assert!(!table.is('\t', SYMBOL) && !table.is('\n', SYMBOL) && table.is('\u{85}', SYMBOL));
        assert!(
            table.is('a', ALPHA | LOWER) && !table.is('a', UPPER) && table.is('漢', LOWER) && table.is('漢', UPPER)
        );
    }

    #[test]
    fn space_is_what_python_takes_for_space() {
        let table = Characters::table();
        for character in (0..=char::MAX as u32).filter_map(char::from_u32) {
            assert_eq!(is_space(character), table.is(character, SPACE), "{character:?}");
        }
        assert_eq!(strip("\u{1f}\u{a0}\u{3000} a\u{200b} \r\n"), "a\u{200b}");
    }

    #[test]
    fn length_counts_code_points() {
        for text in ["", "a", "naïve", "漢字かな", "🎉", &"é".repeat(100)] {
            assert_eq!(length(text), text.chars().count());
        }
    }
}
