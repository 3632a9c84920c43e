//! Hashes of a text's words and pairs of words.
//!
//! Words are runs of letters, digits and `_`, or of other characters that are no white space, in small letters: NLTK's
//! `wordpunct_tokenize` of the lower-cased text, as in DSIR's own code.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// What a word is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Space,
    Word,
    Other,
}

fn class(character: char) -> Class {
    match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => Class::Word,
        _ if character.is_whitespace() => Class::Space,
        _ if character.is_alphanumeric() => Class::Word,
        _ => Class::Other,
    }
}

/// Calls `each` with the hash of each word of `text`, and of each word with the one before it. `word` is room for a
/// word, kept between texts.
pub(super) fn each_ngram(text: &str, word: &mut String, mut each: impl FnMut(u64)) {
    let mut before = None;
    let mut at = Class::Space;
    word.clear();
    let mut end = |word: &mut String| {
        if word.is_empty() {
            return;
        }
        let hash = xxh3_64(word.as_bytes());
        each(hash);
        if let Some(before) = before.replace(hash) {
            each(xxh3_64_with_seed(&hash.to_le_bytes(), before));
        }
        word.clear();
    };
    for character in text.chars() {
        let class = class(character);
        if class != at {
            end(word);
            at = class;
        }
        if class != Class::Space {
            if character.is_ascii() {
                word.push(character.to_ascii_lowercase());
            } else {
                word.extend(character.to_lowercase());
            }
        }
    }
    end(word);
}

#[cfg(test)]
mod tests {
    use super::each_ngram;

    fn ngrams(text: &str) -> Vec<u64> {
        let (mut ngrams, mut word) = (Vec::new(), String::new());
        each_ngram(text, &mut word, |hash| ngrams.push(hash));
        ngrams
    }

    #[test]
    fn words_and_pairs_are_counted_whatever_their_capitals_and_spaces() {
        assert_eq!(ngrams("The cat, sat."), ngrams("  the CAT,\tsat."));
        assert_eq!(ngrams("the cat, sat.").len(), 5 + 4, "a comma and a full stop are words");
        assert_eq!(ngrams("the cat")[..2], [ngrams("the")[0], ngrams("cat")[0]]);
        assert_ne!(ngrams("the cat")[2], ngrams("cat the")[2]);
        assert!(ngrams(" \n").is_empty());
    }
}
