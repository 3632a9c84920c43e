//! spaCy's English special cases: contractions, abbreviations, emoticons and times, and how they are cut.
//!
//! `special_cases.txt` has one a line, its tokens separated by tabs; those of space alone are left out, since no word
//! comes of them. A special case that the affix rules would cut is also looked for in the finished token sequence.

use super::{characters::Characters, words};
use std::{collections::HashMap, sync::LazyLock};

const FACTS: &str = include_str!("special_cases.txt");

static RULES: LazyLock<SpecialCases> = LazyLock::new(SpecialCases::read);

/// The special cases, and the sequences of tokens that the last pass looks for.
#[derive(Debug)]
pub(in crate::clean) struct SpecialCases {
    /// Where the tokens of each special case end.
    cuts: HashMap<&'static str, Vec<u32>>,
    /// In bytes.
    longest: usize,
    /// By first and last letter, the lengths of special cases of small letters that are more than one token, as bits.
    letters: Vec<u32>,
    phrases: Phrases,
}

impl SpecialCases {
    pub(in crate::clean) fn table() -> &'static Self {
        &RULES
    }

    fn read() -> Self {
        let mut cuts = HashMap::new();
        for line in FACTS.lines() {
            let mut end = 0;
            let ends: Vec<u32> = line
                .split('\t')
                .map(|token| {
                    end += token.len() as u32;
                    end
                })
                .collect();
            // The tokens joined are the special case.
            cuts.insert(joined(line), ends);
        }
        let longest = cuts.keys().map(|text| text.len()).max().unwrap_or(0);
        let mut letters = vec![0; 26 * 26];
        for text in cuts.iter().filter(|(_, ends)| ends.len() > 1).map(|(text, _)| text) {
            if let Some((place, bit)) = letters_place(text) {
                letters[place] |= bit;
            }
        }
        let mut rules = Self { cuts, longest, letters, phrases: Phrases::default() };
        let table = Characters::table();
        let mut phrases = Phrases::default();
        let mut pieces = Vec::new();
        for (text, ends) in &rules.cuts {
            pieces.clear();
            words::cut(table, None, text, &mut Vec::new(), &mut pieces);
            // A phrase of one token that is cut into that token changes nothing.
            if pieces.len() > 1 || ends.len() > 1 && words::has_affix(table, text) {
                phrases.add(pieces.iter().map(|piece| &text[piece.start as usize..piece.end as usize]));
            }
        }
        rules.phrases = phrases;
        rules
    }

    /// Where the tokens of `text` end, if it is a special case.
    pub(super) fn get(&self, text: &str) -> Option<&[u32]> {
        if text.len() > self.longest { None } else { self.cuts.get(text).map(Vec::as_slice) }
    }

    /// Whether `text`, of small letters of ASCII only, may be a special case of more than one token. `false` is sure.
    pub(in crate::clean) fn may_split(&self, text: &str) -> bool {
        letters_place(text).is_some_and(|(place, bit)| self.letters[place] & bit != 0)
    }

    /// The sequences of tokens that the last pass looks for.
    pub(super) const fn phrases(&self) -> &Phrases {
        &self.phrases
    }
}

/// Where a text of small letters stands in a table by first and last letter, and the bit of its length; `None` for other
/// texts, and for any that is longer than a special case of letters.
fn letters_place(text: &str) -> Option<(usize, u32)> {
    let letter = |byte: u8| byte.is_ascii_lowercase().then(|| usize::from(byte - b'a'));
    let (&first, &last) = (text.as_bytes().first()?, text.as_bytes().last()?);
    let bit = 1_u32.checked_shl(text.len() as u32)?;
    Some((26 * letter(first)? + letter(last)?, bit))
}

/// The line without its tabs. There are some thousand, read once, and they live as long as the process.
fn joined(line: &'static str) -> &'static str {
    if line.contains('\t') { Box::leak(line.replace('\t', "").into_boxed_str()) } else { line }
}

/// Sequences of tokens, as a tree.
#[derive(Debug, Default)]
pub(super) struct Phrases {
    /// By node, its children by token. The first node is the root.
    nodes: Vec<Node>,
    followers: HashMap<&'static str, ()>,
}

#[derive(Debug, Default)]
struct Node {
    children: HashMap<&'static str, usize>,
    is_phrase: bool,
}

impl Phrases {
    fn add<'t>(&mut self, tokens: impl Iterator<Item = &'t str>)
    where
        't: 'static,
    {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let mut node = 0;
        for (number, token) in tokens.enumerate() {
            if number == 1 {
                self.followers.insert(token, ());
            }
            let next = self.nodes.len();
            node = *self.nodes[node].children.entry(token).or_insert(next);
            if node == next {
                self.nodes.push(Node::default());
            }
        }
        self.nodes[node].is_phrase = true;
    }

    /// Whether a phrase begins with `token`.
    pub(super) fn begins(&self, token: &str) -> bool {
        self.nodes.first().is_some_and(|root| root.children.contains_key(token))
    }

    /// Whether `token` is the second one of a phrase.
    pub(super) fn follows(&self, token: &str) -> bool {
        self.followers.contains_key(token)
    }

    /// Calls `found` with the length of every phrase that `tokens` begin with.
    pub(super) fn lengths<'t>(&self, tokens: impl Iterator<Item = &'t str>, mut found: impl FnMut(usize)) {
        let mut node = 0;
        for (number, token) in tokens.enumerate() {
            let Some(&next) = self.nodes.get(node).and_then(|node| node.children.get(token)) else { return };
            node = next;
            if self.nodes[node].is_phrase {
                found(number + 1);
            }
        }
    }
}
