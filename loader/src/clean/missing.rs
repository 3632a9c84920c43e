//! `missing`: a null, with `blank` also a text of nothing but white space, and with `disguised` or `tokens` what people
//! write in place of a value.
//!
//! With `optional` a survey counts, and what is missing from a column of which much is missing is let pass: nobody has to
//! fill it in.

use super::{
    Findings, Operator, Rows, Rule, Sketch, Survey,
    spec::{Built, Column, Settings},
    table::{Cells, has_cells},
    texts::is_text,
};
use crate::{Error, Result};
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
    /// The share of a column's cells that may be missing at most for the column to be one that has to be filled in.
    #[serde(default)]
    optional: Option<f64>,
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
    absence: Absence,
    optional: Option<f64>,
    /// By column, whether nobody has to fill it in; empty where that is not asked.
    exempt: Vec<bool>,
}

/// What counts as missing, in which columns.
#[derive(Clone)]
struct Absence {
    columns: Vec<Column>,
    blank: bool,
    /// In small letters, sorted.
    tokens: Vec<String>,
}

pub(super) fn build(mut settings: Settings<'_>) -> Result<Built, String> {
    let Options { blank, disguised, tokens: own, optional } = settings.read()?;
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
    if let Some(share) = optional.filter(|share| !(0.0..=1.0).contains(share)) {
        return Err(format!("`optional` = {share}: a share is at least 0 and at most 1"));
    }
    Ok(Built::Pure(Box::new(Missing { absence: Absence { columns, blank, tokens }, optional, exempt: Vec::new() })))
}

impl Operator for Missing {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> u32 {
        2
    }

    fn options(&self) -> String {
        let Absence { columns, blank, tokens } = &self.absence;
        let columns: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        format!("columns = {columns:?}, blank = {blank}, tokens = {tokens:?}, optional = {:?}", self.optional)
    }

    fn rules(&self) -> Vec<Rule> {
        self.absence.columns.iter().map(|column| Rule::plain(format!("{NAME}:{}", column.name))).collect()
    }

    fn survey(&self) -> Option<Survey> {
        let most = self.optional?;
        let counts = vec![(0, 0); self.absence.columns.len()];
        Some(Survey::new(Counts { absence: self.absence.clone(), most, counts }))
    }

    fn fit(&mut self, fit: &[u8]) -> Result<()> {
        self.exempt = postcard::from_bytes(fit)
            .ok()
            .filter(|exempt: &Vec<bool>| exempt.len() == self.absence.columns.len())
            .ok_or_else(|| Error::State(format!("not a fit of operator `{NAME}` for these columns")))?;
        Ok(())
    }

    fn judge(&self, rows: &Rows<'_>, findings: &mut Findings) -> Result<()> {
        for (reason, column) in self.absence.columns.iter().enumerate() {
            if !self.exempt.get(reason).copied().unwrap_or(false) {
                self.absence.each(rows, column, |row| findings.add(row, reason))?;
            }
        }
        Ok(())
    }
}

impl Absence {
    /// Calls `missing` with the rows that reach the operator and lack a value in `column`, in no order.
    fn each(&self, rows: &Rows<'_>, column: &Column, mut missing: impl FnMut(usize)) -> Result<()> {
        let nulls = rows.data().column(column.index).logical_nulls();
        if let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) {
            rows.iter().filter(|&row| nulls.is_null(row)).for_each(&mut missing);
        }
        if !(self.blank && is_text(&column.data_type)) && (self.tokens.is_empty() || !has_cells(&column.data_type)) {
            return Ok(());
        }
        let cells = Cells::of(rows, column.index)?;
        rows.iter().filter(|&row| cells.get(row).is_some_and(|cell| self.is_missing(cell))).for_each(missing);
        Ok(())
    }

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

/// The survey: of each column, how many cells there are and how many of them are missing.
struct Counts {
    absence: Absence,
    most: f64,
    counts: Vec<(u64, u64)>,
}

impl Sketch for Counts {
    type Part = Vec<(u64, u64)>;

    fn look(&self, rows: &Rows<'_>) -> Result<Self::Part> {
        let of_column = |column: &Column| {
            let mut missing = 0;
            self.absence.each(rows, column, |_| missing += 1)?;
            Ok((rows.iter().count() as u64, missing))
        };
        self.absence.columns.iter().map(of_column).collect()
    }

    fn add(&mut self, part: Self::Part) -> Result<()> {
        for ((cells, missing), added) in self.counts.iter_mut().zip(part) {
            *cells += added.0;
            *missing += added.1;
        }
        Ok(())
    }

    fn fit(self) -> Result<Vec<u8>> {
        let exempt = self.counts.iter().map(|&(cells, missing)| missing as f64 > self.most * cells as f64);
        postcard::to_stdvec(&exempt.collect::<Vec<bool>>()).map_err(|error| Error::State(error.to_string()))
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

    #[test]
    fn a_column_that_nobody_fills_in_is_let_pass_where_asked() {
        let cells = |missing: usize| -> ArrayRef {
            Arc::new(StringArray::from_iter((0..20).map(|row| (row >= missing).then_some("x"))))
        };
        let data =
            RecordBatch::try_from_iter_with_nullable([("a", cells(2), true), ("b", cells(3), true)]).expect("a batch");
        for (optional, expected) in
            [("", [2, 3]), ("optional = 0.1", [2, 0]), ("optional = 0", [0, 0]), ("optional = 1", [2, 3])]
        {
            let recipe = format!("[[clean]]\nop = 'missing'\ncolumns = ['a', 'b']\naction = 'annotate'\n{optional}");
            let mut cleaner = Cleaner::new(&specs(&recipe), &data.schema()).expect("a recipe");
            if let Some(mut surveys) = cleaner.surveys(0) {
                for half in [data.slice(0, 7), data.slice(7, 13)] {
                    surveys.add(cleaner.look(&surveys, 0, &half, &[]).expect("a look")).expect("room");
                }
                cleaner.fit(surveys.fits().expect("fits")).expect("its own fit");
            }
            let judged = cleaner.judge(&data, &[]).expect("a judgement");
            let found = ["missing:a", "missing:b"]
                .map(|reason| judged.evidence().filter(|(_, evidence)| evidence.reason == reason).count());
            assert_eq!(found, expected, "{optional}");
        }
    }
}
