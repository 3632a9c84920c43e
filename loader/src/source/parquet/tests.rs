//! What a Parquet source promises, on files written here.

use super::{
    super::{
        Options, Request, Source, open,
        sample::{all, same, sample, says},
        write_manifest,
    },
    footer,
};
use crate::{Keep, Result};
use ::parquet::{
    arrow::ArrowWriter,
    basic::{Compression, Encoding},
    file::{properties::WriterProperties, properties::WriterVersion},
};
use arrow::{
    array::*,
    compute::{cast, concat_batches, filter_record_batch},
    datatypes::{DataType, Field, Schema},
};
use proptest::prelude::*;
use std::{fs, fs::File, path::Path, sync::Arc};

fn write_with(path: &Path, batch: &RecordBatch, properties: WriterProperties) {
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

fn write(path: &Path, batch: &RecordBatch, group: usize) {
    write_with(path, batch, WriterProperties::builder().set_max_row_group_row_count(Some(group)).build());
}

fn folder() -> (tempfile::TempDir, Options) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options::new(folder.path().to_str().unwrap());
    (folder, options)
}

fn read_all(source: &dyn Source) -> RecordBatch {
    let batches: Vec<_> =
        (0..source.plan().blocks.len()).map(|block| source.read(all(block as u32)).unwrap().data).collect();
    for (block, batch) in source.plan().blocks.iter().zip(&batches) {
        assert_eq!(block.rows as usize, batch.num_rows());
    }
    concat_batches(&source.plan().schema, &batches).unwrap()
}

/// A byte in the middle of a column chunk, changed without changing the length.
fn damage(path: &Path, group: usize, column: usize) {
    let footer = footer::read(&crate::source::store::Store::local(), path.to_str().unwrap()).unwrap();
    let range = footer::chunk_range(footer.metadata.row_group(group).column(column)).unwrap();
    flip(path, (range.start + (range.end - range.start) * 2 / 3) as usize);
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_blocks_are_the_written_rows_whatever_the_cuts(
        rows in 1..400_usize, group in 1..200_usize, seed in 0..1000_usize, limit in 2000..100_000_u64, codec in 0..5_usize,
    ) {
        let (folder, options) = folder();
        let batch = sample(rows, seed);
        let codec = [
            Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(Default::default()),
            Compression::GZIP(Default::default()), Compression::LZ4_RAW,
        ][codec];
        let version = [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0][seed % 2];
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(group)).set_compression(codec).set_writer_version(version)
            .set_data_page_row_count_limit(50).set_write_batch_size(16).build();
        write_with(&folder.path().join("a.parquet"), &batch, properties);
        let source = open(&Options { block_limit: limit, ..options.clone() }).unwrap();
        prop_assert!(same(&read_all(source.as_ref()), &batch));
        prop_assert_eq!(source.plan().rows(), rows as u64);
        for block in &source.plan().blocks {
            prop_assert!(block.decoded_bytes <= limit);
        }
        let stored = |options: &Options| open(options).unwrap().plan().blocks.iter().map(|block| block.bytes).sum::<u64>();
        prop_assert_eq!(stored(&options), stored(&Options { block_limit: limit, ..options.clone() }));
    }

    #[test]
    fn picked_rows_are_those_that_a_filter_leaves(
        rows in 1..300_usize, limit in 3000..60_000_u64, picks in proptest::collection::vec(any::<bool>(), 300),
    ) {
        let (folder, options) = folder();
        write(&folder.path().join("a.parquet"), &sample(rows, 3), 120);
        let source = open(&Options { block_limit: limit, ..options }).unwrap();
        for block in 0..source.plan().blocks.len() as u32 {
            let whole = source.read(all(block)).unwrap();
            let keep = Keep::from_fn(whole.data.num_rows() as u32, |row| picks[row as usize]);
            let mask: BooleanArray = (0..keep.rows()).map(|row| Some(keep.is_kept(row))).collect();
            let picked = source.read(Request { block, rows: Some(&keep), expected: &whole.hashes }).unwrap();
            prop_assert!(same(&picked.data, &filter_record_batch(&whole.data, &mask).unwrap()));
            prop_assert_eq!(picked.hashes, whole.hashes);
        }
    }

    #[test]
    fn no_damage_to_a_file_makes_a_panic_or_goes_unseen_by_the_manifest(
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), 1..=255_u8), 1..6), cut in any::<bool>(),
    ) {
        let (folder, options) = folder();
        let path = folder.path().join("a.parquet");
        let batch = sample(60, 1);
        write(&path, &batch, 25);
        write_manifest(&options).unwrap();
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        for (at, change) in flips {
            // Half of the time the damage is in the footer, where it does most.
            let at = if change % 2 == 0 { at.index(bytes.len()) } else { bytes.len() - 1 - at.index(1500.min(bytes.len())) };
            bytes[at] ^= change;
        }
        if cut {
            bytes.truncate(bytes.len() - 1);
        }
        prop_assume!(bytes != whole);
        fs::write(&path, bytes).unwrap();
        let read = |options: &Options| -> Result<Vec<RecordBatch>> {
            let source = open(options)?;
            (0..source.plan().blocks.len() as u32).map(|block| Ok(source.read(all(block))?.data)).collect()
        };
        // Seen, unless only bytes between the chunks were hit (there is padding for nobody: the magic at the start).
        if let Ok(batches) = read(&options) {
            prop_assert!(same(&concat_batches(&batch.schema(), &batches.iter().map(|b| b.clone().with_schema(batch.schema()).unwrap()).collect::<Vec<_>>()).unwrap(), &batch));
        }
        fs::remove_file(folder.path().join(super::super::manifest::FILE_NAME)).unwrap();
        let _ = read(&options);
    }
}

#[test]
fn columns_come_in_the_order_asked_for_and_none_is_fine() {
    let (folder, options) = folder();
    let batch = sample(100, 5);
    write(&folder.path().join("a.parquet"), &batch, 40);
    let ask = |columns: &[&str]| {
        open(&Options { columns: Some(columns.iter().map(ToString::to_string).collect()), ..options.clone() })
    };
    let source = ask(&["inner", "id", "list"]).unwrap();
    assert!(same(&read_all(source.as_ref()), &batch.project(&[12, 0, 9]).unwrap()));
    // Two leaves of the structure, one of each of the others; in file order.
    assert_eq!(source.read(all(0)).unwrap().hashes.len(), 4);

    let source = ask(&[]).unwrap();
    let data = source.read(all(1)).unwrap();
    assert_eq!((data.data.num_columns(), data.data.num_rows(), data.hashes.len()), (0, 40, 0));
    let keep = Keep::from_fn(40, |row| row < 3);
    assert_eq!(source.read(Request { rows: Some(&keep), ..all(1) }).unwrap().data.num_rows(), 3);

    assert!(says(ask(&["txt"]), &["no column `txt`", "did you mean `text`"]).is_usage());
}

#[test]
fn shards_may_differ_in_the_order_of_columns_and_in_what_writers_noted() {
    let (folder, options) = folder();
    let batch = sample(30, 2);
    let columns = |names: [&str; 2]| {
        let indices: Vec<_> = names.iter().map(|name| batch.schema().index_of(name).unwrap()).collect();
        batch.project(&indices).unwrap()
    };
    write(&folder.path().join("a.parquet"), &columns(["id", "text"]), 10);
    write(&folder.path().join("b.parquet"), &columns(["text", "id"]), 10);
    let large = columns(["id", "large"]);
    let schema = Schema::new(vec![large.schema().field(0).clone(), Field::new("text", DataType::LargeUtf8, true)]);
    let large = RecordBatch::try_new(Arc::new(schema), large.columns().to_vec()).unwrap();
    write(&folder.path().join("c.parquet"), &large, 10);
    let source = open(&options).unwrap();
    let expected = columns(["id", "text"]);
    let expected = concat_batches(&expected.schema(), [&expected, &expected, &expected]).unwrap();
    let expected =
        expected.columns()[..1].iter().cloned().chain([cast(expected.column(1), &DataType::LargeUtf8).unwrap()]);
    assert_eq!(read_all(source.as_ref()).columns(), expected.collect::<Vec<_>>());
    assert_eq!(source.plan().schema.field(1).data_type(), &DataType::LargeUtf8);
}

#[test]
fn shards_of_another_schema_are_refused_by_shard_column_and_type() {
    let refused = |field: Field, array: ArrayRef, parts: &[&str]| {
        let (folder, options) = folder();
        write(&folder.path().join("a.parquet"), &sample(5, 0).project(&[0]).unwrap(), 10);
        let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![array]).unwrap();
        write(&folder.path().join("b.parquet"), &batch, 10);
        assert!(!says(open(&options), parts).is_usage());
    };
    let flags: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
    let id = Field::new("id", DataType::Boolean, false);
    refused(id, Arc::clone(&flags), &["b.parquet", "column `id`", "Boolean", "Int64", "a.parquet"]);
    refused(Field::new("other", DataType::Boolean, false), flags, &["b.parquet", "no column in common", "a.parquet"]);
}

#[test]
fn a_column_that_is_nullable_in_one_shard_is_nullable() {
    let (folder, options) = folder();
    let batch = |values: Vec<Option<i64>>, nullable| {
        let schema = Schema::new(vec![Field::new("id", DataType::Int64, nullable)]);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(Int64Array::from(values))]).unwrap()
    };
    write(&folder.path().join("a.parquet"), &batch(vec![Some(1)], false), 10);
    write(&folder.path().join("b.parquet"), &batch(vec![None], true), 10);
    let rows = read_all(open(&options).unwrap().as_ref());
    assert!(same(&rows, &batch(vec![Some(1), None], true)));
}

#[test]
fn files_without_rows_have_no_blocks() {
    let (folder, options) = folder();
    write(&folder.path().join("a.parquet"), &sample(0, 0), 10);
    let source = open(&options).unwrap();
    assert_eq!((source.plan().shards.len(), source.plan().blocks.len(), source.plan().rows()), (1, 0, 0));
    fs::write(folder.path().join("b.parquet"), b"").unwrap();
    says(open(&options), &["b.parquet", "no Parquet file", "0 bytes"]);
}

#[test]
fn damage_is_found_in_its_block_and_column_and_nowhere_else() {
    let (folder, options) = folder();
    let batch = sample(90, 8);
    for name in ["a.parquet", "b.parquet"] {
        write(&folder.path().join(name), &batch, 30);
    }
    let summary = write_manifest(&options).unwrap();
    assert_eq!((summary.shards, summary.blocks, summary.rows), (2, 6, 180));
    damage(&folder.path().join("b.parquet"), 1, 1);
    let source = open(&options).unwrap();
    assert_eq!(source.plan().blocks[0].hashes.len(), 15);
    for block in [0, 1, 2, 3, 5] {
        assert_eq!(source.read(all(block)).unwrap().hashes, source.plan().blocks[block as usize].hashes);
    }
    says(source.read(all(4)), &["b.parquet", "block 4", "column `text`", "content hash"]);
    // A stream that does not carry the column is not concerned.
    let source = open(&Options { columns: Some(vec!["id".to_owned()]), ..options }).unwrap();
    assert_eq!(source.read(all(4)).unwrap().data.num_rows(), 30);
}

#[test]
fn columns_that_are_not_asked_for_and_pages_of_rows_that_are_not_kept_are_not_decoded() {
    let (folder, options) = folder();
    let path = folder.path().join("a.parquet");
    let batch = sample(4000, 1);
    let zstd = WriterProperties::builder().set_compression(Compression::ZSTD(Default::default()));
    let pages = zstd.set_dictionary_enabled(false).set_data_page_row_count_limit(500).set_write_batch_size(100);
    write_with(&path, &batch, pages.build());
    let options = Options { columns: Some(vec!["id".to_owned()]), ..options };
    let keep = Keep::from_fn(4000, |row| row < 400);
    let first = |source: &dyn Source| source.read(Request { block: 0, rows: Some(&keep), expected: &[] });
    let before = first(open(&options).unwrap().as_ref()).unwrap().data;
    // Another column; then, in the column itself, a page after those of the rows that are kept.
    damage(&path, 0, 1);
    assert!(same(&read_all(open(&options).unwrap().as_ref()), &batch.project(&[0]).unwrap()));
    damage(&path, 0, 0);
    let source = open(&options).unwrap();
    assert!(same(&first(source.as_ref()).unwrap().data, &before));
    // Who reads that page finds it: as other values, where the codec does not.
    assert!(!source.read(all(0)).is_ok_and(|read| same(&read.data, &batch.project(&[0]).unwrap())));
}

#[test]
fn hashes_that_a_first_read_learned_are_held_against_later_ones() {
    let (folder, options) = folder();
    let path = folder.path().join("a.parquet");
    write(&path, &sample(90, 8), 90);
    let source = open(&Options { block_limit: 4000, ..options }).unwrap();
    assert!(source.plan().blocks.len() > 2 && source.plan().blocks[0].hashes.is_empty());
    let known = source.read(all(0)).unwrap().hashes;
    // Every part of a row group is held against the same chunks.
    source.read(Request { expected: &known, ..all(1) }).unwrap();
    damage(&path, 0, 2);
    says(source.read(Request { expected: &known, ..all(1) }), &["block 1", "column `large`"]);
    says(source.read(Request { expected: &known[1..], ..all(1) }), &["content hashes are expected"]);
}

#[test]
fn a_manifest_is_held_against_shards_lengths_and_footers() {
    let (folder, options) = folder();
    let path = folder.path().join("a.parquet");
    write(&path, &sample(20, 0), 30);
    write(&folder.path().join("b.parquet"), &sample(20, 1), 30);
    write_manifest(&options).unwrap();
    let whole = fs::read(&path).unwrap();

    fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
    says(open(&options), &["a.parquet", "manifest says"]);
    fs::write(&path, &whole).unwrap();
    open(&options).unwrap();

    flip(&path, whole.len() - 20);
    says(open(&options), &["a.parquet"]);
    fs::write(&path, &whole).unwrap();

    write(&folder.path().join("c.parquet"), &sample(20, 1), 30);
    says(open(&options), &["c.parquet", "has no shard"]);
    fs::remove_file(folder.path().join("c.parquet")).unwrap();

    // A part of the dataset may be opened while the rest is there.
    let part = Options { url: path.to_str().unwrap().to_owned(), ..options.clone() };
    assert!(!open(&part).unwrap().plan().blocks[0].hashes.is_empty());
    fs::remove_file(folder.path().join("b.parquet")).unwrap();
    says(open(&part), &["b.parquet", "is not there"]);

    fs::write(folder.path().join(super::super::manifest::FILE_NAME), b"{}").unwrap();
    says(open(&options), &["manifest is damaged"]);
}

#[test]
fn a_file_that_changes_length_after_planning_is_refused() {
    let (folder, options) = folder();
    let path = folder.path().join("a.parquet");
    write(&path, &sample(20, 0), 30);
    let source = open(&options).unwrap();
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    says(source.read(all(0)), &["a.parquet", "block 0", "changed since the plan was made"]);
    says(open(&options), &["truncated"]);
}

#[test]
fn the_plan_of_a_moved_dataset_is_the_same() {
    let (folder, options) = folder();
    fs::create_dir(folder.path().join("x")).unwrap();
    write(&folder.path().join("x/a.parquet"), &sample(50, 0), 20);
    let at =
        |name: &str| open(&Options { url: format!("{}/{name}/*.parquet", options.url), ..options.clone() }).unwrap();
    let before = at("x").plan().hash();
    fs::rename(folder.path().join("x"), folder.path().join("y")).unwrap();
    assert_eq!(at("y").plan().hash(), before);
    write(&folder.path().join("y/a.parquet"), &sample(50, 0), 25);
    assert_ne!(at("y").plan().hash(), before);
}

#[test]
fn a_dictionary_that_stands_for_much_text_is_planned_and_bounded() {
    let (folder, options) = folder();
    let path = folder.path().join("a.parquet");
    let long = "x".repeat(10_000);
    let text = StringArray::from_iter_values((0..2000).map(|_| &long));
    write(&path, &RecordBatch::try_from_iter([("text", Arc::new(text) as ArrayRef)]).unwrap(), 5000);
    assert!(fs::metadata(&path).unwrap().len() < 100_000);
    let limit = 1 << 20;
    let source = open(&Options { block_limit: limit, ..options.clone() }).unwrap();
    assert!(source.plan().blocks.len() >= 19 && source.plan().blocks.iter().all(|block| block.decoded_bytes <= limit));
    assert_eq!(read_all(source.as_ref()).num_rows(), 2000);

    // A footer that does not say how much: what is decoded is counted before it is written out.
    let found = super::super::locate::locate(&options.url, None, &options.access).unwrap();
    let mut source = super::ParquetSource::open(&options, &found, None).unwrap();
    source.block_limit = limit;
    says(source.read(all(0)), &["block 0", "cannot be decoded", "twice the block limit"]);
}

#[test]
fn values_that_are_prefixes_of_others_are_decoded_in_bounded_steps() {
    let (folder, options) = folder();
    let long = "x".repeat(10_000);
    let text = StringArray::from_iter_values((0..2000).map(|_| &long));
    let batch = RecordBatch::try_from_iter([("text", Arc::new(text) as ArrayRef)]).unwrap();
    let properties =
        WriterProperties::builder().set_dictionary_enabled(false).set_encoding(Encoding::DELTA_BYTE_ARRAY).build();
    write_with(&folder.path().join("a.parquet"), &batch, properties);
    let found = super::super::locate::locate(&options.url, None, &options.access).unwrap();
    let mut source = super::ParquetSource::open(&options, &found, None).unwrap();
    assert!(same(&read_all(&source), &batch));
    source.block_limit = 1 << 20;
    says(source.read(all(0)), &["twice the block limit"]);
}

#[test]
fn a_row_that_no_block_can_hold_is_refused_with_the_arithmetic() {
    let (folder, options) = folder();
    write(&folder.path().join("a.parquet"), &sample(100, 0), 100);
    let error = says(open(&Options { block_limit: 20, ..options }), &["a.parquet", "row group 0", "may take 20"]);
    assert!(error.is_usage());
}

#[test]
fn a_page_that_asks_for_more_than_its_footer_is_refused_before_it_is_decoded() {
    let (folder, options) = folder();
    let path = folder.path().join("a.parquet");
    let properties = WriterProperties::builder().set_dictionary_enabled(false).set_compression(Compression::SNAPPY);
    write_with(&path, &sample(100, 0).project(&[0]).unwrap(), properties.build());
    let footer = footer::read(&crate::source::store::Store::local(), path.to_str().unwrap()).unwrap();
    let start = footer::chunk_range(footer.metadata.row_group(0).column(0)).unwrap().start as usize;
    let mut bytes = fs::read(&path).unwrap();
    // A data page's header begins with its type, then what it decompresses to: two bytes, which hold at most 8191.
    assert_eq!(bytes[start..start + 3], [0x15, 0, 0x15]);
    assert!(bytes[start + 3] & 0x80 != 0 && bytes[start + 4] & 0x80 == 0);
    bytes[start + 3..start + 5].copy_from_slice(&[0xfe, 0x7f]);
    fs::write(&path, bytes).unwrap();
    let source = open(&options).unwrap();
    says(source.read(all(0)), &["a.parquet", "block 0", "column `id`", "claims to decompress to 8191 bytes"]);
}

/// A file of no data with the footer `thrift`.
fn with_footer(path: &Path, thrift: &[u8]) {
    fs::write(path, [b"PAR1", thrift, &(thrift.len() as u32).to_le_bytes(), b"PAR1"].concat()).unwrap();
}

#[test]
fn footers_that_claim_what_cannot_be_are_refused_before_it_is_reserved() {
    let (folder, options) = folder();
    let path = folder.path().join("a.parquet");
    let schema_element = |children: &[u8]| [&[0x35, 0, 0x18, 1, b'a'][..], children, &[0]].concat();
    let refused = |thrift: &[u8], part: &str| {
        with_footer(&path, thrift);
        says(open(&options), &["a.parquet", part]);
    };
    // 2^31 - 1 row groups.
    refused(&[0x15, 2, 0x3c, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07], "damaged");
    // A schema of a hundred thousand groups within one another.
    let mut deep = vec![0x15, 2, 0x19, 0xfc, 0xa0, 0x8d, 0x06];
    for _ in 0..99_999 {
        deep.extend(schema_element(&[0x15, 2]));
    }
    deep.extend(schema_element(&[]));
    deep.extend([0x16, 0, 0x19, 0x0c, 0]);
    refused(&deep, "nests more than 64 deep");
    // A group of 2^30 columns.
    let wide =
        [&[0x15, 2, 0x19, 0x1c][..], &schema_element(&[0x15, 0x80, 0x80, 0x80, 0x80, 0x08]), &[0x16, 0, 0x19, 0x0c, 0]];
    refused(&wide.concat(), "columns where 0 are left");
    // A footer longer than its file, and files that are something else.
    fs::write(&path, [&b"PAR1"[..], &[0xff; 4], b"PAR1"].concat()).unwrap();
    says(open(&options), &["claims 4294967295 bytes"]);
    fs::write(&path, b"id,text\n1,a\n2,b\n").unwrap();
    says(open(&options), &["no Parquet file"]);
}
