//! What a page says of its text to machines: a description, which is often the text's first paragraph, and the text
//! itself.

use super::{long_texts::broken_up, nesting, weights::letters};
use dom_query::{Document, NodeId, NodeRef};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

const DESCRIPTIONS: &str = "meta[name=description], meta[property='og:description'], meta[name='twitter:description']";

/// So many characters that are equal are no accident.
const EQUAL: usize = 40;

/// No first paragraph is longer, in bytes.
const LONGEST: usize = 8 << 10;

/// A text that the page states takes the place of one that was found if it is so many times as long, …
const TIMES: usize = 2;

/// … and has so many characters.
const LEAST: usize = 100;

/// So many descriptions are looked at: a page has one, in up to three forms.
const MOST_DESCRIPTIONS: usize = 8;

/// No article's text that a page states is nested deeper: elements in it are open within those of no page.
const DEEPEST: usize = 64;

/// Elements that begin a line of their own.
const BLOCKS: [&str; 34] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "dd",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "html",
    "li",
    "main",
    "nav",
    "ol",
    "p",
    "pre",
    "section",
    "table",
    "tbody",
    "td",
    "th",
    "tr",
    "ul",
];

/// Blocks in which no text begins.
const ELSEWHERE: [&str; 5] = ["nav", "footer", "aside", "form", "h1"];

/// What a page states.
#[derive(Debug, Default)]
pub(super) struct Stated {
    /// The first block of the page that says what its description says.
    lede: Option<String>,
    text: Option<String>,
}

impl Stated {
    pub(super) fn of(document: &Document) -> Self {
        Self { lede: lede(document), text: text(document) }
    }

    /// `text`, which was found in the page, with its first paragraph if that was left out; or what the page states.
    pub(super) fn complete(self, mut text: String) -> String {
        if let Some(stated) = self.text.filter(|stated| letters(stated) > TIMES * letters(&text)) {
            return stated;
        }
        if let Some(lede) = self.lede
            && !plain(&text).contains(&start(&lede))
        {
            text.insert(0, '\n');
            text.insert_str(0, &lede);
        }
        text
    }
}

/// White space as one space.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !plain.is_empty() {
            plain.push(' ');
        }
        plain.push_str(word);
    }
    plain
}

/// How a text begins.
pub(super) fn start(text: &str) -> String {
    text.chars().take(EQUAL).collect()
}

fn lede(document: &Document) -> Option<String> {
    let named = document.select(DESCRIPTIONS);
    let contents = named.nodes().iter().filter_map(|node| node.attr("content")).map(|content| plain(&content));
    let long = contents.filter(|text| text.chars().count() >= EQUAL).take(MOST_DESCRIPTIONS);
    let descriptions: Vec<(String, String)> = long.map(|text| (start(&text), text)).collect();
    if descriptions.is_empty() {
        return None;
    }
    let is_any = |node: &NodeRef<'_>, names: &[&str]| node.node_name().is_some_and(|name| names.contains(&&*name));
    // The block that each element is in, and which blocks hold others.
    let mut block_of: HashMap<NodeId, NodeId> = HashMap::new();
    let (mut blocks, mut outer, mut elsewhere) = (Vec::new(), HashSet::new(), HashSet::new());
    for node in document.root().descendants_it().filter(NodeRef::is_element) {
        let parent = node.parent().and_then(|parent| block_of.get(&parent.id)).copied();
        if !is_any(&node, &BLOCKS) {
            if let Some(parent) = parent {
                block_of.insert(node.id, parent);
            }
            continue;
        }
        block_of.insert(node.id, node.id);
        outer.extend(parent);
        if is_any(&node, &ELSEWHERE) || parent.is_some_and(|parent| elsewhere.contains(&parent)) {
            elsewhere.insert(node.id);
        } else {
            blocks.push(node);
        }
    }
    let texts = blocks.iter().filter(|block| !outer.contains(&block.id)).map(NodeRef::text);
    let mut texts = texts.filter(|text| text.len() <= LONGEST).map(|text| plain(&text));
    texts.find(|text| {
        let begins = start(text);
        let says = |(start, whole): &(String, String)| whole.starts_with(&begins) || text.starts_with(start);
        begins.chars().count() == EQUAL && descriptions.iter().any(says)
    })
}

/// The longest `articleBody` of schema.org that the page has as JSON-LD.
fn text(document: &Document) -> Option<String> {
    let mut longest = String::new();
    for script in document.select("script[type='application/ld+json']").nodes() {
        let json = script.text();
        if json.contains("articleBody")
            && let Ok(mut value) = serde_json::from_str(&json)
        {
            find(&mut value, &mut longest);
        }
    }
    // Some have tags in it, some have escaped them.
    let text = if longest.contains(['<', '&']) {
        if nesting::depth(&longest, DEEPEST) > DEEPEST {
            return None;
        }
        Document::fragment(broken_up(&longest).as_ref()).formatted_text().trim().to_owned()
    } else {
        longest.trim().to_owned()
    };
    (letters(&text) >= LEAST).then_some(text)
}

/// How deep a value may lie is bounded by the parser.
fn find(value: &mut Value, longest: &mut String) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "articleBody" => {
                        if text.len() > longest.len() {
                            *longest = std::mem::take(text);
                        }
                    }
                    other => find(other, longest),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| find(value, longest)),
        _ => {}
    }
}
