//! `missing`: a null, or with `blank` also a text of nothing but white space.

use super::{
    operator::{Flags, Operator, Rows},
    spec::{Built, Column, Settings},
};
use crate::Result;
use arrow::{
    array::{Array, AsArray},
    datatypes::DataType,
};
use serde::Deserialize;

pub(super) const NAME: &str = "missing";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// Whether text of nothing but white space (Unicode's `White_Space`) counts as missing.
    #[serde(default)]
    blank: bool,
}

struct Missing {
    columns: Vec<Column>,
    blank: bool,
}

pub(super) fn build(mut settings: Settings<'_>) -> Result<Built, String> {
    let Options { blank } = settings.read()?;
    let columns = settings.columns()?;
    if blank && !columns.iter().any(|column| is_text(&column.data_type)) {
        return Err("`blank` = true asks for blank text, and no column named holds text".to_owned());
    }
    Ok(Built::Pure(Box::new(Missing { columns, blank })))
}

impl Operator for Missing {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn options(&self) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        format!("columns = {columns:?}, blank = {}", self.blank)
    }

    fn reasons(&self) -> Vec<String> {
        self.columns.iter().map(|column| format!("{NAME}:{}", column.name)).collect()
    }

    fn judge(&self, rows: &Rows<'_>, flags: &mut Flags) -> Result<()> {
        for (reason, column) in self.columns.iter().enumerate() {
            let array = rows.data().column(column.index).as_ref();
            let nulls = array.logical_nulls();
            if let Some(nulls) = nulls.as_ref().filter(|nulls| nulls.null_count() > 0) {
                for row in (!nulls.inner()).set_indices() {
                    flags.add(row, reason);
                }
            }
            if self.blank {
                for_each_blank(array, &mut |row| {
                    if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                        flags.add(row, reason);
                    }
                });
            }
        }
        Ok(())
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

/// Calls `found` with the rows whose text is blank; what stands under a null does not matter.
fn for_each_blank(array: &dyn Array, found: &mut dyn FnMut(usize)) {
    fn is_blank(text: &str) -> bool {
        text.trim_start().is_empty()
    }
    match array.data_type() {
        DataType::Utf8 => {
            let texts = array.as_string::<i32>();
            (0..texts.len()).filter(|&row| is_blank(texts.value(row))).for_each(found);
        }
        DataType::LargeUtf8 => {
            let texts = array.as_string::<i64>();
            (0..texts.len()).filter(|&row| is_blank(texts.value(row))).for_each(found);
        }
        DataType::Utf8View => {
            let texts = array.as_string_view();
            (0..texts.len()).filter(|&row| is_blank(texts.value(row))).for_each(found);
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let mut blank = vec![false; dictionary.values().len()];
            for_each_blank(dictionary.values().as_ref(), &mut |value| blank[value] = true);
            // Keys are clamped into the values, so there must be some.
            if blank.contains(&true) {
                let keys = dictionary.normalized_keys();
                (0..keys.len()).filter(|&row| blank[keys[row]]).for_each(found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use crate::clean::{Cleaner, Memory, spec::specs};
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
        let settled = cleaner.settle(&judged, &mut Memory::default());
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
    fn any_type_can_be_missing() {
        assert_eq!(kept(Arc::new(Int32Array::from(vec![Some(0), None])), ""), [0]);
        assert!(kept(Arc::new(NullArray::new(2)), "").is_empty());
        assert_eq!(kept(Arc::new(Int32Array::from(vec![0, 1])), ""), [0, 1]);
    }
}
