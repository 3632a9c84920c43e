//! Whether text looks like mojibake: neighbours that people do not write, such as an accented small letter before a
//! currency sign.
//!
//! The heuristic is that of ftfy 6.3.1, `badness.py`.

use super::tables::{
    BAD, BOX, C1, COMMON, CURRENCY, END_PUNCTUATION as END, KAOMOJI, LAW, LOWER_ACCENTED as LOWER, LOWER_COMMON,
    NUMERIC, START_PUNCTUATION as START, UPPER_ACCENTED as UPPER, UPPER_COMMON,
};
use regex::Regex;
use std::sync::LazyLock;

/// A space as Python's `\s` knows it.
const SPACE: &str = r"[\s\x1c-\x1f]";
/// A character of a word as Python's `\w` knows it.
const WORD: &str = r"[\p{L}\p{N}_]";

static BADNESS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let arabic = format!("[{COMMON}{CURRENCY}{BAD}{NUMERIC}{START}ŸŠ®°µ»]");
    let alternatives = [
        format!("[{C1}]"),
        format!("[{BAD}{LOWER}{UPPER}{BOX}{START}{END}{CURRENCY}{NUMERIC}{LAW}][{BAD}]"),
        format!("[a-zA-Z][{LOWER_COMMON}{UPPER_COMMON}][{BAD}]"),
        format!("[{BAD}][{LOWER}{UPPER}{BOX}{START}{END}{CURRENCY}{NUMERIC}{LAW}]"),
        format!("[{LOWER}{LOWER_COMMON}{BOX}{END}{CURRENCY}{NUMERIC}][{UPPER}]"),
        format!("[{BOX}{END}{CURRENCY}{NUMERIC}][{LOWER}]"),
        format!("[{LOWER}{BOX}{END}][{CURRENCY}]"),
        format!("{SPACE}[{UPPER}][{CURRENCY}]"),
        format!("[{UPPER}{BOX}][{NUMERIC}{LAW}]"),
        format!("[{LOWER}{UPPER}{BOX}{CURRENCY}{END}][{START}][{NUMERIC}]"),
        format!("[{LOWER}{UPPER}{CURRENCY}{NUMERIC}{BOX}{LAW}][{END}][{START}]"),
        format!("[{CURRENCY}{NUMERIC}{BOX}][{START}]"),
        format!("[a-z][{UPPER}][{START}{CURRENCY}]"),
        format!("[{BOX}][{KAOMOJI}]"),
        format!("[{LOWER}{UPPER}{CURRENCY}{NUMERIC}{START}{END}{LAW}][{BOX}]"),
        format!("[{BOX}][{END}]"),
        format!("[{LOWER}{UPPER}][{START}{END}]{WORD}"),
        // The ligature before anything but a plain letter.
        "[Œœ][^A-Za-z]".to_owned(),
        // A degree sign after a capital.
        format!("[{UPPER}]°"),
        // Two characters of Windows-1252.
        format!("[ÂÃÎÐ][€œŠš¢£Ÿž\u{a0}\u{ad}®©°·»{START}{END}–—´]"),
        "×[²³]".to_owned(),
        // Arabic in Windows-1252 needs the common characters too; four in a row make up for it.
        format!("[ØÙ]{arabic}[ØÙ]{arabic}"),
        // Scripts of South Asia in Windows-1252.
        "à[²µ¹¼½¾]".to_owned(),
        // MacRoman.
        "√[±∂†≠®™´≤≥¥µø]".to_owned(),
        "≈[°¢]".to_owned(),
        "‚Ä[ìîïòôúùû†°¢π]".to_owned(),
        "‚[âó][àä°ê]".to_owned(),
        // Windows-1251: U+2000 and after, then Latin-1 and Cyrillic, which need three in a row.
        "вЂ".to_owned(),
        format!("[ВГРС][{C1}{BAD}{START}{END}{CURRENCY}°µ][ВГРС]"),
        // Windows-1251 over Latin-1, beside plain letters.
        "ГўВЂВ.[A-Za-z ]".to_owned(),
        // `à`, `á` and U+00A0 itself.
        "Ã[\u{a0}¡]".to_owned(),
        format!("[a-z]{SPACE}?[ÃÂ] "),
        "^[ÃÂ] ".to_owned(),
        // Â before the character that it encodes.
        format!("[a-z.,?!{END}]Â[ {START}{END}]"),
        // Windows-1253: U+2000 and after, then Latin-1 and Greek.
        "β€[™\u{a0}Ά\u{ad}®°]".to_owned(),
        format!("[ΒΓΞΟ][{C1}{BAD}{START}{END}{CURRENCY}°][ΒΓΞΟ]"),
        // Windows-1257.
        "ā€".to_owned(),
    ];
    Regex::new(&alternatives.join("|")).ok()
});

/// Whether a part of `text` looks like mojibake. Plain ASCII never does.
pub(in crate::clean) fn is_bad(text: &str) -> bool {
    !text.is_ascii() && BADNESS.as_ref().is_some_and(|badness| badness.is_match(text))
}

#[cfg(test)]
mod tests {
    use super::{BADNESS, is_bad};

    #[test]
    fn the_heuristic_is_there_and_tells_mojibake_from_writing() {
        assert!(BADNESS.is_some(), "the expression is well formed");
        for bad in ["voilÃ le travail", "â€œquotedâ€\u{9d}", "Ã©", "вЂ™", "fi\u{81}n"] {
            assert!(is_bad(bad), "{bad}");
        }
        for good in ["", "plain", "voilà", "“quoted”", "¿Qué?", "ＬＯＵＤ", "Ελληνικά", "русский", "日本語"]
        {
            assert!(!is_bad(good), "{good}");
        }
    }
}
