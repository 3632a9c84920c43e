//! Long texts of a page in pieces.
//!
//! For each character that it has to escape, the serializer behind Readability looks through all that follows in the
//! same text or attribute, which takes time with the square of its length. So a text is broken up by comments, of which
//! the main text shows nothing, and what would have to be escaped is taken out of a tag that is longer than any but
//! those with embedded data, which have nothing to escape.

use memchr::memchr;
use std::borrow::Cow;

/// The longest text or tag that is left as it is, in bytes.
const LONGEST: usize = 16 << 10;

/// How far back a character reference is looked for, so that none is cut in two, in bytes.
const REFERENCE: usize = 64;

/// The page with no text and no tag that takes longer than in proportion.
pub(super) fn broken_up(page: &str) -> Cow<'_, str> {
    if page.len() <= LONGEST {
        return Cow::Borrowed(page);
    }
    let (mut whole, mut rest) = (String::new(), page);
    let mut changed = false;
    while !rest.is_empty() {
        let (text, tag) = rest.split_at(tag_at(rest));
        let (tag, next) = tag.split_at(tag.find('>').map_or(tag.len(), |end| end + 1));
        changed |= text.len() > LONGEST || tag.len() > LONGEST;
        let mut text = text;
        while text.len() > LONGEST {
            let (piece, more) = text.split_at(cut(text));
            whole.push_str(piece);
            whole.push_str("<!---->");
            text = more;
        }
        whole.push_str(text);
        if tag.len() > LONGEST {
            whole.extend(tag.chars().filter(|&c| c != '&' && !('\u{80}'..='\u{bf}').contains(&c)));
        } else {
            whole.push_str(tag);
        }
        rest = next;
    }
    if changed { Cow::Owned(whole) } else { Cow::Borrowed(page) }
}

/// Where the next tag, comment or declaration begins; the length of `page` where there is none.
fn tag_at(page: &str) -> usize {
    let bytes = page.as_bytes();
    let mut at = 0;
    while let Some(found) = memchr(b'<', &bytes[at..]) {
        at += found;
        let begins = |&byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'/' | b'!' | b'?');
        if bytes.get(at + 1).is_some_and(begins) {
            return at;
        }
        at += 1;
    }
    bytes.len()
}

/// Where a text that is longer than [`LONGEST`] is cut: before a character reference, if one may be there.
fn cut(text: &str) -> usize {
    let end = text.floor_char_boundary(LONGEST);
    let from = text.floor_char_boundary(end - REFERENCE);
    text[from..end].rfind('&').map_or(end, |reference| from + reference)
}

#[cfg(test)]
mod tests {
    use super::{super::extract, LONGEST, broken_up};
    use std::borrow::Cow;

    #[test]
    fn a_long_text_is_read_as_if_it_were_in_one_piece() {
        let sentence = "Long texts have &amp; and caf&eacute;s, \u{a0}spaces, and 漢字 of three bytes each. ";
        let text = sentence.repeat(5 * LONGEST / sentence.len());
        let page = format!("<html><body><p>A short one.</p><p>{text}</p><p>{text}</p></body></html>");
        let broken = broken_up(&page);
        assert_eq!(broken.replace("<!---->", ""), page);
        assert!(broken.split("<!---->").all(|piece| piece.len() < 2 * LONGEST));
        let read = extract(&page).expect("a text");
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let plain = text.replace("&amp;", "&").replace("&eacute;", "é");
        assert_eq!(words(read.lines().last().expect("a line")), words(&plain));
    }

    #[test]
    fn what_is_short_is_left_alone_and_a_long_tag_keeps_what_needs_no_escape() {
        let page = format!("<p>{}</p>", "a < b & c. ".repeat(1000));
        assert!(matches!(broken_up(&page), Cow::Borrowed(_)));
        let data = "0aZ+/".repeat(LONGEST);
        let page = format!("<img alt='&&é\u{a0}' src='data:{data}'>text");
        assert_eq!(broken_up(&page), format!("<img alt='é' src='data:{data}'>text"));
    }
}
