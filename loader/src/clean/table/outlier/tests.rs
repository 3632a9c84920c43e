use super::super::found;
use arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray};
use proptest::prelude::*;
use std::sync::Arc;

fn rows(options: &str, column: ArrayRef) -> Vec<u32> {
    let data = RecordBatch::try_from_iter_with_nullable([("x", column, true)]).expect("a batch");
    let recipe = format!("[[clean]]\nop = 'outlier'\ncolumn = 'x'\n{options}");
    found(&recipe, &data).0.into_iter().map(|(row, ..)| row).collect()
}

fn numbers(odd: &[i32]) -> Vec<i32> {
    (0..100).map(|row| 100 + row % 21).chain(odd.iter().copied()).collect()
}

#[test]
fn numbers_far_from_the_rest_are_found_whatever_holds_them() {
    let numbers = numbers(&[1000, 115, -500]);
    let columns: [ArrayRef; 3] = [
        Arc::new(Int32Array::from(numbers.clone())),
        Arc::new(Float64Array::from_iter_values(numbers.iter().map(|&number| f64::from(number)))),
        Arc::new(StringArray::from_iter_values(numbers.iter().map(i32::to_string))),
    ];
    for column in columns {
        for options in ["", "method = 'iqr'"] {
            assert_eq!(rows(options, Arc::clone(&column)), [100, 102], "{} {options}", column.data_type());
        }
        assert!(rows("threshold = 200.0", column).is_empty());
    }
}

#[test]
fn texts_are_judged_by_their_length_and_what_is_no_number_is_not_judged_as_one() {
    let texts = (0..100).map(|row| "word ".repeat(10 + row % 5)).chain(["word ".repeat(500), "x".to_owned()]);
    assert_eq!(rows("", Arc::new(StringArray::from_iter_values(texts))), [100, 101]);
    let mut numbers: Vec<String> = numbers(&[]).iter().map(i32::to_string).collect();
    numbers.push("about a hundred, or rather more".to_owned());
    assert!(rows("", Arc::new(StringArray::from(numbers))).is_empty());
}

#[test]
fn a_column_without_spread_has_no_outliers_and_neither_has_nothing() {
    assert!(rows("", Arc::new(Int32Array::from([vec![7; 99], vec![8]].concat()))).is_empty());
    assert!(rows("", Arc::new(Int32Array::from(vec![None, None]))).is_empty());
    assert!(rows("", Arc::new(Float64Array::from(vec![f64::NAN, f64::INFINITY]))).is_empty());
}

proptest! {
    #[test]
    fn what_is_measured_is_beyond_the_threshold(numbers in prop::collection::vec(any::<f64>(), 0..200)) {
        let data = RecordBatch::try_from_iter([("x", Arc::new(Float64Array::from(numbers)) as ArrayRef)]).unwrap();
        let (flags, _) = found("[[clean]]\nop = 'outlier'\ncolumn = 'x'", &data);
        prop_assert!(flags.iter().all(|(_, _, measured)| measured.is_some_and(|measured| measured > 3.5)));
    }
}
