//! What a CSV source promises, on files written here.

use super::super::{
    BadRow, Options, Request, Source, open,
    sample::{all, integers, says, texts},
    write_manifest,
};
use crate::{Keep, Span};
use arrow::{
    array::{AsArray, BooleanArray, RecordBatch},
    compute::{concat_batches, filter_record_batch},
    datatypes::{DataType, Float64Type},
};
use proptest::prelude::*;
use std::{fs, sync::Arc};

fn data(text: impl AsRef<[u8]>) -> (tempfile::TempDir, Options) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), text).unwrap();
    let options = Options::new(folder.path().to_str().unwrap());
    (folder, options)
}

fn opened(text: impl AsRef<[u8]>) -> (tempfile::TempDir, Arc<dyn Source>) {
    let (folder, options) = data(text);
    (folder, open(&options).unwrap())
}

fn read_all(source: &dyn Source) -> (RecordBatch, Vec<BadRow>) {
    let (mut batches, mut bad) = (Vec::new(), Vec::new());
    for block in 0..source.plan().blocks.len() as u32 {
        let decoded = source.read(all(block)).unwrap();
        assert_eq!(decoded.data.num_rows(), source.plan().blocks[block as usize].rows as usize);
        assert_eq!(decoded.hashes, source.plan().blocks[block as usize].hashes);
        bad.extend(decoded.bad_rows);
        batches.push(decoded.data);
    }
    (concat_batches(&source.plan().schema, &batches).unwrap(), bad)
}

fn types(source: &dyn Source) -> Vec<DataType> {
    source.plan().schema.fields().iter().map(|field| field.data_type().clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_blocks_are_the_written_rows_whatever_the_cuts_and_line_ends(
        rows in proptest::collection::vec((any::<i64>(), "x[a,\"\t\r\nß ]{0,20}", any::<bool>()), 1..120),
        limit in 2000..20_000_u64, crlf in any::<bool>(), last in any::<bool>(), mark in any::<bool>(), tabs in any::<bool>(),
    ) {
        let (end, delimiter) = (if crlf { "\r\n" } else { "\n" }, if tabs { "\t" } else { "," });
        let mut text = format!("{}\"id\"{delimiter}words{end}", if mark { "\u{feff}" } else { "" });
        for (row, (id, words, blank)) in rows.iter().enumerate() {
            let end = if row + 1 == rows.len() && !last { "" } else { end };
            text += &format!("{id}{delimiter}\"{}\"{end}{}", words.replace('"', "\"\""), if *blank { end } else { "" });
        }
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(if tabs { "a.tsv" } else { "a.csv" }), &text).unwrap();
        let options = Options { block_limit: limit, ..Options::new(folder.path().to_str().unwrap()) };
        let source = open(&options).unwrap();
        let (read, bad) = read_all(source.as_ref());
        prop_assert!(bad.is_empty(), "{:?}", bad);
        prop_assert_eq!(integers(&read, "id"), rows.iter().map(|row| Some(row.0)).collect::<Vec<_>>());
        prop_assert_eq!(texts(&read, "words"), rows.iter().map(|row| Some(row.1.clone())).collect::<Vec<_>>());
        for block in &source.plan().blocks {
            let Span::Bytes { length, .. } = block.span else { panic!("a block of text") };
            prop_assert!(length <= limit && block.decoded_bytes <= limit && block.rows > 0);
        }
    }

    #[test]
    fn picked_rows_are_those_that_a_filter_leaves(picks in proptest::collection::vec(any::<bool>(), 40)) {
        let rows: String = (0..40).map(|row| if row % 9 == 4 { "oops\n".into() } else { format!("{row},x\n") }).collect();
        let (_folder, source) = opened(format!("a,b\n{rows}"));
        let whole = source.read(all(0)).unwrap();
        let keep = Keep::from_fn(40, |row| picks[row as usize]);
        let mask: BooleanArray = (0..40).map(|row| Some(keep.is_kept(row))).collect();
        let picked = source.read(Request { rows: Some(&keep), ..all(0) }).unwrap();
        prop_assert_eq!(picked.data, filter_record_batch(&whole.data, &mask).unwrap());
        let bad: Vec<u32> = picked.bad_rows.iter().map(|bad| bad.row).collect();
        prop_assert_eq!(bad, (0..40).filter(|row| row % 9 == 4 && keep.is_kept(*row)).collect::<Vec<_>>());
    }

    #[test]
    fn any_bytes_are_rows_good_or_bad(
        lines in proptest::collection::vec(prop_oneof![
            Just(b"1,2".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..20),
            "[\",\r1aeE+.naninf-]{0,12}".prop_map(String::into_bytes),
        ], 0..30),
        limit in prop_oneof![Just(100_000_u64), 2000..4000_u64],
    ) {
        let text = [b"a,b\n".to_vec(), lines.join(&b'\n')].concat();
        let (_folder, options) = data(text);
        if let Ok(source) = open(&Options { block_limit: limit, ..options }) {
            let (read, bad) = read_all(source.as_ref());
            prop_assert_eq!(read.num_rows() as u64, source.plan().rows());
            prop_assert!(bad.len() <= read.num_rows());
        }
    }
}

#[test]
fn types_are_the_narrowest_that_hold_all_values() {
    let (_folder, source) = opened(
        "int,float,text,bool,none,zip,big,mixed\n1,1,1,true,,01,9223372036854775808,true\n-2,2.5e3,x,FALSE,\"\",02,1,1\n,,,,,,,\n",
    );
    use DataType::{Boolean, Float64, Int64, Null, Utf8};
    assert_eq!(types(source.as_ref()), [Int64, Float64, Utf8, Boolean, Null, Utf8, Utf8, Utf8]);
    let (read, bad) = read_all(source.as_ref());
    assert!(bad.is_empty());
    assert_eq!(integers(&read, "int"), [Some(1), Some(-2), None]);
    let floats: Vec<_> = read.column(1).as_primitive::<Float64Type>().iter().collect();
    assert_eq!(floats, [Some(1.0), Some(2500.0), None]);
    assert_eq!(texts(&read, "big"), [Some("9223372036854775808"), Some("1"), None].map(|text| text.map(str::to_owned)));
}

#[test]
fn a_malformed_record_spoils_nothing_but_itself() {
    let text = b"a,b\n1,x\n2\n3,y,z\n4,\"q\nr\"\n5,\xff\n6,\"open\n7,w\n".to_vec();
    let (_folder, source) = opened(text);
    assert_eq!(types(source.as_ref()), [DataType::Int64, DataType::Utf8]);
    let (read, bad) = read_all(source.as_ref());
    assert_eq!(integers(&read, "a"), [Some(1), None, None, Some(4), None, None, Some(7)]);
    let expected = [(1, "1 fields"), (2, "3 fields"), (4, "not UTF-8"), (5, "never closed")];
    assert_eq!(bad.iter().map(|bad| bad.row).collect::<Vec<_>>(), expected.map(|(row, _)| row));
    assert!(bad.iter().zip(expected).all(|(bad, (_, what))| bad.what.contains(what)), "{bad:?}");
}

#[test]
fn headers_are_required_and_name_each_column_once() {
    for (text, parts) in [
        ("", &["a.csv", "no header"][..]),
        ("\n \n", &["no header"]),
        ("a,b,a\n1,2,3\n", &["column `a`", "two columns"]),
    ] {
        let (_folder, options) = data(text);
        assert!(!says(open(&options), parts).is_usage());
    }
    let (_folder, source) = opened("a,b");
    assert_eq!(source.plan().blocks.len(), 0);
}

#[test]
fn shards_may_differ_in_the_order_of_columns_and_widen_one_another() {
    let (folder, options) = data("a,b\n1,x\n");
    fs::write(folder.path().join("b.csv"), "b,a\ny,2.5\n").unwrap();
    let source = open(&options).unwrap();
    assert_eq!(types(source.as_ref()), [DataType::Float64, DataType::Utf8]);
    assert_eq!(texts(&read_all(source.as_ref()).0, "b"), [Some("x".to_owned()), Some("y".to_owned())]);
    let columns =
        |names: &[&str]| Options { columns: Some(names.iter().map(ToString::to_string).collect()), ..options.clone() };
    assert_eq!(types(open(&columns(&["b"])).unwrap().as_ref()), [DataType::Utf8]);
    assert_eq!(read_all(open(&columns(&[])).unwrap().as_ref()).0.num_rows(), 2);
    fs::write(folder.path().join("c.csv"), "a,c\n1,2\n").unwrap();
    assert_eq!(types(open(&options).unwrap().as_ref()), [DataType::Float64, DataType::Utf8, DataType::Int64]);
    fs::write(folder.path().join("d.csv"), "1,2\n3,4\n").unwrap();
    says(open(&options), &["d.csv", "no column in common", "header"]);
}

#[test]
fn a_record_that_no_block_can_hold_is_refused_with_the_arithmetic() {
    let (_folder, options) = data(format!("a\n1\n{}\n", "x".repeat(6000)));
    let error = says(open(&Options { block_limit: 20_000, ..options.clone() }), &["a.csv", "byte 4", "may take 5000"]);
    assert!(error.is_usage());
    assert_eq!(open(&Options { block_limit: 30_000, ..options.clone() }).unwrap().plan().rows(), 2);
    assert_eq!(open(&options).unwrap().plan().rows(), 2);
}

#[test]
fn records_of_too_few_fields_take_no_more_than_a_block_may() {
    let header: Vec<String> = (0..600).map(|column| format!("{column:x}")).collect();
    let (_folder, options) = data(format!("{}\n{}", header.join(","), "1\n".repeat(5000)));
    // Two bytes each, and a row of nulls in 600 columns.
    let options = Options { block_limit: 60_000, ..options };
    let source = open(&options).unwrap();
    let plan = source.plan();
    assert_eq!(plan.rows(), 5000);
    assert!(plan.blocks.iter().all(|block| block.decoded_bytes <= options.block_limit));
    let read = source.read(all(7)).unwrap();
    assert_eq!(read.bad_rows.len(), plan.blocks[7].rows as usize);
}

#[test]
fn damage_is_found_in_its_block_and_nowhere_else() {
    let rows: String = (0..400).map(|row| format!("{row},\"{}\"\n", "y".repeat(30))).collect();
    let text = format!("a,b\n{rows}");
    let (folder, options) = data(&text);
    let options = Options { block_limit: 60_000, ..options };
    let planned = open(&options).unwrap();
    let whole = planned.plan().hash();
    let summary = write_manifest(&options).unwrap();
    assert!(summary.blocks > 2 && summary.rows == 400);
    assert_eq!(open(&options).unwrap().plan().hash(), whole, "a manifest makes no other dataset");
    let path = folder.path().join("a.csv");
    let line = text.match_indices('\n').nth(5).unwrap().0;
    // A digit, a quote, a line feed.
    for at in [line + 1, line + 3, line] {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 0x01;
        fs::write(&path, bytes).unwrap();
        let source = open(&options).unwrap();
        assert_eq!(source.plan().hash(), whole);
        says(source.read(all(0)), &["a.csv", "block 0", "content hash"]);
        says(planned.read(all(0)), &["a.csv", "block 0", "content hash"]);
        assert!((1..source.plan().blocks.len()).all(|block| source.read(all(block as u32)).is_ok()));
    }
    let mut bytes = text.clone().into_bytes();
    bytes[0] = b'c';
    fs::write(&path, bytes).unwrap();
    says(open(&options), &["a.csv", "manifest says"]);
    fs::write(&path, &text[..text.len() - 1]).unwrap();
    says(open(&options), &["a.csv", "manifest says"]);
    says(planned.read(all(0)), &["changed since the plan was made"]);
}
