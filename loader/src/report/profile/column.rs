//! What is known of one column while batches go by.
//!
//! Values are looked at where they lie: nothing here grows with the number of rows.

use super::{ColumnProfile, Distinct, Extreme, Lengths, TopValue};
use crate::report::{
    cells::cell,
    frequency::{DistinctHashes, FrequentValues},
};
use arrow::{
    array::{Array, ArrayRef, AsArray as _, Float64Array, Int64Array, UInt64Array},
    compute::cast,
    datatypes::{DataType, UInt64Type},
    row::{RowConverter, Rows as EncodedRows, SortField},
};
use xxhash_rust::xxh3::xxh3_64;

/// The longest value kept to be shown, in characters.
const LONGEST_VALUE: usize = 40;

/// How many frequent values a column's profile names.
const NAMED: usize = 10;

/// How many rows are encoded at once to be hashed, so that memory does not grow with a batch.
const ENCODED_ROWS: usize = 4096;

/// What is known of a column so far.
#[derive(Debug)]
pub(super) struct Column {
    name: String,
    data_type: DataType,
    rows: u64,
    nulls: u64,
    blank: u64,
    non_finite: u64,
    ints: Option<(i128, i128)>,
    floats: Option<(f64, f64)>,
    times: Option<((i64, String), (i64, String))>,
    lengths: Option<LengthSums>,
    distinct: Option<DistinctHashes>,
    frequent: FrequentValues,
}

#[derive(Clone, Copy, Debug)]
struct LengthSums {
    min: u64,
    max: u64,
    sum: u128,
    count: u64,
}

/// The type of the values: that of a dictionary's, where there is one.
fn value_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => values,
        other => other,
    }
}

const fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

const fn is_binary(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_))
}

/// How values are seen by index: the text or bytes they are, the number they are, how long they are.
enum Seen<'a> {
    Text(Box<dyn Fn(usize) -> &'a str + 'a>),
    Bytes(Box<dyn Fn(usize) -> &'a [u8] + 'a>),
    Items(Box<dyn Fn(usize) -> u64 + 'a>),
    Ints(Int64Array),
    Unsigned(UInt64Array),
    Floats(Float64Array),
    Times(Int64Array),
    Other,
}

fn seen(values: &ArrayRef) -> Seen<'_> {
    let numbers = |to: &DataType| cast(values, to).ok();
    match values.data_type() {
        DataType::Utf8 => Seen::Text(Box::new(|index| values.as_string::<i32>().value(index))),
        DataType::LargeUtf8 => Seen::Text(Box::new(|index| values.as_string::<i64>().value(index))),
        DataType::Utf8View => Seen::Text(Box::new(|index| values.as_string_view().value(index))),
        DataType::Binary => Seen::Bytes(Box::new(|index| values.as_binary::<i32>().value(index))),
        DataType::LargeBinary => Seen::Bytes(Box::new(|index| values.as_binary::<i64>().value(index))),
        DataType::BinaryView => Seen::Bytes(Box::new(|index| values.as_binary_view().value(index))),
        DataType::FixedSizeBinary(_) => Seen::Bytes(Box::new(|index| values.as_fixed_size_binary().value(index))),
        DataType::List(_) => Seen::Items(Box::new(|index| values.as_list::<i32>().value_length(index) as u64)),
        DataType::LargeList(_) => Seen::Items(Box::new(|index| values.as_list::<i64>().value_length(index) as u64)),
        DataType::FixedSizeList(_, length) => {
            let length = u64::try_from(*length).unwrap_or(0);
            Seen::Items(Box::new(move |_| length))
        }
        DataType::Map(..) => Seen::Items(Box::new(|index| values.as_map().value_length(index) as u64)),
        DataType::UInt64 => Seen::Unsigned(values.as_primitive::<UInt64Type>().clone()),
        kind if kind.is_integer() => {
            numbers(&DataType::Int64).map_or(Seen::Other, |array| Seen::Ints(array.as_primitive().clone()))
        }
        kind if kind.is_numeric() => {
            numbers(&DataType::Float64).map_or(Seen::Other, |array| Seen::Floats(array.as_primitive().clone()))
        }
        kind if kind.is_temporal() => {
            numbers(&DataType::Int64).map_or(Seen::Other, |array| Seen::Times(array.as_primitive().clone()))
        }
        _ => Seen::Other,
    }
}

impl Column {
    pub(super) fn new(name: &str, data_type: &DataType, hashes: usize, values: usize) -> Self {
        Self {
            name: name.to_owned(),
            data_type: data_type.clone(),
            rows: 0,
            nulls: 0,
            blank: 0,
            non_finite: 0,
            ints: None,
            floats: None,
            times: None,
            lengths: None,
            distinct: Some(DistinctHashes::new(hashes)),
            frequent: FrequentValues::new(values),
        }
    }

    pub(super) fn push(&mut self, array: &ArrayRef) {
        self.rows += array.len() as u64;
        let nulls = array.logical_nulls();
        self.nulls += nulls.as_ref().map_or(0, |nulls| nulls.null_count() as u64);
        let held = (0..array.len()).filter(|&row| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)));
        match array.as_any_dictionary_opt() {
            // Looked up, never unpacked: a few long values may stand for millions of rows.
            Some(dictionary) if !dictionary.values().is_empty() => {
                let keys = dictionary.normalized_keys();
                self.push_values(dictionary.values(), held.filter_map(|row| keys.get(row).copied()));
            }
            Some(_) => {}
            None => {
                for first in (0..array.len()).step_by(ENCODED_ROWS) {
                    let length = ENCODED_ROWS.min(array.len() - first);
                    let held =
                        (0..length).filter(|&row| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(first + row)));
                    self.push_values(&array.slice(first, length), held);
                }
            }
        }
    }

    /// Takes in the values at `indices`, none of them null.
    fn push_values(&mut self, values: &ArrayRef, indices: impl Iterator<Item = usize>) {
        let seen = seen(values);
        // Texts and binaries are hashed as they stand; anything else by its comparable encoding.
        let encoded = match seen {
            Seen::Text(_) | Seen::Bytes(_) => None,
            _ if self.distinct.is_some() => encode(values),
            _ => None,
        };
        if encoded.is_none() && !matches!(seen, Seen::Text(_) | Seen::Bytes(_)) {
            self.distinct = None;
        }
        for index in indices {
            match &seen {
                Seen::Text(text) => {
                    let text = text(index);
                    self.blank += u64::from(text.trim_start().is_empty());
                    self.see_length(text.chars().count() as u64);
                }
                Seen::Bytes(bytes) => self.see_length(bytes(index).len() as u64),
                Seen::Items(items) => self.see_length(items(index)),
                Seen::Ints(ints) => self.see_int(i128::from(ints.value(index))),
                Seen::Unsigned(ints) => self.see_int(i128::from(ints.value(index))),
                Seen::Floats(floats) => self.see_float(floats.value(index)),
                Seen::Times(times) => self.see_time(times.value(index), values, index),
                Seen::Other => {}
            }
            let hash = match (&seen, &encoded) {
                (Seen::Text(text), _) => xxh3_64(text(index).as_bytes()),
                (Seen::Bytes(bytes), _) => xxh3_64(bytes(index)),
                (_, Some(rows)) => xxh3_64(rows.row(index).as_ref()),
                (_, None) => continue,
            };
            if let Some(distinct) = &mut self.distinct {
                distinct.insert(hash);
            }
            let is_plain = match &seen {
                Seen::Bytes(_) | Seen::Items(_) => false,
                Seen::Other => matches!(values.data_type(), DataType::Boolean),
                _ => true,
            };
            if is_plain {
                self.frequent.insert(hash, || cell(values, index, LONGEST_VALUE));
            }
        }
    }

    fn see_length(&mut self, length: u64) {
        let sums = self.lengths.get_or_insert(LengthSums { min: length, max: length, sum: 0, count: 0 });
        sums.min = sums.min.min(length);
        sums.max = sums.max.max(length);
        sums.sum += u128::from(length);
        sums.count += 1;
    }

    fn see_int(&mut self, value: i128) {
        let (min, max) = self.ints.get_or_insert((value, value));
        *min = (*min).min(value);
        *max = (*max).max(value);
    }

    fn see_float(&mut self, value: f64) {
        if !value.is_finite() {
            self.non_finite += 1;
            return;
        }
        let (min, max) = self.floats.get_or_insert((value, value));
        *min = min.min(value);
        *max = max.max(value);
    }

    fn see_time(&mut self, value: i64, values: &ArrayRef, index: usize) {
        let shown = || (value, cell(values, index, LONGEST_VALUE));
        match &mut self.times {
            None => self.times = Some((shown(), shown())),
            Some((min, _)) if value < min.0 => *min = shown(),
            Some((_, max)) if value > max.0 => *max = shown(),
            Some(_) => {}
        }
    }

    pub(super) fn profile(&self) -> ColumnProfile {
        let kind = value_type(&self.data_type);
        let values = self.rows - self.nulls;
        let distinct = self.distinct.as_ref().map(|distinct| {
            let (count, exact) = distinct.count();
            // An estimate may lie above what can be.
            Distinct { count: count.min(values), exact }
        });
        let extremes = match (&self.ints, &self.floats, &self.times) {
            (Some((min, max)), ..) => Some((Extreme::Int(*min), Extreme::Int(*max))),
            (_, Some((min, max)), _) => Some((Extreme::Float(*min), Extreme::Float(*max))),
            (.., Some((min, max))) => Some((Extreme::Time(min.1.clone()), Extreme::Time(max.1.clone()))),
            _ => None,
        };
        let (min, max) = extremes.unzip();
        let unit = match kind {
            kind if is_text(kind) => "characters",
            kind if is_binary(kind) => "bytes",
            _ => "items",
        };
        let length = self.lengths.map(|sums| Lengths {
            unit,
            min: sums.min,
            mean: sums.sum as f64 / sums.count as f64,
            max: sums.max,
        });
        ColumnProfile {
            name: self.name.clone(),
            data_type: self.data_type.to_string(),
            rows: self.rows,
            nulls: self.nulls,
            blank: is_text(kind).then_some(self.blank),
            non_finite: kind.is_floating().then_some(self.non_finite),
            min,
            max,
            length,
            distinct,
            repeated: distinct.filter(|_| values > 0).map(|distinct| (values - distinct.count) as f64 / values as f64),
            top: self.top(values, distinct),
        }
    }

    fn top(&self, values: u64, distinct: Option<Distinct>) -> Vec<TopValue> {
        let exact = self.frequent.missed() == 0;
        // Where every value is another there is no point in naming some, unless they are few; and a sketch that is
        // full holds chance finds beside what is frequent.
        let least = match distinct {
            _ if !exact => (values / 1000).max(2),
            Some(distinct) if distinct.count as usize <= NAMED => 1,
            _ => 2,
        };
        let top = self.frequent.top().into_iter().take(NAMED).filter(|&(_, count)| count >= least);
        top.map(|(value, count)| TopValue { value: value.to_owned(), count, exact }).collect()
    }
}

/// The values in an encoding whose bytes are equal where the values are.
fn encode(values: &ArrayRef) -> Option<EncodedRows> {
    let field = SortField::new(values.data_type().clone());
    if !RowConverter::supports_fields(std::slice::from_ref(&field)) {
        return None;
    }
    RowConverter::new(vec![field]).ok()?.convert_columns(std::slice::from_ref(values)).ok()
}
