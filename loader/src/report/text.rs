//! Text that data hold, made safe and short enough to be shown: one line, no control characters, cut to a width.

/// `text` in one line of at most `width` characters, the last one "…" where something was cut off.
///
/// Control characters, and those that would turn the direction of what follows, are shown as escapes, so that data
/// cannot move the cursor or disguise what stands beside them. Only the part that is shown is read.
#[must_use]
pub fn one_line(text: &str, width: usize) -> String {
    let mut line = String::new();
    let mut taken = 0;
    let mut characters = text.chars();
    let mut fits = 0;
    for character in characters.by_ref() {
        let escape = match character {
            '\n' => "\\n".to_owned(),
            '\r' => "\\r".to_owned(),
            '\t' => "\\t".to_owned(),
            character if is_unsafe(character) => character.escape_unicode().to_string(),
            character => character.to_string(),
        };
        taken += escape.chars().count();
        if taken > width {
            // The last character that leaves room for the "…".
            line.truncate(fits);
            if width > 0 {
                line.push('…');
            }
            return line;
        }
        line.push_str(&escape);
        if taken < width {
            fits = line.len();
        }
    }
    line
}

fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(one_line("straße", 6), "straße");
        assert_eq!(one_line("straßen", 6), "straß…");
        assert_eq!(one_line("ab\ncd", 4), "ab…");
        assert_eq!(one_line("ab\ncd", 6), "ab\\ncd");
        assert_eq!(one_line("x", 0), "");
        assert_eq!(one_line("हिन्दी", 10), "हिन्दी");
    }

    #[test]
    fn nothing_that_steers_a_terminal_comes_through() {
        assert_eq!(one_line("a\u{1b}[2Jb\u{202e}c\u{7f}", 80), "a\\u{1b}[2Jb\\u{202e}c\\u{7f}");
    }

    proptest! {
        #[test]
        fn it_is_never_wider_than_asked_nor_two_lines(text in any::<String>(), width in 0_usize..30) {
            let line = one_line(&text, width);
            prop_assert!(line.chars().count() <= width);
            prop_assert!(!line.chars().any(char::is_control));
        }
    }
}
