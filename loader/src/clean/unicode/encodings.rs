//! Single-byte encodings that text is mistaken for, and UTF-8 with the liberties that some writers take.
//!
//! It only converts; whether a conversion makes sense is asked elsewhere.

use super::tables;
use std::sync::LazyLock;

/// What stands for U+FFFD in an encoding that is read sloppily: SUBSTITUTE, which once was meant for much the same.
const SUBSTITUTE: u8 = 0x1A;

/// A single-byte encoding.
pub(super) struct Encoding {
    kind: Kind,
    /// The characters of bytes 0x80 to 0xFF with their bytes, by character.
    bytes: Vec<(char, u8)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Latin1,
    /// Bytes that the encoding leaves open are read as in Latin-1, and U+FFFD is written as [`SUBSTITUTE`].
    Sloppy,
    MacRoman,
    Other,
}

/// Those that are tried, in ftfy's order.
pub(super) static ENCODINGS: LazyLock<Vec<Encoding>> = LazyLock::new(|| {
    let latin_1: String = ('\u{80}'..='\u{ff}').collect();
    let encoding = |kind, characters: &str| {
        let mut bytes: Vec<(char, u8)> = characters.chars().zip(0x80..=0xFF).collect();
        bytes.sort_unstable();
        Encoding { kind, bytes }
    };
    vec![
        encoding(Kind::Latin1, &latin_1),
        encoding(Kind::Sloppy, tables::WINDOWS_1252),
        encoding(Kind::Sloppy, tables::WINDOWS_1251),
        encoding(Kind::Sloppy, tables::WINDOWS_1250),
        encoding(Kind::Sloppy, tables::WINDOWS_1253),
        encoding(Kind::Sloppy, tables::WINDOWS_1254),
        encoding(Kind::Sloppy, tables::WINDOWS_1257),
        encoding(Kind::Other, tables::ISO_8859_2),
        encoding(Kind::MacRoman, tables::MAC_ROMAN),
        encoding(Kind::Other, tables::CODE_PAGE_437),
    ]
});

impl Encoding {
    pub(super) const fn kind(&self) -> Kind {
        self.kind
    }

    /// The bytes that `text` would be in this encoding; `None` where one of its characters has none.
    pub(super) fn encode(&self, text: &str) -> Option<Vec<u8>> {
        let byte = |character: char| match character {
            '\u{1a}' if self.kind == Kind::Sloppy => None,
            '\0'..='\u{7f}' => Some(character as u8),
            '\u{fffd}' if self.kind == Kind::Sloppy => Some(SUBSTITUTE),
            _ => {
                let at = self.bytes.binary_search_by_key(&character, |&(character, _)| character).ok()?;
                Some(self.bytes[at].1)
            }
        };
        text.chars().map(byte).collect()
    }
}

/// The character that a control character of Latin-1's upper half is in Windows-1252; itself where that has none.
pub(super) fn windows_1252(control: char) -> char {
    static TABLE: LazyLock<Vec<char>> = LazyLock::new(|| tables::WINDOWS_1252.chars().take(32).collect());
    let at = (control as usize).checked_sub(0x80);
    at.and_then(|at| TABLE.get(at)).copied().unwrap_or(control)
}

/// Reads UTF-8.
pub(super) fn decode(bytes: Vec<u8>) -> Option<String> {
    // Only these two bytes begin what the variants add.
    if bytes.iter().any(|byte| matches!(byte, 0xED | 0xC0)) {
        return decode_variants(&bytes);
    }
    String::from_utf8(bytes).ok()
}

/// Reads UTF-8 in which a character above U+FFFF may be written as two surrogates of three bytes (CESU-8), and U+0000
/// as 0xC0 0x80 (Java).
fn decode_variants(bytes: &[u8]) -> Option<String> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        rest = match *rest {
            [0xC0, 0x80, ref tail @ ..] => {
                plain.push(0);
                tail
            }
            [0xED, a @ 0xA0..=0xAF, b @ 0x80..=0xBF, 0xED, c @ 0xB0..=0xBF, d @ 0x80..=0xBF, ref tail @ ..] => {
                let bits = |byte: u8, mask: u8, shift: u32| u32::from(byte & mask) << shift;
                let code = bits(a, 0x0F, 16) + bits(b, 0x3F, 10) + bits(c, 0x0F, 6) + bits(d, 0x3F, 0) + 0x1_0000;
                let character = char::from_u32(code)?;
                plain.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                tail
            }
            _ => {
                plain.push(first);
                tail
            }
        };
    }
    String::from_utf8(plain).ok()
}
