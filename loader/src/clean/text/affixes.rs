//! spaCy's English prefixes, suffixes and infixes: its three regular expressions, matched by hand in linear time.
//!
//! spaCy joins the alternatives and searches: a prefix is the first alternative that matches, a suffix the longest
//! one (the search begins at the left), infixes are found from left to right without overlap.

use super::characters::{ALPHA, BEFORE_STOP, CURRENCY, Characters, INFIX, LOWER, PREFIX, QUOTE, SUFFIX, UPPER};

/// Units that are cut off behind a digit. One has its neighbour's name glued on, as in spaCy's list.
const UNITS: &[&str] = &[
    "km",
    "km²",
    "km³",
    "m",
    "m²",
    "m³",
    "dm",
    "dm²",
    "dm³",
    "cm",
    "cm²",
    "cm³",
    "mm",
    "mm²",
    "mm³",
    "ha",
    "µm",
    "nm",
    "yd",
    "in",
    "ft",
    "kg",
    "g",
    "mg",
    "µg",
    "t",
    "lb",
    "oz",
    "m/s",
    "km/h",
    "kmh",
    "mph",
    "hPa",
    "Pa",
    "mbar",
    "mb",
    "MB",
    "kb",
    "KB",
    "gb",
    "GB",
    "tb",
    "TB",
    "T",
    "G",
    "M",
    "K",
    "%",
    "км",
    "км²",
    "км³",
    "м",
    "м²",
    "м³",
    "дм",
    "дм²",
    "дм³",
    "см",
    "см²",
    "см³",
    "мм",
    "мм²",
    "мм³",
    "нм",
    "кг",
    "г",
    "мг",
    "м/с",
    "км/ч",
    "кПа",
    "Па",
    "мбар",
    "Кб",
    "КБ",
    "кб",
    "Мб",
    "МБ",
    "мб",
    "Гб",
    "ГБ",
    "гб",
    "Тб",
    "ТБ",
    "тбكم",
    "كم²",
    "كم³",
    "م",
    "م²",
    "م³",
    "سم",
    "سم²",
    "سم³",
    "مم",
    "مم²",
    "مم³",
    "كم",
    "غرام",
    "جرام",
    "جم",
    "كغ",
    "ملغ",
    "كوب",
    "اكواب",
];
/// The longest unit, in characters.
const LONGEST_UNIT: usize = 5;

/// The length in bytes of the prefix that `text` begins with; 0 without one.
pub(super) fn prefix(table: &Characters, text: &str) -> usize {
    let mut rest = text.chars();
    match rest.next() {
        None => 0,
        Some('+') => usize::from(!rest.next().is_some_and(|next| next.is_ascii_digit())),
        Some('.') => {
            let dots = text.bytes().take_while(|&byte| byte == b'.').count();
            if dots > 1 { dots } else { 0 }
        }
        Some('U') if text.starts_with("US$") => 3,
        Some('C' | 'A') if rest.next() == Some('$') => 2,
        Some(first) if table.is(first, PREFIX) => first.len_utf8(),
        Some(_) => 0,
    }
}

/// The length in bytes of the suffix that `text` ends with; 0 without one.
pub(super) fn suffix(table: &Characters, text: &str) -> usize {
    let mut before = text.chars().rev();
    let Some(last) = before.next() else { return 0 };
    let flags = table.of(last);
    let width = last.len_utf8();
    match (last, before.next()) {
        ('…', Some('…')) => return 2 * width,
        ('.', Some('.')) => return text.bytes().rev().take_while(|&byte| byte == b'.').count(),
        ('.', Some(one)) => {
            let one_flags = table.of(one);
            let two = before.next();
            let cut = one_flags & BEFORE_STOP != 0
                || matches!(one, 'F' | 'f' | 'C' | 'c' | 'K' | 'k') && two == Some('°')
                || one_flags & UPPER != 0 && two.is_some_and(|two| table.is(two, UPPER));
            return usize::from(cut);
        }
        ('s' | 'S', Some(apostrophe @ ('\'' | '’'))) => return width + apostrophe.len_utf8(),
        ('+', Some('0'..='9')) => return 1,
        ('$', Some(one)) => {
            let two = before.next();
            return match (one, two) {
                ('0'..='9', _) => 1,
                ('C' | 'A', Some('0'..='9')) => 2,
                ('S', Some('U')) if before.next().is_some_and(|digit| digit.is_ascii_digit()) => 3,
                _ => 0,
            };
        }
        (_, Some('0'..='9')) if flags & CURRENCY != 0 => return width,
        _ => {}
    }
    if flags & SUFFIX != 0 {
        return width;
    }
    // A unit has no digit in it, so the last digit tells where it would begin.
    let mut length = 0;
    for character in text.chars().rev().take(LONGEST_UNIT + 1) {
        if character.is_ascii_digit() {
            let unit = &text[text.len() - length..];
            return if UNITS.contains(&unit) { length } else { 0 };
        }
        length += character.len_utf8();
    }
    0
}

/// Calls `found` with the byte range of every infix of `text`, from left to right.
pub(super) fn infixes(table: &Characters, text: &str, mut found: impl FnMut(usize, usize)) {
    let starts = |at: usize, flags: u32| text[at..].chars().next().is_some_and(|next| table.is(next, flags));
    let mut before = 0;
    let mut digit_before = false;
    let mut at = 0;
    while let Some(character) = text[at..].chars().next() {
        let flags = table.of(character);
        let next = at + character.len_utf8();
        let end = match character {
            '.' if text[next..].starts_with('.') => at + text[at..].bytes().take_while(|&byte| byte == b'.').count(),
            _ if flags & INFIX != 0 => next,
            '+' | '-' | '*' | '^'
                if digit_before && text[next..].starts_with(|c: char| c.is_ascii_digit() || c == '-') =>
            {
                next
            }
            '.' if before & (LOWER | QUOTE) != 0 && starts(next, UPPER | QUOTE) => next,
            ',' if before & ALPHA != 0 && starts(next, ALPHA) => next,
            '-' | '–' | '—' | '~' if before & ALPHA != 0 || digit_before => {
                let longest = match character {
                    '-' => 3,
                    '—' => 2,
                    _ => 1,
                };
                let run = text[at..].chars().take(longest).take_while(|&c| c == character).count();
                // The alternatives stand from short to long, and only what stands before a letter matches.
                let end = at + run * character.len_utf8();
                if starts(end, ALPHA) { end } else { at }
            }
            ':' | '<' | '>' | '=' | '/' if (before & ALPHA != 0 || digit_before) && starts(next, ALPHA) => next,
            _ => at,
        };
        if end > at {
            found(at, end);
        }
        let last = text[..end.max(next)].chars().next_back();
        before = last.map_or(0, |last| table.of(last));
        digit_before = last.is_some_and(|last| last.is_ascii_digit());
        at = end.max(next);
    }
}
