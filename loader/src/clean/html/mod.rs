//! `html`: the main text of a raw page, in its place.
//!
//! Extraction is dom_smoothie's, a port of Mozilla's Readability, without captions and without what is beside the matter
//! (`beside`), and with what pages say of their texts themselves (`stated`). Where that leaves hardly a text, the page's
//! paragraphs are taken instead. Its time grows with the square of
//! a page's nesting, so a page that is nested too deeply, or is too large, is refused before it is parsed.

mod article;
mod beside;
mod charset;
mod long_texts;
mod nesting;
mod paragraphs;
mod stated;
mod weights;

use super::{
    Findings, Operator, Rows, Rule,
    spec::{Built, Column, Settings},
    texts::is_text,
};
use crate::{Error, Place, Result, byte_size::ByteSize};
use arrow::{
    array::{Array as _, ArrayRef, AsArray, BinaryArray},
    compute::cast,
    datatypes::DataType,
};
use serde::Deserialize;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub(super) const NAME: &str = "html";

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Options {
    /// The largest page that is parsed.
    max_bytes: ByteSize,
    /// The deepest nesting of elements that is parsed; browsers give up at 512.
    max_depth: usize,
    /// The least text that a page must have, in characters.
    min_text: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_bytes: ByteSize::mib(8), max_depth: 512, min_text: 1 }
    }
}

#[derive(Debug)]
struct Html {
    columns: Vec<Column>,
    options: Options,
}

/// The rules of a column, in their order.
const RULES: usize = 4;
const TOO_LARGE: usize = 0;
const TOO_DEEP: usize = 1;
const NO_MAIN_TEXT: usize = 2;
const EXTRACTED: usize = 3;

pub(super) fn build(mut settings: Settings<'_>) -> Result<Built, String> {
    let options: Options = settings.read()?;
    let columns = settings.columns()?;
    for Column { name, data_type, .. } in &columns {
        if !is_text(data_type) && !is_bytes(data_type) {
            return Err(format!("column `{name}` holds {data_type}; it reads texts and bytes"));
        }
    }
    if !(1..=4096).contains(&options.max_depth) {
        return Err(format!("`max_depth` = {}: must be at least 1 and at most 4096", options.max_depth));
    }
    Ok(Built::Pure(Box::new(Html { columns, options })))
}

const fn is_bytes(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

impl Operator for Html {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> u32 {
        4
    }

    fn options(&self) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        format!("columns = {columns:?}, {:?}", self.options)
    }

    fn rules(&self) -> Vec<Rule> {
        let of_column = |Column { name, .. }: &Column| {
            let rules: [Rule; RULES] = [
                Rule::at_most(format!("too_large:{name}")),
                Rule::at_most(format!("too_deep:{name}")),
                Rule::at_least(format!("no_main_text:{name}")),
                Rule::note(format!("extracted:{name}")),
            ];
            rules
        };
        self.columns.iter().flat_map(of_column).collect()
    }

    fn rewrites(&self) -> Vec<usize> {
        self.columns.iter().map(|column| column.index).collect()
    }

    fn judge(&self, rows: &Rows<'_>, findings: &mut Findings) -> Result<()> {
        for (at, column) in self.columns.iter().enumerate() {
            if is_text(&column.data_type) {
                let texts = rows.texts(column.index)?;
                for row in rows.iter() {
                    if let Some(text) = texts.get(row).and_then(|page| self.main_text(page, row, at, findings)) {
                        findings.rewrite(row, column.index, text);
                    }
                }
            } else {
                self.judge_bytes(rows, column, at, findings)?;
            }
        }
        Ok(())
    }
}

impl Html {
    /// Pages as bytes: read in the charset that they say, and written back as UTF-8.
    fn judge_bytes(&self, rows: &Rows<'_>, column: &Column, at: usize, findings: &mut Findings) -> Result<()> {
        let array = rows.data().column(column.index);
        let wrong = |what: String| Error::data(Place::default().column(&column.name), what);
        let pages = cast(array, &DataType::LargeBinary).map_err(|error| wrong(error.to_string()))?;
        let Some(pages) = pages.as_binary_opt::<i64>() else {
            return Err(wrong(format!("{} holds no bytes", array.data_type())));
        };
        let mut texts: Vec<Option<String>> = vec![None; rows.len()];
        for row in rows.iter().filter(|&row| pages.is_valid(row)) {
            let page = pages.value(row);
            texts[row] = if self.fits(page, row, at, findings) {
                self.main_text(&charset::decode(page), row, at, findings)
            } else {
                None
            };
        }
        let text = |row: usize| match &texts[row] {
            Some(text) => Some(text.as_bytes()),
            None => pages.is_valid(row).then(|| pages.value(row)),
        };
        let bytes = (0..rows.len()).map(text).collect::<BinaryArray>();
        let rewritten: ArrayRef = cast(&bytes, array.data_type()).map_err(|error| wrong(error.to_string()))?;
        findings.replace(column.index, rewritten);
        Ok(())
    }

    fn fits(&self, page: &[u8], row: usize, at: usize, findings: &mut Findings) -> bool {
        let (bytes, most) = (page.len() as u64, self.options.max_bytes.0);
        findings.hold(bytes > most, row, RULES * at + TOO_LARGE, bytes as f64, most as f64);
        bytes <= most
    }

    /// A page's main text; `None` where it was refused.
    fn main_text(&self, page: &str, row: usize, at: usize, findings: &mut Findings) -> Option<String> {
        if !self.fits(page.as_bytes(), row, at, findings) {
            return None;
        }
        let (depth, most) = (nesting::depth(page, self.options.max_depth), self.options.max_depth);
        findings.hold(depth > most, row, RULES * at + TOO_DEEP, depth as f64, most as f64);
        if depth > most {
            return None;
        }
        let text = extract(page).unwrap_or_default();
        let (length, least) = (text.chars().count(), self.options.min_text);
        findings.hold(length < least, row, RULES * at + NO_MAIN_TEXT, length as f64, least as f64);
        findings.measured(row, RULES * at + EXTRACTED, length as f64, None);
        Some(text)
    }
}

/// The main text of `page`, with a line for each block of it; `None` where there is none.
fn extract(page: &str) -> Option<String> {
    // The parser is a third party's: where it panics, there is no text.
    catch_unwind(AssertUnwindSafe(|| {
        let page = &*long_texts::broken_up(page);
        let (text, stated) = article::article(page);
        let text = stated.complete(paragraphs::or_paragraphs(text, page));
        (!text.is_empty()).then_some(text)
    }))
    .ok()?
}

#[cfg(test)]
mod tests;
