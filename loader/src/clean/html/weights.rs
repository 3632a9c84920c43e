//! How much text the elements of a page hold, and how much of it is in links.

use dom_query::{Document, NodeId, NodeRef};
use std::collections::HashMap;

/// Of one element, in characters that are not white space.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weight {
    pub(super) letters: usize,
    pub(super) linked: usize,
}

impl Weight {
    /// Whether there is some text, and nearly all of it is in links.
    pub(super) const fn is_linked(self) -> bool {
        self.letters > 0 && 10 * self.linked >= 9 * self.letters
    }
}

/// Of all elements of a document, told in one pass.
#[derive(Debug)]
pub(super) struct Weights {
    whole: usize,
    of: HashMap<NodeId, Weight>,
}

impl Weights {
    pub(super) fn of(document: &Document) -> Self {
        let root = document.root();
        let nodes: Vec<NodeRef<'_>> = root.descendants_it().collect();
        let mut of: HashMap<NodeId, Weight> = HashMap::with_capacity(nodes.len());
        // Children come behind their parents, so all of an element's are counted before it is.
        for node in nodes.iter().rev() {
            let mut weight = of.get(&node.id).copied().unwrap_or_default();
            if node.is_text() {
                weight.letters = letters(&node.text());
            } else if node.has_name("a") {
                weight.linked = weight.letters;
            }
            if let Some(parent) = node.parent().filter(|_| weight.letters > 0) {
                let sum = of.entry(parent.id).or_default();
                sum.letters += weight.letters;
                sum.linked += weight.linked;
            }
            if node.has_name("a") {
                of.insert(node.id, weight);
            }
        }
        Self { whole: of.get(&root.id).map_or(0, |weight| weight.letters), of }
    }

    /// The characters of the whole document.
    pub(super) const fn whole(&self) -> usize {
        self.whole
    }

    pub(super) fn get(&self, node: &NodeRef<'_>) -> Weight {
        self.of.get(&node.id).copied().unwrap_or_default()
    }
}

/// The characters of a text that are not white space.
pub(super) fn letters(text: &str) -> usize {
    text.chars().filter(|character| !character.is_whitespace()).count()
}
