//! What columns become, and what is refused.

use super::*;
use crate::{
    Hash, Result,
    source::{
        Options, Source, open,
        sample::{all, integers, says, texts},
    },
};
use ::parquet::arrow::ArrowWriter;
use arrow::{
    array::*,
    datatypes::{Field, Float64Type, Int8Type, Int32Type, Schema},
    ipc::writer::{FileWriter, StreamWriter},
};
use proptest::prelude::*;
use std::{fs::File, path::Path};

fn write(path: &Path, batch: &RecordBatch) {
    let (file, schema) = (File::create(path).unwrap(), batch.schema());
    match path.extension().unwrap().to_str().unwrap() {
        "parquet" => {
            let mut writer = ArrowWriter::try_new(file, schema, None).unwrap();
            writer.write(batch).unwrap();
            writer.close().unwrap();
        }
        "arrow" => {
            let mut writer = FileWriter::try_new(file, &schema).unwrap();
            writer.write(batch).unwrap();
            writer.finish().unwrap();
        }
        "arrows" => {
            let mut writer = StreamWriter::try_new(file, &schema).unwrap();
            writer.write(batch).unwrap();
            writer.finish().unwrap();
        }
        "jsonl" => {
            let mut writer = arrow::json::LineDelimitedWriter::new(file);
            writer.write(batch).unwrap();
            writer.finish().unwrap();
        }
        "csv" => arrow::csv::Writer::new(file).write(batch).unwrap(),
        other => panic!("no writer for {other}"),
    }
}

/// The shards, one after another, in files with `ending`.
fn dataset(ending: &str, shards: &[RecordBatch]) -> (tempfile::TempDir, Options) {
    let folder = tempfile::tempdir().unwrap();
    for (index, shard) in shards.iter().enumerate() {
        write(&folder.path().join(format!("{index}.{ending}")), shard);
    }
    let options = Options::new(folder.path().to_str().unwrap());
    (folder, options)
}

fn read_all(source: &dyn Source) -> Result<RecordBatch> {
    let blocks = (0..source.plan().blocks.len() as u32).map(|block| Ok(source.read(all(block))?.data));
    let blocks = blocks.collect::<Result<Vec<_>>>()?;
    Ok(arrow::compute::concat_batches(&source.plan().schema, &blocks).unwrap())
}

const SELF_DESCRIBED: [&str; 3] = ["parquet", "arrow", "arrows"];

#[test]
fn shards_of_every_format_may_lack_columns_and_have_narrower_numbers() {
    let first = RecordBatch::try_from_iter([
        ("n", Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef),
        ("text", Arc::new(StringArray::from(vec!["a", "b"]))),
    ]);
    let second = RecordBatch::try_from_iter([
        ("extra", Arc::new(Int64Array::from(vec![7])) as ArrayRef),
        ("n", Arc::new(Float64Array::from(vec![2.5]))),
    ]);
    for ending in ["parquet", "arrow", "arrows", "jsonl", "csv"] {
        let (_folder, options) = dataset(ending, &[first.as_ref().unwrap().clone(), second.as_ref().unwrap().clone()]);
        let source = open(&options).unwrap();
        let rows = read_all(source.as_ref()).unwrap();
        let numbers: Vec<_> = rows.column_by_name("n").unwrap().as_primitive::<Float64Type>().values().to_vec();
        assert_eq!(numbers, [1.0, 2.0, 2.5], "{ending}");
        assert_eq!(texts(&rows, "text"), [Some("a".to_owned()), Some("b".to_owned()), None], "{ending}");
        assert_eq!(integers(&rows, "extra"), [None, None, Some(7)], "{ending}");
    }
}

#[test]
fn the_plans_identity_covers_the_schema_that_shards_agreed_on() {
    let ids = |array: ArrayRef| RecordBatch::try_from_iter([("id", array)]).unwrap();
    for ending in SELF_DESCRIBED {
        let narrow = ids(Arc::new(Int32Array::from(vec![1])));
        let hash = |shards: &[RecordBatch], columns: Option<Vec<String>>| -> Hash {
            let (_folder, options) = dataset(ending, shards);
            open(&Options { columns, ..options }).unwrap().plan().hash()
        };
        let alone = hash(std::slice::from_ref(&narrow), None);
        assert_eq!(alone, hash(std::slice::from_ref(&narrow), Some(vec!["id".to_owned()])));
        let nullable = Schema::new(vec![Field::new("id", DataType::Int32, true)]);
        let nullable = RecordBatch::try_new(Arc::new(nullable), narrow.columns().to_vec()).unwrap();
        assert_ne!(alone, hash(&[nullable], None), "{ending}");
    }
}

#[test]
fn texts_of_every_form_become_one() {
    let words = ["x", "a longer word than fits a view", "x"];
    let forms: [ArrayRef; 4] = [
        Arc::new(DictionaryArray::<Int8Type>::from_iter(words)),
        Arc::new(StringArray::from_iter_values(words)),
        Arc::new(LargeStringArray::from_iter_values(words)),
        Arc::new(StringViewArray::from_iter_values(words)),
    ];
    for ending in SELF_DESCRIBED {
        for most in 2..=forms.len() {
            let shards =
                forms[..most].iter().rev().map(|form| RecordBatch::try_from_iter([("t", Arc::clone(form))]).unwrap());
            let (_folder, options) = dataset(ending, &shards.collect::<Vec<_>>());
            let source = open(&options).unwrap();
            let expected = [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View][most - 2].clone();
            assert_eq!(source.plan().schema.field(0).data_type(), &expected);
            let rows = read_all(source.as_ref()).unwrap();
            let read = arrow::compute::cast(rows.column(0), &DataType::Utf8).unwrap();
            assert!(read.as_string::<i32>().iter().flatten().eq(words.iter().cycle().take(3 * most).copied()));
        }
    }
}

#[test]
fn an_integer_that_the_joined_float_cannot_hold_is_refused_by_value_column_and_shard() {
    for ending in SELF_DESCRIBED {
        let batch = |array: ArrayRef| RecordBatch::try_from_iter([("n", array)]).unwrap();
        let floats = batch(Arc::new(Float64Array::from(vec![0.5])));
        let exact = batch(Arc::new(Int64Array::from(vec![Some(1_i64 << 53), None, Some(i64::MIN)])));
        let (_folder, options) = dataset(ending, &[floats.clone(), exact]);
        assert_eq!(read_all(open(&options).unwrap().as_ref()).unwrap().num_rows(), 4);
        let lossy = batch(Arc::new(Int64Array::from(vec![3, i64::MAX])));
        let (_folder, options) = dataset(ending, &[floats, lossy]);
        let refused = read_all(open(&options).unwrap().as_ref());
        says(refused, &[&format!("1.{ending}"), "column `n`", "row 1", "9223372036854775807"]);
    }
}

#[test]
fn a_dictionary_is_written_out_within_bounds_only() {
    let long = "y".repeat(4000);
    let dictionary = DictionaryArray::<Int32Type>::from_iter(std::iter::repeat_n(long.as_str(), 500));
    let dictionary = RecordBatch::try_from_iter([("t", Arc::new(dictionary) as ArrayRef)]).unwrap();
    let plain = RecordBatch::try_from_iter([("t", Arc::new(StringArray::from(vec!["x"])) as ArrayRef)]).unwrap();
    for ending in SELF_DESCRIBED {
        let (_folder, options) = dataset(ending, &[plain.clone(), dictionary.clone()]);
        assert_eq!(read_all(open(&options).unwrap().as_ref()).unwrap().num_rows(), 501, "{ending}");
        let small = Options { block_limit: 500 << 10, ..options };
        // Parquet's footer says how much it is, so that blocks are cut smaller; an Arrow file does not.
        match read_all(open(&small).unwrap().as_ref()) {
            Ok(rows) => assert!(ending == "parquet" && rows.num_rows() == 501),
            Err(error) => assert!(error.to_string().contains("2000000 bytes") && ending != "parquet", "{error}"),
        }
    }
}

/// Rows of structures in lists, of which `wide` ones have wider numbers and one more member.
fn deep(rows: &[Vec<i32>], wide: bool) -> RecordBatch {
    let mut fields = vec![Field::new("x", if wide { DataType::Int64 } else { DataType::Int32 }, true)];
    let numbers: Int32Array = rows.iter().flatten().copied().collect();
    let mut columns: Vec<ArrayRef> = vec![arrow::compute::cast(&numbers, fields[0].data_type()).unwrap()];
    if wide {
        fields.push(Field::new("more", DataType::Utf8, true));
        columns.push(Arc::new(numbers.iter().map(|n| n.map(|n| n.to_string())).collect::<StringArray>()));
    }
    let inner = StructArray::new(fields.into(), columns, None);
    let item = Arc::new(Field::new_list_field(inner.data_type().clone(), true));
    let offsets = arrow::buffer::OffsetBuffer::from_lengths(rows.iter().map(Vec::len));
    let list = ListArray::new(item, offsets, Arc::new(inner), None);
    RecordBatch::try_from_iter([("deep", Arc::new(list) as ArrayRef)]).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn nested_shards_are_joined_without_losing_a_value(
        a in proptest::collection::vec(proptest::collection::vec(any::<i32>(), 0..4), 1..20),
        b in proptest::collection::vec(proptest::collection::vec(any::<i32>(), 0..4), 1..20),
    ) {
        for ending in ["parquet", "arrow", "arrows", "jsonl"] {
            let (_folder, options) = dataset(ending, &[deep(&a, false), deep(&b, true)]);
            let rows = read_all(open(&options).unwrap().as_ref()).unwrap();
            let lists = rows.column(0).as_list::<i32>();
            let lengths: Vec<usize> = lists.iter().map(|list| list.map_or(0, |list| list.len())).collect();
            prop_assert_eq!(lengths, a.iter().chain(&b).map(Vec::len).collect::<Vec<_>>());
            if a.iter().chain(&b).flatten().next().is_none() {
                continue;
            }
            let x = lists.values().as_struct().column_by_name("x").unwrap();
            let x = arrow::compute::cast(x, &DataType::Int64).unwrap();
            let expected: Vec<i64> = a.iter().chain(&b).flatten().map(|n| i64::from(*n)).collect();
            prop_assert_eq!(x.as_primitive::<Int64Type>().values().to_vec(), expected);
        }
    }
}
