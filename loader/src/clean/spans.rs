//! Stretches of texts, row by row: what an analysis of lines or words keeps without an allocation for each.

use super::{Analysis, Rows};
use crate::{Error, Place, Result};
use std::ops::Range;

/// For each row of a column, stretches of its text as byte ranges, in order.
///
/// Eight bytes a stretch and eight a row, in two vectors for the whole block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans {
    /// Where each finished row's stretches end in `spans`.
    ends: Vec<usize>,
    spans: Vec<(u32, u32)>,
}

impl Spans {
    /// The longest text whose stretches fit, in bytes.
    pub const LONGEST: usize = u32::MAX as usize;

    /// Room for `rows` rows.
    #[must_use]
    pub fn with_rows(rows: usize) -> Self {
        Self { ends: Vec::with_capacity(rows), spans: Vec::new() }
    }

    /// One more stretch of the row at hand. Its end must be at most [`LONGEST`](Self::LONGEST), which
    /// [`fits`](Self::fits) says of a text.
    pub fn push(&mut self, range: Range<usize>) {
        self.spans.push((range.start as u32, range.end as u32));
    }

    /// Ends the row at hand, with or without a stretch; the next one follows.
    pub fn end_row(&mut self) {
        self.ends.push(self.spans.len());
    }

    /// Refuses a text that is too long for 32 bits.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] with the row.
    pub fn fits(row: usize, text: &str) -> Result<()> {
        if text.len() <= Self::LONGEST {
            return Ok(());
        }
        let place = Place::default().row(u32::try_from(row).unwrap_or(u32::MAX));
        Err(Error::data(place, format!("a text of {} bytes; at most {} can be analysed", text.len(), Self::LONGEST)))
    }

    /// The stretches of `row`.
    pub fn of(&self, row: usize) -> impl ExactSizeIterator<Item = Range<usize>> + DoubleEndedIterator + Clone + '_ {
        let end = self.ends.get(row).copied().unwrap_or(0);
        let start = row.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0).min(end);
        self.spans[start..end].iter().map(|&(start, end)| start as usize..end as usize)
    }

    /// The stretches of `row` as slices of its text.
    pub fn slices<'a>(
        &'a self,
        row: usize,
        text: &'a str,
    ) -> impl ExactSizeIterator<Item = &'a str> + DoubleEndedIterator + Clone + 'a {
        self.of(row).map(|range| text.get(range).unwrap_or_default())
    }

    /// How many rows are ended.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.ends.len()
    }
}

/// The lines of a text column, as Python's `str.splitlines` cuts them: at LF, CR, CR LF, VT, FF, FS, GS, RS, NEL, LS
/// and PS. A break at the end opens no further line. The breaks are in no line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines(pub Spans);

impl Analysis for Lines {
    fn of(rows: &Rows<'_>, column: usize) -> Result<Self> {
        let texts = rows.texts(column)?;
        let mut spans = Spans::with_rows(rows.len());
        for row in 0..rows.len() {
            if let Some(text) = texts.get(row).filter(|_| rows.reaches(row)) {
                Spans::fits(row, text)?;
                split_lines(text, |line| spans.push(line));
            }
            spans.end_row();
        }
        Ok(Self(spans))
    }
}

fn split_lines(text: &str, mut line: impl FnMut(Range<usize>)) {
    let is_break = |c: char| matches!(c, '\n'..='\r' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let mut start = 0;
    while let Some(length) = text[start..].find(is_break) {
        let end = start + length;
        line(start..end);
        let rest = &text[end..];
        let width = if rest.starts_with("\r\n") { 2 } else { rest.chars().next().map_or(1, char::len_utf8) };
        start = end + width;
    }
    if start < text.len() {
        line(start..text.len());
    }
}

#[cfg(test)]
mod tests {
    use super::{Spans, split_lines};

    #[test]
    fn lines_are_those_of_python_s_splitlines() {
        for (text, expected) in [
            ("", &[][..]),
            ("\n", &[""]),
            ("a\r\nb\rc\n", &["a", "b", "c"]),
            ("a\n\nb", &["a", "", "b"]),
            (
                "a\u{b}b\u{c}c\u{1c}d\u{1d}e\u{1e}f\u{85}g\u{2028}h\u{2029}i\u{1f}j",
                &["a", "b", "c", "d", "e", "f", "g", "h", "i\u{1f}j"],
            ),
        ] {
            let mut lines = Vec::new();
            split_lines(text, |line| lines.push(&text[line]));
            assert_eq!(lines, expected, "{text:?}");
        }
    }

    #[test]
    fn each_row_has_its_own_stretches_and_rows_beyond_have_none() {
        let mut spans = Spans::with_rows(3);
        spans.push(0..2);
        spans.push(3..4);
        spans.end_row();
        spans.end_row();
        spans.push(1..2);
        spans.end_row();
        let of = |row| spans.of(row).collect::<Vec<_>>();
        assert_eq!(of(0), [0..2, 3..4]);
        assert!(of(2).into_iter().eq(std::iter::once(1..2)));
        assert!(of(1).is_empty() && of(3).is_empty());
        assert_eq!(spans.slices(0, "ab c").collect::<Vec<_>>(), ["ab", "c"]);
    }
}
