//! Cases of the tests of datatrove's and Dolma's deduplication, of Dolma's and datamap-rs' filters of addresses, and of
//! Data-Juicer's and NeMo Curator's operators, where an operator here has the rule: as facts, what goes in and what comes
//! out. Texts that were long are others here, related to one another as theirs are.

use super::{Cleaner, spec::specs};
use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use std::sync::Arc;

/// Which of the texts are kept, and the texts as they are then.
fn kept(op: &str, texts: &[&str]) -> (Vec<bool>, Vec<String>) {
    let column: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
    let data = RecordBatch::try_from_iter([("text", column)]).expect("a batch");
    let recipe = format!("[[clean]]\ncolumn = 'text'\n{op}");
    let cleaner = Cleaner::new(&specs(&recipe), &data.schema()).expect(op);
    let judged = cleaner.judge(&data, &[]).expect("a judgement");
    let settled = cleaner.settle(0, &judged, &mut cleaner.memory());
    let texts = cleaner.cut_settled(judged.data().clone(), &settled.cuts).expect("texts");
    let texts = texts.column(0).as_string::<i32>().iter().map(|text| text.unwrap_or_default().to_owned());
    ((0..settled.keep.rows()).map(|row| settled.keep.is_kept(row)).collect(), texts.collect())
}

/// Sentences that have nothing in common, `from..to` of them.
fn sentences(from: usize, to: usize) -> String {
    let word = |number: usize| {
        let letters = b"bcdfghjklmnpqrstvwxz";
        let syllable = |at: usize| [letters[at % 20], b"aeiou"[at / 20 % 5]].map(char::from).iter().collect::<String>();
        let scrambled = number.wrapping_mul(0x9e37_79b9) >> 7;
        (0..3).map(|place| syllable(scrambled >> (5 * place))).collect::<String>()
    };
    let sentence = |number: usize| (0..9).map(|at| word(9 * number + at)).collect::<Vec<_>>().join(" ");
    (from..to).map(|number| format!("{}. ", sentence(number))).collect()
}

/// datatrove's Bloom filter: eight documents, two of which share a good part, are new; two of them again, and one cut
/// short by ten characters, are not.
#[test]
fn a_document_of_shingles_that_were_seen_is_dropped() {
    let (first, long) = (sentences(0, 20), sentences(60, 80));
    let partly = format!("{}{}", sentences(12, 20), sentences(30, 36));
    let others = [sentences(40, 44), sentences(44, 48), sentences(48, 53), sentences(53, 60)];
    let [two, three, four, five] = others.each_ref().map(String::as_str);
    let sums = "1 + 1 = 2, 2 + 2 = 4, 4 + 4 = 8, ...";
    let cut = &long[..long.len() - 10];
    let texts = [&first, partly.as_str(), two, three, four, five, &long, sums, &first, &partly, cut];
    let expected = [[true; 8].as_slice(), &[false; 3]].concat();
    assert_eq!(kept("op = 'paragraph_duplicate'", &texts).0, expected);
}

/// datatrove's deduplication of addresses, and Dolma's by a key: the first of each stays.
#[test]
fn the_first_of_equal_addresses_stays() {
    let addresses = [
        "https://example.com",
        "https://example.com",
        "https://new-site.com",
        "https://example.com",
        "https://example2.com",
    ];
    assert_eq!(kept("op = 'exact_duplicate'", &addresses).0, [true, false, true, false, true]);
}

/// Data-Juicer's document_deduplicator without options. (With `lowercase` and `ignore_non_character` it also takes texts
/// for equal that differ in these; here that is `near_duplicate`'s matter, or a column of the user's own.)
#[test]
fn texts_are_equal_to_the_letter() {
    let english = [
        "Today is Sunday and it's a happy day!",
        "Do you need a cup of coffee?",
        "Today is sunday and it's a happy day!",
        "This paper proposed a novel method on LLM pretraining.",
        "This paper proposed a novel method on LLM pretraining.",
    ];
    assert_eq!(kept("op = 'exact_duplicate'", &english).0, [true, true, true, true, false]);
    let session = "第九届会议\n2003年7月28日至8月8日\n牙买加金斯敦\n1.";
    let dated = "第九届会议\n时间：2003年7月28日至8月8日\n牙买加金斯敦\n1.";
    let chinese = ["你好，请问你是谁", "欢迎来到阿里巴巴！", session, session, dated];
    assert_eq!(kept("op = 'exact_duplicate'", &chinese).0, [true, true, true, false, true]);
}

/// datatrove's clusters: stretches of 400 characters of one text that begin near one another are near duplicates, and
/// those that begin elsewhere are not; one of each cluster stays. Here it is the first.
#[test]
fn one_of_each_cluster_of_overlapping_stretches_stays() {
    let text = sentences(100, 150);
    let clusters: [&[usize]; 6] =
        [&[0, 20, 50], &[400, 420], &[800, 810, 820, 840, 860], &[1205, 1215, 1225, 1245], &[1600], &[2000]];
    let starts: Vec<usize> = clusters.concat();
    let texts: Vec<&str> = starts.iter().map(|&start| &text[start..start + 400]).collect();
    let first = |start: &usize| clusters.iter().any(|cluster| cluster[0] == *start);
    let expected: Vec<bool> = starts.iter().map(first).collect();
    assert_eq!(kept("op = 'near_duplicate'\ntokens = 'chars'\nn = 5", &texts).0, expected);
}

/// datatrove: the share of equal minima is the share of equal shingles, within 0.21.
#[test]
fn signatures_are_as_alike_as_texts() {
    use super::{minhash::MinHash, shingles::shingles};
    let text = sentences(200, 260);
    let words: Vec<&str> = text.split(' ').collect();
    let signature = |text: &str| {
        let minhash = MinHash::new(1, 14, 8);
        let mut signature = minhash.empty();
        minhash.add(&mut signature, &shingles(text, 5));
        signature
    };
    let whole = signature(&text);
    for percent in (0..100).step_by(5) {
        let (head, tail) = words.split_at(words.len() * percent / 100);
        let other: Vec<&str> = head.iter().chain(tail.iter().rev()).copied().collect();
        let other = signature(&other.join(" "));
        let equal = whole.iter().zip(&other).filter(|(one, other)| one == other).count();
        let (alike, kept) = (equal as f64 / whole.len() as f64, percent as f64 / 100.0);
        // Of two sets of equal size that share a part p the similarity is p / (2 - p).
        let expected = kept / (2.0 - kept);
        assert!((alike - expected).abs() < 0.21, "{percent} %: {alike}, {expected} expected");
    }
}

/// datamap-rs' url_substring filter: its exact domains are `domains`, its substrings `banned_subwords`, which are always
/// looked for in letters and digits alone and in any capitals. Where it asks for several substrings in one address, here
/// `soft_banned_words` are whole words.
#[test]
fn addresses_that_datamap_bans() {
    for (list, url, banned) in [
        ("domains = ['example.com']", "https://example.com/page", true),
        ("domains = ['example.com']", "https://safe.com/page", false),
        ("domains = ['example.com']", "http://allowed-site.com", false),
        ("domains = ['bad.com']", "Bad.com", true),
        ("banned_subwords = ['bad', 'evil']", "https://containsbad.com", true),
        ("banned_subwords = ['bad', 'evil']", "https://safe.com", false),
        ("banned_subwords = ['badcom']", "https://bad.com/page", true),
        ("banned_subwords = ['badcom']", "https://safe.org", false),
        ("soft_banned_words = ['bad', 'evil']", "https://bad.site.com", false),
        ("soft_banned_words = ['bad', 'evil']", "https://bad.evil.site.com", true),
    ] {
        assert_eq!(kept(&format!("op = 'url'\n{list}"), &[url]).0, [!banned], "{list}: {url}");
    }
}

/// Dolma's taggers of addresses: of domains in any capitals, with and without a path. (It takes whole addresses for equal
/// whatever their scheme and last slash, and reads files of hosts; here an address is as it stands on the list.)
#[test]
fn addresses_that_dolma_tags() {
    for (url, tagged) in [
        ("http://example.com", true),
        ("EXAMPLE.COM", true),
        ("http://example.com/foo", true),
        ("http://example4.com", false),
    ] {
        assert_eq!(kept("op = 'url'\ndomains = ['example.com']", &[url]).0, [!tagged], "{url}");
    }
    for (url, tagged) in [
        ("http://example.com/foo/bar", true),
        ("http://example.com/foo/", false),
        ("https://example.com/foo/bar/baz", false),
        ("https://example2.com/foo/bar", false),
    ] {
        let list = "urls = ['http://example.com/foo/bar', 'https://example2.com/foo']";
        assert_eq!(kept(&format!("op = 'url'\n{list}"), &[url]).0, [!tagged], "{url}");
    }
}

/// Dolma's C4 tagger: what it tags documents by refuses them, and the lines that it tags go.
#[test]
fn what_dolma_tags_by_the_rules_of_c4() {
    let documents = "op = 'c4'\nmin_num_sentences = -1\nmin_words_per_line = -1\nfilter_no_terminal_punct = false";
    for (text, tagged) in
        [("This is a test.", false), ("This is a test {", true), ("This is a lorem ipsum test\nmore test.", true)]
    {
        assert_eq!(kept(documents, &[text]).0, [!tagged], "{text:?}");
    }
    let endings = "This is a test.\nIt has more;\nA trailing space! \nShould be good on this one.\nThis one is bad\n";
    let short = "Short!\nThis short.\nBarely above the limit!\nthis is last frontier.";
    for (options, text, left) in [
        ("min_words_per_line = -1", endings, "This is a test.\nA trailing space!\nShould be good on this one."),
        ("", short, "Barely above the limit!\nthis is last frontier."),
        ("filter_no_terminal_punct = false", "This is a test javascript", ""),
    ] {
        assert_eq!(kept(&format!("op = 'lines'\naction = 'annotate'\n{options}"), &[text]).1, [left], "{text:?}");
    }
}

/// Data-Juicer's words_num and text_length, NeMo Curator's token counts and datamap-rs' text_len.
#[test]
fn lengths_are_inclusive() {
    let sunday = "Today is Sund Sund Sund Sund Sund Sunda and it's a happy day!";
    let letters = "a v s e c s f e f g a a a  ";
    let marks = "，。、„”“«»１」「《》´∶：？！（）；–—．～’…━〈〉【】％►";
    for (options, texts) in [
        (
            "min_words = 5\nmax_words = 15",
            &[("Today is Sun", false), (sunday, true), (letters, true), (marks, false)][..],
        ),
        (
            "min_chars = 10\nmax_chars = 50",
            &[("Today is", false), (sunday, false), (letters, true), (marks, true), ("中文也是一个字算一个长度", true)],
        ),
        (
            "min_words = 2\nmax_words = 3",
            &[("hello", false), ("hello world", true), ("this is a test", false), ("another test case", true)],
        ),
        ("min_chars = 5\nmax_chars = 20", &[("This is valid text", true)]),
        ("min_chars = 10", &[("Short", false)]),
        ("max_chars = 10", &[("This text is too long for the filter", false)]),
    ] {
        for &(text, expected) in texts {
            assert_eq!(kept(&format!("op = 'length'\n{options}"), &[text]).0, [expected], "{options}: {text:?}");
        }
    }
}

/// NeMo Curator's UnicodeReformatter and datatrove's FTFYFormatter: text in, text out.
#[test]
fn texts_are_repaired() {
    let straight = "op = 'unicode'\nquotes = true";
    for (op, text, repaired) in [
        (straight, "âœ” No problems", "✔ No problems"),
        (straight, "The Mona Lisa doesnÃƒÂ¢Ã¢â€šÂ¬Ã¢â€žÂ¢t have eyebrows.", "The Mona Lisa doesn't have eyebrows."),
        (straight, "l’humanitÃ©", "l'humanité"),
        (straight, "Ã\u{a0} perturber la rÃ©flexion", "à perturber la réflexion"),
        (straight, "Clean document already.", "Clean document already."),
        ("op = 'unicode'", "l\u{e2}\u{80}\u{99}intelligence", "l’intelligence"),
        ("op = 'unicode'", "hello\0world", "helloworld"),
        ("op = 'unicode'", "Hello, this is a normal sentence.", "Hello, this is a normal sentence."),
        ("op = 'unicode'", "price &gt; 10", "price > 10"),
    ] {
        assert_eq!(kept(op, &[text]).1, [repaired], "{text:?}");
    }
}
