//! What the peers measure, held against what their modes measure here; and the facts of their own tests.
//!
//! `peers.jsonl` was written by `benchmarks/clean/modes.py` with NeMo Curator 1.4.0 and Dolma 1.2.1. `ARABLE_MODES` names
//! a folder with `modes.jsonl`, of the same form, for more texts.

use crate::clean::{Cleaner, spec::specs};
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// Thresholds that nothing passes, so that every rule says what it measured: except 0, and that nothing is repeated.
const REFUSE_ALL: &str = "op = 'gopher_quality'\nmin_doc_words = 1e18\nmax_doc_words = 1e19\nmin_avg_word_length = 1e18
max_avg_word_length = 1e19\nmax_symbol_word_ratio = 1e-30\nmax_bullet_lines_ratio = 1e-30
max_ellipsis_lines_ratio = 1e-30\nmin_alpha_words_ratio = 1e18\nmin_stop_words = 1e18";
const REPEAT_NOTHING: &str = "op = 'gopher_repetition'\ndup_line_frac = 1e-15\ndup_line_char_frac = 1e-15
top_n_grams = [[2, 1e-30], [3, 1e-30], [4, 1e-30]]
dup_n_grams = [[5, 1e-30], [6, 1e-30], [7, 1e-30], [8, 1e-30], [9, 1e-30], [10, 1e-30]]";

/// What the operator `table` measured of `text`, by reason, of the rules that speak.
fn measured(table: &str, text: &str) -> BTreeMap<String, f64> {
    let column: ArrayRef = Arc::new(StringArray::from_iter_values([text]));
    let data = RecordBatch::try_from_iter([("text", column)]).expect("a batch");
    let table = format!("[[clean]]\ncolumn = 'text'\naction = 'annotate'\n{table}");
    let cleaner = Cleaner::new(&specs(&table), &data.schema()).expect("a recipe");
    let judged = cleaner.judge(&data, &[]).expect("a judgement");
    judged.evidence().filter_map(|(_, said)| Some((said.reason, said.measured?))).collect()
}

/// The texts where the peer `mode` measures something else, with what and how much.
fn differences(mode: &str, lines: &str) -> (usize, Vec<String>) {
    let paragraphs = if mode == "dolma" { "" } else { "\ndup_para_frac = 1e-15\ndup_para_char_frac = 1e-15" };
    let (mut compared, mut different) = (0, Vec::new());
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let text = line["text"].as_str().expect("a text");
        let mut ours = measured(&format!("{REFUSE_ALL}\nmode = '{mode}'"), text);
        ours.extend(measured(&format!("{REPEAT_NOTHING}\nmode = '{mode}'{paragraphs}"), text));
        for (name, theirs) in line[mode].as_object().expect("measurements") {
            // Dolma's count of characters has no rule; NeMo Curator's division by zero no value.
            let theirs: Vec<f64> = match theirs {
                Value::Array(values) => values.iter().filter_map(Value::as_f64).collect(),
                one => one.as_f64().into_iter().collect(),
            };
            if theirs.is_empty() || name == "character_count" {
                continue;
            }
            let silent = if name.starts_with("repeated_") { 1.0 } else { 0.0 };
            let ours = ours.get(name).copied().unwrap_or(silent);
            compared += 1;
            if !theirs.iter().any(|theirs| (ours - theirs).abs() <= 1e-12 * theirs.abs().max(1.0)) {
                different
                    .push(format!("{name} of {:?}: {ours}, {mode} has {theirs:?}", text.get(..80).unwrap_or(text)));
            }
        }
    }
    (compared, different)
}

#[test]
fn nemo_and_dolma_measure_the_same() {
    let checked_in = include_str!("peers.jsonl");
    for (mode, least) in [("nemo", 400), ("dolma", 300)] {
        let (compared, different) = differences(mode, checked_in);
        assert!(different.is_empty(), "{} of {compared}:\n{}", different.len(), different.join("\n"));
        assert!(compared > least, "{compared} compared");
    }
}

#[test]
fn nemo_and_dolma_measure_the_same_of_more_texts() {
    let Ok(folder) = std::env::var("ARABLE_MODES") else {
        eprintln!("skipped: ARABLE_MODES names no folder with modes.jsonl");
        return;
    };
    let lines = std::fs::read_to_string(Path::new(&folder).join("modes.jsonl")).expect("modes.jsonl");
    for mode in ["nemo", "dolma"] {
        let (compared, different) = differences(mode, &lines);
        assert!(different.is_empty(), "{} of {compared}:\n{}", different.len(), different.join("\n"));
        eprintln!("{mode}: {compared} measurements, all equal");
    }
}

/// The facts of datamap-rs's own tests of its repetition counts, over items that are words, lines or paragraphs.
#[test]
fn datamap_counts_repetition_as_its_tests_say() {
    let options = format!("{REPEAT_NOTHING}\nmode = 'datamap'\ndup_para_frac = 1e-15\ndup_para_char_frac = 1e-15");
    let of = |text: &str, part: &str| {
        let all = measured(&options, text);
        all.get(&format!("massive_web_repetition_filter:{part}")).copied().unwrap_or(0.0) as f32
    };
    for (text, part, share) in [
        ("", "lines", 1.0),
        ("hello", "lines", 0.0),
        ("hello", "2_grams", 0.0),
        ("a\nb\nc\nd", "lines", 0.0),
        ("a\nb\na\nc\nb\nd", "lines", 4.0 / 6.0),
        ("a\na\na\na", "lines", 1.0),
        ("a\na\na\na", "line_bytes", 1.0),
        ("short\nlooooong\nshort\nmedium", "lines", 0.5),
        ("short\nlooooong\nshort\nmedium", "line_bytes", 10.0 / 24.0),
        ("aa\nbb\naa\ncc\nbb\ndd", "line_bytes", 8.0 / 12.0),
        ("a b c d e", "2_grams", 0.0),
        ("a b c a b d", "2_grams", 4.0 / 6.0),
        ("a b c d a b c e", "3_grams", 6.0 / 8.0),
        ("short a b c short a b d", "4_grams", 0.0),
        ("a a a a a a b c d f", "4_grams", 6.0 / 10.0),
        ("a b c d e f g h", "6_grams", 0.0),
        (
            "the quick brown fox jumps over the lazy dog the quick brown fox jumps over the lazy cat",
            "8_grams",
            64.0 / 70.0,
        ),
        ("a b c", "3_grams", 0.0),
        ("a b c a b c", "3_grams", 1.0),
    ] {
        assert_eq!(of(text, part), share, "{part} of {text:?}");
    }
}

#[test]
fn datamap_judges_as_its_filters_say() {
    let reasons = |text: &str| {
        let table = "op = 'gopher_quality'\nmode = 'datamap'\nmin_doc_words = 2";
        measured(table, text).into_keys().collect::<Vec<_>>()
    };
    let said = |text: &str, reason: &str| reasons(text).contains(&reason.to_owned());
    assert!(reasons("The cat sat with the other cat.").is_empty());
    assert!(said("word", "page_len_filter") && said("word", "alphabetic_word_ratio_filter"), "a single word");
    assert!(said("ΑΒΓΔΕΖ ΑΒΓΔΕΖ", "word_len_filter"), "six letters of two bytes");
    assert!(said("a word . . . and", "symbol_ratio_filter"), "one symbol to four words");
    assert!(said("- a\n* b\n• c\n● d", "bullet_filter"));
    assert!(!said(" - a\n - b", "bullet_filter"), "only at the very start of a line");
    assert!(said("so it goes. . .\r\nwell...", "ellipsis_line_ratio_filter"));
    assert!(said("1 2 words 3", "alphabetic_word_ratio_filter"));
    assert!(!said("THE THE", "stop_word_filter"), "in any capitals, each time that it occurs");
    assert!(said("then there", "stop_word_filter"));
}

/// Whether the rule `reason` of the peer `mode` speaks against `text`, with `options` of the operator `op`.
fn speaks(op: &str, mode: &str, options: &str, reason: &str, text: &str) -> bool {
    measured(&format!("op = '{op}'\nmode = '{mode}'\n{options}"), text).contains_key(reason)
}

/// The cases of datamap-rs' own tests of its page_len, word_len, symbol_ratio, bullet, ellipsis_line_ratio,
/// alphabetic_word_ratio and stop_word filters: options, text, and whether it is refused.
#[test]
fn datamap_refuses_what_its_own_tests_refuse() {
    const BULLETS: &str =
        "This is line one\n• Bullet point one\n- Bullet point two\nThis is another normal line\nAnd one more line";
    const HASHES: &str = "This #post has #hashtags and should be filtered.";
    const STOP: &str = "This is the document with the important content";
    let (words, length) = ("min_doc_words = 3\nmax_doc_words = 5", "min_avg_word_length = 3\nmax_avg_word_length = 5");
    for (reason, options, text, refused) in [
        ("page_len_filter", words, "one two three", false),
        ("page_len_filter", words, "one two three four", false),
        ("page_len_filter", words, "one two three four five", false),
        ("page_len_filter", words, "one two", true),
        ("page_len_filter", words, "one two three four five six", true),
        ("page_len_filter", "min_doc_words = 3\nmax_doc_words = 3", "one, two. three!", false),
        ("page_len_filter", "min_doc_words = 4\nmax_doc_words = 4", "one two three four", false),
        ("page_len_filter", "min_doc_words = 1\nmax_doc_words = 10", "", true),
        ("page_len_filter", "min_doc_words = 0\nmax_doc_words = 10", ".,;!?", false),
        ("word_len_filter", length, "test word here", false),
        ("word_len_filter", "min_avg_word_length = 4\nmax_avg_word_length = 10", "it is a", true),
        ("word_len_filter", "min_avg_word_length = 1\nmax_avg_word_length = 4", "complicated extraordinary", true),
        ("word_len_filter", "min_avg_word_length = 5\nmax_avg_word_length = 5", "hello world hello", false),
        ("word_len_filter", "min_avg_word_length = 3\nmax_avg_word_length = 6", "the sample text", false),
        ("word_len_filter", length, "", true),
        ("word_len_filter", "min_avg_word_length = 3\nmax_avg_word_length = 10", "example", false),
        ("word_len_filter", "min_avg_word_length = 5\nmax_avg_word_length = 6", "test, word? hello!", false),
        ("symbol_ratio_filter", "max_symbol_word_ratio = 0.2", "This is a normal text with no special symbols.", false),
        (
            "symbol_ratio_filter",
            "max_symbol_word_ratio = 0.2",
            "This #post has #hashtags but should still pass the filter.",
            false,
        ),
        (
            "symbol_ratio_filter",
            "max_symbol_word_ratio = 0.2",
            "This #post has #too #many hashtags for the filter.",
            true,
        ),
        (
            "symbol_ratio_filter",
            "max_symbol_word_ratio = 0.25",
            "This text... has one ellipsis... and should pass.",
            false,
        ),
        (
            "symbol_ratio_filter",
            "max_symbol_word_ratio = 0.25",
            "Too many . . . of these . . . ellipses . . . in this text.",
            true,
        ),
        (
            "symbol_ratio_filter",
            "max_symbol_word_ratio = 0.25",
            "This has a Unicode ellipsis… only one… so it passes.",
            false,
        ),
        (
            "symbol_ratio_filter",
            "max_symbol_word_ratio = 0.3",
            "This #text has... mixed #symbols and… should be filtered.",
            true,
        ),
        ("symbol_ratio_filter", "max_symbol_word_ratio = 0.3", "", false),
        ("symbol_ratio_filter", "max_symbol_word_ratio = 0.2", HASHES, true),
        ("bullet_filter", "max_bullet_lines_ratio = 0.5", BULLETS, false),
        ("bullet_filter", "max_bullet_lines_ratio = 0.4", BULLETS, false),
        ("bullet_filter", "max_bullet_lines_ratio = 0.3", BULLETS, true),
        ("bullet_filter", "max_bullet_lines_ratio = 0.5", "", false),
        (
            "bullet_filter",
            "max_bullet_lines_ratio = 0.5",
            "• Bullet one\n- Bullet two\n* Bullet three\n● Bullet four",
            true,
        ),
        ("bullet_filter", "max_bullet_lines_ratio = 0.5", "Line one\nLine two\nLine three\nLine four", false),
        ("bullet_filter", "max_bullet_lines_ratio = 0.5", "Line one\n• Bullet one\nLine three", false),
        (
            "bullet_filter",
            "max_bullet_lines_ratio = 0.5",
            "● Round bullet\n• Another round bullet\n* Asterisk bullet\n- Dash bullet\nNormal line",
            true,
        ),
        ("ellipsis_line_ratio_filter", "max_ellipsis_lines_ratio = 0.3", "Line one\nLine two\nLine three", false),
        (
            "ellipsis_line_ratio_filter",
            "max_ellipsis_lines_ratio = 0.5",
            "Line one...\nLine two\nLine three\nLine four",
            false,
        ),
        (
            "ellipsis_line_ratio_filter",
            "max_ellipsis_lines_ratio = 0.3",
            "Line one...\nLine two...\nLine three\nLine four",
            true,
        ),
        ("alphabetic_word_ratio_filter", "min_alpha_words_ratio = 0.8", "This is all alphabetic text", false),
        ("alphabetic_word_ratio_filter", "min_alpha_words_ratio = 0.5", "Some text 123 with 456", false),
        ("alphabetic_word_ratio_filter", "min_alpha_words_ratio = 0.7", "Some text 123 456 789", true),
        ("alphabetic_word_ratio_filter", "min_alpha_words_ratio = 0.5", "123 456 789", true),
        ("alphabetic_word_ratio_filter", "min_alpha_words_ratio = 0.5", "", true),
        ("alphabetic_word_ratio_filter", "min_alpha_words_ratio = 0.5", "This is in a custom field", false),
        ("stop_word_filter", "min_stop_words = 2", STOP, false),
        ("stop_word_filter", "min_stop_words = 4", STOP, true),
        ("stop_word_filter", "min_stop_words = 2", "This is THE document with The important content", false),
        ("stop_word_filter", "min_stop_words = 2", "", true),
        ("stop_word_filter", "min_stop_words = 2", "This is a document without any stop words from list", true),
        ("stop_word_filter", "min_stop_words = 0", "This has no stop words at all", false),
        (
            "stop_word_filter",
            "min_stop_words = 3",
            "The document and the content that have important information with details",
            false,
        ),
    ] {
        let said = speaks("gopher_quality", "datamap", options, reason, text);
        assert_eq!(said, refused, "{reason}, {options}: {text:?}");
    }
}

/// The cases of NeMo Curator's tests of the heuristics that its mode has, with the thresholds that its classes have by
/// themselves: text, and whether it is refused.
#[test]
fn nemo_refuses_what_its_own_tests_refuse() {
    let barely = "⁌ this \n⁌ should \n⁌barely \n⁌pass \n⁌5 \n⁌6 \n⁌7 \n⁌8 \n⁌9 \n done!";
    let ellipses = "just...\n barely...\n fine...\n ok...\n yep.";
    for (reason, options, texts) in [
        (
            "symbol_to_word",
            "",
            &[
                ("mixed bag ... #", true),
                ("full of words", false),
                ("... # ... # #", true),
                ("barely ok 3 4 5 6 7 8 9 #", false),
            ][..],
        ),
        ("bullet_ratio", "", &[("• not good", true), ("good", false), ("50 \n ⦾ 50", false), (barely, false)]),
        (
            "word_count",
            "min_doc_words = 2\nmax_doc_words = 4",
            &[
                ("", true),
                ("one", true),
                ("two words", false),
                ("$#@$ %$@$#@ !#@!", false),
                ("one two three four five", true),
            ],
        ),
        (
            "mean_word_length",
            "",
            &[
                ("a", true),
                ("aa", true),
                ("superlongword short", false),
                ("evenly balanced", false),
                ("waytoolongforasingleword", true),
            ],
        ),
        ("ellipsis", "max_ellipsis_lines_ratio = 0.8", &[("not good...", true), ("good.", false), (ellipses, false)]),
        ("common_english_words", "", &[("uncommon", true), ("the and", false), ("the and and of to", false)]),
        ("words_without_alphabets", "", &[("totally fine", false), ("good good good good !", false), ("@", true)]),
    ] {
        for &(text, refused) in texts {
            let said = speaks("gopher_quality", "nemo", options, reason, text);
            assert_eq!(said, refused, "{reason}, {options}: {text:?}");
        }
    }
    let long = "super very incredibly huge long duplicate.";
    for (reason, options, texts) in [
        (
            "repeated_lines",
            "dup_line_frac = 0.3",
            vec![("totally unique".to_owned(), false), ("half.\nhalf.".to_owned(), true)],
        ),
        (
            "repeated_paragraphs",
            "dup_para_frac = 0.3",
            vec![("totally unique".to_owned(), false), ("half.\n\nhalf.".to_owned(), true)],
        ),
        (
            "repeated_lines_char",
            "dup_line_char_frac = 0.2",
            vec![
                ("totally unique".to_owned(), false),
                ("a.\na.\nvery very very short duplicate.".to_owned(), false),
                ("half.\nhalf.".to_owned(), true),
                (format!("{long}\n{long}\na.\nb.\nc."), true),
            ],
        ),
        (
            "repeated_paragraphs_char",
            "dup_para_char_frac = 0.2",
            vec![
                ("totally unique".to_owned(), false),
                ("a.\n\n  a.\n\n  very very very short duplicate.".to_owned(), false),
                ("half.\n\nhalf.".to_owned(), true),
                (format!("{long}\n\n{long}\n\n  a.\n\n  b.\n\n  c."), true),
            ],
        ),
        (
            "repeating_top_2grams",
            "top_n_grams = [[2, 0.2]]",
            vec![
                ("this is a totally fine sentence with no repeat ngrams so we are ok".to_owned(), false),
                ("a b . a b".to_owned(), true),
                ("a a a a a a".to_owned(), true),
                ("totally fine small dupe a b a b".to_owned(), false),
            ],
        ),
        (
            "repeating_dup_2gram",
            "dup_n_grams = [[2, 0.2]]",
            vec![
                ("a a b b a a b b".to_owned(), true),
                ("totally fine".to_owned(), false),
                ("a a a a this should be fine as well".to_owned(), false),
            ],
        ),
    ] {
        for (text, refused) in texts {
            let said = speaks("gopher_repetition", "nemo", options, reason, &text);
            assert_eq!(said, refused, "{reason}, {options}: {text:?}");
        }
    }
}

#[test]
fn a_mode_that_is_misspelt_or_does_not_fit_is_refused() {
    let column: ArrayRef = Arc::new(StringArray::from_iter_values([""]));
    let schema = RecordBatch::try_from_iter([("text", column)]).expect("a batch").schema();
    for (table, message) in [
        ("op = 'gopher_quality'\nmode = 'nemoo'", "`mode`: unknown value \"nemoo\"; did you mean `nemo`?"),
        (
            "op = 'gopher_repetition'\nmode = 'dolma'\ndup_para_frac = 0.1",
            "`mode` = \"dolma\" has no rules on paragraphs",
        ),
    ] {
        let recipe = specs(&format!("[[clean]]\ncolumn = 'text'\n{table}"));
        let error = Cleaner::new(&recipe, &schema).expect_err(table).to_string();
        assert!(error.contains(message), "{error}");
    }
}
