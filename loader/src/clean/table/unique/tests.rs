use super::super::found;
use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use std::sync::Arc;

fn keys() -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), Some(2), Some(1), None, Some(3), Some(1)]));
    let names: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "a", "a", "a", "b"]));
    RecordBatch::try_from_iter_with_nullable([("number", numbers, true), ("name", names, true)]).expect("a batch")
}

#[test]
fn all_rows_that_share_a_key_are_found_and_those_without_one() {
    let shared = |row| (row, "not_unique:number".to_owned(), Some(3.0));
    assert_eq!(
        found("[[clean]]\nop = 'unique'\ncolumn = 'number'", &keys()).0,
        [shared(0), shared(2), (3, "no_key:number".to_owned(), None), shared(5)]
    );
    let rows: Vec<u32> = found("[[clean]]\nop = 'unique'\ncolumns = ['number', 'name']", &keys())
        .0
        .into_iter()
        .map(|(row, ..)| row)
        .collect();
    assert_eq!(rows, [0, 2, 3]);
}

#[test]
#[should_panic(expected = "`budget` of `unique` is 16")]
fn more_keys_than_the_budget_holds_are_refused_with_the_arithmetic() {
    found("[[clean]]\nop = 'unique'\ncolumn = 'number'\nbudget = 16", &keys());
}
