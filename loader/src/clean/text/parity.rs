//! What datatrove says, held against what the rules here say. `ARABLE_GOLDEN` names a folder with `datatrove.jsonl` or
//! `datatrove.jsonl.zst`, as `benchmarks/clean/verdicts.py` writes it from any texts.

use super::{c4, counts::Counts, fineweb, gopher_quality, gopher_repetition, lines, pii, words};
use crate::clean::{
    minhash::MinHash,
    shingles::{ShingleHash, Shingler, Tokens},
};
use serde_json::Value;
use std::{collections::BTreeMap, io::BufRead, path::Path};

/// The lines of the golden file, or nothing, said plainly.
fn golden() -> Option<Vec<Value>> {
    let Ok(folder) = std::env::var("ARABLE_GOLDEN") else {
        eprintln!("skipped: ARABLE_GOLDEN names no folder with datatrove.jsonl or datatrove.jsonl.zst");
        return None;
    };
    let plain = Path::new(&folder).join("datatrove.jsonl");
    let bytes = if plain.exists() {
        std::fs::read(plain).expect("the golden file")
    } else {
        let packed = std::fs::File::open(Path::new(&folder).join("datatrove.jsonl.zst")).expect("the golden file");
        let mut decoder = zstd::Decoder::new(packed).expect("zstd");
        decoder.window_log_max(27).expect("a window");
        let mut bytes = Vec::new();
        std::io::copy(&mut decoder, &mut bytes).expect("zstd");
        bytes
    };
    Some(bytes.lines().map(|line| serde_json::from_str(&line.expect("UTF-8")).expect("JSON")).collect())
}

/// What each filter says of a text, by its name in the golden file; and the texts that are left.
fn said(text: &str) -> BTreeMap<&'static str, Value> {
    let mut cut = Vec::new();
    words::words(text, &mut cut);
    let mut all = BTreeMap::new();
    let tokens: Vec<&str> = cut.iter().map(|word| word.of(text)).collect();
    all.insert("words", tokens.into());
    let mut ends = Vec::new();
    lines::cut_sentences(text, &cut, 0, |end| ends.push(end));
    ends.pop();
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let sentences: Vec<&str> =
        starts.zip(ends.iter().copied().chain([text.len()])).map(|(from, to)| &text[from..to]).collect();
    all.insert("sentences", sentences.into());
    let mut first = None;
    gopher_quality::Limits::default().measure(text, &cut, |rule, measured, limit| {
        let (reason, upper) = gopher_quality::RULES[rule];
        if first.is_none() && (if upper { measured > limit } else { measured < limit }) {
            first = Some(reason);
        }
    });
    all.insert("gopher_quality", first.unwrap_or("keep").into());
    let limits = gopher_repetition::Limits::default();
    let mut first = None;
    limits.measure(text, &cut, &mut Default::default(), |rule, measured, limit| {
        if first.is_none() && (if rule == 0 { measured < limit } else { measured > limit }) {
            first = Some(limits.reasons()[rule].clone());
        }
    });
    all.insert("gopher_repetition", first.unwrap_or_else(|| "keep".to_owned()).into());
    for (name, output, rules) in [
        ("c4", "c4_text", c4::Rules::default()),
        ("c4_fineweb", "c4_fineweb_text", c4::Rules { filter_no_terminal_punct: false, ..Default::default() }),
        ("c4_sentences", "c4_sentences_text", c4::Rules { split_paragraph: false, ..Default::default() }),
    ] {
        let (verdict, left) = match rules.judge(text, &cut, &mut Default::default()) {
            c4::Page::LoremIpsum => ("lorem_ipsum", None),
            c4::Page::CurlyBracket => ("curly_bracket", None),
            c4::Page::Lines(_, sentences) if sentences < 5 => ("too_few_sentences", None),
            c4::Page::Lines(left, _) => ("keep", Some(left.unwrap_or_else(|| text.to_owned()))),
        };
        all.insert(name, verdict.into());
        all.insert(output, left.into());
    }
    let ([_, _, third], number) = c4::longest_lines(text);
    all.insert("c4_paragraph", if number < 3 || third < 200 { "< 3 paragraphs" } else { "keep" }.into());
    let mut first = None;
    fineweb::Limits::default().measure(text, cut.len(), &mut Counts::default(), |rule, measured, limit| {
        let (reason, upper) = fineweb::RULES[rule];
        if first.is_none() && (if upper { measured > limit } else { measured < limit }) {
            first = Some(reason);
        }
    });
    all.insert("fineweb", first.unwrap_or("keep").into());
    all.insert("pii", pii::datatrove(text).into());
    let (mut hashes, minhash) = (Vec::new(), MinHash::new(1, 14, 8));
    Shingler::new(Tokens::Words, 5, ShingleHash::Xxh64).for_each(text, |_, hash| hashes.push(hash));
    let mut signature = minhash.empty();
    minhash.add(&mut signature, &hashes);
    all.insert("minhash", if hashes.is_empty() { Value::Null } else { signature.into() });
    all
}

#[test]
fn datatrove_says_the_same_of_every_document() {
    let Some(documents) = golden() else { return };
    let mut differing: BTreeMap<&str, usize> = BTreeMap::new();
    let mut compared = 0;
    for document in &documents {
        let text = document["text"].as_str().expect("text");
        for (name, said) in said(text) {
            let Some(expected) = document.get(name) else { continue };
            if expected == "zero_division" || name == "words" && expected.is_null() {
                continue;
            }
            compared += 1;
            if said != *expected {
                let count = differing.entry(name).or_default();
                *count += 1;
                if *count <= 3 {
                    eprintln!(
                        "{name}, document {}:\n  theirs {expected}\n  ours   {said}\n  text {text:.200?}",
                        document["id"]
                    );
                }
            }
        }
    }
    eprintln!("{} documents, {compared} comparisons; differing: {differing:?}", documents.len());
    assert!(compared > documents.len(), "the golden file says something");
    assert!(differing.is_empty(), "{differing:?}");
}
