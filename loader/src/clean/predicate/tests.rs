//! Conditions over rows of every kind, and conditions that are none.

use crate::clean::{Cleaner, spec::specs};
use arrow::{
    array::{
        ArrayRef, BooleanArray, Date32Array, Float64Array, Int32Array, ListArray, RecordBatch, StringArray, UInt64Array,
    },
    datatypes::Int32Type,
};
use proptest::prelude::*;
use std::sync::Arc;

fn data() -> RecordBatch {
    let columns: [(&str, ArrayRef); 7] = [
        ("score", Arc::new(Int32Array::from(vec![Some(1), Some(2), None, Some(4)]))),
        ("share", Arc::new(Float64Array::from(vec![Some(0.5), Some(f64::NAN), Some(2.0), None]))),
        ("lang", Arc::new(StringArray::from(vec![Some("en"), Some("de"), Some("en-GB"), None]))),
        ("ok", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, Some(true)]))),
        ("large", Arc::new(UInt64Array::from(vec![u64::MAX, 1 << 53, (1 << 53) + 1, 0]))),
        ("when", Arc::new(Date32Array::from(vec![Some(0), Some(19_000), Some(20_000), None]))),
        ("in", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![None::<Vec<Option<i32>>>; 4]))),
    ];
    RecordBatch::try_from_iter(columns).expect("a batch")
}

fn cleaner(keep: &str) -> crate::Result<Cleaner> {
    Cleaner::new(&specs(&format!("[[clean]]\nop = 'predicate'\nkeep = '''{keep}'''")), &data().schema())
}

/// Of each row `+` where it is kept, `-` where the condition is false, `?` where it cannot be told.
fn judged(keep: &str) -> String {
    let cleaner = cleaner(keep).expect(keep);
    let judged = cleaner.judge(&data(), &[]).expect(keep);
    let mut rows = ['+'; 4];
    for (row, said) in judged.evidence() {
        rows[row as usize] = if said.reason == "predicate_null" { '?' } else { '-' };
    }
    rows.iter().collect()
}

#[test]
fn conditions_hold_as_in_sql() {
    for (keep, expected) in [
        ("score >= 2", "-+?+"),
        ("2 <= score", "-+?+"),
        ("score > 1.5", "-+?+"),
        ("score is null", "--+-"),
        ("score IS NOT NULL", "++-+"),
        ("share < 1", "+?-?"),
        ("share <> 0.5", "-?+?"),
        ("lang = 'en'", "+--?"),
        ("lang in ('en', 'de')", "++-?"),
        ("lang not in ('en', null)", "-???"),
        ("lang like 'en%'", "+-+?"),
        ("lang not like '_e'", "+-+?"),
        ("lang matches '^..$'", "++-?"),
        ("length(lang) = 5", "--+?"),
        ("ok", "+-?+"),
        ("not ok", "-+?-"),
        ("ok = false", "-+?-"),
        ("large = 9007199254740993", "--+-"),
        ("large > 9007199254740992.0", "+-+-"),
        ("large = 18446744073709551615", "+---"),
        ("\"when\" >= '2022-01-01'", "-++?"),
        ("`when` < '2000-01-01'", "+--?"),
        ("score = 1 or lang = 'de'", "++??"),
        ("score = 4 or lang is null", "--?+"),
        ("score > 0 and lang like '%n%' and not (ok = false)", "+-??"),
        ("score = 1 or score = 2 and ok", "+-?-"),
        ("(score = 1 or score = 2) and ok", "+-?-"),
        ("score = null", "????"),
        ("1 < 2", "++++"),
        ("share > -1e300 and share < 1e300", "+?+?"),
        ("score < 1e300 and score > -1e300", "++?+"),
    ] {
        assert_eq!(judged(keep), expected, "{keep}");
    }
}

#[test]
fn what_is_no_condition_is_refused_with_what_is_wrong() {
    for (keep, message) in [
        ("", "it ends where a column or a value is expected"),
        ("scor > 1", "there is no column `scor`; did you mean `score`?"),
        ("score > 'a'", "column `score` holds a number and a value is text"),
        ("lang = 3", "column `lang` holds text and a value is a number"),
        ("lang", "column `lang` holds text, which is no condition"),
        ("score like 'a'", "`like` and `matches` are for text"),
        ("score >", "it ends where"),
        ("score > 1 ok", "expected `and`, `or` or the end at `ok`"),
        ("(score > 1", "a `(` without its `)`"),
        ("score is 3", "`is` must be followed by"),
        ("lang in ()", "`in` takes values"),
        ("lang in ('a' 'b')", "are parted by commas"),
        ("lang = 'a", "is opened and never closed"),
        ("score ~ 1", "nothing is known at `~ 1`"),
        ("length(score) > 1", "`length` is of texts"),
        ("\"in\" is null", "which cannot be compared"),
        ("lang matches '('", "unclosed group"),
        ("score > 12x", "no number at `12x`"),
    ] {
        let error = cleaner(keep).expect_err(keep).to_string();
        assert!(error.contains(message), "{keep}: {error}");
    }
    let deep = format!("{}ok{}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(cleaner(&deep).is_err());
    let deep = format!("{}ok", "not ".repeat(1000));
    assert!(cleaner(&deep).expect_err("deep").to_string().contains("within one another"));
}

#[test]
fn a_predicate_needs_no_column_and_another_condition_is_another_cleaner() {
    let with = specs("[[clean]]\nop = 'predicate'\ncolumn = 'score'\nkeep = 'score > 1'");
    let error = Cleaner::new(&with, &data().schema()).expect_err("a column").to_string();
    assert!(error.contains("leave `column` and `columns` out"), "{error}");
    let fingerprint = |keep| cleaner(keep).expect(keep).fingerprint();
    assert_ne!(fingerprint("score > 1"), fingerprint("score > 2"));
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(
        keep in prop_oneof![any::<String>(), "[(),'\"<>=!a-z0-9 .+-]{0,40}", "((not|and|or|score|ok|lang|in|like|is|null|'a'|1|[(]|[)]|<) ){0,12}"]
    ) {
        if let Ok((condition, columns)) = super::parse::parse(&keep) {
            let said = format!("{condition:?}");
            prop_assert!(!said.is_empty());
            prop_assert!(columns.len() <= keep.len());
        }
    }

    /// A negation turns what is true and what is false, and leaves open what cannot be told.
    #[test]
    fn negation_and_de_morgan_hold(one in -1..6_i32, other in -1..6_i32) {
        let (a, b) = (format!("score < {one}"), format!("large > {other}"));
        let turned = |text: String| text.replace('+', "x").replace('-', "+").replace('x', "-");
        prop_assert_eq!(judged(&format!("not ({a})")), turned(judged(&a)));
        prop_assert_eq!(judged(&format!("not ({a} and {b})")), judged(&format!("not {a} or not {b}")));
        prop_assert_eq!(judged(&format!("not ({a} or {b})")), judged(&format!("not {a} and not {b}")));
    }
}
