//! Whether a text bears the marks of a wrong decoding, so that what was written can no longer be read.

use super::super::unicode::is_mojibake;
use unicode_normalization::UnicodeNormalization;

/// Whether `text` holds U+FFFD, mojibake as ftfy tells it, or a mark below a Latin letter for which Unicode has no one
/// character (`crian̤as`): what a Mac's or a DOS's letters become in another code page.
///
/// Such marks are also written by hand in a few orthographies, and in phonetic script.
pub(super) fn is_broken(text: &str) -> bool {
    if text.is_ascii() {
        return false;
    }
    text.contains('\u{fffd}') || is_mojibake(text) || has_stray_mark(text)
}

/// Combining marks that stand below: those of the block that Latin letters take, as Unicode's class 220 has them.
const fn stands_below(character: char) -> bool {
    matches!(character, '\u{316}'..='\u{319}' | '\u{31c}'..='\u{320}' | '\u{323}'..='\u{326}' | '\u{329}'..='\u{333}' | '\u{339}'..='\u{33c}')
}

fn has_stray_mark(text: &str) -> bool {
    if !text.chars().any(stands_below) {
        return false;
    }
    let mut letter = false;
    // Composed, a mark that belongs to its letter is gone.
    text.nfc().any(|character| {
        let stray = letter && stands_below(character);
        letter = character.is_ascii_alphabetic();
        stray
    })
}

#[cfg(test)]
mod tests {
    use super::is_broken;

    #[test]
    fn what_decoding_broke_is_told_from_other_writing() {
        for broken in ["Andr\u{fffd}", "crian\u{324}as", "Schr\u{326}dinger", "dist\u{33c}rbio", "Ã©tÃ©", "Pe\u{331}as"]
        {
            assert!(is_broken(broken), "{broken}");
        }
        // Composed or not, with marks above left over, and scripts that consist of marks.
        for whole in [
            "",
            "plain",
            "Schrödinger",
            "Schro\u{308}dinger",
            "s\u{326}t\u{326}",
            "a\u{323}",
            "ọ\u{301}",
            "हिन्दी",
            "שָׁלוֹם",
        ] {
            assert!(!is_broken(whole), "{whole}");
        }
    }
}
