//! Text that was written in UTF-8 and read in another encoding, and the way back.
//!
//! The logic is that of ftfy 6.3.1 (Robyn Speer, Apache-2.0), `fix_encoding`: while text looks bad, it is written in
//! each single-byte encoding that has all its characters and read as UTF-8 again, with allowances for bytes that were
//! lost on the way; then single sequences are tried; last, control characters of Latin-1 are read as Windows-1252.

use super::{
    badness::is_bad,
    encodings::{ENCODINGS, Kind, decode, windows_1252},
    tables::{UTF8_CONTINUATION, UTF8_CONTINUATION_STRICT, UTF8_FIRST_OF_2, UTF8_FIRST_OF_3, UTF8_FIRST_OF_4},
};
use regex::bytes::Regex;
use std::sync::LazyLock;

/// A round takes away a layer of mojibake, and a layer at least doubles what it lies on, so that text has fewer layers
/// than its length has bits.
const MOST_ROUNDS: usize = 32;

/// UTF-8 in which byte 0xA0 became a space.
static ALTERED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?-u)[\xc2\xc3\xc5\xce\xd0\xd9] |[\xe2\xe3] [\x80-\x84\x86-\x9f\xa1-\xbf]",
        r"|[\xe0-\xe3][\x80-\x84\x86-\x9f\xa1-\xbf] |\xf0 [\x80-\xbf][\x80-\xbf]",
        r"|\xf0[\x80-\xbf] [\x80-\xbf]|\xf0[\x80-\xbf][\x80-\xbf] ",
    ))
    .ok()
});

/// UTF-8 and CESU-8 in which later bytes were lost: 0x1A stands for U+FFFD, and a question mark for one of them.
static LOSSY: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?-u)[\xc2-\xdf]\x1a|[\xc2-\xc3]\?",
        r"|\xed[\xa0-\xaf][\x1a?]\xed[\xb0-\xbf][\x1a?\x80-\xbf]",
        r"|\xed[\xa0-\xaf][\x1a?\x80-\xbf]\xed[\xb0-\xbf][\x1a?]",
        r"|[\xe0-\xef][\x1a?][\x1a\x80-\xbf]|[\xe0-\xef][\x1a\x80-\xbf][\x1a?]",
        r"|[\xf0-\xf4][\x1a?][\x1a\x80-\xbf][\x1a\x80-\xbf]",
        r"|[\xf0-\xf4][\x1a\x80-\xbf][\x1a?][\x1a\x80-\xbf]",
        r"|[\xf0-\xf4][\x1a\x80-\xbf][\x1a\x80-\xbf][\x1a?]|\x1a",
    ))
    .ok()
});

/// The text that `text` was meant to be; `None` if that is itself.
pub(super) fn repair_encoding(text: &str) -> Option<String> {
    let mut repaired = step(text)?;
    for _ in 1..MOST_ROUNDS {
        match step(&repaired) {
            Some(next) => repaired = next,
            None => break,
        }
    }
    Some(repaired)
}

/// One round; `None` if it changes nothing.
fn step(text: &str) -> Option<String> {
    if !is_bad(text) {
        return None;
    }
    let mut latin_1 = None;
    for encoding in ENCODINGS.iter() {
        let Some(mut bytes) = encoding.encode(text) else { continue };
        if encoding.kind() == Kind::Latin1 {
            latin_1 = Some(bytes.clone());
        }
        // In MacRoman that would be an en dash before a space.
        if encoding.kind() != Kind::MacRoman {
            bytes = restore_a0(bytes);
        }
        if encoding.kind() == Kind::Sloppy
            && let Some(lossy) = LOSSY.as_ref()
        {
            bytes = lossy.replace_all(&bytes, "\u{fffd}".as_bytes()).into_owned();
        }
        if let Some(decoded) = decode(bytes) {
            return (decoded != text).then_some(decoded);
        }
    }
    if let Some(repaired) = repair_sequences(text) {
        return Some(repaired);
    }
    if let Some(bytes) = latin_1
        && let Some(decoded) = decode_windows_1252(&bytes)
        && decoded != text
    {
        return Some(decoded);
    }
    read_controls(text)
}

/// Puts 0xA0 back where it became a space, if the bytes would then be UTF-8.
fn restore_a0(bytes: Vec<u8>) -> Vec<u8> {
    let Some(altered) = ALTERED.as_ref().filter(|altered| altered.is_match(&bytes)) else { return bytes };
    // `Ã ` is most often the whole word `à`, whose two spaces became one; except in these Portuguese words.
    const WITHIN_WORDS: [&[u8]; 5] = [b" ", b"quele", b"quela", b"quilo", b"s "];
    let mut restored = Vec::with_capacity(bytes.len() + 8);
    let mut rest = bytes.as_slice();
    while let Some((&first, tail)) = rest.split_first() {
        match rest {
            [0xC3, b' ', behind @ ..] if !WITHIN_WORDS.iter().any(|word| behind.starts_with(word)) => {
                restored.extend_from_slice(b"\xc3\xa0 ");
                rest = behind;
            }
            _ => {
                restored.push(first);
                rest = tail;
            }
        }
    }
    let with_a0 = |captures: &regex::bytes::Captures<'_>| -> Vec<u8> {
        captures[0].iter().map(|&byte| if byte == b' ' { 0xA0 } else { byte }).collect()
    };
    altered.replace_all(&restored, with_a0).into_owned()
}

/// Windows-1252 read strictly.
fn decode_windows_1252(bytes: &[u8]) -> Option<String> {
    let decode = |&byte: &u8| match byte {
        0x81 | 0x8D | 0x8F | 0x90 | 0x9D => None,
        0x80..=0x9F => Some(windows_1252(char::from(byte))),
        _ => Some(char::from(byte)),
    };
    bytes.iter().map(decode).collect()
}

/// Control characters of Latin-1's upper half, read as Windows-1252 as browsers do; `None` if that changes nothing.
pub(super) fn read_controls(text: &str) -> Option<String> {
    let meant = |character: char| match character {
        '\u{80}'..='\u{9f}' => windows_1252(character),
        _ => character,
    };
    text.contains(|character| meant(character) != character).then(|| text.chars().map(meant).collect())
}

/// Repairs sequences that look like UTF-8 each for itself, within text that as a whole is of no one encoding.
fn repair_sequences(text: &str) -> Option<String> {
    let mut repaired = String::new();
    let mut copied = 0;
    let mut before = None;
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let end = match before {
            // So that a few characters of a longer garble are not repaired by themselves.
            Some(before) if is_continuation(before, UTF8_CONTINUATION_STRICT) => at,
            _ => sequences_end(text, at),
        };
        if end == at {
            before = Some(first);
            at += first.len_utf8();
            continue;
        }
        let found = &text[at..end];
        // What is repaired is shorter than the text, so this comes to an end.
        if found.len() < text.len()
            && is_bad(found)
            && let Some(better) = repair_encoding(found)
        {
            repaired.push_str(&text[copied..at]);
            repaired.push_str(&better);
            copied = end;
        }
        before = found.chars().next_back();
        at = end;
    }
    (copied > 0).then(|| {
        repaired.push_str(&text[copied..]);
        repaired
    })
}

/// Where the sequences of UTF-8's bytes end that begin at `at`, as far as they follow one another.
fn sequences_end(text: &str, mut at: usize) -> usize {
    loop {
        let mut characters = text[at..].chars();
        let Some(first) = characters.next() else { return at };
        let later = if contains(UTF8_FIRST_OF_2, first) {
            1
        } else if contains(UTF8_FIRST_OF_3, first) {
            2
        } else if contains(UTF8_FIRST_OF_4, first) {
            3
        } else {
            return at;
        };
        let mut end = at + first.len_utf8();
        for _ in 0..later {
            match characters.next() {
                Some(next) if is_continuation(next, UTF8_CONTINUATION) => end += next.len_utf8(),
                _ => return at,
            }
        }
        at = end;
    }
}

fn is_continuation(character: char, others: &str) -> bool {
    matches!(character, '\u{80}'..='\u{bf}') || contains(others, character)
}

fn contains(set: &str, character: char) -> bool {
    // Most text is ASCII, and of ASCII only a space is in any set.
    (!character.is_ascii() || character == ' ') && set.contains(character)
}
