//! A page's paragraphs, whoever stands around them: what is looked at where there is hardly a main text.
//!
//! Readability chooses one element of a page. Where the text is spread over several, or the page is too short for it, it
//! chooses one that holds little of it.

use super::{article::CAPTIONS, beside};
use dom_query::{Document, NodeRef};

/// A main text of at least so many characters is taken as it is.
const LONG: usize = 1500;

/// Otherwise paragraphs that hold so many times as much take its place, …
const TIMES: usize = 2;

/// … if there are so many characters of them.
const LEAST: usize = 100;

/// Where no paragraph is one of the text.
const FURNITURE: &str = "head, script, style, template, header, form, button, select, iframe, svg";

const PARAGRAPHS: &str = "p, blockquote, pre";

/// What stands in `text`'s place, the main text of `page` as it was chosen: itself, or the paragraphs of the page.
pub(super) fn or_paragraphs(text: String, page: &str) -> String {
    let length = text.chars().count();
    // So large a part of the page is no poor choice.
    if length >= LONG || length * TIMES >= page.len() {
        return text;
    }
    let paragraphs = paragraphs(page);
    if paragraphs.chars().count() >= LEAST.max(length * TIMES) { paragraphs } else { text }
}

/// The paragraphs that are not mostly links, a line each, but for those in places that pages have beside their text.
fn paragraphs(page: &str) -> String {
    let document = Document::from(page);
    document.select(FURNITURE).remove();
    document.select(CAPTIONS).remove();
    beside::remove(&document);
    let is_paragraph = |node: &NodeRef<'_>| ["p", "blockquote", "pre"].iter().any(|name| node.has_name(name));
    let mut all = String::new();
    for paragraph in document.select(PARAGRAPHS).nodes() {
        if paragraph.descendants_it().any(|inner| is_paragraph(&inner)) {
            continue;
        }
        let text = paragraph.formatted_text();
        let links = paragraph.descendants_it().filter(|inner| inner.has_name("a"));
        let linked: usize = links.map(|link| link.text().trim().len()).sum();
        if !text.trim().is_empty() && 2 * linked <= text.len() {
            all.push_str(text.trim());
            all.push('\n');
        }
    }
    all.truncate(all.trim_end().len());
    all
}
