//! Which level of a category a misspelt one means: the nearest of the frequent ones.
//!
//! Two texts within d edits of one another share a piece, where one of them is cut into 2 d + 1: an edit harms one, and
//! a swap of neighbours two (the pigeonhole of Navarro 2001, "A guided tour to approximate string matching"). So only
//! levels that share a piece are compared, a bounded number of them, and time does not grow with the levels' square.

use std::collections::HashMap;
use xxhash_rust::xxh3::xxh3_64;

/// The longest level that is compared, in characters; what is longer is no level of a category.
pub(super) const LONGEST: usize = 256;

/// The most levels that one piece leads to, and that one level is compared with.
const CANDIDATES: usize = 64;

/// The levels that others may mean.
pub(super) struct Levels<'a> {
    levels: Vec<(&'a str, Vec<char>, u64)>,
    /// By (length, number of pieces, piece, hash of its characters), the levels, most frequent first.
    pieces: HashMap<(usize, usize, usize, u64), Vec<u32>>,
    most: usize,
}

/// The most edits (insertions, deletions, changes, swaps of neighbours) at which a level of so many characters means
/// another: none up to three characters, since codes lie that close; one up to seven; then one in five, up to `most`.
fn edits_of(characters: usize, most: usize) -> usize {
    match characters {
        0..=3 => 0,
        4..=7 => 1,
        longer => longer / 5,
    }
    .min(most)
}

fn hash(characters: &[char]) -> u64 {
    let text: String = characters.iter().collect();
    xxh3_64(text.as_bytes())
}

/// How many pieces a level is cut into, of which so many edits leave one whole.
const fn pieces_for(edits: usize) -> usize {
    2 * edits + 1
}

/// The bounds of the `piece`th of `pieces` pieces of `length` characters.
const fn bounds(length: usize, pieces: usize, piece: usize) -> (usize, usize) {
    (length * piece / pieces, length * (piece + 1) / pieces)
}

impl<'a> Levels<'a> {
    /// Levels with their counts, most frequent first; at most `most` edits.
    pub(super) fn new(levels: impl Iterator<Item = (&'a str, u64)>, most: usize) -> Self {
        let mut known = Self { levels: Vec::new(), pieces: HashMap::new(), most };
        for (level, count) in levels {
            let characters: Vec<char> = level.chars().take(LONGEST + 1).collect();
            if characters.len() > LONGEST {
                continue;
            }
            let id = known.levels.len() as u32;
            // A text that is looked for allows so many edits as its own length does, which may differ by as many.
            let edits = edits_of(characters.len() + most, most);
            for allowed in 1..=edits {
                for piece in 0..pieces_for(allowed) {
                    let (start, end) = bounds(characters.len(), pieces_for(allowed), piece);
                    let key = (characters.len(), allowed, piece, hash(&characters[start..end]));
                    let places = known.pieces.entry(key).or_default();
                    if places.len() < CANDIDATES {
                        places.push(id);
                    }
                }
            }
            known.levels.push((level, characters, count));
        }
        known
    }

    /// The level that `text`, found `count` times, means: the one of the fewest edits, then the most frequent, among
    /// those at least `ratio` times as frequent. With its count and the edits.
    pub(super) fn meant_by(&self, text: &str, count: u64, ratio: f64) -> Option<(&'a str, u64, usize)> {
        let characters: Vec<char> = text.chars().take(LONGEST + 1).collect();
        let length = characters.len();
        let allowed = edits_of(length, self.most);
        if length > LONGEST || allowed == 0 {
            return None;
        }
        let mut candidates: Vec<u32> = Vec::new();
        for of_level in length.saturating_sub(allowed)..=length + allowed {
            for piece in 0..pieces_for(allowed) {
                let (start, end) = bounds(of_level, pieces_for(allowed), piece);
                for at in start.saturating_sub(allowed)..=start + allowed {
                    let Some(part) = characters.get(at..at + (end - start)) else { continue };
                    if let Some(found) = self.pieces.get(&(of_level, allowed, piece, hash(part))) {
                        candidates.extend(found);
                    }
                }
            }
        }
        // Levels are numbered by frequency.
        candidates.sort_unstable();
        candidates.dedup();
        candidates.truncate(CANDIDATES);
        candidates
            .into_iter()
            .filter_map(|id| {
                let (level, of_level, frequency) = &self.levels[id as usize];
                let frequent = *level != text && *frequency as f64 >= ratio * count as f64;
                let edits = frequent.then(|| strsim::generic_damerau_levenshtein(of_level, &characters))?;
                // Digits are data: 10018 is no misspelt 10019.
                (edits <= allowed && !differ_in_digits(of_level, &characters)).then_some((*level, *frequency, edits))
            })
            .min_by(|a, b| a.2.cmp(&b.2).then(b.1.cmp(&a.1)))
    }
}

/// Whether two texts hold the same characters but for digits that were changed into other digits.
fn differ_in_digits(a: &[char], b: &[char]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b || (a.is_numeric() && b.is_numeric()))
}

/// What two spellings of a level share: small letters, and one space between words.
pub(super) fn folded(level: &str) -> String {
    let mut folded = String::with_capacity(level.len());
    for word in level.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        folded.extend(word.chars().flat_map(char::to_lowercase));
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::{Levels, edits_of, folded};
    use proptest::prelude::*;

    #[test]
    fn a_misspelt_level_means_the_nearest_frequent_one() {
        let levels = [("birmingham", 90), ("montgomery", 40), ("al", 900), ("10018", 50), ("boaz", 30)];
        let levels = Levels::new(levels.into_iter(), 2);
        let meant = |text, count| levels.meant_by(text, count, 5.0).map(|(level, ..)| level);
        assert_eq!(meant("birminghxm", 1), Some("birmingham"));
        assert_eq!(meant("birmnigham", 1), Some("birmingham"), "neighbours swapped");
        assert_eq!(meant("irminghamm", 1), Some("birmingham"), "one gone, one added");
        assert_eq!(meant("bxrmxngxam", 1), None, "three edits");
        assert_eq!(meant("ax", 1), None, "codes are close to one another");
        assert_eq!(meant("birminghxm", 30), None, "too frequent to be a slip");
        assert_eq!(meant("10019", 1), None, "digits are data");
        assert_eq!(meant("1001x", 1), Some("10018"));
        assert_eq!(meant("", 1), None);
    }

    #[test]
    fn spellings_fold_together() {
        assert_eq!(folded("  New\u{a0} York "), "new york");
    }

    proptest! {
        #[test]
        fn pieces_find_what_comparing_all_finds(
            known in prop::collection::vec("[ab]{2,12}", 1..12), text in "[ab]{2,12}"
        ) {
            let mut known = known;
            known.sort();
            known.dedup();
            let levels = Levels::new(known.iter().map(|level| (level.as_str(), 100)), 2);
            let found = levels.meant_by(&text, 1, 1.0).map(|(.., edits)| edits);
            let allowed = edits_of(text.chars().count(), 2);
            let all = known.iter().filter(|level| **level != text);
            let nearest = all.map(|level| strsim::damerau_levenshtein(level, &text)).filter(|&edits| edits <= allowed);
            prop_assert_eq!(found, nearest.min());
        }
    }
}
