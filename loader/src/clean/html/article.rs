//! What is chosen of a page: Readability's choice, or the element that is named as the text where that chose another.

use super::{
    beside,
    stated::{Stated, plain, start},
    weights::Weights,
};
use dom_query::{Document, NodeRef};
use dom_smoothie::{Config, Readability, TextMode};
use std::collections::HashSet;

/// Captions, which Readability keeps with their figures: no part of a text that stands without its pictures.
pub(super) const CAPTIONS: &str = "figcaption, .wp-caption-text, .caption";

/// What has no text to read.
const UNREAD: &str = "script, style, noscript, template";

/// How pages and their systems name the element that holds their text.
const HOLDERS: &str = "[itemprop=articleBody], .entry-content, .post-content, .article-content, .article-body, .articleBody, \
    .post-body, .story-body, .article-text, .articletext, .article__body, .article__content, .content-body, \
    .field-name-body, .field--name-body";

/// The least text of such an element, and of its paragraphs, that is looked at, in characters.
const LEAST: usize = 200;

/// A paragraph, and not a line of something else, has so many bytes.
const PARAGRAPH: usize = 40;

/// The main text of `page` as far as one element of it holds it, and what the page states of it.
pub(super) fn article(page: &str) -> (String, Stated) {
    let document = Document::from(page);
    let stated = Stated::of(&document);
    document.select(CAPTIONS).remove();
    document.select(UNREAD).remove();
    let holder = holder(&document);
    let config = Config { keep_classes: true, text_mode: TextMode::Formatted, ..Config::default() };
    let chosen = Readability::with_document(document, None, Some(config)).ok();
    let chosen = chosen.and_then(|mut readability| readability.parse().ok());
    let (mut html, mut text) =
        chosen.map_or_else(Default::default, |article| (article.content.to_string(), article.text_content.to_string()));
    if let Some(holder) = holder.filter(|holder| is_missed(holder, &text)) {
        let formatted = Document::fragment(holder.as_str()).formatted_text().to_string();
        (html, text) = (holder, formatted);
    }
    let content = Document::fragment(html);
    if beside::remove(&content) {
        text = content.formatted_text().to_string();
    }
    (text.trim().to_owned(), stated)
}

/// The element with most text of those that are named as the text, as HTML.
fn holder(document: &Document) -> Option<String> {
    let holders = document.select(HOLDERS);
    if holders.nodes().is_empty() {
        return None;
    }
    let weights = Weights::of(document);
    let letters = |node: &NodeRef<'_>| weights.get(node).letters;
    // Of several, the first.
    let most = holders.nodes().iter().rev().max_by_key(|node| letters(node))?;
    (letters(most) >= LEAST).then(|| most.html().to_string())
}

/// Whether `text` has less than half of the paragraphs of `holder`, told by how they begin, and less text.
fn is_missed(holder: &str, text: &str) -> bool {
    let lines: HashSet<String> = text.lines().map(|line| start(&plain(line))).collect();
    let (mut all, mut known) = (0, 0);
    let holder = Document::fragment(holder);
    for paragraph in holder.select("p").nodes() {
        let paragraph = plain(&paragraph.text());
        if paragraph.len() >= PARAGRAPH {
            all += paragraph.len();
            known += if lines.contains(&start(&paragraph)) { paragraph.len() } else { 0 };
        }
    }
    all >= LEAST && 2 * known < all && plain(&holder.root().text()).len() > text.len()
}
