//! What stands in a page's text, or around it, and is none of it: told by how pages name it, by its being links, and by
//! there being nothing behind it.

use super::weights::{Weights, letters};
use dom_query::{Document, NodeRef};
use regex::Regex;
use std::{collections::HashSet, sync::LazyLock};

/// What is in such elements is none of the text.
const ELEMENTS: [&str; 3] = ["aside", "nav", "footer"];

/// How pages name, by class or id, what is beside the matter.
static NAMES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        "(?i-u)related|newsletter|author|share-|sharing|breadcrumb|cookie|copyright|credit|caption|teaser|promo|subscribe|\
         recommend|byline|social|meta|tags|widget|sidebar|comments|pagination|pager|post-nav|navigation|subnav|nextstory|\
         prevnext|menu|banner|advert|sponsor|popup|modal|overlay|disclaimer|signup|sign-up|login|donat|button|btn|tool|\
         timestamp",
    )
    .ok()
});

/// Names are no more than hints: what holds a larger share of all text than this is not beside it, …
const MOST: f64 = 0.3;

/// … and where less than this share is left, names mean something else on this page.
const LEFT: f64 = 0.7;

/// Text that announces what comes behind it is no longer than so many characters.
const ANNOUNCEMENT: usize = 60;

/// Takes what is beside the matter out of `content`; whether that left enough of it.
pub(super) fn remove(content: &Document) -> bool {
    let weights = Weights::of(content);
    let most = (MOST * weights.whole() as f64) as usize;
    let mut left = weights.whole();
    let root = content.root();
    let (mut gone, mut inside) = (Vec::new(), HashSet::new());
    for node in root.descendants_it().filter(NodeRef::is_element) {
        // What is in an element that went is gone with it.
        if node.parent().is_some_and(|parent| inside.contains(&parent.id)) {
            inside.insert(node.id);
            continue;
        }
        let weight = weights.get(&node);
        if (weight.letters <= most && is_beside(&node)) || (weight.is_linked() && is_block_of_links(&node)) {
            left -= weight.letters.min(left);
            inside.insert(node.id);
            gone.push(node);
        }
    }
    gone.iter().for_each(NodeRef::remove_from_parent);
    left -= remove_announcements(content).min(left);
    left as f64 >= LEFT * weights.whole() as f64
}

fn is_beside(node: &NodeRef<'_>) -> bool {
    let named = |attribute: &str| {
        let names = NAMES.as_ref().zip(node.attr(attribute));
        names.is_some_and(|(names, value)| names.is_match(&value))
    };
    ELEMENTS.iter().any(|name| node.has_name(name)) || named("class") || named("id")
}

/// A paragraph, a heading or a list.
fn is_block_of_links(node: &NodeRef<'_>) -> bool {
    node.node_name().is_some_and(|name| matches!(&*name, "p" | "ul" | "ol")) || is_heading(node)
}

fn is_heading(node: &NodeRef<'_>) -> bool {
    node.node_name().is_some_and(|name| matches!(&*name, "h1" | "h2" | "h3" | "h4" | "h5" | "h6"))
}

/// Takes away the headings, and the short lines with a colon, that the text ends with; how many characters they had.
fn remove_announcements(content: &Document) -> usize {
    let mut gone = 0;
    for node in content.select("p, h1, h2, h3, h4, h5, h6, li, td, blockquote, pre").nodes().iter().rev() {
        let text = node.text();
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        let announces = text.ends_with(':') && text.chars().count() < ANNOUNCEMENT;
        if !is_heading(node) && !announces {
            break;
        }
        gone += letters(text);
        node.remove_from_parent();
    }
    gone
}
