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
    array::{Array, AsArray, PrimitiveArray},
    datatypes::{
        ArrowNativeType, DataType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
        UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
};
use bound::{Bound, Number};
use serde::Deserialize;
use std::ops::Range;

mod bound;

pub(super) const NAME: &str = "range";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    min: Option<Bound>,
    max: Option<Bound>,
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

#[cfg(test)]
mod tests;
