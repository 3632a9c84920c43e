//! `missing`: a null, with `blank` also a text of nothing but white space, and with `disguised` or `tokens` what people
//! write in place of a value.

use super::{
    Findings, Operator, Rows, Rule,
    spec::{Built, Column, Settings},
    table::{Cells, has_cells},
    texts::is_text,
};
use crate::Result;
use serde::Deserialize;

pub(super) const NAME: &str = "missing";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// Whether text of nothing but white space (Unicode's `White_Space`) counts as missing.
    #[serde(default)]
    blank: bool,
    /// Whether the usual [`DISGUISES`] count as missing.
    #[serde(default)]
    disguised: bool,
    /// Other cells that count as missing: texts (whatever their capitals, and the white space around them), or numbers
    /// as Arrow prints them (`999`).
    #[serde(default)]
    tokens: Vec<String>,
}

/// What people write for a missing value, in small letters. Numbers such as 999 or -1 are left to `tokens`: in most
/// columns they are numbers.
const DISGUISES: [&str; 20] = [
    "?",
    "??",
    "-",
    "--",
    "---",
    ".",
    "..",
    "#n/a",
    "n/a",
    "na",
    "n.a.",
    "nan",
    "nil",
    "none",
    "null",
    "(null)",
    "\\n",
    "missing",
    "unknown",
    "not available",
];

struct Missing {
    columns: Vec<Column>,
    blank: bool,
    /// In small letters, sorted.
    tokens: Vec<String>,
}

pub(super) fn build(mut settings: Settings<'_>) -> Result<Built, String> {
    let Options { blank, disguised, tokens: own } = settings.read()?;
    let columns = settings.columns()?;
    let usual = if disguised { DISGUISES.as_slice() } else { &[] };
    let mut tokens: Vec<String> = own.iter().map(|token| token.trim().to_lowercase()).collect();
    tokens.extend(usual.iter().map(|&token| token.to_owned()));
    tokens.sort_unstable();
    tokens.dedup();
    if tokens.first().is_some_and(String::is_empty) {
        return Err("`tokens` holds a blank text: say `blank` = true".to_owned());
    }
    if disguised && !columns.iter().any(|column| is_text(&column.data_type)) {
        return Err("`disguised` = true asks for texts, and no column named holds text".to_owned());
    }
    if blank && !columns.iter().any(|column| is_text(&column.data_type)) {
        return Err("`blank` = true asks for blank text, and no column named holds text".to_owned());
    }
    Ok(Built::Pure(Box::new(Missing { columns, blank, tokens })))
}

impl Operator for Missing {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> u32 {
        2
    }

    fn options(&self) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        format!("columns = {columns:?}, blank = {}, tokens = {:?}", self.blank, self.tokens)
    }

    fn rules(&self) -> Vec<Rule> {
        self.columns.iter().map(|column| Rule::plain(format!("{NAME}:{}", column.name))).collect()
    }

    fn judge(&self, rows: &Rows<'_>, findings: &mut Findings) -> Result<()> {
        for (reason, column) in self.columns.iter().enumerate() {
            let array = rows.data().column(column.index).as_ref();
            let nulls = array.logical_nulls();
            if let Some(nulls) = nulls.as_ref().filter(|nulls| nulls.null_count() > 0) {
                for row in (!nulls.inner()).set_indices() {
                    findings.add(row, reason);
                }
            }
            if !(self.blank && is_text(&column.data_type)) && (self.tokens.is_empty() || !has_cells(&column.data_type))
            {
                continue;
            }
            let cells = Cells::of(rows, column.index)?;
            for row in rows.iter().filter(|&row| cells.get(row).is_some_and(|cell| self.is_missing(cell))) {
                findings.add(row, reason);
            }
        }
        Ok(())
    }
}

impl Missing {
    fn is_missing(&self, cell: &str) -> bool {
        let cell = cell.trim();
        if cell.is_empty() {
            return self.blank;
        }
        // Most cells are longer than any token.
        let longest = self.tokens.iter().map(String::len).max().unwrap_or(0);
        cell.len() <= longest && self.tokens.binary_search(&cell.to_lowercase()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use crate::clean::{Cleaner, spec::specs};
    use arrow::{
        array::{
            ArrayRef, DictionaryArray, Int32Array, LargeStringArray, NullArray, RecordBatch, StringArray,
            StringViewArray,
        },
        datatypes::Int8Type,
    };
    use std::sync::Arc;

    const TEXTS: [Option<&str>; 6] =
        [Some("word"), None, Some(""), Some(" \t\r\n\u{a0}\u{2003}"), Some(" x "), Some("\u{200b}")];

    fn kept(column: ArrayRef, options: &str) -> Vec<u32> {
        let data = RecordBatch::try_from_iter_with_nullable([("a", column, true)]).expect("a batch");
        let recipe = format!("[[clean]]\nop = 'missing'\ncolumn = 'a'\n{options}");
        let cleaner = Cleaner::new(&specs(&recipe), &data.schema()).expect("a recipe");
        let judged = cleaner.judge(&data, &[]).expect("a judgement");
        let settled = cleaner.settle(0, &judged, &mut cleaner.memory());
        let dropped = data.num_rows() as u64 - u64::from(settled.keep.count());
        let expected = if dropped == 0 { vec![] } else { vec![("missing:a".to_owned(), dropped)] };
        assert_eq!(settled.dropped, expected);
        assert!(judged.evidence().all(|(_, evidence)| evidence.measured.is_none() && evidence.threshold.is_none()));
        settled.keep.kept().collect()
    }

    #[test]
    fn nulls_are_missing_and_blank_text_is_where_asked() {
        let dictionary: DictionaryArray<Int8Type> = TEXTS.into_iter().collect();
        let columns: [ArrayRef; 4] = [
            Arc::new(StringArray::from_iter(TEXTS)),
            Arc::new(LargeStringArray::from_iter(TEXTS)),
            Arc::new(StringViewArray::from_iter(TEXTS)),
            Arc::new(dictionary),
        ];
        for column in columns {
            assert_eq!(kept(Arc::clone(&column), ""), [0, 2, 3, 4, 5], "{}", column.data_type());
            assert_eq!(kept(Arc::clone(&column), "blank = true"), [0, 4, 5], "{}", column.data_type());
            assert_eq!(kept(column.slice(2, 3), "blank = true"), [2], "{}", column.data_type());
        }
    }

    #[test]
    fn a_null_behind_a_dictionary_is_missing() {
        let values = StringArray::from(vec![Some("x"), None, Some("")]);
        let keys = arrow::array::Int8Array::from(vec![Some(0), Some(1), None, Some(2)]);
        let column: ArrayRef = Arc::new(DictionaryArray::new(keys, Arc::new(values)));
        assert_eq!(kept(Arc::clone(&column), ""), [0, 3]);
        assert_eq!(kept(column, "blank = true"), [0]);
        let nulls: DictionaryArray<Int8Type> = [None, None::<&str>].into_iter().collect();
        assert!(kept(Arc::new(nulls), "blank = true").is_empty());
    }

    #[test]
    fn disguised_values_are_missing_where_asked() {
        let texts = ["N/A", " null ", "-", "?", "Nathan", "999", "", "-5", "n\u{e4}"];
        let column: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
        assert_eq!(kept(Arc::clone(&column), ""), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(kept(Arc::clone(&column), "disguised = true"), [4, 5, 6, 7, 8]);
        assert_eq!(kept(Arc::clone(&column), "disguised = true\ntokens = ['999']\nblank = true"), [4, 7, 8]);
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(999), Some(7), None]));
        assert_eq!(kept(numbers, "tokens = ['999']"), [1]);
    }

    #[test]
    fn any_type_can_be_missing() {
        assert_eq!(kept(Arc::new(Int32Array::from(vec![Some(0), None])), ""), [0]);
        assert!(kept(Arc::new(NullArray::new(2)), "").is_empty());
        assert_eq!(kept(Arc::new(Int32Array::from(vec![0, 1])), ""), [0, 1]);
    }
}
