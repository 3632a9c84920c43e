//! How deeply a page's elements are nested, told from its tags without parsing it.
//!
//! It reads tags as a parser would, keeps a stack of open elements, and counts in doubt too much rather than too little:
//! what it says bounds what a parser would build.

use memchr::memchr;

/// Elements that hold nothing.
const VOID: [&[u8]; 16] = [
    b"area",
    b"base",
    b"basefont",
    b"br",
    b"col",
    b"embed",
    b"frame",
    b"hr",
    b"img",
    b"input",
    b"link",
    b"meta",
    b"param",
    b"source",
    b"track",
    b"wbr",
];

/// Elements that another of their name ends; within those of [`SCOPES`] only.
const ENDS_ITSELF: [&[u8]; 11] =
    [b"p", b"li", b"dd", b"dt", b"td", b"th", b"tr", b"tbody", b"thead", b"option", b"optgroup"];
const SCOPES: [&[u8]; 9] = [b"table", b"ul", b"ol", b"dl", b"select", b"svg", b"math", b"template", b"button"];

/// Elements that are opened again where an element that held them ends; of those that are alike, three.
const FORMATTING: [&[u8]; 14] =
    [b"a", b"b", b"big", b"code", b"em", b"font", b"i", b"nobr", b"s", b"small", b"strike", b"strong", b"tt", b"u"];
const MOST_ALIKE: usize = 3;

/// Elements whose content is text up to their end tag, outside of SVG and MathML.
const RAW: [&[u8]; 4] = [b"script", b"style", b"textarea", b"title"];

/// The greatest depth of `page`; counting stops beyond `most`.
pub(super) fn depth(page: &str, most: usize) -> usize {
    let page = page.as_bytes();
    // By name, and the whole tag.
    let mut open: Vec<(&[u8], &[u8])> = Vec::new();
    let mut deepest = 0;
    let mut at = 0;
    while let Some(found) = memchr(b'<', &page[at..]) {
        at += found + 1;
        let rest = &page[at..];
        if let Some(comment) = rest.strip_prefix(b"!--") {
            at = page.len() - after_comment(comment).len();
            continue;
        }
        let (closes, name) = match rest.strip_prefix(b"/") {
            Some(rest) => (true, name(rest)),
            None => (false, name(rest)),
        };
        if name.is_empty() {
            continue;
        }
        let is = |names: &[&[u8]], name: &[u8]| names.iter().any(|other| other.eq_ignore_ascii_case(name));
        if closes {
            if let Some(place) = open.iter().rposition(|(other, _)| other.eq_ignore_ascii_case(name)) {
                open.truncate(place);
            }
        } else if !is(&VOID, name) {
            if is(&ENDS_ITSELF, name) {
                let scope = open.iter().rposition(|(other, _)| is(&SCOPES, other)).map_or(0, |scope| scope + 1);
                let foreign = scope > 0 && is(&[b"svg", b"math"], open[scope - 1].0);
                let last = open[scope..].iter().rposition(|(other, _)| other.eq_ignore_ascii_case(name));
                if let Some(last) = last.filter(|_| !foreign) {
                    let held = open.split_off(scope + last);
                    for tag in held.into_iter().filter(|(name, _)| is(&FORMATTING, name)) {
                        if open.iter().filter(|other| **other == tag).count() < MOST_ALIKE {
                            open.push(tag);
                        }
                    }
                }
            }
            let end = memchr(b'>', rest).unwrap_or(rest.len());
            open.push((name, &rest[..end]));
            deepest = deepest.max(open.len());
            if deepest > most {
                return deepest;
            }
            if is(&RAW, name) && !open.iter().any(|(other, _)| is(&[b"svg", b"math"], other)) {
                open.pop();
                at = page.len() - after_raw(&page[at..], name).len();
            }
        }
    }
    deepest
}

/// The name of the tag that begins here.
fn name(tag: &[u8]) -> &[u8] {
    if !tag.first().is_some_and(u8::is_ascii_alphabetic) {
        return &[];
    }
    let end = tag.iter().position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>'));
    &tag[..end.unwrap_or(tag.len())]
}

/// What follows a comment whose opening was read.
fn after_comment(comment: &[u8]) -> &[u8] {
    if let Some(rest) = comment.strip_prefix(b">").or_else(|| comment.strip_prefix(b"->")) {
        return rest;
    }
    // What is never closed is not taken for a comment, so as to count too much.
    let closing = memchr::memmem::find(comment, b"--");
    let mut from = closing;
    while let Some(at) = from {
        let rest = &comment[at + 2..];
        if let Some(rest) = rest.strip_prefix(b">").or_else(|| rest.strip_prefix(b"!>")) {
            return rest;
        }
        from = memchr::memmem::find(&comment[at + 1..], b"--").map(|next| at + 1 + next);
    }
    &[]
}

/// What follows the end tag of a raw element whose name was read.
fn after_raw<'a>(content: &'a [u8], name: &[u8]) -> &'a [u8] {
    let mut from = 0;
    while let Some(found) = memchr(b'<', &content[from..]) {
        from += found + 1;
        let end = content[from..].strip_prefix(b"/").and_then(|rest| rest.get(..name.len()));
        if end.is_some_and(|end| end.eq_ignore_ascii_case(name)) {
            return &content[from..];
        }
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::depth;

    #[test]
    fn depth_is_that_of_open_elements() {
        for (page, expected) in [
            ("", 0),
            ("<p>a<br>b<img src=x>", 1),
            ("<div><p>a<p>b<p>c</div><div>", 2),
            ("<DIV><Span></SPAN><b></b></div>", 2),
            ("<ul><li>a<li>b<ul><li>c<li>d</ul><li>e</ul>", 4),
            ("<table><tr><td>a<td>b<tr><td>c</table>", 3),
            ("<script>'<div><div><div>'</script><p>", 1),
            ("<svg><script><g><g></script></svg>", 4),
            ("<!-- <div><div> --><p><!--><i>", 2),
            ("a < b <3 <", 0),
            ("<p><b>x<p>y<p>z<p><b>z", 3),
        ] {
            assert_eq!(depth(page, 1000), expected, "{page}");
        }
        assert_eq!(depth(&"<div>".repeat(1000), 512), 513, "counting stops");
    }
}
