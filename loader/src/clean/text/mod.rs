//! Texts: words, sentences and lines as the peers cut them, and the filters and rewrites that stand on them.
//!
//! The rules are pure functions over one text; the operators around them bring rows to them. What is taken from a peer
//! names the peer.

pub(super) mod address;
mod affixes;
pub(super) mod bad_words;
pub(super) mod c4;
mod characters;
mod counts;
mod datamap;
mod dolma;
mod filter;
pub(super) mod fineweb;
pub(super) mod gopher_quality;
pub(super) mod gopher_repetition;
mod grams;
pub(super) mod language;
pub(super) mod length;
pub(super) mod line_rules;
mod lines;
mod lists;
mod modes;
mod nemo;
#[cfg(test)]
mod parity;
pub(super) mod pattern;
#[cfg(test)]
mod peer_tests;
mod personal_numbers;
pub(super) mod pii;
pub(super) mod special_cases;
#[cfg(test)]
mod tests;
mod web_address;
pub(super) mod words;
