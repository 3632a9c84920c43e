//! Cases of datatrove's own tests, as facts: what goes in, and what comes out.

use crate::clean::{Cleaner, spec::specs};
use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use std::sync::Arc;

/// The reason that comes first for `text`, and the text that is left.
fn said(op: &str, text: &str) -> (Option<String>, String) {
    let column: ArrayRef = Arc::new(StringArray::from_iter_values([text]));
    let data = RecordBatch::try_from_iter([("text", column)]).expect("a batch");
    let recipe = format!("[[clean]]\ncolumn = 'text'\naction = 'annotate'\n{op}");
    let cleaner = Cleaner::new(&specs(&recipe), &data.schema()).expect("a recipe");
    let judged = cleaner.judge(&data, &[]).expect("a judgement");
    let first = judged.evidence().map(|(_, said)| said.reason).find(|reason| reason != "lines_left_out");
    (first, judged.data.column(0).as_string::<i32>().value(0).to_owned())
}

fn reason(op: &str, text: &str) -> Option<String> {
    said(op, text).0
}

const FRODO: &str = "I wish it need not have happened in my time,' said Frodo. 'So do I,' said Gandalf, 'and so do all \
                     who live to see such times. But that is not for them to decide. All we have to decide is what to \
                     do with the time that is given us.'";

#[test]
fn repetition() {
    let op = "op = 'gopher_repetition'";
    for (text, expected) in [
        ("I am your father.\n".repeat(4), "dup_line_frac"),
        ("I am your father.\n\n".repeat(4), "dup_para_frac"),
        (
            format!(
                "I am groot.\n\nYou are a wizard.\n\nI am your father.\n\n{}",
                format!("{}.\n\n", "x".repeat(30)).repeat(2)
            ),
            "dup_para_char_frac",
        ),
        (
            format!(
                "I am groot.\nYou are a wizard.\nI am your father.\n{}",
                format!("{}.\n", "x".repeat(40)).repeat(2)
            ),
            "dup_line_char_frac",
        ),
        ("I am Frank, I am Frank, I am Frank".to_owned(), "top_2_gram"),
        ("I am Frank, you are Jhon. I am Frank. I am Frank you are Jhon".to_owned(), "top_3_gram"),
        (format!("{}{FRODO}", "I am a solo traveller ".repeat(4)), "duplicated_5_n_grams"),
        (String::new(), "empty"),
    ] {
        assert_eq!(reason(op, &text).as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn quality() {
    let op = "op = 'gopher_quality'\nmin_doc_words = 10\nmax_doc_words = 1000";
    let symbols = "the ./!*?<><> apple <?////> orange  ++ interconnection !<>??? have".repeat(20);
    for (text, expected) in [
        ("I am too small...".to_owned(), Some("gopher_short_doc")),
        ("I am ".repeat(20), Some("gopher_below_avg_threshold")),
        ("interconnection ".repeat(20), Some("gopher_above_avg_threshold")),
        ("# comment ".repeat(20), Some("gopher_too_many_hashes")),
        ("... comment ".repeat(20), Some("gopher_too_many_ellipsis")),
        (symbols, Some("gopher_below_alpha_threshold")),
        (FRODO.to_owned(), None),
    ] {
        assert_eq!(reason(op, &text).as_deref(), expected, "{text}");
    }
}

#[test]
fn c4_and_fineweb() {
    let good = "This is a well-written paragraph with several sentences.\nThe content continues with more good \
                information here.\nAnother important point is being made in this line.\nWe can see that this document \
                has quality content.\nFinally, the conclusion wraps everything up nicely.\nAn additional sentence to \
                ensure we pass the threshold.";
    assert_eq!(reason("op = 'c4'", good), None);
    let after = "Another sentence with proper punctuation.\nMore content to fill out the document.\nEven more content \
                 is needed to pass the check.\nThe final sentence of the document.";
    for (first, expected) in [
        ("This is a sentence with lorem ipsum dolor sit amet.", "lorem_ipsum"),
        ("This is some code with a { bracket.", "curly_bracket"),
    ] {
        assert_eq!(reason("op = 'c4'", &format!("{first}\n{after}")).as_deref(), Some(expected));
    }
    assert_eq!(reason("op = 'c4'", "Just one sentence.").as_deref(), Some("too_few_sentences"));
    let policy = "This site uses cookies for tracking.\nAnother valid line here today.";
    let (_, left) = said("op = 'c4'\nmin_num_sentences = -1\nmin_words_per_line = -1", policy);
    assert_eq!(left, "Another valid line here today.");
    let paragraphs = "op = 'c4'\nmin_paragraphs = 3";
    assert_eq!(reason(paragraphs, "short\nshort\nshort").as_deref(), Some("< 3 paragraphs"));
    let long = ["x".repeat(250), "x".repeat(250), "x".repeat(250)].join("\n");
    assert_ne!(reason(paragraphs, &long).as_deref(), Some("< 3 paragraphs"));
    let op = "op = 'fineweb'";
    assert_eq!(reason(op, "").as_deref(), Some("empty"));
    let plain = "No punctuation here\nAnother line without any\nStill nothing";
    assert_eq!(reason(&format!("{op}\nline_punct_thr = 0.5"), plain).as_deref(), Some("line_punct_ratio"));
    let short = format!("{op}\nshort_line_thr = 0.5\nshort_line_length = 30\nline_punct_thr = 0.0");
    assert_eq!(reason(&short, "hi.\nbye.\nok.\nno.\nyes.").as_deref(), Some("short_line_ratio"));
    let lines = "This is a well-written paragraph that ends with proper punctuation.\nThe content here is substantial \
                 and has meaningful information.\nQuality filtering ensures that only the best documents pass \
                 through.\nEach line here is long enough and ends with a terminal punctuation mark.\nThis document \
                 should pass all the quality checks applied by the filter.";
    assert_eq!(reason(op, lines), None);
    assert!(reason(&format!("{op}\nnew_line_ratio = 0.1"), &["a"; 50].join("\n")).is_some());
}

#[test]
fn addresses_and_patterns() {
    let op = "op = 'url'\ndomains = ['blocked.com', 'danger.org', 'badsubdomain.nice.com']";
    for (url, expected) in [
        ("https://blocked.com/some-sub-url?with=stuff", Some("domain")),
        ("https://hey.danger.org/some-sub-url?with=stuff", Some("domain")),
        ("http://hey.danger.org/some-sub-url?with=stuff", Some("domain")),
        ("http://www.danger.org/some-sub-url?with=stuff", Some("domain")),
        ("https://nice.com/some-sub-url?with=stuff", None),
        ("https://badsubdomain.nice.com/some-sub-url?with=stuff", Some("subdomain")),
        ("https://sdsd.badsubdomain.nice.com/some-sub-url?with=stuff", None),
        ("https://blocke.dcom/some-sub-url?with=stuff", None),
    ] {
        assert_eq!(reason(op, url).as_deref(), expected, "{url}");
    }
    let op = "op = 'regex'\npattern = '(?i)copyright'";
    assert!(reason(op, &format!("{FRODO}\n\nCoPyRiGhT")).is_some() && reason(op, FRODO).is_none());
}

/// datatrove's test puts words for what is replaced; here stands what it puts by itself.
fn personal(text: &str) -> String {
    let (_, mut left) = said("op = 'pii'", text);
    for (put, name) in [
        ("firstname.lastname@example.org", "EMAIL"),
        ("email@example.com", "EMAIL"),
        ("22.214.171.124", "IP"),
        ("126.96.36.199", "IP"),
        ("188.8.131.52", "IP"),
        ("184.108.40.206", "IP"),
        ("220.127.116.11", "IP"),
        ("18.104.22.168", "IP"),
    ] {
        left = left.replace(put, name);
    }
    left
}

#[test]
fn ip_addresses() {
    for kept in [
        "999.999.999.999.",
        "108.0.0.01",
        "0.1.2.3",
        "00.0000.00.00",
        "192.168.l.1",
        "912.456.123.123",
        "192.168.o.0",
        "172.16.0.9",
        "172.16.4.1",
        "172.17.1.1",
        "127.0.0.2",
        "10.0.1.5",
        "10.0.0.1",
        "10.155.155.155",
        "10.255.255.254",
        "172.16.0.4",
        "172.16.0.1",
        "172.31.254.254",
        "192.168.1.2",
        "192.168.254.0",
    ] {
        assert_eq!(said("op = 'pii'", kept).1, kept);
    }
    assert_eq!(personal(".3.3.3.0"), ".IP");
    let public = [
        "163.36.107.25",
        "114.35.103.54",
        "57.120.21.121",
        "13.83.69.70",
        "29.116.31.158",
        "193.163.229.23",
        "211.160.67.46",
        "4.132.211.142",
        "214.70.227.4",
        "35.88.121.75",
    ];
    assert_eq!(personal(&public.join("\n")), ["IP"; 10].join("\n"));
}

#[test]
fn email_addresses() {
    for (text, expected) in [
        ("email@example.com", "EMAIL"),
        ("firstname.lastname@example.com", "EMAIL"),
        ("email@subdomain.example.com", "EMAIL"),
        ("firstname+lastname@example.com", "EMAIL"),
        ("email@123.123.123.123", "EMAIL"),
        ("email@[123.123.123.123]", "EMAIL"),
        ("\"email\"@example.com", "\"email\"@example.com"),
        ("1234567890@example.com", "EMAIL"),
        ("email@example-one.com", "EMAIL"),
        ("_______@example.com", "EMAIL"),
        ("email@example.name", "EMAIL"),
        ("email@example.museum", "EMAIL"),
        ("email@example.co.jp", "EMAIL"),
        ("firstname-lastname@example.com", "EMAIL"),
        ("much.”more\\ unusual”@example.com", "much.”more\\ unusual”@example.com"),
        ("very.unusual.”@”.unusual.com@example.com", "very.unusual.”@”.EMAIL"),
        (
            "very.”(),:;<>[]”.VERY.”very@\\ \"very”.unusual@strange.example.com",
            "very.”(),:;<>[]”.VERY.”very@\\ \"very”.EMAIL",
        ),
        ("plainaddress", "plainaddress"),
        ("#@%^%#$@#$@#.com", "#@%^%#$@#$@#.com"),
        ("@example.com", "@example.com"),
        ("Joe Smith <email@example.com>", "Joe Smith <EMAIL>"),
        ("email.example.com", "email.example.com"),
        ("email@example@example.com", "email@EMAIL"),
        (".email@example.com", ".EMAIL"),
        ("email.@example.com", "email.@example.com"),
        ("email..email@example.com", "email..EMAIL"),
        ("あいうえお@example.com", "あいうえお@example.com"),
        ("email@example.com (Joe Smith)", "EMAIL (Joe Smith)"),
        ("email@example", "email@example"),
        ("email@-example.com", "email@-example.com"),
        ("email@example.web", "EMAIL"),
        ("email@111.222.333.44444", "EMAIL"),
        ("email@example..com", "email@example..com"),
        ("Abc..123@example.com", "Abc..EMAIL"),
        ("”(),:;<>[\\]@example.com", "”(),:;<>[\\]@example.com"),
        ("just”not”right@example.com", "just”not”EMAIL"),
        ("this\\ is\"really\"not\\allowed@example.com", "this\\ is\"really\"not\\EMAIL"),
    ] {
        assert_eq!(personal(text), expected, "{text}");
    }
}

/// The language model is another, so that only the language is compared, not its score.
#[test]
fn languages() {
    let op = "op = 'language'\nlanguages = ['en', 'it']\nthreshold = 0";
    let french = "Un magicien n'est jamais en retard Frodon Sacquet. Pas plus qu'il est en avance. Il arrive \
                  précisément à l'heure prévue.";
    let portuguese =
        "Um mago nunca chega tarde, Frodo Bolseiro. Nem cedo. Ele chega precisamente na hora que pretende.";
    let italian = "Molti tra i vivi meritano la morte. E parecchi che sono morti avrebbero meritato la vita. Sei forse \
                   tu in grado di dargliela? E allora non essere troppo generoso nel distribuire la morte nei tuoi \
                   giudizi: sappi che nemmeno i più saggi possono vedere tutte le conseguenze.";
    for (text, kept) in [(FRODO, true), (french, false), (portuguese, false), (italian, true)] {
        assert_eq!(reason(op, text).is_none(), kept, "{text}");
    }
}
