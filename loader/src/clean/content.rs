//! Content keys: 128 bits that name what a row holds, however Arrow happens to lay it out.
//!
//! A row is written down in a canonical byte encoding, and the key is XXH3-128 (seed 0) of those bytes. The encoding
//! is this file's own and frozen, because keys are exported and looked up later; Arrow's row format promises no such
//! thing. It must not know what keys are used for.
//!
//! Every value is a tag and a payload that tells its own length, so no two rows share bytes unless they are equal.
//! Numbers are little-endian, lengths 64 bits.
//!
//! | value | tag | payload |
//! |---|---|---|
//! | null, of any type | 0 | |
//! | boolean | 1 | a byte |
//! | integer of any width | 2, or 3 above 2⁶³ − 1 | 64 bits |
//! | float of any width | 4 | the bits of the f64; −0 is 0, all NaN are one |
//! | decimal of any width | 5 | scale, 256 bits |
//! | text | 6 | length, UTF-8 |
//! | binary | 7 | length, bytes |
//! | list of any layout | 8 | length, elements |
//! | struct | 9 | number of fields, their values; names are no content |
//! | map | 10 | length, keys and values in turn, in the order stored |
//! | date | 11 | milliseconds since 1970, 64 bits |
//! | timestamp with a time zone | 12 | nanoseconds since 1970 in UTC, 128 bits |
//! | timestamp without one | 13 | nanoseconds since 1970 by its own clock, 128 bits |
//! | time of day | 14 | nanoseconds, 128 bits |
//! | duration | 15 | nanoseconds, 128 bits |
//! | interval | 16 | months, days (32 bits each), nanoseconds (64 bits) |
//!
//! A dictionary or a run-end encoded column is read through to its values.

use crate::{Error, Place, Result};
use arrow::{
    array::{Array, AsArray, OffsetSizeTrait, RunArray},
    buffer::NullBuffer,
    datatypes::{
        ArrowDictionaryKeyType, ArrowNativeType, DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type,
        Decimal128Type, Decimal256Type, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
        DurationSecondType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
        IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, RunEndIndexType,
        Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
        TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
        UInt16Type, UInt32Type, UInt64Type, i256,
    },
    record_batch::RecordBatch,
};
use std::ops::Range;
use xxhash_rust::xxh3::xxh3_128;

/// How deeply lists and structs may nest. Encoding recurses, and the stack is finite.
const DEEPEST: usize = 64;

/// What a row's content may take written out, in bytes.
const LONGEST: usize = 1 << 30;

mod tag {
    pub(super) const NULL: u8 = 0;
    pub(super) const BOOLEAN: u8 = 1;
    pub(super) const INTEGER: u8 = 2;
    pub(super) const LARGE_INTEGER: u8 = 3;
    pub(super) const FLOAT: u8 = 4;
    pub(super) const DECIMAL: u8 = 5;
    pub(super) const TEXT: u8 = 6;
    pub(super) const BINARY: u8 = 7;
    pub(super) const LIST: u8 = 8;
    pub(super) const STRUCT: u8 = 9;
    pub(super) const MAP: u8 = 10;
    pub(super) const DATE: u8 = 11;
    pub(super) const INSTANT: u8 = 12;
    pub(super) const LOCAL_TIME: u8 = 13;
    pub(super) const TIME: u8 = 14;
    pub(super) const DURATION: u8 = 15;
    pub(super) const INTERVAL: u8 = 16;
}

/// The key of each row's content in the columns with the indices `columns`, in that order.
///
/// # Errors
///
/// [`Error::Data`] where there is no such column, or its type has no canonical encoding (a union, or lists and structs
/// nested more than 64 deep), or a row's content takes more than 1 GiB.
pub fn content_keys(data: &RecordBatch, columns: &[usize]) -> Result<Vec<u128>> {
    keys_within(data, columns, LONGEST)
}

fn keys_within(data: &RecordBatch, columns: &[usize], longest: usize) -> Result<Vec<u128>> {
    let mut keys = Vec::with_capacity(data.num_rows());
    each_content(data, columns, longest, |content| keys.push(xxh3_128(content)))?;
    Ok(keys)
}

/// Hands over the canonical bytes of each row's content in all columns, row by row: equal content gives equal bytes,
/// however Arrow lays it out.
///
/// # Errors
///
/// As [`content_keys`].
pub fn content_bytes(data: &RecordBatch, each: impl FnMut(&[u8])) -> Result<()> {
    let columns: Vec<usize> = (0..data.num_columns()).collect();
    each_content(data, &columns, LONGEST, each)
}

fn each_content(data: &RecordBatch, columns: &[usize], longest: usize, mut each: impl FnMut(&[u8])) -> Result<()> {
    let encoders = columns
        .iter()
        .map(|&column| {
            let array = data.columns().get(column).ok_or_else(|| {
                Error::data(Place::default().column(column.to_string()), "there is no column with this index")
            })?;
            encoder_of(array.as_ref())
                .map_err(|what| Error::data(Place::default().column(data.schema_ref().field(column).name()), what))
        })
        .collect::<Result<Vec<_>>>()?;
    let mut content = Content { bytes: Vec::new(), longest, overflows: false };
    for row in 0..data.num_rows() {
        content.bytes.clear();
        for encoder in &encoders {
            encoder.encode(row, &mut content);
        }
        if content.overflows {
            let place = Place { row: u32::try_from(row).ok(), ..Place::default() };
            let what =
                format!("its content takes more than {longest} bytes written out; leave the largest columns out");
            return Err(Error::data(place, what));
        }
        each(&content.bytes);
    }
    Ok(())
}

/// A row's content as it is written down.
struct Content {
    bytes: Vec<u8>,
    /// What it may take, in bytes. List views and dictionaries can repeat a value any number of times at no cost, so a
    /// row's content is not bounded by what its block takes in memory.
    longest: usize,
    overflows: bool,
}

impl Content {
    fn extend(&mut self, bytes: &[u8]) {
        self.overflows |= bytes.len() > self.longest - self.bytes.len();
        if !self.overflows {
            self.bytes.extend_from_slice(bytes);
        }
    }
}

/// Why values of `data_type` have no content key, if they have none.
pub(super) fn unencodable(data_type: &DataType) -> Option<String> {
    fn walk(data_type: &DataType, depth: usize) -> Option<String> {
        if depth > DEEPEST {
            return Some(format!("its type nests more than {DEEPEST} deep"));
        }
        match data_type {
            DataType::Union(..) => Some("a union has no content key; leave the column out".to_owned()),
            DataType::List(field)
            | DataType::LargeList(field)
            | DataType::ListView(field)
            | DataType::LargeListView(field)
            | DataType::FixedSizeList(field, _)
            | DataType::Map(field, _)
            | DataType::RunEndEncoded(_, field) => walk(field.data_type(), depth + 1),
            DataType::Dictionary(_, values) => walk(values, depth + 1),
            DataType::Struct(fields) => fields.iter().find_map(|field| walk(field.data_type(), depth + 1)),
            _ => None,
        }
    }
    walk(data_type, 0)
}

/// Writes values of one array.
trait Encode {
    /// Appends the canonical bytes of the value at `row`.
    fn encode(&self, row: usize, out: &mut Content);

    /// The same for a range of values: one dynamic call for a whole list.
    fn encode_all(&self, rows: Range<usize>, out: &mut Content) {
        for row in rows {
            if out.overflows {
                break;
            }
            self.encode(row, out);
        }
    }
}

impl<F: Fn(usize, &mut Content)> Encode for F {
    fn encode(&self, row: usize, out: &mut Content) {
        self(row, out);
    }
}

type Encoder<'a> = Box<dyn Encode + 'a>;

/// `values` with the rows that `nulls` marks as nulls.
fn nullable<'a>(nulls: Option<&'a NullBuffer>, values: impl Fn(usize, &mut Content) + 'a) -> Encoder<'a> {
    match nulls {
        None => Box::new(values),
        Some(nulls) => Box::new(move |row, out: &mut Content| {
            if nulls.is_null(row) {
                out.extend(&[tag::NULL]);
            } else {
                values(row, out);
            }
        }),
    }
}

fn encoder_of(array: &dyn Array) -> Result<Encoder<'_>, String> {
    match unencodable(array.data_type()) {
        Some(what) => Err(what),
        None => encoder(array),
    }
}

fn encoder<'a>(array: &'a dyn Array) -> Result<Encoder<'a>, String> {
    let nulls = array.nulls();
    // An array of native numbers, each written by a function of (number, out).
    macro_rules! each {
        ($type:ty, $write:expr) => {{
            let values: &'a [_] = array.as_primitive::<$type>().values();
            nullable(nulls, move |row, out| $write(values[row], out))
        }};
    }
    macro_rules! bytes {
        ($tag:expr, $array:expr) => {{
            let values = $array;
            nullable(nulls, move |row, out| bytes($tag, values.value(row).as_ref(), out))
        }};
    }
    macro_rules! decimal {
        ($type:ty, $scale:expr) => {
            each!($type, |number, out| decimal($scale, i256::from_i128(i128::from(number)), out))
        };
    }
    macro_rules! times {
        ($type:ty, $tag:expr, $each:expr) => {{
            let tag = $tag;
            each!($type, move |count, out| nanoseconds(tag, i64::from(count), $each, out))
        }};
    }
    macro_rules! lists {
        ($tag:expr, $array:expr, $values:expr, $range:expr) => {{
            let (array, values) = ($array, encoder($values)?);
            nullable(nulls, move |row, out| {
                let range: Range<usize> = $range(array, row);
                tagged($tag, (range.len() as u64).to_le_bytes(), out);
                values.encode_all(range, out);
            })
        }};
    }
    Ok(match array.data_type() {
        DataType::Null => Box::new(|_, out: &mut Content| out.extend(&[tag::NULL])),
        DataType::Boolean => {
            let values = array.as_boolean().values();
            nullable(nulls, move |row, out| tagged(tag::BOOLEAN, [u8::from(values.value(row))], out))
        }
        DataType::Int8 => each!(Int8Type, |number, out| integer(i64::from(number), out)),
        DataType::Int16 => each!(Int16Type, |number, out| integer(i64::from(number), out)),
        DataType::Int32 => each!(Int32Type, |number, out| integer(i64::from(number), out)),
        DataType::Int64 => each!(Int64Type, integer),
        DataType::UInt8 => each!(UInt8Type, |number, out| integer(i64::from(number), out)),
        DataType::UInt16 => each!(UInt16Type, |number, out| integer(i64::from(number), out)),
        DataType::UInt32 => each!(UInt32Type, |number, out| integer(i64::from(number), out)),
        DataType::UInt64 => each!(UInt64Type, |number: u64, out| match i64::try_from(number) {
            Ok(number) => integer(number, out),
            Err(_) => tagged(tag::LARGE_INTEGER, number.to_le_bytes(), out),
        }),
        DataType::Float16 => {
            let values = array.as_primitive::<Float16Type>().values();
            nullable(nulls, move |row, out| float(values[row].to_f64(), out))
        }
        DataType::Float32 => each!(Float32Type, |number, out| float(f64::from(number), out)),
        DataType::Float64 => each!(Float64Type, float),
        &DataType::Decimal32(_, scale) => decimal!(Decimal32Type, scale),
        &DataType::Decimal64(_, scale) => decimal!(Decimal64Type, scale),
        &DataType::Decimal128(_, scale) => decimal!(Decimal128Type, scale),
        &DataType::Decimal256(_, scale) => each!(Decimal256Type, |number, out| decimal(scale, number, out)),
        DataType::Utf8 => bytes!(tag::TEXT, array.as_string::<i32>()),
        DataType::LargeUtf8 => bytes!(tag::TEXT, array.as_string::<i64>()),
        DataType::Utf8View => bytes!(tag::TEXT, array.as_string_view()),
        DataType::Binary => bytes!(tag::BINARY, array.as_binary::<i32>()),
        DataType::LargeBinary => bytes!(tag::BINARY, array.as_binary::<i64>()),
        DataType::BinaryView => bytes!(tag::BINARY, array.as_binary_view()),
        DataType::FixedSizeBinary(_) => bytes!(tag::BINARY, array.as_fixed_size_binary()),
        DataType::List(_) => {
            let offsets = array.as_list::<i32>().offsets();
            lists!(tag::LIST, offsets, array.as_list::<i32>().values().as_ref(), between)
        }
        DataType::LargeList(_) => {
            let offsets = array.as_list::<i64>().offsets();
            lists!(tag::LIST, offsets, array.as_list::<i64>().values().as_ref(), between)
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let (keys, values) = (encoder(map.keys().as_ref())?, encoder(map.values().as_ref())?);
            nullable(nulls, move |row, out| {
                let range = between(map.offsets(), row);
                tagged(tag::MAP, (range.len() as u64).to_le_bytes(), out);
                for entry in range {
                    if out.overflows {
                        break;
                    }
                    keys.encode(entry, out);
                    values.encode(entry, out);
                }
            })
        }
        DataType::ListView(_) => {
            let lists = array.as_list_view::<i32>();
            let of = |(offsets, sizes): (&[i32], &[i32]), row: usize| from(offsets[row], sizes[row]);
            lists!(tag::LIST, (&**lists.offsets(), &**lists.sizes()), lists.values().as_ref(), of)
        }
        DataType::LargeListView(_) => {
            let lists = array.as_list_view::<i64>();
            let of = |(offsets, sizes): (&[i64], &[i64]), row: usize| from(offsets[row], sizes[row]);
            lists!(tag::LIST, (&**lists.offsets(), &**lists.sizes()), lists.values().as_ref(), of)
        }
        DataType::FixedSizeList(_, size) => {
            let of = |size: usize, row: usize| row * size..(row + 1) * size;
            lists!(tag::LIST, size.as_usize(), array.as_fixed_size_list().values().as_ref(), of)
        }
        DataType::Struct(_) => {
            let fields = array
                .as_struct()
                .columns()
                .iter()
                .map(|field| encoder(field.as_ref()))
                .collect::<Result<Vec<_>, _>>()?;
            nullable(nulls, move |row, out| {
                tagged(tag::STRUCT, (fields.len() as u64).to_le_bytes(), out);
                for field in &fields {
                    field.encode(row, out);
                }
            })
        }
        DataType::Date32 => each!(Date32Type, |days, out| date(i64::from(days) * 86_400_000, out)),
        DataType::Date64 => each!(Date64Type, date),
        DataType::Timestamp(unit, zone) => {
            // What has a zone is an instant, and equal in any zone; what has none is a reading of an unknown clock.
            let tag = if zone.is_some() { tag::INSTANT } else { tag::LOCAL_TIME };
            match unit {
                TimeUnit::Second => times!(TimestampSecondType, tag, 1_000_000_000),
                TimeUnit::Millisecond => times!(TimestampMillisecondType, tag, 1_000_000),
                TimeUnit::Microsecond => times!(TimestampMicrosecondType, tag, 1_000),
                TimeUnit::Nanosecond => times!(TimestampNanosecondType, tag, 1),
            }
        }
        DataType::Time32(TimeUnit::Second) => times!(Time32SecondType, tag::TIME, 1_000_000_000),
        DataType::Time32(_) => times!(Time32MillisecondType, tag::TIME, 1_000_000),
        DataType::Time64(TimeUnit::Microsecond) => times!(Time64MicrosecondType, tag::TIME, 1_000),
        DataType::Time64(_) => times!(Time64NanosecondType, tag::TIME, 1),
        DataType::Duration(unit) => match unit {
            TimeUnit::Second => times!(DurationSecondType, tag::DURATION, 1_000_000_000),
            TimeUnit::Millisecond => times!(DurationMillisecondType, tag::DURATION, 1_000_000),
            TimeUnit::Microsecond => times!(DurationMicrosecondType, tag::DURATION, 1_000),
            TimeUnit::Nanosecond => times!(DurationNanosecondType, tag::DURATION, 1),
        },
        DataType::Interval(IntervalUnit::YearMonth) => {
            each!(IntervalYearMonthType, |months, out| interval(months, 0, 0, out))
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            let values = array.as_primitive::<IntervalDayTimeType>().values();
            nullable(nulls, move |row, out| {
                interval(0, values[row].days, i64::from(values[row].milliseconds) * 1_000_000, out);
            })
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let values = array.as_primitive::<IntervalMonthDayNanoType>().values();
            nullable(nulls, move |row, out| {
                interval(values[row].months, values[row].days, values[row].nanoseconds, out);
            })
        }
        DataType::Dictionary(keys, _) => match keys.as_ref() {
            DataType::Int8 => dictionary::<Int8Type>(array)?,
            DataType::Int16 => dictionary::<Int16Type>(array)?,
            DataType::Int32 => dictionary::<Int32Type>(array)?,
            DataType::Int64 => dictionary::<Int64Type>(array)?,
            DataType::UInt8 => dictionary::<UInt8Type>(array)?,
            DataType::UInt16 => dictionary::<UInt16Type>(array)?,
            DataType::UInt32 => dictionary::<UInt32Type>(array)?,
            DataType::UInt64 => dictionary::<UInt64Type>(array)?,
            other => return Err(format!("a dictionary with keys of the type {other} has no content key")),
        },
        DataType::RunEndEncoded(ends, _) => match ends.data_type() {
            DataType::Int16 => runs::<Int16Type>(array)?,
            DataType::Int32 => runs::<Int32Type>(array)?,
            DataType::Int64 => runs::<Int64Type>(array)?,
            other => return Err(format!("runs with ends of the type {other} have no content key")),
        },
        other @ DataType::Union(..) => return Err(format!("the type {other} has no content key")),
    })
}

fn dictionary<K: ArrowDictionaryKeyType>(array: &dyn Array) -> Result<Encoder<'_>, String> {
    let dictionary = array.as_dictionary::<K>();
    let (keys, values) = (dictionary.keys().values(), encoder(dictionary.values().as_ref())?);
    Ok(nullable(array.nulls(), move |row, out| values.encode(keys[row].as_usize(), out)))
}

fn runs<E: RunEndIndexType>(array: &dyn Array) -> Result<Encoder<'_>, String> {
    let runs = array.as_any().downcast_ref::<RunArray<E>>().ok_or("runs with ends of another type than they say")?;
    let values = encoder(runs.values().as_ref())?;
    Ok(Box::new(move |row, out: &mut Content| values.encode(runs.get_physical_index(row), out)))
}

fn between<O: OffsetSizeTrait>(offsets: &[O], row: usize) -> Range<usize> {
    offsets[row].as_usize()..offsets[row + 1].as_usize()
}

fn from<O: OffsetSizeTrait>(offset: O, size: O) -> Range<usize> {
    offset.as_usize()..offset.as_usize() + size.as_usize()
}

fn tagged<const N: usize>(tag: u8, payload: [u8; N], out: &mut Content) {
    out.extend(&[tag]);
    out.extend(&payload);
}

fn integer(number: i64, out: &mut Content) {
    tagged(tag::INTEGER, number.to_le_bytes(), out);
}

fn float(number: f64, out: &mut Content) {
    let canonical = if number.is_nan() {
        0x7ff8_0000_0000_0000
    } else if number == 0.0 {
        0
    } else {
        number.to_bits()
    };
    tagged(tag::FLOAT, canonical.to_le_bytes(), out);
}

fn decimal(scale: i8, number: i256, out: &mut Content) {
    tagged(tag::DECIMAL, scale.to_le_bytes(), out);
    out.extend(&number.to_le_bytes());
}

fn bytes(tag: u8, content: &[u8], out: &mut Content) {
    tagged(tag, (content.len() as u64).to_le_bytes(), out);
    out.extend(content);
}

fn date(milliseconds: i64, out: &mut Content) {
    tagged(tag::DATE, milliseconds.to_le_bytes(), out);
}

fn nanoseconds(tag: u8, count: i64, each: i128, out: &mut Content) {
    tagged(tag, (i128::from(count) * each).to_le_bytes(), out);
}

fn interval(months: i32, days: i32, nanoseconds: i64, out: &mut Content) {
    tagged(tag::INTERVAL, months.to_le_bytes(), out);
    out.extend(&days.to_le_bytes());
    out.extend(&nanoseconds.to_le_bytes());
}

#[cfg(test)]
mod tests;
