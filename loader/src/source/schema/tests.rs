//! What the one schema of differing shards promises.

use super::*;
use crate::source::sample::says;
use arrow::datatypes::Schema;
use proptest::prelude::*;

fn shard(fields: &[(&str, DataType, bool)]) -> SchemaRef {
    let fields = fields.iter().map(|(name, data_type, nullable)| Field::new(*name, data_type.clone(), *nullable));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn agreed(shards: &[SchemaRef]) -> Result<Vec<FieldRef>> {
    let paths: Vec<String> = (0..shards.len()).map(|index| format!("{index}.x")).collect();
    agree(&paths.iter().map(String::as_str).collect::<Vec<_>>(), shards, None)
}

fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

fn types() -> Vec<DataType> {
    use DataType::*;
    let dictionary = |keys: DataType| Dictionary(Box::new(keys), Box::new(Utf8));
    vec![
        Null,
        Boolean,
        Int8,
        Int16,
        Int32,
        Int64,
        UInt8,
        UInt16,
        UInt32,
        UInt64,
        Float16,
        Float32,
        Float64,
        Utf8,
        LargeUtf8,
        Utf8View,
        Binary,
        LargeBinary,
        BinaryView,
        FixedSizeBinary(4),
        FixedSizeBinary(5),
        Date32,
        Date64,
        Timestamp(TimeUnit::Second, None),
        Timestamp(TimeUnit::Nanosecond, None),
        Time32(TimeUnit::Second),
        Time64(TimeUnit::Nanosecond),
        Decimal128(10, 2),
        Decimal128(38, 0),
        Decimal256(50, 4),
        dictionary(Int32),
        dictionary(Int8),
        list(Int32),
        list(Utf8View),
        Struct(vec![Field::new("a", Int8, false)].into()),
        Struct(vec![Field::new("b", Utf8, false), Field::new("a", Int16, false)].into()),
    ]
}

#[test]
fn joining_does_not_depend_on_which_shard_comes_first() {
    let sorted = |data_type: DataType| match data_type {
        DataType::Struct(fields) => {
            let mut fields: Vec<_> = fields.iter().cloned().collect();
            fields.sort_by(|a, b| a.name().cmp(b.name()));
            DataType::Struct(fields.into())
        }
        other => other,
    };
    for a in types() {
        assert_eq!(joined(&a, &a).ok(), Some(a.clone()));
        for b in types() {
            let (ab, ba) = (joined(&a, &b).ok().map(sorted), joined(&b, &a).ok().map(sorted));
            assert_eq!(ab, ba, "{a} and {b}");
            if let Some(ab) = ab {
                assert_eq!(joined(&a, &ab).ok().map(sorted), Some(ab.clone()), "{a} fits what it was joined to");
            }
        }
    }
}

#[test]
fn numbers_widen_to_the_narrowest_that_holds_both() {
    use DataType::*;
    for (a, b, expected) in [
        (Int8, Int64, Some(Int64)),
        (UInt8, Int8, Some(Int16)),
        (UInt32, Int8, Some(Int64)),
        (UInt16, UInt32, Some(UInt32)),
        (UInt64, Int8, None),
        (Float32, Float64, Some(Float64)),
        (Int16, Float32, Some(Float32)),
        (Int32, Float32, Some(Float64)),
        (Int64, Float64, Some(Float64)),
        (Decimal128(10, 2), Decimal128(10, 4), Some(Decimal128(12, 4))),
        (Decimal128(38, 0), Decimal128(38, 38), Some(Decimal256(76, 38))),
        (Int64, Utf8, None),
        (Boolean, Int8, None),
    ] {
        assert_eq!(joined(&a, &b).ok(), expected, "{a} and {b}");
    }
}

#[test]
fn what_a_shard_lacks_is_null_and_members_are_joined_by_name() {
    use DataType::*;
    let inner = |fields: &[(&str, DataType)]| {
        Struct(fields.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), false)).collect())
    };
    let first = shard(&[("id", Int32, false), ("s", inner(&[("x", Int8), ("y", Utf8)]), false)]);
    let second =
        shard(&[("new", Utf8, false), ("s", inner(&[("z", Utf8), ("x", Float32)]), false), ("id", Int64, false)]);
    let fields = agreed(&[first, second]).unwrap();
    let names: Vec<_> = fields.iter().map(|field| (field.name().as_str(), field.is_nullable())).collect();
    assert_eq!(names, [("id", false), ("s", false), ("new", true)]);
    assert_eq!(fields[0].data_type(), &Int64);
    let Struct(members) = fields[1].data_type() else { panic!("a structure") };
    let members: Vec<_> = members.iter().map(|f| (f.name().as_str(), f.data_type().clone(), f.is_nullable())).collect();
    assert_eq!(members, [("x", Float32, false), ("y", Utf8, true), ("z", Utf8, true)]);
}

#[test]
fn a_conflict_names_shard_column_and_both_types_unless_the_column_is_not_asked_for() {
    use DataType::*;
    let inner = |data_type| Struct(vec![Field::new("x", list(data_type), false)].into());
    let shards = [
        shard(&[("id", Int64, false), ("s", inner(Int8), false)]),
        shard(&[("id", Int64, false), ("s", inner(Boolean), false)]),
    ];
    says(agreed(&shards), &["1.x", "`s.x", "Int8", "Boolean", "0.x", "leave the column out"]);
    let wanted = ["id".to_owned()];
    assert_eq!(agree(&["0.x", "1.x"], &shards, Some(&wanted)).unwrap().len(), 1);
    let stray = [shard(&[("id", Int64, false)]), shard(&[("other", Int64, false)])];
    says(agreed(&stray), &["1.x", "no column in common", "0.x"]);
    says(agreed(&[shard(&[("a", Int8, false), ("a", Int8, false)])]), &["two columns", "column `a`"]);
}

proptest! {
    #[test]
    fn any_shards_of_the_joined_types_agree_on_them(picks in proptest::collection::vec(0..36_usize, 1..6)) {
        let all = types();
        let shards: Vec<SchemaRef> = picks.iter().map(|pick| shard(&[("c", all[pick % all.len()].clone(), true)])).collect();
        if let Ok(fields) = agreed(&shards) {
            // Shards that are already as agreed change nothing.
            let again: Vec<SchemaRef> =
                shards.iter().cloned().chain([Arc::new(Schema::new(fields.clone()))]).collect();
            prop_assert_eq!(agreed(&again).unwrap(), fields);
        }
    }
}
