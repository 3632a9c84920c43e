//! The operators that look for twins, as a recipe has them: judged block by block, settled in order.

use super::{Cleaner, Memory, Settled, spec::Datasets, spec::specs};
use crate::{Result, Verdict};
use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use proptest::prelude::*;
use std::sync::Arc;

fn block(texts: &[String]) -> RecordBatch {
    let column: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
    RecordBatch::try_from_iter_with_nullable([("text", column, true)]).expect("a batch")
}

fn cleaner(recipe: &str) -> Cleaner {
    Cleaner::new(&specs(recipe), &block(&[]).schema()).expect(recipe)
}

/// Settles the texts in blocks of `size`, from block `from` on.
fn settle(cleaner: &Cleaner, memory: &mut Memory, texts: &[String], size: usize, from: usize) -> Vec<Settled> {
    let blocks = texts.chunks(size).enumerate().skip(from);
    blocks
        .map(|(number, texts)| {
            let judged = cleaner.judge(&block(texts), &[]).expect("a judgement");
            cleaner.settle(number as u32, &judged, memory)
        })
        .collect()
}

fn kept(settled: &[Settled]) -> Vec<bool> {
    settled.iter().flat_map(|settled| (0..settled.keep.rows()).map(|row| settled.keep.is_kept(row))).collect()
}

/// A text of `words` words, all its own.
fn text(seed: usize, words: usize) -> String {
    (0..words)
        .map(|at| format!("w{}x{}", seed as u8 as char as u32, letters(seed * 7919 + at)))
        .collect::<Vec<_>>()
        .join(" ")
}

/// A number in letters: digits are made alike before texts are compared.
fn letters(mut number: usize) -> String {
    let mut name = String::new();
    loop {
        name.push((b'a' + (number % 26) as u8) as char);
        number /= 26;
        if number == 0 {
            return name;
        }
    }
}

#[test]
fn a_near_duplicate_is_dropped_and_its_evidence_names_the_twin() {
    let original = text(1, 400);
    let mut changed: Vec<&str> = original.split(' ').collect();
    changed[200] = "otherwise";
    let texts = [
        original.clone(),
        text(2, 400),
        "too few words here".to_owned(),
        changed.join(" "),
        "too few words here".to_owned(),
    ];
    let cleaner = cleaner("[[clean]]\nop = 'near_duplicate'\ncolumn = 'text'");
    let mut memory = cleaner.memory();
    assert_eq!(kept(&settle(&cleaner, &mut memory, &texts, 2, 0)), [true, true, true, false, true]);
    let mut memory = cleaner.memory();
    let judged = cleaner.judge(&block(&texts), &[]).expect("a judgement");
    let settled = cleaner.settle(7, &judged, &mut memory);
    let verdicts = judged.verdicts(&settled);
    let (verdict, evidence) = &verdicts[3];
    assert_eq!(*verdict, Verdict::Drop("near_duplicate".to_owned()));
    assert!(evidence[0].measured.is_some_and(|bands| (1.0..=14.0).contains(&bands)));
    assert_eq!(evidence[0].twin, Some(crate::Position::new(7, 0)));
}

#[test]
fn paragraphs_that_were_read_before_are_cut_and_texts_of_them_are_dropped() {
    let (one, two, three) = (text(1, 30), text(2, 30), text(3, 60));
    let texts = [
        format!("{one}\nshort line\n{two}"),
        // The second is new, the first and the short one are not.
        format!("{one}\nshort line\n{three}"),
        format!("short line\n{two}"),
        // A repetition within one text.
        format!("{}\n{0}\n{}", text(4, 20), text(5, 60)),
        "short line".to_owned(),
    ];
    let cleaner = cleaner("[[clean]]\nop = 'paragraph_duplicate'\ncolumn = 'text'");
    let mut memory = cleaner.memory();
    let data = block(&texts);
    let judged = cleaner.judge(&data, &[]).expect("a judgement");
    let settled = cleaner.settle(0, &judged, &mut memory);
    assert_eq!(settled.dropped, [("paragraph_duplicate".to_owned(), 1)]);
    assert_eq!(settled.keep.kept().collect::<Vec<_>>(), [0, 1, 3, 4]);
    let cut = cleaner.cut_settled(data, &settled.cuts).expect("texts");
    let cut = cut.column(0).as_string::<i32>();
    assert_eq!(cut.value(0), texts[0]);
    assert_eq!(cut.value(1), format!("short line\n{three}"));
    assert_eq!(cut.value(3), format!("{}\n{}", text(4, 20), text(5, 60)));
    assert_eq!(cut.value(4), "short line");
}

/// Evaluation sets in memory.
struct Sets(Vec<(&'static str, RecordBatch)>);

impl Datasets for Sets {
    fn read(&self, url: &str, each: &mut dyn FnMut(&RecordBatch) -> Result<()>) -> Result<()> {
        self.0.iter().filter(|(name, _)| *name == url).try_for_each(|(_, batch)| each(batch))
    }
}

#[test]
fn a_document_with_an_n_gram_of_an_evaluation_set_is_dropped_by_its_name() {
    let column = |texts: &[&str]| -> ArrayRef { Arc::new(StringArray::from_iter_values(texts)) };
    let (question, answer) = (column(&["a b c d e"]), column(&["f g h i j"]));
    let set = RecordBatch::try_from_iter([("question", question), ("answer", answer)]).expect("a batch");
    let plain = RecordBatch::try_from_iter([("text", column(&["k l m n o p"]))]).expect("a batch");
    let sets = Sets(vec![("s3://sets/task.jsonl", set), ("plain.csv", plain)]);
    let texts = ["x a b c d x", "x C, d e F! x", "f g h i", "e f g", "k l m n", "l m o p", ""].map(str::to_owned);
    let judge = |options: &str| {
        let recipe = format!("[[clean]]\nop = 'decontaminate'\ncolumn = 'text'\nn = 4\n{options}");
        let cleaner = Cleaner::with_datasets(&specs(&recipe), &block(&[]).schema(), &sets)?;
        let settled = settle(&cleaner, &mut cleaner.memory(), &texts, 100, 0).remove(0);
        Ok::<_, crate::Error>((kept(std::slice::from_ref(&settled)), settled.dropped, cleaner.fingerprint()))
    };
    let both = "sets = ['s3://sets/task.jsonl']\nlabel = 'answer'\nquery = 'question'";
    let (kept, dropped, fingerprint) = judge(both).expect("a recipe");
    assert_eq!(kept, [true, false, false, true, true, true, true], "grams of the query alone are not looked for");
    assert_eq!(dropped, [("contaminated:task".to_owned(), 2)]);
    let (kept, dropped, other) = judge("sets = ['s3://sets/task.jsonl', 'plain.csv']").expect("a recipe");
    assert_eq!(kept, [false, true, false, true, false, true, true], "each column by itself");
    assert_eq!(dropped, [("contaminated:plain".to_owned(), 1), ("contaminated:task".to_owned(), 2)]);
    assert_ne!(fingerprint, other);
    let (kept, ..) = judge("sets = ['plain.csv']\nshare = 0.99\ntokens = 'whitespace'").expect("a recipe");
    assert_eq!(kept, [true, true, true, true, false, true, true]);
    let error = judge("sets = ['nothing.csv']").expect_err("an empty set").to_string();
    assert!(error.contains("`nothing.csv` adds no n-gram"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn blocks_and_resumes_change_no_verdict(
        pieces in prop::collection::vec(prop::collection::vec(0..6_usize, 1..5), 1..24),
        (one, other) in (1..6_usize, 1..6_usize),
        cut in any::<prop::sample::Index>(),
        which in 0..3_usize,
    ) {
        let recipe = [
            "[[clean]]\nop = 'near_duplicate'\ncolumn = 'text'",
            "[[clean]]\nop = 'near_duplicate'\ncolumn = 'text'\nindex = 'bloom'\nmemory = '16KiB'",
            "[[clean]]\nop = 'paragraph_duplicate'\ncolumn = 'text'\nmemory = '16KiB'",
        ][which];
        let texts: Vec<String> = pieces
            .iter()
            .map(|pieces| pieces.iter().map(|&piece| text(piece, 16)).collect::<Vec<_>>().join("\n"))
            .collect();
        let cleaner = cleaner(recipe);
        let mut memory = cleaner.memory();
        let whole = settle(&cleaner, &mut memory, &texts, one, 0);
        let again = settle(&cleaner, &mut cleaner.memory(), &texts, other, 0);
        prop_assert_eq!(kept(&whole), kept(&again));
        let at = cut.index(whole.len());
        let mut resumed = cleaner.restore(&memory.to_bytes(at as u32)).expect("own bytes");
        let rest = settle(&cleaner, &mut resumed, &texts, one, at);
        prop_assert_eq!(&rest[..], &whole[at..]);
        prop_assert_eq!(resumed.to_bytes(u32::MAX), memory.to_bytes(u32::MAX));
    }
}
