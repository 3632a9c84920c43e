//! `bad_words`: a text that holds a word of a list, as C4's filter looks for it in datatrove: in the lower-cased text,
//! with no letter, digit or underscore on either side; or anywhere, for scripts without spaces.
//!
//! No list comes with Arable. C4's are those of LDNOOBW (CC BY 4.0); datatrove takes "sm", "グロ", "女の子" and "性" out of
//! them.

use super::{
    characters::{Characters, WORD},
    filter::{Filter, Row, on_column},
    lists::{entries, fingerprint},
    words::Word,
};
use crate::clean::{
    Rule,
    spec::{Built, Settings},
};
use aho_corasick::AhoCorasick;
use serde::Deserialize;
use std::path::PathBuf;

pub(in crate::clean) const NAME: &str = "bad_words";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default)]
    words: Vec<String>,
    list: Option<PathBuf>,
    /// Whether a word counts wherever it stands.
    #[serde(default)]
    within_words: bool,
    /// How many occurrences pass.
    #[serde(default)]
    max_occurrences: u32,
}

struct BadWords {
    finder: AhoCorasick,
    within_words: bool,
    max_occurrences: u32,
    fingerprint: String,
}

pub(in crate::clean) fn build(settings: Settings<'_>) -> Result<Built, String> {
    let Options { words, list, within_words, max_occurrences } = settings.read()?;
    let words = entries("list", &words, list.as_deref())?;
    if words.is_empty() {
        return Err(
            "it has no word to look for: give `words = [\"…\"]`, or `list` with a file of one a line".to_owned()
        );
    }
    let fingerprint = fingerprint(&words);
    let finder = AhoCorasick::new(&words).map_err(|error| error.to_string())?;
    on_column(settings, BadWords { finder, within_words, max_occurrences, fingerprint })
}

impl BadWords {
    fn occurrences(&self, text: &str) -> u32 {
        let text = text.to_lowercase();
        let table = Characters::table();
        let is_word = |c: Option<char>| c.is_some_and(|c| table.is(c, WORD));
        let most = self.max_occurrences.saturating_add(1) as usize;
        let found = self.finder.find_overlapping_iter(&text).filter(|found| {
            self.within_words
                || !is_word(text[..found.start()].chars().next_back()) && !is_word(text[found.end()..].chars().next())
        });
        // One more than passes is enough to know.
        found.take(most).count() as u32
    }
}

impl Filter for BadWords {
    const NAME: &'static str = NAME;
    type Scratch = ();

    fn options(&self) -> String {
        format!(
            "words = {}, within_words = {}, max_occurrences = {}",
            self.fingerprint, self.within_words, self.max_occurrences
        )
    }

    fn rules(&self) -> Vec<Rule> {
        vec![Rule::at_most("document_removed_with_badwords")]
    }

    fn judge(&self, text: &str, _: &[Word], (): &mut (), row: &mut Row<'_>) {
        row.hold(0, f64::from(self.occurrences(text)), f64::from(self.max_occurrences));
    }
}
