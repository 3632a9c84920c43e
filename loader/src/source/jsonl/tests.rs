//! What a JSONL source promises, on files written here.

use super::super::{
    BadRow, Options, Request, Source, open,
    sample::{all, integers, says, texts},
    write_manifest,
};
use crate::{Keep, Span};
use arrow::{
    array::{Array, AsArray, BooleanArray, RecordBatch},
    compute::{concat_batches, filter_record_batch},
    datatypes::{DataType, Float64Type},
};
use proptest::prelude::*;
use std::{fs, sync::Arc};

fn data(text: impl AsRef<[u8]>) -> (tempfile::TempDir, Options) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.jsonl"), text).unwrap();
    let options = Options::new(folder.path().to_str().unwrap());
    (folder, options)
}

fn opened(text: impl AsRef<[u8]>) -> (tempfile::TempDir, Arc<dyn Source>) {
    let (folder, options) = data(text);
    let source = open(&options).unwrap();
    (folder, source)
}

fn read_all(source: &dyn Source) -> (RecordBatch, Vec<(u32, BadRow)>) {
    let (mut batches, mut bad) = (Vec::new(), Vec::new());
    for block in 0..source.plan().blocks.len() as u32 {
        let decoded = source.read(all(block)).unwrap();
        assert_eq!(decoded.data.num_rows(), source.plan().blocks[block as usize].rows as usize);
        assert_eq!(decoded.hashes, source.plan().blocks[block as usize].hashes);
        bad.extend(decoded.bad_rows.into_iter().map(|row| (block, row)));
        batches.push(decoded.data);
    }
    (concat_batches(&source.plan().schema, &batches).unwrap(), bad)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_blocks_are_the_written_rows_whatever_the_cuts_and_line_ends(
        rows in proptest::collection::vec((any::<i64>(), ".{0,40}", 0..3_usize), 1..120),
        limit in 400..5000_u64, crlf in any::<bool>(), last in any::<bool>(), mark in any::<bool>(),
    ) {
        let end = if crlf { "\r\n" } else { "\n" };
        let mut text = String::from(if mark { "\u{feff}" } else { "" });
        for (id, words, blanks) in &rows {
            text += &format!("{{\"id\":{id},\"words\":{}}}{end}", serde_json::to_string(words).unwrap());
            text += &[end, " \t", ""][*blanks].repeat(usize::from(*blanks == 0));
        }
        if !last {
            text.truncate(text.trim_end().len());
        }
        let (_folder, options) = data(&text);
        let source = open(&Options { block_limit: limit, ..options }).unwrap();
        let (read, bad) = read_all(source.as_ref());
        prop_assert!(bad.is_empty());
        prop_assert_eq!(integers(&read, "id"), rows.iter().map(|row| Some(row.0)).collect::<Vec<_>>());
        prop_assert_eq!(texts(&read, "words"), rows.iter().map(|row| Some(row.1.clone())).collect::<Vec<_>>());
        for block in &source.plan().blocks {
            let Span::Bytes { length, .. } = block.span else { panic!("a block of text") };
            prop_assert!(length <= limit && block.decoded_bytes <= limit && block.rows > 0);
        }
    }

    #[test]
    fn picked_rows_are_those_that_a_filter_leaves(picks in proptest::collection::vec(any::<bool>(), 40)) {
        let text: String = (0..40).map(|row| if row % 9 == 4 { "oops\n".into() } else { format!("{{\"a\":{row}}}\n") }).collect();
        let (_folder, source) = opened(text);
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
            Just(b"{\"a\":1,\"b\":{\"c\":[1,2]}}".to_vec()),
            Just(b"{\"a\":\"x\",\"b\":null}".to_vec()),
            Just(b"{\"a\":[{}],\"b\":7}".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..20),
            "[\\[\\]{}\":,a1 -]{0,12}".prop_map(String::into_bytes),
        ], 0..30),
    ) {
        let text = lines.join(&b'\n');
        let rows = text.split(|byte| *byte == b'\n').filter(|line| !line.iter().all(u8::is_ascii_whitespace)).count();
        let (_folder, source) = opened(text);
        prop_assert!(source.plan().rows().abs_diff(rows as u64) <= 1, "a byte order mark may be the only difference");
        let (read, bad) = read_all(source.as_ref());
        prop_assert_eq!(read.num_rows() as u64, source.plan().rows());
        for (block, bad) in bad {
            prop_assert!(bad.row < source.plan().blocks[block as usize].rows);
        }
    }
}

#[test]
fn malformed_lines_become_bad_rows_and_the_others_survive() {
    let deep = format!("{{\"a\":{}}}", "[".repeat(100_000));
    let lines: Vec<Vec<u8>> = vec![
        b"{\"a\":1}".to_vec(),
        b"{\"a\":".to_vec(),
        b"{\"a\":2}".to_vec(),
        b"{\"a\":3} {\"a\":4}".to_vec(),
        b"[5]".to_vec(),
        b"{\"a\":\"\xff\xfe\"}".to_vec(),
        deep.into_bytes(),
        b"{\"b\":\"x\",\"a\":6,}".to_vec(),
        b"{\"a\":1e999}".to_vec(),
        b"{\"a\":\"\\ud800\"}".to_vec(),
        b"{\"a\":7,\"b\":\"y\"}".to_vec(),
    ];
    let (_folder, source) = opened(lines.join(&b'\n'));
    // The half of a malformed line does not speak for the schema: `a` is a column of integers.
    assert_eq!(source.plan().schema.field(0).data_type(), &DataType::Int64);
    let (read, bad) = read_all(source.as_ref());
    let good = [0, 2, 10];
    assert_eq!(
        integers(&read, "a"),
        (0..11).map(|row| good.iter().position(|g| *g == row).map(|i| [1, 2, 7][i])).collect::<Vec<_>>()
    );
    assert_eq!(bad.iter().map(|(_, bad)| bad.row).collect::<Vec<_>>(), [1, 3, 4, 5, 6, 7, 8, 9]);
    let what = |row: u32| bad.iter().find(|(_, bad)| bad.row == row).unwrap().1.what.clone();
    assert!(what(5).contains("not UTF-8"), "{}", what(5));
    assert!(what(6).contains("nests more than 64 deep"), "{}", what(6));
    assert!(what(4).contains("one JSON object"), "{}", what(4));
}

#[test]
fn brackets_in_strings_are_no_nesting() {
    let (_folder, source) = opened(format!("{{\"a\":\"{}\\\"[\"}}\n", "[{".repeat(500)));
    let (read, bad) = read_all(source.as_ref());
    assert!(bad.is_empty() && read.column(0).is_valid(0));
}

#[test]
fn a_value_of_another_shape_than_most_is_a_bad_row_of_its_column() {
    let (_folder, source) = opened("{\"a\":1,\"b\":1}\n{\"a\":2,\"b\":[1]}\n{\"a\":3,\"b\":2}\n");
    let (read, bad) = read_all(source.as_ref());
    assert_eq!(integers(&read, "a"), [Some(1), None, Some(3)]);
    assert_eq!(bad.len(), 1);
    assert_eq!((bad[0].1.row, bad[0].1.column.as_deref()), (1, Some("b")));
}

#[test]
fn scalars_widen_over_all_lines() {
    let (_folder, source) =
        opened("{\"a\":1,\"b\":true,\"c\":null}\n{\"a\":2.5,\"b\":7}\n{\"a\":3,\"b\":\"x\",\"d\":{\"e\":[]}}\n{}\n");
    let (read, bad) = read_all(source.as_ref());
    assert!(bad.is_empty(), "{bad:?}");
    let floats: Vec<_> = read.column(0).as_primitive::<Float64Type>().iter().collect();
    assert_eq!(floats, [Some(1.0), Some(2.5), Some(3.0), None]);
    assert_eq!(texts(&read, "b"), [Some("true"), Some("7"), Some("x"), None].map(|text| text.map(str::to_owned)));
    assert_eq!(read.column_by_name("c").unwrap().data_type(), &DataType::Null);
    assert!(read.schema().fields().iter().all(|field| field.is_nullable()));
}

#[test]
fn objects_without_members_can_be_read() {
    for text in ["{}\n{}\n", "{\"a\":{}}\n{\"a\":{}}\n", "{\"a\":[]}\n{\"a\":[{}]}\n"] {
        let (_folder, source) = opened(text);
        let (read, bad) = read_all(source.as_ref());
        assert!(bad.is_empty() && read.num_rows() == 2, "{text}: {bad:?}");
    }
}

#[test]
fn files_without_rows_have_no_blocks() {
    for text in ["", "\n\r\n \n", "\u{feff}"] {
        let (_folder, source) = opened(text);
        assert_eq!((source.plan().shards.len(), source.plan().blocks.len()), (1, 0));
    }
    let (_folder, options) = data("");
    says(open(&Options { columns: Some(vec!["a".to_owned()]), ..options }), &["no column `a`", "there is none"]);
}

#[test]
fn columns_come_in_the_order_asked_for_and_none_is_fine() {
    let (_folder, options) = data("{\"a\":1,\"b\":\"x\",\"c\":2}\n{\"a\":3,\"b\":\"y\",\"c\":4}\nnonsense\n");
    let ask = |columns: &[&str]| {
        open(&Options { columns: Some(columns.iter().map(ToString::to_string).collect()), ..options.clone() })
    };
    let (read, bad) = read_all(ask(&["c", "a"]).unwrap().as_ref());
    assert_eq!(
        (integers(&read, "c"), integers(&read, "a")),
        (vec![Some(2), Some(4), None], vec![Some(1), Some(3), None])
    );
    assert_eq!(bad.len(), 1);
    let (read, bad) = read_all(ask(&[]).unwrap().as_ref());
    assert_eq!((read.num_rows(), read.num_columns(), bad.len()), (3, 0, 1));
    says(ask(&["bb"]), &["did you mean `b`"]);
}

#[test]
fn a_line_that_no_block_can_hold_is_refused_with_the_arithmetic() {
    let (_folder, options) = data(format!("{{\"a\":1}}\n{{\"a\":\"{}\"}}\n", "x".repeat(3000)));
    let error = says(open(&Options { block_limit: 2000, ..options.clone() }), &["a.jsonl", "byte 8", "may take 2000"]);
    assert!(error.is_usage());
    // A long line that fits makes a longer block, or one of its own.
    assert_eq!(open(&Options { block_limit: 4000, ..options }).unwrap().plan().rows(), 2);
}

#[test]
fn short_lines_of_wide_objects_are_cut_by_what_they_decode_to() {
    let wide: Vec<String> = (0..200).map(|column| format!("\"c{column}\":1")).collect();
    let text = format!("{{{}}}\n{}", wide.join(","), "{}\n".repeat(5000));
    let (_folder, options) = data(text);
    let limit = 200_000;
    let source = open(&Options { block_limit: limit, ..options }).unwrap();
    assert!(source.plan().blocks.iter().all(|block| block.decoded_bytes <= limit));
    assert_eq!(read_all(source.as_ref()).0.num_rows(), 5001);
}

#[test]
fn names_that_are_data_are_refused() {
    let text: String = (0..10_500).map(|row| format!("{{\"k{row}\":1}}\n")).collect();
    let (_folder, options) = data(text);
    says(open(&options), &["a.jsonl", "more than 10000 different names"]);
}

#[test]
fn many_files_are_planned_in_the_order_of_their_names() {
    let folder = tempfile::tempdir().unwrap();
    for file in 0..9 {
        let text: String = (0..300).map(|row| format!("{{\"n\":{},\"f{file}\":0}}\n", file * 300 + row)).collect();
        fs::write(folder.path().join(format!("{file}.jsonl")), text).unwrap();
    }
    let options = Options { block_limit: 30_000, ..Options::new(folder.path().to_str().unwrap()) };
    let source = open(&options).unwrap();
    let (read, _) = read_all(source.as_ref());
    assert_eq!(integers(&read, "n"), (0..2700).map(Some).collect::<Vec<_>>());
    let names: Vec<_> = source.plan().schema.fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["n", "f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8"]);
    for _ in 0..5 {
        assert_eq!(open(&options).unwrap().plan().hash(), source.plan().hash());
    }
}

#[test]
fn damage_is_found_in_its_block_and_nowhere_else() {
    let text: String = (0..400).map(|row| format!("{{\"a\":{row},\"b\":\"{}\"}}\n", "y".repeat(30))).collect();
    let (folder, options) = data(&text);
    let options = Options { block_limit: 8000, ..options };
    let whole = open(&options).unwrap().plan().hash();
    let summary = write_manifest(&options).unwrap();
    assert!(summary.blocks > 2 && summary.rows == 400);
    assert_eq!(open(&options).unwrap().plan().hash(), whole, "a manifest makes no other dataset");
    let path = folder.path().join("a.jsonl");
    // A digit, a quote, a newline, a brace: damage of the content, of the schema, of the cuts, of the syntax.
    let third = text.match_indices('\n').nth(5).unwrap().0;
    for at in [third + 5, third + 2, third, third + 1] {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 0x01;
        fs::write(&path, bytes).unwrap();
        let source = open(&options).unwrap();
        assert_eq!(source.plan().hash(), whole);
        says(source.read(all(0)), &["a.jsonl", "block 0", "content hash"]);
        let rows: usize =
            (1..source.plan().blocks.len()).map(|block| source.read(all(block as u32)).unwrap().data.num_rows()).sum();
        assert_eq!(rows + source.plan().blocks[0].rows as usize, 400);
    }
    fs::write(&path, &text[1..]).unwrap();
    says(open(&options), &["a.jsonl", "manifest says"]);
}

#[test]
fn a_manifest_serves_streams_of_any_block_limit() {
    let text: String = (0..400).map(|row| format!("{{\"a\":{row}}}\n")).collect();
    let (_folder, options) = data(&text);
    write_manifest(&options).unwrap();
    let small = open(&Options { block_limit: 1000, ..options }).unwrap();
    assert!(small.plan().blocks.len() > 3);
    assert_eq!(read_all(small.as_ref()).0.num_rows(), 400);
}

#[test]
fn data_that_change_after_planning_are_refused() {
    let (folder, options) = data("{\"a\":1}\n{\"a\":2}\n");
    let path = folder.path().join("a.jsonl");
    let source = open(&options).unwrap();
    fs::write(&path, "{\"a\":1}\n{\"a\":3}\n").unwrap();
    says(source.read(all(0)), &["a.jsonl", "block 0", "content hash"]);
    fs::write(&path, "{\"a\":1}\n").unwrap();
    says(source.read(all(0)), &["a.jsonl", "block 0", "changed since the plan was made"]);
}

#[test]
fn a_request_that_does_not_fit_the_plan_is_an_error() {
    let (_folder, source) = opened("{\"a\":1}\n");
    says(source.read(all(1)), &["block 1"]);
    let keep = Keep::from_fn(2, |_| true);
    says(source.read(Request { rows: Some(&keep), ..all(0) }), &["rows are picked from 2"]);
}
