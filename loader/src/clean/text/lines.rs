//! Lines and sentences as Python and spaCy's sentencizer cut them.

use super::{characters::length, words::Word};

/// The lines of `text` as Python's `str.splitlines` cuts them: at LF, CR, CR LF, VT, FF, FS, GS, RS, NEL, LS and PS. A
/// break at the end opens no further line. The breaks are in no line.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> + Clone {
    let mut rest = Some(text).filter(|text| !text.is_empty());
    std::iter::from_fn(move || {
        let text = rest?;
        let Some((end, width)) = first_break(text) else {
            rest = None;
            return Some(text);
        };
        rest = Some(&text[end + width..]).filter(|text| !text.is_empty());
        Some(&text[..end])
    })
}

/// The first break of a line: where it stands and how long it is, in bytes.
fn first_break(text: &str) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let mut from = 0;
    loop {
        let at = from + bytes[from..].iter().position(|byte| matches!(byte, 10..=13 | 28..=30 | 0xc2 | 0xe2))?;
        let width = match &bytes[at..] {
            [b'\r', b'\n', ..] | [0xc2, 0x85, ..] => 2,
            [0xe2, 0x80, 0xa8 | 0xa9, ..] => 3,
            [0xc2 | 0xe2, ..] => 0,
            _ => 1,
        };
        if width > 0 {
            return Some((at, width));
        }
        from = at + 1;
    }
}

/// How many sentences spaCy's sentencizer finds in `text`, whose words are `words`, as datatrove counts them: at least
/// one. `offset` is where `text` begins in the text that the words were cut from.
pub(super) fn count_sentences(text: &str, words: &[Word], offset: usize) -> usize {
    let mut sentences = 0;
    cut_sentences(text, words, offset, |_| sentences += 1);
    sentences.max(1)
}

/// Calls `ends` with the end, in bytes of `text`, of every sentence's last token; of a text without any token never.
///
/// A sentence begins at the first token behind an end that is neither punctuation nor itself an end. Space that spaCy
/// makes a token of (all but a single blank) can begin one too.
pub(super) fn cut_sentences(text: &str, words: &[Word], offset: usize, mut ends: impl FnMut(usize)) {
    let mut seen_end = false;
    let mut before = 0;
    let mut any = false;
    for word in words {
        let (start, end) = (word.start as usize - offset, word.end as usize - offset);
        if let Some(space) = space_token(text, before, start) {
            if seen_end {
                ends(before);
                seen_end = false;
            }
            before = space;
        }
        if seen_end && !word.is_punctuation() && !word.ends_sentence() {
            ends(before);
            seen_end = false;
        }
        seen_end |= word.ends_sentence();
        before = end;
        any = true;
    }
    if let Some(space) = space_token(text, before, text.len()) {
        if seen_end {
            ends(before);
        }
        before = space;
        any = true;
    }
    if any {
        ends(before);
    }
}

/// Where the token ends that spaCy makes of the space from `start` to `end`, if it does: of all but one blank.
fn space_token(text: &str, start: usize, end: usize) -> Option<usize> {
    let space = text.get(start..end)?;
    let makes_token = if start == 0 { !space.is_empty() } else { !matches!(space, "" | " ") };
    makes_token.then_some(end)
}

/// The non-empty stretches between line feeds and the empty ones, as Python's `split("\n")`.
pub(super) fn split_feeds(text: &str) -> impl Iterator<Item = &str> + Clone {
    text.split('\n')
}

/// The stretches between runs of at least `least` line feeds, as Python's `re.split("\n{least,}")`.
pub(super) fn split_runs(text: &str, least: usize) -> impl Iterator<Item = &str> + Clone {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let bytes = text.as_bytes();
        let mut from = 0;
        while let Some(feed) = memchr::memchr(b'\n', &bytes[from..]) {
            let start = from + feed;
            let run = bytes[start..].iter().take_while(|&&byte| byte == b'\n').count();
            if run >= least {
                rest = Some(&text[start + run..]);
                return Some(&text[..start]);
            }
            from = start + run;
        }
        rest = None;
        Some(text)
    })
}

/// What datatrove's `find_duplicates` counts: copies after the first, and their code points.
pub(super) fn duplicates<'t>(
    parts: impl Iterator<Item = &'t str> + Clone,
    seen: &mut super::counts::Counts,
) -> (usize, usize) {
    seen.clear(parts.clone().count());
    let (mut copies, mut characters) = (0, 0);
    for part in parts {
        if seen.add(xxhash_rust::xxh3::xxh3_64(part.as_bytes())) > 1 {
            copies += 1;
            characters += length(part);
        }
    }
    (copies, characters)
}
