//! Content keys are stable, equal for equal content in any layout, and different for anything else.

use super::{content_keys, keys_within, unencodable};
use arrow::{
    array::{
        Array, ArrayRef, BinaryArray, BinaryViewArray, BooleanArray, Date32Array, Date64Array, Decimal128Array,
        DictionaryArray, DurationMillisecondArray, FixedSizeListArray, Float32Array, Float64Array, Int8Array,
        Int32Array, Int64Array, IntervalYearMonthArray, LargeBinaryArray, LargeListArray, LargeStringArray, ListArray,
        ListViewArray, MapArray, NullArray, PrimitiveArray, RecordBatch, RunArray, StringArray, StringViewArray,
        StructArray, Time32SecondArray, Time64NanosecondArray, TimestampMicrosecondArray, TimestampSecondArray,
        UInt8Array, UInt64Array, new_empty_array,
    },
    buffer::{NullBuffer, OffsetBuffer, ScalarBuffer},
    datatypes::{DataType, Field, Fields, Float16Type, Int8Type, UInt16Type, UnionFields, UnionMode},
};
use proptest::prelude::*;
use std::{collections::HashSet, sync::Arc};

fn keys_of(columns: Vec<ArrayRef>) -> Vec<u128> {
    let indices: Vec<usize> = (0..columns.len()).collect();
    let named = columns.into_iter().enumerate().map(|(at, column)| (at.to_string(), column, true));
    content_keys(&RecordBatch::try_from_iter_with_nullable(named).expect("a batch"), &indices).expect("keys")
}

fn keys(column: impl Array + 'static) -> Vec<u128> {
    keys_of(vec![Arc::new(column)])
}

fn field(data_type: DataType) -> Arc<Field> {
    Arc::new(Field::new_list_field(data_type, true))
}

/// Exported ids hang on these numbers. If this fails, ids of data out there no longer match: mend the code, not the
/// test.
#[test]
fn keys_are_what_they_always_were() {
    let text = StringArray::from(vec![Some("harvest"), Some(""), None]);
    let label = UInt8Array::from(vec![Some(7), None, Some(0)]);
    let score = Float64Array::from(vec![0.5, -0.0, f64::NAN]);
    let list = ListArray::from_iter_primitive::<arrow::datatypes::Int32Type, _, _>([
        Some(vec![Some(1), None, Some(-1)]),
        Some(vec![]),
        None,
    ]);
    let found = keys_of(vec![Arc::new(text), Arc::new(label), Arc::new(score), Arc::new(list)]);
    let golden: [u128; 3] = [
        0xd0bad856_20d28627_b94bc10c_1ed1966f,
        0x207b8c6b_b60e6156_b391b481_9a26aa0c,
        0xc3dd2245_561f2136_f7789f76_b26d40e4,
    ];
    assert_eq!(found, golden, "{found:#034x?}");
}

#[test]
fn keys_of_every_kind_of_value_are_what_they_always_were() {
    let found = [
        keys(NullArray::new(1)),
        keys(BooleanArray::from(vec![true])),
        keys(UInt64Array::from(vec![u64::MAX])),
        keys(Decimal128Array::from(vec![-12345]).with_precision_and_scale(10, 2).expect("a decimal")),
        keys(BinaryArray::from(vec![&b"\x00\xff"[..]])),
        keys(StructArray::from(vec![(field(DataType::Int64), Arc::new(Int64Array::from(vec![1])) as ArrayRef)])),
        keys(map(&[("a", 1), ("b", 2)])),
        keys(Date32Array::from(vec![20_000])),
        keys(TimestampSecondArray::from(vec![1_700_000_000]).with_timezone("UTC")),
        keys(TimestampSecondArray::from(vec![1_700_000_000])),
        keys(Time32SecondArray::from(vec![3_600])),
        keys(DurationMillisecondArray::from(vec![-1])),
        keys(IntervalYearMonthArray::from(vec![14])),
    ]
    .concat();
    let golden: [u128; 13] = [
        0xa6cd5e93_92000f6a_c44bdff4_074eecdb,
        0x50e58cbd_6ada00a1_070d80d6_a76865f3,
        0x898750b5_70916159_e4d51cd9_260f75f3,
        0xd1cfef00_2c0f9be5_6261fc00_904b2d4d,
        0xef65550d_956a23de_9ec86039_417ad2d8,
        0x2abd359b_eac94df5_2f792e63_f030b290,
        0xf388b236_b1251b62_f7c3948f_861b32fc,
        0xb0eadb7c_76efcba9_2f2607b0_19a14a08,
        0x83384e23_ee674a77_47da60b0_53f7aaed,
        0x20342b8e_ca30de2c_e52c73d2_1a867736,
        0xcc1165f8_2e86eab4_2da90692_4edd787c,
        0x03ed7555_71f7c429_cfe6801a_21bc5250,
        0xec3d0104_dd4af9db_ca5b0c54_f05213d5,
    ];
    assert_eq!(found, golden, "{found:#034x?}");
}

/// The documented encoding, written out by hand.
#[test]
fn a_key_is_the_hash_of_the_documented_bytes() {
    let text = StringArray::from(vec!["ab"]);
    let list = ListArray::from_iter_primitive::<Int8Type, _, _>([Some(vec![Some(-1), None])]);
    let float = Float32Array::from(vec![-0.0]);
    let bytes = [
        &[6, 2, 0, 0, 0, 0, 0, 0, 0, b'a', b'b'][..],
        &[8, 2, 0, 0, 0, 0, 0, 0, 0],
        &[2, 255, 255, 255, 255, 255, 255, 255, 255],
        &[0],
        &[4, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    let found = keys_of(vec![Arc::new(text), Arc::new(list), Arc::new(float)]);
    assert_eq!(found, [xxhash_rust::xxh3::xxh3_128(&bytes)]);
}

fn map(entries: &[(&str, i64)]) -> MapArray {
    let keys = StringArray::from_iter_values(entries.iter().map(|entry| entry.0));
    let values = Int64Array::from_iter_values(entries.iter().map(|entry| entry.1));
    let fields =
        Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int64, true)]);
    let entries = StructArray::new(fields, vec![Arc::new(keys), Arc::new(values)], None);
    let entry = Field::new("entries", entries.data_type().clone(), false);
    MapArray::new(Arc::new(entry), OffsetBuffer::from_lengths([entries.len()]), entries, None, false)
}

#[test]
fn the_layout_of_a_value_is_no_content() {
    let texts = [Some("a"), None, Some(""), Some("a text longer than a view holds inline"), Some("a")];
    let plain = keys(StringArray::from_iter(texts));
    assert_eq!(plain, keys(LargeStringArray::from_iter(texts)));
    assert_eq!(plain, keys(StringViewArray::from_iter(texts)));
    assert_eq!(plain, keys(texts.into_iter().collect::<DictionaryArray<Int8Type>>()));
    assert_eq!(plain, keys(texts.into_iter().collect::<DictionaryArray<UInt16Type>>()));
    assert_eq!(plain, keys(texts.into_iter().collect::<RunArray<arrow::datatypes::Int32Type>>()));
    assert_eq!(plain[0], plain[4]);
    assert_eq!(plain.iter().collect::<HashSet<_>>().len(), 4);

    let blobs = texts.map(|text| text.map(str::as_bytes));
    let binary = keys(BinaryArray::from_iter(blobs));
    assert_eq!(binary, keys(LargeBinaryArray::from_iter(blobs)));
    assert_eq!(binary, keys(BinaryViewArray::from_iter(blobs)));
    assert_ne!(binary[0], plain[0], "bytes are no text");
    assert_eq!(binary[1], plain[1], "a null has no type");
}

#[test]
fn numbers_are_what_they_count_and_not_how_wide_they_are() {
    let numbers = [0_i8, -1, 127];
    let narrow = keys(Int8Array::from_iter_values(numbers));
    assert_eq!(narrow, keys(Int64Array::from_iter_values(numbers.map(i64::from))));
    assert_eq!(narrow[2], keys(UInt64Array::from(vec![127]))[0]);
    assert_ne!(keys(UInt64Array::from(vec![u64::MAX])), keys(Int64Array::from(vec![-1])));

    let floats = [0.0_f32, -0.0, f32::NAN, f32::from_bits(0xffc0_1234), f32::INFINITY, 0.5, 1.0];
    let single = keys(Float32Array::from_iter_values(floats));
    assert_eq!(single, keys(Float64Array::from_iter_values(floats.map(f64::from))));
    let half = floats.map(<Float16Type as arrow::array::ArrowPrimitiveType>::Native::from_f32);
    assert_eq!(single, keys(PrimitiveArray::<Float16Type>::from_iter_values(half)));
    assert_eq!(single[0], single[1], "-0 is 0");
    assert_eq!(single[2], single[3], "all NaN are one");
    assert_eq!(single.iter().collect::<HashSet<_>>().len(), 5);
    assert_ne!(single[6], keys(Int64Array::from(vec![1]))[0], "a float is no integer");
}

#[test]
fn times_are_what_they_say_and_not_in_which_unit() {
    assert_eq!(keys(Date32Array::from(vec![3])), keys(Date64Array::from(vec![3 * 86_400_000])));
    assert_eq!(keys(TimestampSecondArray::from(vec![-3])), keys(TimestampMicrosecondArray::from(vec![-3_000_000])));
    assert_eq!(
        keys(TimestampSecondArray::from(vec![3]).with_timezone("UTC")),
        keys(TimestampSecondArray::from(vec![3]).with_timezone("+02:00")),
        "one instant"
    );
    assert_ne!(
        keys(TimestampSecondArray::from(vec![3])),
        keys(TimestampSecondArray::from(vec![3]).with_timezone("UTC")),
        "what has no zone is no instant"
    );
    assert_eq!(keys(Time32SecondArray::from(vec![3])), keys(Time64NanosecondArray::from(vec![3_000_000_000])));
    assert_eq!(keys(TimestampSecondArray::from(vec![i64::MAX])).len(), 1, "beyond 64 bits of nanoseconds");
}

#[test]
fn lists_are_their_elements_in_every_layout() {
    let values: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), Some(2), None, Some(4), Some(9), Some(9)]));
    let item = field(DataType::Int32);
    let nulls = || Some(NullBuffer::from(vec![true, true, false]));
    let offsets = OffsetBuffer::from_lengths([2, 2, 2]);
    let list = ListArray::new(Arc::clone(&item), offsets, Arc::clone(&values), nulls());
    let plain = keys(list.clone());
    let large = OffsetBuffer::from_lengths([2, 2, 2]);
    assert_eq!(plain, keys(LargeListArray::new(Arc::clone(&item), large, Arc::clone(&values), nulls())));
    assert_eq!(plain, keys(FixedSizeListArray::new(Arc::clone(&item), 2, Arc::clone(&values), nulls())));
    let (offsets, sizes) = (ScalarBuffer::from(vec![0, 2, 0]), ScalarBuffer::from(vec![2, 2, 0]));
    assert_eq!(plain, keys(ListViewArray::new(item, offsets, sizes, values, nulls())));
    assert_eq!(plain[1..], keys(list.slice(1, 2)), "a slice");
    assert_eq!(plain[2], keys(NullArray::new(1))[0]);
}

#[test]
fn borders_between_values_are_content() {
    let pair = |one: &str, other: &str| {
        keys_of(vec![Arc::new(StringArray::from(vec![one])), Arc::new(StringArray::from(vec![other]))])[0]
    };
    let list = |lengths: Vec<usize>| {
        let values: ArrayRef = Arc::new(Int32Array::from(vec![1; lengths.iter().sum()]));
        let inner = ListArray::new(field(DataType::Int32), OffsetBuffer::from_lengths(lengths.clone()), values, None);
        let item = field(inner.data_type().clone());
        keys(ListArray::new(item, OffsetBuffer::from_lengths([lengths.len()]), Arc::new(inner), None))[0]
    };
    let all = [pair("ab", "c"), pair("a", "bc"), pair("", "abc"), list(vec![1, 2]), list(vec![2, 1]), list(vec![3])];
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    assert_ne!(list(vec![]), list(vec![0]), "no list, and an empty one");
    assert_ne!(keys(map(&[("a", 1)])), keys(map(&[("a", 2)])));
}

#[test]
fn structs_know_null_from_a_struct_of_nulls() {
    let child = || vec![(field(DataType::Int32), Arc::new(Int32Array::from(vec![None, None])) as ArrayRef)];
    let (fields, columns): (Vec<_>, Vec<_>) = child().into_iter().unzip();
    let nullable = StructArray::new(fields.into(), columns, Some(NullBuffer::from(vec![true, false])));
    let found = keys(nullable);
    assert_ne!(found[0], found[1]);
    assert_eq!(found[0], keys(StructArray::from(child()))[1]);
}

#[test]
fn what_has_no_key_is_refused() {
    let union = DataType::Union(UnionFields::empty(), UnionMode::Dense);
    assert!(unencodable(&union).is_some());
    let deep = |depth| (0..depth).fold(DataType::Int8, |inner, _| DataType::List(field(inner)));
    assert!(unencodable(&deep(64)).is_none());
    assert!(unencodable(&deep(65)).is_some());
    let data = |data_type: &DataType| {
        RecordBatch::try_from_iter_with_nullable([("a", new_empty_array(data_type), true)]).expect("a batch")
    };
    assert!(content_keys(&data(&deep(64)), &[0]).is_ok());
    assert!(content_keys(&data(&deep(65)), &[0]).is_err());
    assert!(content_keys(&data(&DataType::Int8), &[1]).is_err(), "no such column");
}

/// Nulls take no memory, and a list of lists of them, each a view of the same, multiplies.
#[test]
fn content_that_multiplies_is_refused_before_it_is_written() {
    let nulls = NullArray::new(1 << 30);
    let same = |inner: ArrayRef, length: i32, count: usize| -> ArrayRef {
        let (offsets, sizes) = (ScalarBuffer::from(vec![0; count]), ScalarBuffer::from(vec![length; count]));
        Arc::new(ListViewArray::new(field(inner.data_type().clone()), offsets, sizes, inner, None))
    };
    let mut column = same(Arc::new(nulls), 1 << 30, 1000);
    for _ in 0..10 {
        column = same(column, 1000, 1000);
    }
    let data = RecordBatch::try_from_iter([("a", column)]).expect("a batch");
    assert!(keys_within(&data, &[0], 1 << 16).is_err());
    // The limit itself is allowed: a tag, a length and two letters.
    let data = RecordBatch::try_from_iter([("a", Arc::new(StringArray::from(vec!["ab"])) as ArrayRef)]);
    let data = data.expect("a batch");
    assert!(keys_within(&data, &[0], 11).is_ok());
    assert!(keys_within(&data, &[0], 10).is_err());
}

proptest! {
    #[test]
    fn keys_are_equal_exactly_where_rows_are(
        rows in prop::collection::vec((prop::option::of("[ab]{0,2}"), prop::option::of(0_i32..2)), 0..40)
    ) {
        let texts = StringArray::from_iter(rows.iter().map(|row| row.0.as_deref()));
        let found = keys_of(vec![Arc::new(texts), Arc::new(Int32Array::from_iter(rows.iter().map(|row| row.1)))]);
        for (one, key) in rows.iter().zip(&found) {
            for (other, other_key) in rows.iter().zip(&found) {
                prop_assert_eq!(one == other, key == other_key);
            }
        }
    }
}
