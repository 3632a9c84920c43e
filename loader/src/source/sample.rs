//! What the tests of all formats share: rows of every kind of type, and how they are asked for and looked at.

use super::Request;
use crate::{Error, Result};
use arrow::{
    array::*,
    datatypes::{DataType, Field, Fields, Int32Type, Int64Type},
};
use std::sync::Arc;

/// Rows of every kind of type that matters to a decoder. `seed` varies nulls and lengths.
pub(super) fn sample(rows: usize, seed: usize) -> RecordBatch {
    let pick = |row: usize, of: usize| (row.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 7) % of;
    let text = |row: usize| (pick(row, 5) > 0).then(|| "abcdé".repeat(pick(row, 4)));
    let mut list = ListBuilder::new(StringBuilder::new());
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    let mut triple = FixedSizeListBuilder::new(Float32Builder::new(), 3);
    for row in 0..rows {
        for item in 0..pick(row, 4) {
            list.values().append_option((item != 1).then(|| format!("{row}/{item}")));
        }
        list.append(pick(row, 7) > 0);
        for item in 0..pick(row, 3) {
            map.keys().append_value(format!("k{item}"));
            map.values().append_value(row as i64);
        }
        map.append(true).unwrap();
        triple.values().append_slice(&[row as f32, 0.5, -1.0]);
        triple.append(true);
    }
    let all = |row: usize| text(row).unwrap_or_default();
    let inner: Fields =
        vec![Field::new("x", DataType::Float64, false), Field::new("name", DataType::LargeUtf8, true)].into();
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values((0..rows).map(|row| row as i64 - 7))), false),
        ("text", Arc::new(StringArray::from_iter((0..rows).map(text))), true),
        ("large", Arc::new(LargeStringArray::from_iter((0..rows).map(text))), true),
        ("view", Arc::new(StringViewArray::from_iter((0..rows).map(text))), true),
        ("bytes", Arc::new(BinaryArray::from_iter_values((0..rows).map(|row| all(row).into_bytes()))), false),
        (
            "kind",
            Arc::new(DictionaryArray::<Int32Type>::from_iter((0..rows).map(|row| Some(["a", "b", "c"][pick(row, 3)])))),
            true,
        ),
        (
            "flag",
            Arc::new(BooleanArray::from_iter((0..rows).map(|row| (pick(row, 3) > 0).then_some(row % 2 == 0)))),
            true,
        ),
        (
            "price",
            Arc::new(
                Decimal128Array::from_iter_values((0..rows).map(|row| row as i128 * 100))
                    .with_precision_and_scale(20, 2)
                    .unwrap(),
            ),
            false,
        ),
        (
            "time",
            Arc::new(TimestampMicrosecondArray::from_iter_values((0..rows).map(|row| row as i64)).with_timezone("UTC")),
            false,
        ),
        ("list", Arc::new(list.finish()), true),
        ("map", Arc::new(map.finish()), true),
        ("triple", Arc::new(triple.finish()), true),
        (
            "inner",
            Arc::new(StructArray::new(
                inner,
                vec![
                    Arc::new(Float64Array::from_iter_values((0..rows).map(|row| row as f64 / 3.0))),
                    Arc::new(LargeStringArray::from_iter((0..rows).map(text))),
                ],
                None,
            )),
            false,
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// The columns of both, without the metadata of either.
pub(super) fn same(a: &RecordBatch, b: &RecordBatch) -> bool {
    a.num_rows() == b.num_rows() && a.columns() == b.columns()
}

/// The whole of `block`, whatever its hashes.
pub(super) fn all(block: u32) -> Request<'static> {
    Request { block, rows: None, expected: &[] }
}

/// The error of `result`, which says every one of `parts`.
pub(super) fn says<T: std::fmt::Debug>(result: Result<T>, parts: &[&str]) -> Error {
    let error = result.unwrap_err();
    for part in parts {
        assert!(error.to_string().contains(part), "`{error}` lacks `{part}`");
    }
    error
}

/// The integers of a column.
pub(super) fn integers(batch: &RecordBatch, column: &str) -> Vec<Option<i64>> {
    batch.column_by_name(column).unwrap().as_primitive::<Int64Type>().iter().collect()
}

/// The texts of a column.
pub(super) fn texts(batch: &RecordBatch, column: &str) -> Vec<Option<String>> {
    batch.column_by_name(column).unwrap().as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}
