use crate::clean::{Cleaner, spec::specs};
use arrow::{
    array::{
        Array, ArrayRef, FixedSizeListArray, Float32Array, Float64Array, Int32Array, Int64Array, LargeListArray,
        ListArray, PrimitiveArray, RecordBatch, UInt8Array, UInt64Array,
    },
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::{DataType, Field, Float16Type, Float32Type},
};
use proptest::prelude::*;
use std::sync::Arc;

/// What is said of each row that is dropped: (row, reason, measured, threshold).
fn faults(column: ArrayRef, bounds: &str) -> Vec<(u32, String, Option<f64>, Option<f64>)> {
    let data = RecordBatch::try_from_iter_with_nullable([("a", column, true)]).expect("a batch");
    let recipe = format!("[[clean]]\nop = 'range'\ncolumn = 'a'\n{bounds}");
    let cleaner = Cleaner::new(&specs(&recipe), &data.schema()).expect("a recipe");
    let judged = cleaner.judge(&data, &[]).expect("a judgement");
    let keep = cleaner.settle(0, &judged, &mut cleaner.memory()).keep;
    let said: Vec<_> = judged.evidence().map(|(row, said)| (row, said.reason, said.measured, said.threshold)).collect();
    let dropped: Vec<u32> = (0..keep.rows()).filter(|&row| !keep.is_kept(row)).collect();
    assert_eq!(said.iter().map(|said| said.0).collect::<Vec<_>>(), dropped);
    said
}

fn rows(column: ArrayRef, bounds: &str) -> Vec<u32> {
    faults(column, bounds).into_iter().map(|fault| fault.0).collect()
}

#[test]
fn bounds_are_inclusive_and_the_evidence_names_the_one_that_was_crossed() {
    let column = Float64Array::from(vec![-1.0, 0.0, -0.0, 0.5, 1.0, 1.5]);
    assert_eq!(
        faults(Arc::new(column), "min = 0\nmax = 1.0"),
        [
            (0, "out_of_range:a".to_owned(), Some(-1.0), Some(0.0)),
            (5, "out_of_range:a".to_owned(), Some(1.5), Some(1.0)),
        ]
    );
}

#[test]
fn what_is_not_finite_has_its_own_reason_and_null_is_not_judged() {
    let values = [Some(f32::NAN), Some(f32::INFINITY), Some(f32::NEG_INFINITY), None, Some(f32::MAX), Some(2.0)];
    for (bounds, expected) in [
        ("", vec!["not_finite:a"; 3]),
        ("max = 3.0", vec!["not_finite:a", "not_finite:a", "not_finite:a", "out_of_range:a"]),
        ("min = -1e300\nmax = 1e300", vec!["not_finite:a"; 3]),
    ] {
        let found = faults(Arc::new(Float32Array::from_iter(values)), bounds);
        assert_eq!(found.iter().map(|said| said.1.as_str()).collect::<Vec<_>>(), expected, "{bounds}");
        assert!(found[..3].iter().all(|said| said.3.is_none()));
    }
    let half: PrimitiveArray<Float16Type> = Float32Array::from_iter(values).iter().map(half_of).collect();
    assert_eq!(rows(Arc::new(half), "max = 3.0"), [0, 1, 2, 4]);
}

fn half_of(value: Option<f32>) -> Option<super::bound::Half> {
    value.map(super::bound::Half::from_f32)
}

#[test]
fn integers_are_compared_exactly() {
    const LARGE: i64 = (1 << 53) + 1;
    let column = || Arc::new(Int64Array::from(vec![LARGE - 1, LARGE, LARGE + 1]));
    assert_eq!(rows(column(), &format!("min = {LARGE}")), [0]);
    assert_eq!(rows(column(), &format!("max = {LARGE}")), [2]);
    let column = || Arc::new(UInt64Array::from(vec![0, i64::MAX as u64, u64::MAX]));
    assert_eq!(rows(column(), &format!("max = {}", i64::MAX)), [2]);
    assert_eq!(rows(column(), "min = -1"), [0_u32; 0]);
    assert_eq!(rows(column(), "max = 1e30"), [0_u32; 0]);
    assert_eq!(rows(Arc::new(Int32Array::from(vec![0, 1, 2])), "min = 0.5\nmax = 1.5"), [0, 2]);
    assert_eq!(rows(Arc::new(Int32Array::from(vec![0, 1])), "min = 0.2\nmax = 0.8"), [0, 1], "nothing between");
    assert_eq!(rows(Arc::new(UInt8Array::from(vec![0, 254, 255])), "max = 254.9"), [2]);
}

#[test]
fn a_narrow_float_is_held_against_the_bound_at_its_own_precision() {
    let column = Float32Array::from(vec![0.1, 0.1_f32.next_up()]);
    assert_eq!(rows(Arc::new(column), "max = 0.1"), [1]);
}

#[test]
fn a_list_is_judged_by_its_first_fault() {
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    let numbers = [
        Some(0.5),
        None,
        Some(0.7), // fine, a null between
        Some(0.5),
        Some(2.0),
        Some(f32::NAN), // out of range first
        Some(0.5),
        Some(f32::NAN),
        Some(2.0), // not finite first
        Some(9.0),
        Some(9.0),
        Some(9.0), // under a null
    ];
    let values: ArrayRef = Arc::new(Float32Array::from_iter(numbers));
    let nulls = NullBuffer::from(vec![true, true, true, false]);
    let fixed = FixedSizeListArray::new(Arc::clone(&item), 3, Arc::clone(&values), Some(nulls.clone()));
    let offsets = OffsetBuffer::from_lengths([3; 4]);
    let list = ListArray::new(Arc::clone(&item), offsets, Arc::clone(&values), Some(nulls.clone()));
    let large = LargeListArray::new(item, OffsetBuffer::from_lengths([3; 4]), values, Some(nulls));
    for column in [Arc::new(fixed) as ArrayRef, Arc::new(list), Arc::new(large)] {
        let found = faults(Arc::clone(&column), "min = 0\nmax = 1");
        let reasons: Vec<_> = found.iter().map(|said| (said.0, said.1.as_str())).collect();
        assert_eq!(reasons, [(1, "out_of_range:a"), (2, "not_finite:a")], "{}", column.data_type());
        assert_eq!(rows(column.slice(2, 2), "min = 0\nmax = 1"), [0], "{}", column.data_type());
    }
    let empty = ListArray::from_iter_primitive::<Float32Type, _, _>([Some(Vec::<Option<f32>>::new())]);
    assert!(faults(Arc::new(empty), "min = 0").is_empty());
}

proptest! {
    /// Long enough for several chunks of the vector loop.
    #[test]
    fn every_row_is_judged_as_if_alone(
        numbers in prop::collection::vec(prop::option::weighted(0.9, -3_i64..300), 0..900),
        min in -2_i64..3, width in 0_i64..300,
    ) {
        let max = min + width;
        let expected: Vec<u32> = (0..).zip(&numbers)
            .filter(|(_, number)| number.is_some_and(|number| number < min || number > max))
            .map(|(row, _)| row)
            .collect();
        let bounds = format!("min = {min}\nmax = {max}");
        let floats = Float64Array::from_iter(numbers.iter().map(|number| number.map(|number| number as f64)));
        prop_assert_eq!(&rows(Arc::new(Int64Array::from_iter(numbers)), &bounds), &expected);
        prop_assert_eq!(&rows(Arc::new(floats), &bounds), &expected);
    }
}
