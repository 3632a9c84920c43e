//! HTML's character references, read where they are unambiguous: those that end in a semicolon.
//!
//! As ftfy 6.3.1 reads them (`fixes.unescape_html`): HTML's names, names in capitals of characters whose small name is
//! known (`&EACUTE;`), and numbers.

use regex::{Captures, Regex};
use std::{borrow::Cow, sync::LazyLock};

static REFERENCE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("&#?[0-9A-Za-z]{1,24};").ok());

/// Names that HTML reads without a semicolon too, in capitals: what begins with them is ambiguous.
const BARE_CAPITALS: [&str; 8] = ["AMP", "COPY", "ETH", "GT", "LT", "QUOT", "REG", "THORN"];

/// `text` with its references read; borrowed if it has none.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    let Some(reference) = REFERENCE.as_ref().filter(|_| text.contains('&')) else { return Cow::Borrowed(text) };
    let read = |captures: &Captures<'_>| {
        let whole = &captures[0];
        read_reference(whole).unwrap_or_else(|| whole.to_owned())
    };
    reference.replace_all(text, read)
}

/// What one reference, from `&` to `;`, stands for.
fn read_reference(reference: &str) -> Option<String> {
    let name = reference.strip_prefix('&')?.strip_suffix(';')?;
    if let Some(number) = name.strip_prefix('#') {
        return read_number(number);
    }
    named(name).or_else(|| {
        let small = name.to_ascii_lowercase();
        let capitals = name.bytes().any(|byte| byte.is_ascii_uppercase()) && name == name.to_ascii_uppercase();
        let ambiguous = BARE_CAPITALS.iter().any(|bare| name.starts_with(bare));
        (capitals && !ambiguous).then(|| named(&small))?.map(|character| character.to_uppercase())
    })
}

fn named(name: &str) -> Option<String> {
    let at = html_escape::NAMED_ENTITIES.binary_search_by_key(&name.as_bytes(), |&(name, _)| name).ok()?;
    Some(html_escape::NAMED_ENTITIES[at].1.to_owned())
}

fn read_number(number: &str) -> Option<String> {
    let code = match number.strip_prefix(['x', 'X']) {
        Some(digits) => u32::from_str_radix(digits, 16),
        None if number.bytes().all(|byte| byte.is_ascii_digit()) => number.parse(),
        None => return None,
    };
    let Ok(code) = code else {
        // Digits, and too many of them; or no digits at all.
        let digits = number.trim_start_matches(['x', 'X']);
        let number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        return number.then(|| "\u{fffd}".to_owned());
    };
    match code {
        // ftfy takes a semicolon in the outcome for a reference that was read in part only.
        0x3B => None,
        0 => Some("\u{fffd}".to_owned()),
        0x0D => Some("\r".to_owned()),
        0x80..=0x9F => char::from_u32(code).map(|control| super::encodings::windows_1252(control).to_string()),
        // HTML has no such characters.
        0x01..=0x08 | 0x0B | 0x0E..=0x1F | 0x7F | 0xFDD0..=0xFDEF => Some(String::new()),
        _ if code & 0xFFFE == 0xFFFE && code <= 0x10_FFFF => Some(String::new()),
        _ => Some(char::from_u32(code).unwrap_or('\u{fffd}').to_string()),
    }
}
