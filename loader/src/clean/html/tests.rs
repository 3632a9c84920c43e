use super::{charset::decode, extract, paragraphs::or_paragraphs};
use crate::clean::{Cleaner, spec::specs};
use arrow::array::{Array as _, ArrayRef, AsArray, BinaryArray, RecordBatch, StringArray};
use proptest::prelude::*;
use std::sync::Arc;

fn page(body: &str) -> String {
    format!("<html><head><title>t</title></head><body>{body}</body></html>")
}

fn article() -> String {
    let paragraph =
        "<p>This is what the page is about, told at some length, with commas, and in whole sentences. ".repeat(6);
    page(&format!(
        "<nav><ul><li><a href=/a>Home</a><li><a href=/b>Imprint</a></ul></nav><div id=main>{paragraph}</div>\
         <footer>All rights reserved, by somebody.</footer>"
    ))
}

fn judged(column: ArrayRef) -> (Vec<String>, ArrayRef) {
    let data = RecordBatch::try_from_iter_with_nullable([("page", column, true)]).expect("a batch");
    let cleaner = Cleaner::new(&specs("[[clean]]\nop = 'html'\ncolumn = 'page'"), &data.schema()).expect("a recipe");
    let judged = cleaner.judge(&data, &[]).expect("a judgement");
    let reasons = judged.evidence().map(|(_, evidence)| evidence.reason).collect();
    (reasons, Arc::clone(judged.data().column(0)))
}

#[test]
fn the_main_text_stands_in_the_pages_place() {
    let pages = [Some(article()), None, Some(String::new())];
    let (reasons, texts) = judged(Arc::new(StringArray::from_iter(pages)));
    assert_eq!(reasons, ["extracted:page", "no_main_text:page", "extracted:page"]);
    let texts = texts.as_string::<i32>();
    assert!(texts.value(0).starts_with("This is what the page is about"));
    assert!(!texts.value(0).contains("Imprint") && !texts.value(0).contains("rights"));
    assert!(texts.is_null(1));
}

#[test]
fn a_text_that_is_spread_over_a_page_is_found_and_what_stands_beside_it_is_not() {
    let sentence = "A part of what the page is about, told here in one whole sentence, and no more. ";
    let parts: String = (0..12)
        .map(|part| format!("<section><div class=row><div><p>{part}: {sentence}</p></div></div></section>"))
        .collect();
    let links = "<p><a href=/x>Read of something that has nothing to do with it, at length</a></p>".repeat(5);
    let beside = "<div class=newsletter><p>Subscribe to our letters, which come every week, to everyone.</p></div>";
    let page = page(&format!("<nav><p>{sentence}</p></nav>{links}{parts}{beside}"));
    let text = or_paragraphs(format!("3: {sentence}"), &page);
    assert_eq!(text.lines().count(), 12, "{text}");
    assert!((0..12).all(|part| text.contains(&format!("{part}: A part of what"))), "{text}");
    for enough in ["x".repeat(1500), parts.clone()] {
        assert_eq!(or_paragraphs(enough.clone(), &page), enough, "what is long, or most of the page, stays");
    }
    assert_eq!(or_paragraphs(String::new(), "<p>Log in.</p>"), "", "a word or two are no text");
}

#[test]
fn pages_of_bytes_are_read_in_their_charset_and_written_as_utf_8() {
    let latin = article().replace("<title>t", "<meta charset=iso-8859-1><title>t").replace("whole", "caf\u{e9}");
    let latin: Vec<u8> = latin.chars().map(|character| character as u8).collect();
    let (reasons, texts) = judged(Arc::new(BinaryArray::from_iter_values([latin])));
    assert_eq!(reasons, ["extracted:page"]);
    assert!(std::str::from_utf8(texts.as_binary::<i32>().value(0)).expect("UTF-8").contains("in café sentences"));
    assert_eq!(decode(b"\xef\xbb\xbfa"), "a");
    assert_eq!(decode(b"caf\xe9 \x93x\x94"), "café “x”");
    assert_eq!(
        decode(b"<?xml version='1.0' encoding='windows-1251'?>\xcf"),
        "<?xml version='1.0' encoding='windows-1251'?>П"
    );
}

#[test]
fn what_would_take_too_long_is_refused_unparsed() {
    let deep = ["<div>", "<table><tr><td>", "<ul><li>", "<b>", "<svg><g>", "<svg><td>"];
    for unit in deep {
        let (reasons, texts) = judged(Arc::new(StringArray::from_iter_values([page(&unit.repeat(100_000))])));
        assert_eq!(reasons, ["too_deep:page"], "{unit}");
        assert!(texts.as_string::<i32>().value(0).len() > 100_000, "it is left as it is");
    }
    let fonts: String = (0..1000).map(|color| format!("<font color={color}><p>")).collect();
    assert_eq!(judged(Arc::new(StringArray::from_iter_values([page(&fonts)]))).0, ["too_deep:page"]);
    let (reasons, _) = judged(Arc::new(StringArray::from_iter_values(["x".repeat(9 << 20)])));
    assert_eq!(reasons, ["too_large:page"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_page_is_too_strange(
        parts in prop::collection::vec("(<[a-z!/?-]{0,8}[ a-z=\"'>]{0,8}|</?(div|p|table|td|a|svg|template|script)>|\\PC{0,6})", 0..60)
    ) {
        let _ = extract(&page(&parts.concat()));
    }
}
