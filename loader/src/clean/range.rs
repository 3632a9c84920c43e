//! `range`: a number below a minimum, above a maximum, or not finite; in a column of numbers, or of lists of them.
//!
//! Bounds are inclusive. Nulls are not judged, neither whole values nor elements of a list. Of a list the first element
//! that is at fault speaks for the row.
//!
//! A bound is brought into the column's own type once, so that the loop compares natively: integers exactly, whatever
//! the bound's type; floats narrower than 64 bits with the bound rounded to their precision, as NumPy compares them.

use super::{
    Findings, Operator, Rows, Rule,
    spec::{Built, Column, Settings},
};
use crate::{Error, Place, Result};
use arrow::{
    array::{Array, ArrowPrimitiveType, AsArray, PrimitiveArray},
    datatypes::{
        ArrowNativeType, DataType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
        UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
};
use serde::{Deserialize, Deserializer, de};
use std::{fmt, ops::Range};

pub(super) const NAME: &str = "range";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    min: Option<Bound>,
    max: Option<Bound>,
}

/// A bound as the recipe writes it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    Integer(i64),
    /// Finite.
    Float(f64),
}

struct InRange {
    columns: Vec<Column>,
    min: Option<Bound>,
    max: Option<Bound>,
}

pub(super) fn build(mut settings: Settings<'_>) -> Result<Built, String> {
    let Options { min, max } = settings.read()?;
    let columns = settings.columns()?;
    if let (Some(min), Some(max)) = (min, max)
        && min.is_above(max)
    {
        return Err(format!("`min` = {min} is above `max` = {max}"));
    }
    for Column { name, data_type, .. } in &columns {
        let Some(number) = numbers(data_type) else {
            return Err(format!("column `{name}` holds {data_type}; it judges numbers, and lists of numbers"));
        };
        if !number.is_floating() && min.is_none() && max.is_none() {
            return Err(format!("column `{name}` holds {data_type}: give `min`, `max` or both"));
        }
        let (least, greatest) = can_satisfy(number, min, max);
        for (option, bound, satisfiable) in [("min", min, least), ("max", max, greatest)] {
            if let Some(bound) = bound.filter(|_| !satisfiable) {
                return Err(format!("`{option}` = {bound}: no {number} of column `{name}` can satisfy it"));
            }
        }
    }
    Ok(Built::Pure(Box::new(InRange { columns, min, max })))
}

/// The type of the numbers that a column of this type holds, itself or in lists.
fn numbers(data_type: &DataType) -> Option<&DataType> {
    let number = match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => item.data_type(),
        other => other,
    };
    (number.is_integer() || number.is_floating()).then_some(number)
}

/// Calls a macro with the Arrow type of numbers of `data_type`; `otherwise` for what holds no numbers.
macro_rules! with_number_type {
    ($data_type:expr, $call:ident, $otherwise:expr) => {
        match $data_type {
            DataType::Int8 => $call!(Int8Type),
            DataType::Int16 => $call!(Int16Type),
            DataType::Int32 => $call!(Int32Type),
            DataType::Int64 => $call!(Int64Type),
            DataType::UInt8 => $call!(UInt8Type),
            DataType::UInt16 => $call!(UInt16Type),
            DataType::UInt32 => $call!(UInt32Type),
            DataType::UInt64 => $call!(UInt64Type),
            DataType::Float16 => $call!(Float16Type),
            DataType::Float32 => $call!(Float32Type),
            DataType::Float64 => $call!(Float64Type),
            other => $otherwise(other),
        }
    };
}

/// Whether a number of this type can satisfy the bounds, each for itself.
fn can_satisfy(number: &DataType, min: Option<Bound>, max: Option<Bound>) -> (bool, bool) {
    fn bounds<T: Number>(min: Option<Bound>, max: Option<Bound>) -> (bool, bool) {
        (min.is_none_or(|min| T::least(min).is_some()), max.is_none_or(|max| T::greatest(max).is_some()))
    }
    macro_rules! check {
        ($type:ty) => {
            bounds::<$type>(min, max)
        };
    }
    with_number_type!(number, check, |_: &DataType| (false, false))
}

/// The index of the reason `out_of_range` of the `at`th column; `not_finite` follows it.
const fn out_of_range(at: usize) -> usize {
    2 * at
}

impl Operator for InRange {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn options(&self) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        format!("columns = {columns:?}, min = {:?}, max = {:?}", self.min, self.max)
    }

    fn rules(&self) -> Vec<Rule> {
        let out_of_range = |name: &str| {
            let reason = format!("out_of_range:{name}");
            match (self.min, self.max) {
                (Some(_), Some(_)) => Rule::between(reason),
                (Some(_), None) => Rule::at_least(reason),
                (None, Some(_)) => Rule::at_most(reason),
                (None, None) => Rule::plain(reason),
            }
        };
        let names = self.columns.iter().map(|column| &column.name);
        names.flat_map(|name| [out_of_range(name), Rule::plain(format!("not_finite:{name}"))]).collect()
    }

    fn judge(&self, rows: &Rows<'_>, findings: &mut Findings) -> Result<()> {
        for (at, column) in self.columns.iter().enumerate() {
            let array = rows.data().column(column.index).as_ref();
            let values: &dyn Array = match array.data_type() {
                DataType::List(_) => array.as_list::<i32>().values().as_ref(),
                DataType::LargeList(_) => array.as_list::<i64>().values().as_ref(),
                DataType::FixedSizeList(..) => array.as_fixed_size_list().values().as_ref(),
                _ => array,
            };
            macro_rules! judge {
                ($type:ty) => {{
                    self.judge_column(at, rows, array, values.as_primitive::<$type>(), findings);
                    Ok(())
                }};
            }
            let refuse = |other: &DataType| {
                let what = format!("`{NAME}` judges numbers, found {other}");
                Err(Error::data(Place::default().column(&column.name), what))
            };
            with_number_type!(values.data_type(), judge, refuse)?;
        }
        Ok(())
    }
}

impl InRange {
    /// Judges the column `array`, the `at`th of this operator, whose numbers are `values`.
    fn judge_column<T: Number>(
        &self,
        at: usize,
        rows: &Rows<'_>,
        array: &dyn Array,
        values: &PrimitiveArray<T>,
        findings: &mut Findings,
    ) {
        // `build` refused bounds that nothing satisfies.
        let low = self.min.and_then(T::least).unwrap_or(T::LOWEST);
        let high = self.max.and_then(T::greatest).unwrap_or(T::HIGHEST);
        let judge = Judge { bounds: self, at, low, high, values };
        match array.data_type() {
            DataType::List(_) => {
                let offsets = array.as_list::<i32>().offsets();
                judge.lists(rows, array, findings, |row| offsets[row].as_usize()..offsets[row + 1].as_usize());
            }
            DataType::LargeList(_) => {
                let offsets = array.as_list::<i64>().offsets();
                judge.lists(rows, array, findings, |row| offsets[row].as_usize()..offsets[row + 1].as_usize());
            }
            DataType::FixedSizeList(_, size) => {
                let size = size.as_usize();
                judge.lists(rows, array, findings, |row| row * size..(row + 1) * size);
            }
            _ => judge.numbers(findings),
        }
    }
}

/// One column's judgement in its own type.
struct Judge<'a, T: Number> {
    bounds: &'a InRange,
    at: usize,
    low: T::Native,
    high: T::Native,
    values: &'a PrimitiveArray<T>,
}

impl<T: Number> Judge<'_, T> {
    /// A column of numbers: whole chunks are passed at a time, and only where one fails are its rows looked at.
    fn numbers(&self, findings: &mut Findings) {
        const CHUNK: usize = 256;
        for (chunk, values) in self.values.values().chunks(CHUNK).enumerate() {
            if !self.all_within(values) {
                for row in chunk * CHUNK..chunk * CHUNK + values.len() {
                    self.first_fault(row..row + 1, row, findings);
                }
            }
        }
    }

    fn lists(
        &self,
        rows: &Rows<'_>,
        array: &dyn Array,
        findings: &mut Findings,
        range: impl Fn(usize) -> Range<usize>,
    ) {
        for row in rows.iter().filter(|&row| array.is_valid(row)) {
            let range = range(row);
            if !self.all_within(&self.values.values()[range.clone()]) {
                self.first_fault(range, row, findings);
            }
        }
    }

    /// Whether all are in range, whatever stands under a null. No early exit, so that it becomes a vector loop.
    fn all_within(&self, values: &[T::Native]) -> bool {
        values.iter().fold(true, |within, &value| within & (value >= self.low) & (value <= self.high))
    }

    fn first_fault(&self, range: Range<usize>, row: usize, findings: &mut Findings) {
        for at in range.filter(|&at| self.values.is_valid(at)) {
            let value = self.values.value(at);
            let number = T::to_f64(value);
            if !number.is_finite() {
                return findings.measured(row, out_of_range(self.at) + 1, number, None);
            }
            let crossed = if value < self.low {
                self.bounds.min
            } else if value > self.high {
                self.bounds.max
            } else {
                continue;
            };
            return findings.measured(row, out_of_range(self.at), number, crossed.map(Bound::to_f64));
        }
    }
}

/// A type of numbers that can be held against a bound of another type.
trait Number: ArrowPrimitiveType {
    /// At most every finite number of the type.
    const LOWEST: Self::Native;
    /// At least every finite number of the type.
    const HIGHEST: Self::Native;
    /// The least number of the type that satisfies the minimum, if any does.
    fn least(min: Bound) -> Option<Self::Native>;
    /// The greatest number of the type that satisfies the maximum, if any does.
    fn greatest(max: Bound) -> Option<Self::Native>;
    /// The number for evidence, rounded where it must be.
    fn to_f64(number: Self::Native) -> f64;
}

macro_rules! integers {
    ($($type:ty: $native:ty;)*) => {$(
        impl Number for $type {
            const LOWEST: $native = <$native>::MIN;
            const HIGHEST: $native = <$native>::MAX;

            fn least(min: Bound) -> Option<$native> {
                <$native>::try_from(min.ceil().max(i128::from(Self::LOWEST))).ok()
            }

            fn greatest(max: Bound) -> Option<$native> {
                <$native>::try_from(max.floor().min(i128::from(Self::HIGHEST))).ok()
            }

            fn to_f64(number: $native) -> f64 {
                number as f64
            }
        }
    )*};
}

integers! {
    Int8Type: i8;
    Int16Type: i16;
    Int32Type: i32;
    Int64Type: i64;
    UInt8Type: u8;
    UInt16Type: u16;
    UInt32Type: u32;
    UInt64Type: u64;
}

/// Arrow's 16-bit float, whose crate is not among ours.
type Half = <Float16Type as ArrowPrimitiveType>::Native;

macro_rules! floats {
    ($($type:ty: $native:ty, $from:expr, $to:expr;)*) => {$(
        impl Number for $type {
            const LOWEST: $native = <$native>::MIN;
            const HIGHEST: $native = <$native>::MAX;

            fn least(min: Bound) -> Option<$native> {
                let least = $from(min.to_f64());
                (least <= Self::HIGHEST).then(|| if least < Self::LOWEST { Self::LOWEST } else { least })
            }

            fn greatest(max: Bound) -> Option<$native> {
                let greatest = $from(max.to_f64());
                (greatest >= Self::LOWEST).then(|| if greatest > Self::HIGHEST { Self::HIGHEST } else { greatest })
            }

            fn to_f64(number: $native) -> f64 {
                $to(number)
            }
        }
    )*};
}

floats! {
    Float16Type: Half, Half::from_f64, Half::to_f64;
    Float32Type: f32, |bound: f64| bound as f32, f64::from;
    Float64Type: f64, |bound: f64| bound, |number| number;
}

impl Bound {
    /// The least integer that is not below, exactly or beyond every 64-bit integer.
    fn ceil(self) -> i128 {
        match self {
            Self::Integer(number) => i128::from(number),
            Self::Float(number) => number.ceil() as i128,
        }
    }

    /// The greatest integer that is not above, exactly or beyond every 64-bit integer.
    fn floor(self) -> i128 {
        match self {
            Self::Integer(number) => i128::from(number),
            Self::Float(number) => number.floor() as i128,
        }
    }

    fn to_f64(self) -> f64 {
        match self {
            Self::Integer(number) => number as f64,
            Self::Float(number) => number,
        }
    }

    fn is_above(self, other: Self) -> bool {
        match (self, other) {
            (Self::Float(one), Self::Float(other)) => one > other,
            // One of them is an integer, so nothing lies between it and the other's neighbours.
            (one, other) => one.ceil() > other.ceil() || one.floor() > other.floor(),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number:?}"),
        }
    }
}

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Bound;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a finite number")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Bound, E> {
                Ok(Bound::Integer(number))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Bound, E> {
                if number.is_finite() {
                    Ok(Bound::Float(number))
                } else {
                    Err(E::invalid_value(de::Unexpected::Float(number), &self))
                }
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
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
        let said: Vec<_> =
            judged.evidence().map(|(row, said)| (row, said.reason, said.measured, said.threshold)).collect();
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

    fn half_of(value: Option<f32>) -> Option<super::Half> {
        value.map(super::Half::from_f32)
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
}
