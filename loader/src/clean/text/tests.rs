//! The operators over texts as recipes name them, and what they do with hostile input.

use super::words::{self, LONGEST_TEXT};
use crate::clean::{Cleaner, spec::specs};
use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use proptest::prelude::*;
use std::sync::Arc;

/// What an operator says of each text, as row and reason, and the texts that it leaves.
fn said(op: &str, texts: &[&str]) -> (Vec<(u32, String)>, Vec<String>) {
    let column: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
    let data = RecordBatch::try_from_iter([("text", column)]).expect("a batch");
    let cleaner = Cleaner::new(&specs(&format!("[[clean]]\ncolumn = 'text'\n{op}")), &data.schema()).expect("a recipe");
    let judged = cleaner.judge(&data, &[]).expect("a judgement");
    let texts = judged.data.column(0).as_string::<i32>().iter().flatten().map(str::to_owned).collect();
    (judged.evidence().map(|(row, evidence)| (row, evidence.reason)).collect(), texts)
}

fn reasons(op: &str, text: &str) -> Vec<String> {
    said(op, &[text]).0.into_iter().map(|(_, reason)| reason).collect()
}

/// Every operator over texts, with options where it needs some.
const ALL: [&str; 18] = [
    "op = 'gopher_quality'",
    "op = 'gopher_repetition'",
    "op = 'c4'",
    "op = 'c4'\nsplit_paragraph = false\nmin_paragraphs = 3",
    "op = 'fineweb'",
    "op = 'length'\nmin_chars = 3\nmax_words = 9\nmin_tokens = 2\nmax_bytes = 30",
    "op = 'regex'\npattern = '(a|b)+c$'",
    "op = 'bad_words'\nwords = ['bad', 'worse']",
    "op = 'url'\ndomains = ['example.com']\nbanned_words = ['casino']\nsoft_banned_words = ['hot', 'new']\nbanned_subwords = ['evil']",
    "op = 'lines'",
    "op = 'pii'\nphones = true\ncards = true\nibans = true\nsecrets = true",
    "op = 'language'\nlanguages = ['en']",
    "op = 'gopher_quality'\nmode = 'nemo'",
    "op = 'gopher_repetition'\nmode = 'nemo'",
    "op = 'gopher_quality'\nmode = 'dolma'",
    "op = 'gopher_repetition'\nmode = 'dolma'",
    "op = 'gopher_quality'\nmode = 'datamap'",
    "op = 'gopher_repetition'\nmode = 'datamap'",
];

#[test]
fn evidence_names_what_was_measured_and_its_threshold() {
    let column: ArrayRef = Arc::new(StringArray::from_iter_values(["Too short."]));
    let data = RecordBatch::try_from_iter([("text", column)]).expect("a batch");
    let recipe = specs("[[clean]]\ncolumn = 'text'\nop = 'gopher_quality'\nmin_stop_words = 0");
    let cleaner = Cleaner::new(&recipe, &data.schema()).expect("a recipe");
    let judged = cleaner.judge(&data, &[]).expect("a judgement");
    let all: Vec<_> = judged.evidence().map(|(_, said)| (said.reason, said.measured, said.threshold)).collect();
    // Two words and a full stop: two of three tokens have a letter.
    let alpha = ("gopher_below_alpha_threshold".to_owned(), Some(2.0 / 3.0), Some(0.8));
    assert_eq!(all, [("gopher_short_doc".to_owned(), Some(2.0), Some(50.0)), alpha]);
}

#[test]
fn lines_go_and_the_page_stays() {
    let page = "Home\nThis line is a sentence.[1]\nAccept our cookie policy here.\nIt ends here";
    let (said, left) = said("op = 'lines'", &[page, "Home"]);
    assert_eq!(left, ["This line is a sentence.", ""]);
    assert_eq!(said[1].1, "no_line_left");
    assert_eq!(said[0], (0, "lines_left_out".to_owned()));
}

#[test]
fn a_page_that_is_refused_is_left_as_it_came() {
    let (reasons, left) = said("op = 'c4'", &["One line of words.\nmenu"]);
    assert_eq!(left, ["One line of words.\nmenu"]);
    assert_eq!(reasons[0].1, "too_few_sentences");
}

#[test]
fn lists_and_lengths_and_patterns_speak() {
    assert_eq!(reasons("op = 'length'\nmin_words = 3", "two words"), ["too_few_words"]);
    assert_eq!(reasons("op = 'length'\nmax_chars = 2", "é漢x"), ["too_many_chars"]);
    assert!(reasons("op = 'length'\nmin_chars = 3\nmax_chars = 3", "é漢x").is_empty(), "bounds are inclusive");
    assert_eq!(reasons("op = 'regex'\npattern = '\\d{3}'", "call 555"), ["regex_found"]);
    assert_eq!(reasons("op = 'regex'\npattern = '\\d{3}'\nrequire = true", "call"), ["regex_not_found"]);
    let bad = "op = 'bad_words'\nwords = ['bad']";
    assert_eq!(reasons(bad, "so BAD!"), ["document_removed_with_badwords"]);
    assert!(reasons(bad, "badly, _bad").is_empty());
    assert_eq!(reasons(&format!("{bad}\nwithin_words = true"), "badly").len(), 1);
}

#[test]
fn addresses_have_the_reason_that_comes_first() {
    let op = ALL[8];
    for (url, expected) in [
        ("https://www.example.com/", Some("domain")),
        ("http://hot.org/new/hot", Some("soft_blacklisted")),
        ("http://hot.org/hot", None),
        ("http://a.org/casino-x", Some("hard_blacklisted")),
        ("http://be-e-vil.org", Some("blacklisted_subword")),
    ] {
        assert_eq!(reasons(op, url).first().map(String::as_str), expected, "{url}");
    }
}

#[test]
fn languages_are_told_by_code_and_score() {
    let german = "Der schnelle braune Fuchs springt über den faulen Hund und läuft danach in den Wald zurück.";
    let english = "The quick brown fox jumps over the lazy dog and then runs back into the forest behind it.";
    let (said, _) = said("op = 'language'\nlanguages = ['en']\nthreshold = 0.5", &[german, english, "", "123"]);
    let said: Vec<_> = said.iter().map(|(row, reason)| (*row, reason.as_str())).collect();
    assert_eq!(said, [(0, "language"), (2, "no_language"), (3, "no_language")]);
    let (said, _) = self::said("op = 'language'\nscripts = ['Cyrillic']\nthreshold = 0", &[english]);
    assert_eq!(said, [(0, "script".to_owned())]);
}

/// The blocks of datatrove's own test of its PII formatter: what goes in, and what comes out.
#[test]
fn personal_data_are_replaced_as_datatrove_replaces_them() {
    for (text, expected) in [
        ("mail a.b+c@example.co.uk, x@y.zz now", "mail email@example.com, firstname.lastname@example.org now"),
        ("no@address .@x.y a..b@c.de", "no@address .@x.y a..email@example.com"),
        ("to [me@[8.8.8.8]]", "to [email@example.com]"),
        ("1.2.3.4 and 10.0.0.1, 256.1.1.1, 01.2.3.4", "22.214.171.124 and 10.0.0.1, 2126.96.36.199, 01.2.3.4"),
    ] {
        assert_eq!(said("op = 'pii'", &[text]).1, [expected], "{text}");
    }
    let (said, left) = said(ALL[10], &["Card 4111 1111 1111 1111, call (555) 123-4567."]);
    assert_eq!(left, ["Card [CARD], call [PHONE]."]);
    assert_eq!(said.iter().map(|said| said.1.as_str()).collect::<Vec<_>>(), ["phone", "card"]);
}

#[test]
fn what_a_text_is_said_does_not_depend_on_its_neighbours() {
    let texts = ["It's :) a U.S. test... again", "", "a\nb\na\nb", "e.g. x@y.com 1.2.3.4"];
    for op in ALL {
        let (all, left) = said(op, &texts);
        for (row, text) in texts.iter().enumerate() {
            let (alone, kept) = said(op, &[text]);
            let of_row: Vec<&String> = all.iter().filter(|said| said.0 as usize == row).map(|said| &said.1).collect();
            assert_eq!(of_row, alone.iter().map(|said| &said.1).collect::<Vec<_>>(), "{op}");
            assert_eq!(left[row], kept[0], "{op}");
        }
    }
}

/// The suite would not end if a rule took quadratic time.
#[test]
fn a_line_of_twenty_megabytes_is_judged() {
    let line = "a. (1.1.1.1) x@y.zz [1] ".repeat((20 << 20) / 24);
    for op in ALL {
        let _ = said(op, &[&line]);
    }
    assert_eq!(reasons("op = 'fineweb'", &line), ["too_long"]);
}

/// Repeats of what makes a careless rule look at the same text again and again.
#[test]
fn repeats_are_judged_in_linear_time() {
    for piece in ["a", "a ", ".", "((", ":-", "a@a.", "1.1.1.", "[1", "http://a.b", "http://", "-a", "'s", "\u{a0}é"] {
        let text = piece.repeat((LONGEST_TEXT >> 7) / piece.len());
        for op in ALL {
            let _ = said(op, &[&text]);
        }
    }
}

#[test]
fn words_are_cut_however_long_a_run_is() {
    for piece in ["(", "a-", "..", "a@b.", "US$", "😀", "http://"] {
        let text = piece.repeat(1 << 16);
        let mut cut = Vec::new();
        words::words(&text, &mut cut);
        assert_eq!(cut.iter().map(|word| word.of(&text)).collect::<String>(), text, "nothing but space is lost");
    }
}

proptest! {
    #[test]
    fn no_text_makes_an_operator_panic_and_words_lie_in_order(
        text in prop_oneof![any::<String>(), "[ -~\n]{0,80}", "[.…:;()'’“a-zA-Z0-9@/ \u{1c}\u{85}\u{2028}\u{a0}—-]{0,60}"]
    ) {
        let mut cut = Vec::new();
        words::words(&text, &mut cut);
        let mut end = 0;
        for word in &cut {
            prop_assert!(word.start as usize >= end && word.end > word.start);
            let between = &text[end..word.start as usize];
            prop_assert!(between.chars().all(super::characters::is_space), "only space lies between words");
            end = word.end as usize;
        }
        prop_assert!(text[end..].chars().all(super::characters::is_space));
        for op in ALL {
            let _ = said(op, &[&text]);
        }
    }
}
