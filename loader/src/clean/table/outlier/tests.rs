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
        for options in ["", "method = 'iqr'", "method = 'adjusted'"] {
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

/// Few of what a skewed distribution has far out anyway are taken for outliers, whichever side it is skewed to, and what
/// lies beyond all of that is found on both sides.
#[test]
fn adjusted_distances_follow_the_skew() {
    // By their quantiles, so that nothing is random: exponential, and lognormal of a logistic's quantiles.
    let share = |at: u32| (f64::from(at) + 0.5) / 4000.0;
    let exponential = |share: f64| -libm::log(1.0 - share);
    let skewed = |share: f64| libm::exp(0.5 * libm::log(share / (1.0 - share)));
    for distribution in [&exponential as &dyn Fn(f64) -> f64, &skewed] {
        for sign in [1.0, -1.0] {
            let mut values: Vec<f64> = (0..4000).map(|at| sign * distribution(share(at))).collect();
            let farthest = values.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
            values.extend([sign * 4.0 * farthest, -sign * farthest]);
            let column: ArrayRef = Arc::new(Float64Array::from(values));
            let (robust, adjusted) = (rows("", Arc::clone(&column)), rows("method = 'adjusted'", column));
            assert!(adjusted.ends_with(&[4000, 4001]), "{adjusted:?}");
            assert!(5 * (adjusted.len() - 2) <= robust.len() - 2, "{} and {}", adjusted.len(), robust.len());
        }
    }
}

#[test]
fn the_medcouple_is_that_of_its_definition() {
    use super::medcouple;
    assert_eq!(medcouple(&[]), 0.0);
    assert_eq!(medcouple(&[1.0, 2.0, 3.0]), 0.0);
    assert_eq!(medcouple(&[5.0; 7]), 0.0);
    // Around 2, of (0, 1, 2) and (2, 5, 9): the median of 0, −1, −1, (3 − 1) / 4, …
    let kernel = [0.0, 1.0, 1.0, -1.0, 2.0 / 4.0, 6.0 / 8.0, -1.0, 1.0 / 5.0, 5.0 / 9.0];
    let mut sorted = kernel;
    sorted.sort_by(f64::total_cmp);
    assert_eq!(medcouple(&[0.0, 1.0, 2.0, 5.0, 9.0]), sorted[4]);
    assert_eq!(medcouple(&[-9.0, -5.0, -2.0, -1.0, 0.0]), -sorted[4]);
    assert!((0.0..=1.0).contains(&medcouple(&[f64::MIN, -1.0, 0.0, 1.0, f64::MAX])));
}

proptest! {
    #[test]
    fn what_is_measured_is_beyond_the_threshold(numbers in prop::collection::vec(any::<f64>(), 0..200)) {
        let data = RecordBatch::try_from_iter([("x", Arc::new(Float64Array::from(numbers)) as ArrayRef)]).unwrap();
        let (flags, _) = found("[[clean]]\nop = 'outlier'\ncolumn = 'x'", &data);
        prop_assert!(flags.iter().all(|(_, _, measured)| measured.is_some_and(|measured| measured > 3.5)));
    }
}
