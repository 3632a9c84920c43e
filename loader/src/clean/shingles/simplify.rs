//! datatrove's `simplify_text` with its defaults: what two texts must agree in to be called alike.
//!
//! In order: lower case; each number, in any script and with at most one decimal separator in it, becomes `0`; each
//! punctuation mark becomes a space; runs of white space become one space; NFD, of which category Mn is left out; the
//! ends are stripped. All in one walk, where ASCII needs no table. It knows nothing of tokens.

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// datatrove's `PUNCTUATION` beyond ASCII and the control characters, sorted. The full-width digit one in it is a slip
/// of theirs, and decides all the same.
const PUNCTUATION: [char; 34] = [
    '\u{ab}', '\u{b4}', '\u{bb}', '\u{2013}', '\u{2014}', '\u{2019}', '\u{201c}', '\u{201d}', '\u{201e}', '\u{2026}',
    '\u{2236}', '\u{2501}', '\u{25ba}', '\u{3001}', '\u{3002}', '\u{3008}', '\u{3009}', '\u{300a}', '\u{300b}',
    '\u{300c}', '\u{300d}', '\u{3010}', '\u{3011}', '\u{ff01}', '\u{ff05}', '\u{ff08}', '\u{ff09}', '\u{ff0c}',
    '\u{ff0e}', '\u{ff11}', '\u{ff1a}', '\u{ff1b}', '\u{ff1f}', '\u{ff5e}',
];

/// What may stand once between the digits of one number, beside `.` and `,`: the Arabic comma and decimal separator,
/// and three signs of APL.
const SEPARATORS: [char; 5] = ['\u{60c}', '\u{66b}', '\u{2396}', '\u{2397}', '\u{2398}'];

/// Writes `text`, simplified, to `out` in place of what it holds. `lower` is room to work in, kept between calls.
pub(super) fn simplify(text: &str, lower: &mut String, out: &mut String) {
    out.clear();
    let text = if text.is_ascii() {
        text
    } else {
        // As a whole, because a sigma's form hangs on the letters around it.
        *lower = text.to_lowercase();
        lower.as_str()
    };
    out.reserve(text.len());
    let bytes = text.as_bytes();
    let (mut at, mut space) = (0, false);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {
                push_space(out, &mut space);
                let length = bytes[at..].iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
                let start = out.len();
                out.push_str(&text[at..at + length]);
                out[start..].make_ascii_lowercase();
                at += length;
            }
            b'0'..=b'9' => {
                push_space(out, &mut space);
                out.push('0');
                at = end_of_number(text, at);
            }
            0..0x80 => {
                space = true;
                at += 1;
            }
            _ => {
                let end = bytes[at..].iter().position(u8::is_ascii).map_or(bytes.len(), |length| at + length);
                at = beyond_ascii(text, at..end, out, &mut space);
            }
        }
    }
    // What NFD left at the ends may be white space that was none before.
    let kept = out.trim_end().len();
    out.truncate(kept);
    let start = out.len() - out.trim_start().len();
    out.drain(..start);
}

/// One space for all that stood between two characters that are none; none at the beginning.
fn push_space(out: &mut String, space: &mut bool) {
    if *space && !out.is_empty() {
        out.push(' ');
    }
    *space = false;
}

/// A run of characters beyond ASCII; where the next part of the text begins. ASCII neither composes nor reorders, so
/// the run may be decomposed by itself.
fn beyond_ascii(text: &str, range: std::ops::Range<usize>, out: &mut String, space: &mut bool) -> usize {
    let mut at = range.start;
    while at < range.end {
        let rest = &text[at..range.end];
        let plain = rest.char_indices().find(|&(_, c)| !is_plain(c)).map_or(rest.len(), |(length, _)| length);
        if plain > 0 {
            push_space(out, space);
            let kept = |c: &char| c.general_category() != GeneralCategory::NonspacingMark;
            out.extend(rest[..plain].nfd().filter(kept));
            at += plain;
            continue;
        }
        let Some(c) = rest.chars().next() else { break };
        if is_digit(c) {
            push_space(out, space);
            out.push('0');
            // It may end in ASCII, beyond this run.
            at = end_of_number(text, at);
        } else {
            *space = true;
            at += c.len_utf8();
        }
    }
    at
}

/// Whether a character beyond ASCII is neither a digit, nor punctuation, nor white space.
fn is_plain(c: char) -> bool {
    !is_digit(c) && !is_punctuation(c) && !c.is_whitespace()
}

fn is_punctuation(c: char) -> bool {
    c <= '\u{9f}' || PUNCTUATION.binary_search(&c).is_ok()
}

fn is_digit(c: char) -> bool {
    // No digit beyond ASCII lies below the Arabic ones, and Latin letters are most of what comes here.
    c.is_ascii_digit() || c >= '\u{660}' && c.general_category() == GeneralCategory::DecimalNumber
}

/// Where the number that begins at `at` ends: digits, and once a separator with more digits behind it.
fn end_of_number(text: &str, at: usize) -> usize {
    let digits =
        |at: usize| text[at..].char_indices().find(|&(_, c)| !is_digit(c)).map_or(text.len(), |(end, _)| at + end);
    let end = digits(at);
    match text[end..].chars().next() {
        Some(c) if matches!(c, '.' | ',') || SEPARATORS.contains(&c) => {
            let behind = end + c.len_utf8();
            let more = digits(behind);
            if more > behind { more } else { end }
        }
        _ => end,
    }
}

#[cfg(test)]
mod tests {
    use super::simplify;
    use proptest::prelude::*;

    fn simplified(text: &str) -> String {
        let (mut lower, mut out) = (String::new(), "left over".to_owned());
        simplify(text, &mut lower, &mut out);
        out
    }

    #[test]
    fn the_cases_of_datatrove_come_out_alike() {
        for (text, simple) in [
            ("|$17.56||1|...", "0 0"),
            ("A\u{a0}B 1,234.56 \u{c5}ngstr\u{f6}m", "a b 0 0 angstrom"),
            ("", ""),
            (" \t\n ", ""),
            ("...", ""),
            ("1.2.3", "0 0"),
            ("12", "0"),
            ("3\u{66b}\u{661}x", "0x"),
            ("\u{ff11}\u{ff12}", "0"),
            ("x\u{ff11}", "x0"),
            ("\u{664}.5", "0"),
            ("5.\u{664}6,7", "0 0"),
            ("don't", "don t"),
            ("\u{201c}Quoted\u{201d}\u{2026}", "quoted"),
            ("\u{fb01}ne\u{b2}", "\u{fb01}ne\u{b2}"),
            ("O\u{394}\u{39f}\u{3a3} \u{3a3}", "o\u{3b4}\u{3bf}\u{3c2} \u{3c3}"),
            ("\u{d55c}\u{ad6d}", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{116e}\u{11a8}"),
            ("a \u{301} b", "a  b"),
            ("\u{37e}", ";"),
        ] {
            assert_eq!(simplified(text), simple, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_simplified_and_what_is_simple_has_no_capital_and_no_number_but_zero(text in "\\PC*") {
            let simple = simplified(&text);
            prop_assert!(simple.bytes().all(|byte| !byte.is_ascii_uppercase() && !(b'1'..=b'9').contains(&byte)));
            prop_assert_eq!(simple.trim(), simple.as_str());
        }
    }
}
