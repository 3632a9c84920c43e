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

const SENTENCE: &str = "A part of what the page is about, told here in one whole sentence, and no more. ";

#[test]
fn what_a_page_names_as_beside_its_matter_goes_and_so_does_what_announces_nothing() {
    let text = format!("<p>{}</p>", SENTENCE.repeat(4)).repeat(4);
    let beside = "<div class=\"Post-SocialBar\"><p>Tell your friends of it, wherever they are.</p></div>\
                  <div id=newsletter-box><p>Our letters come every week, to everyone.</p><p>Have them.</p></div>\
                  <p><a href=/a>Another thing that nobody asked for, at length</a></p>\
                  <ul><li><a href=/b>And one</a><li><a href=/c>And another</a></ul><h3>Read on</h3><p>See also:</p>";
    let of_page = |class: &str| {
        let body = format!(
            "<article class=\"{class}\">{text}<p>Told by <a href=/d>somebody</a> else, once.</p>{beside}</article>"
        );
        extract(&page(&body)).expect("a text")
    };
    // A name that all of the text would fall to is no hint.
    for class in ["story", "post-meta-widget"] {
        let text = of_page(class);
        assert_eq!(text.matches("and no more.").count(), 16, "{text}");
        assert!(text.ends_with("Told by somebody else, once."), "{text}");
    }
}

#[test]
fn a_first_paragraph_that_the_description_repeats_is_not_left_out() {
    let lede = "In short: what follows is told at length, and this says it all before it begins.";
    let text = format!("<p>{}</p>", SENTENCE.repeat(4)).repeat(4);
    let body = |lede: &str| {
        format!(
            "<div class=top><div><h1>Title</h1><div class=teaser>{lede}</div></div></div><div><div class=b>{text}</div></div>"
        )
    };
    let of_page = |description: &str, lede: &str| {
        let head = format!("<meta name=description content=\"{description}\">");
        extract(&page(&body(lede)).replace("<head>", &format!("<head>{head}"))).expect("a text")
    };
    let cut = &lede[..60];
    for description in
        [lede, cut, &format!("{lede} More of it."), "Something else that has nothing to do with the text."]
    {
        let text = of_page(description, lede);
        assert_eq!(text.starts_with("In short:"), description.starts_with("In short:"), "{description}: {text}");
        assert_eq!(text.matches("and no more.").count(), 16);
    }
    assert_eq!(
        of_page(&SENTENCE.repeat(2), "x").matches("and no more.").count(),
        16,
        "what is there is not said twice"
    );
}

#[test]
fn the_element_that_is_named_as_the_text_is_taken_where_another_was_chosen_and_stated_text_where_there_is_little() {
    let paragraphs = |what: &str| format!("<p>{what}: {SENTENCE}</p>").repeat(5);
    let scattered = paragraphs("Text").replace("</p>", "</p></div><div class=x>");
    let page_of = |class: &str| {
        page(&format!(
            "<div class='{class}'><div class=x>{scattered}</div></div><div class=about><p>{}</p></div>",
            "Of us, of them, of all. ".repeat(9)
        ))
    };
    let text = extract(&page_of("entry-content")).expect("a text");
    assert_eq!(text.matches("Text:").count(), 5, "{text}");
    let body = SENTENCE.repeat(6);
    let json = format!("{{\"@graph\":[{{\"@type\":\"NewsArticle\",\"articleBody\":\"{body}\"}}]}}");
    let stated = page(&format!(
        "<script type='application/ld+json'>{json}</script><p>Log in to read on, as everybody does.</p>"
    ));
    assert_eq!(extract(&stated).as_deref(), Some(body.trim()));
    for broken in [&json[..40], "null", "[[[[", "{\"articleBody\": 3}"] {
        let page = page(&format!("<script type='application/ld+json'>{broken}</script><p>{SENTENCE}</p>"));
        assert_eq!(extract(&page).as_deref(), Some(SENTENCE.trim()), "{broken}");
    }
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
