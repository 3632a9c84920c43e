//! What an Arrow IPC source promises, on files written here.

use super::{
    super::{
        Options, Request, Source, open,
        sample::{all, same, sample, says},
        write_manifest,
    },
    message,
};
use crate::{Keep, Result};
use arrow::{
    array::*,
    compute::{concat_batches, filter_record_batch},
    datatypes::{DataType, Field, Int32Type, Schema},
    ipc::{
        CompressionType,
        writer::{DictionaryHandling, FileWriter, IpcWriteOptions, StreamWriter},
    },
};
use proptest::prelude::*;
use std::{fs, path::Path, sync::Arc};

const CODECS: [Option<CompressionType>; 3] = [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)];

fn as_options(codec: Option<CompressionType>) -> IpcWriteOptions {
    IpcWriteOptions::default().try_with_compression(codec).unwrap()
}

fn bytes_of(batches: &[RecordBatch], stream: bool, options: IpcWriteOptions) -> Vec<u8> {
    let (mut bytes, schema) = (Vec::new(), batches[0].schema());
    if stream {
        let mut writer = StreamWriter::try_new_with_options(&mut bytes, &schema, options).unwrap();
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.finish().unwrap();
    } else {
        let mut writer = FileWriter::try_new_with_options(&mut bytes, &schema, options).unwrap();
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.finish().unwrap();
    }
    bytes
}

fn cut(batch: &RecordBatch, group: usize) -> Vec<RecordBatch> {
    (0..batch.num_rows().max(1))
        .step_by(group)
        .map(|first| batch.slice(first, group.min(batch.num_rows() - first)))
        .collect()
}

fn write(path: &Path, batch: &RecordBatch, group: usize, stream: bool) {
    fs::write(path, bytes_of(&cut(batch, group), stream, as_options(None))).unwrap();
}

fn folder() -> (tempfile::TempDir, Options) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options::new(folder.path().to_str().unwrap());
    (folder, options)
}

fn read_blocks(source: &dyn Source) -> Result<RecordBatch> {
    let batches: Vec<_> = (0..source.plan().blocks.len() as u32)
        .map(|block| {
            let decoded = source.read(all(block))?;
            assert_eq!(decoded.data.num_rows(), source.plan().blocks[block as usize].rows as usize);
            Ok(decoded.data)
        })
        .collect::<Result<_>>()?;
    Ok(concat_batches(&source.plan().schema, &batches).unwrap())
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// The first byte of a block, and its length.
fn place(source: &dyn Source, block: usize) -> (usize, usize) {
    let crate::Span::Bytes { offset, length } = source.plan().blocks[block].span else { panic!("a range of bytes") };
    (offset as usize, length as usize)
}

fn kinds(values: &[&str]) -> RecordBatch {
    let kinds: DictionaryArray<Int32Type> = values.iter().map(|value| Some(*value)).collect();
    RecordBatch::try_from_iter([("kind", Arc::new(kinds) as ArrayRef)]).unwrap()
}

fn texts(batch: &RecordBatch) -> Vec<String> {
    let text = arrow::compute::cast(batch.column(0), &DataType::Utf8).unwrap();
    text.as_string::<i32>().iter().map(|text| text.unwrap().to_owned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_blocks_are_the_written_rows_whatever_the_cuts(
        rows in 1..400_usize, group in 1..200_usize, seed in 0..1000_usize, codec in 0..3_usize, stream in any::<bool>(),
    ) {
        let (folder, options) = folder();
        let batch = sample(rows, seed);
        let bytes = bytes_of(&cut(&batch, group), stream, as_options(CODECS[codec]));
        fs::write(folder.path().join("a.arrow"), bytes).unwrap();
        let source = open(&options).unwrap();
        prop_assert!(same(&read_blocks(source.as_ref()).unwrap(), &batch));
        prop_assert_eq!(source.plan().blocks.len(), rows.div_ceil(group));
        prop_assert!(source.plan().blocks.iter().all(|block| block.hashes.len() == usize::from(stream)));
        let columns = ["view", "kind", "id"].map(str::to_owned).to_vec();
        let part = open(&Options { columns: Some(columns), ..options.clone() }).unwrap();
        prop_assert!(same(&read_blocks(part.as_ref()).unwrap(), &batch.project(&[3, 5, 0]).unwrap()));
        let none = open(&Options { columns: Some(Vec::new()), ..options }).unwrap();
        prop_assert_eq!(read_blocks(none.as_ref()).unwrap().num_rows(), rows);
    }

    #[test]
    fn picked_rows_are_those_that_a_filter_leaves(
        rows in 1..300_usize, picks in proptest::collection::vec(any::<bool>(), 300), stream in any::<bool>(),
    ) {
        let (folder, options) = folder();
        write(&folder.path().join("a.arrow"), &sample(rows, 3), 120, stream);
        let source = open(&options).unwrap();
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
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), 1..=255_u8), 1..6),
        codec in 0..3_usize, stream in any::<bool>(), short in any::<bool>(),
    ) {
        let (folder, options) = folder();
        let path = folder.path().join("a.arrow");
        let batch = sample(60, 1);
        let whole = bytes_of(&cut(&batch, 25), stream, as_options(CODECS[codec]));
        fs::write(&path, &whole).unwrap();
        write_manifest(&options).unwrap();
        let mut bytes = whole.clone();
        for (at, change) in flips {
            // Half of the time the damage is in the first metadata or in the footer, where it does most.
            let near = at.index(1500.min(bytes.len()));
            let at = match change % 4 { 0 => near, 1 => bytes.len() - 1 - near, _ => at.index(bytes.len()) };
            bytes[at] ^= change;
        }
        if short {
            bytes.truncate(bytes.len() - 1);
        }
        prop_assume!(bytes != whole);
        fs::write(&path, bytes).unwrap();
        let read = |options: &Options| open(options).and_then(|source| read_blocks(source.as_ref()));
        // Seen, unless only what a file repeats for nobody was hit: its first magic and its first schema.
        if let Ok(read) = read(&options) {
            prop_assert!(same(&read, &batch));
        }
        fs::remove_file(folder.path().join(super::super::manifest::FILE_NAME)).unwrap();
        let _ = read(&options);
    }
}

#[test]
fn any_shorter_file_is_refused() {
    for stream in [true, false] {
        let (folder, options) = folder();
        let path = folder.path().join("a.arrow");
        write(&path, &sample(20, 1).project(&[0, 1, 5]).unwrap(), 8, stream);
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            says(open(&options), &["a.arrow"]);
        }
        fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
        says(open(&options), &["a.arrow"]);
    }
}

#[test]
fn files_and_streams_of_one_schema_are_one_dataset() {
    let (folder, options) = folder();
    let batch = sample(90, 8);
    for (name, stream) in [("a.arrow", false), ("b.arrows", true), ("c.ipc", true), ("d.feather", false)] {
        write(&folder.path().join(name), &batch, 40, stream);
    }
    let source = open(&options).unwrap();
    let expected = concat_batches(&batch.schema(), [&batch, &batch, &batch, &batch]).unwrap();
    assert!(same(&read_blocks(source.as_ref()).unwrap(), &expected));
    let before = source.plan().hash();
    write_manifest(&options).unwrap();
    let source = open(&options).unwrap();
    assert_eq!(source.plan().hash(), before, "a manifest makes no other dataset");
    assert!(source.plan().blocks.iter().all(|block| block.hashes.len() == 1));
    let other = RecordBatch::try_from_iter([("id", Arc::new(BooleanArray::from(vec![true])) as ArrayRef)]).unwrap();
    write(&folder.path().join("e.arrow"), &other, 40, true);
    fs::remove_file(folder.path().join(super::super::manifest::FILE_NAME)).unwrap();
    says(open(&options), &["e.arrow", "column `id`", "Boolean", "Int64"]);
}

#[test]
fn damage_is_found_in_its_block_and_nowhere_else() {
    for stream in [true, false] {
        let (folder, options) = folder();
        let path = folder.path().join("a.arrow");
        write(&path, &sample(90, 8), 30, stream);
        let planned = open(&options).unwrap();
        let known = planned.read(all(1)).unwrap().hashes;
        let summary = write_manifest(&options).unwrap();
        assert_eq!((summary.shards, summary.blocks, summary.rows), (1, 3, 90));
        let (offset, length) = place(planned.as_ref(), 1);
        flip(&path, offset + length - 100);
        let source = open(&options).unwrap();
        assert_eq!(source.plan().hash(), planned.plan().hash());
        says(source.read(all(1)), &["a.arrow", "block 1", "content hash"]);
        assert_eq!(source.read(all(0)).unwrap().data.num_rows() + source.read(all(2)).unwrap().data.num_rows(), 60);
        // Without a manifest: a stream was hashed by the plan, a file at the first read.
        says(planned.read(Request { expected: &known, ..all(1) }), &["a.arrow", "block 1", "content hash"]);
        assert_eq!(planned.read(all(1)).is_err(), stream);
    }
}

#[test]
fn what_a_manifest_does_not_know_is_refused() {
    for stream in [true, false] {
        let (folder, options) = folder();
        let path = folder.path().join("a.arrow");
        write(&path, &kinds(&["a", "b", "a", "c"]), 2, stream);
        write_manifest(&options).unwrap();
        let whole = fs::read(&path).unwrap();
        // The values of the dictionary are the only bytes "abc".
        let at = whole.windows(3).position(|bytes| bytes == b"abc").unwrap();
        flip(&path, at);
        says(open(&options), &["a.arrow", "manifest was written of"]);
        fs::write(&path, &whole).unwrap();
        let source = open(&options).unwrap();
        flip(&path, at);
        says(source.read(all(0)), &["a.arrow", "block 0", "dictionary", "changed since the plan was made"]);
    }
}

#[test]
fn dictionaries_that_are_replaced_or_added_to_hold_for_the_batches_after_them() {
    let batches = [kinds(&["a", "b"]), kinds(&["c", "c", "d"]), kinds(&["d", "b"])];
    let expected = ["a", "b", "c", "c", "d", "d", "b"];
    let (folder, options) = folder();
    let path = folder.path().join("a.arrow");
    fs::write(&path, bytes_of(&batches, true, as_options(None))).unwrap();
    assert_eq!(texts(&read_blocks(open(&options).unwrap().as_ref()).unwrap()), expected);

    let grown = |values: &[&str], keys: Vec<i32>| {
        let kinds = DictionaryArray::<Int32Type>::new(keys.into(), Arc::new(StringArray::from(values.to_vec())));
        RecordBatch::try_from_iter([("kind", Arc::new(kinds) as ArrayRef)]).unwrap()
    };
    let batches = [grown(&["a"], vec![0, 0]), grown(&["a", "b"], vec![1]), grown(&["a", "b", "c"], vec![2, 0])];
    for stream in [true, false] {
        let delta = as_options(None).with_dictionary_handling(DictionaryHandling::Delta);
        fs::write(&path, bytes_of(&batches, stream, delta)).unwrap();
        let source = open(&options).unwrap();
        assert_eq!(texts(&read_blocks(source.as_ref()).unwrap()), ["a", "a", "b", "c", "a"]);
        assert_eq!(source.read(all(2)).unwrap().data.num_rows(), 2);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_batch_over_the_limit_is_cut_into_ranges_of_its_rows(
        rows in 20..300_usize, seed in 0..100_usize, limit in 8000..40_000_u64, codec in 0..3_usize, stream in any::<bool>(),
        picks in proptest::collection::vec(any::<bool>(), 300),
    ) {
        let (folder, options) = folder();
        let batch = sample(rows, seed);
        fs::write(folder.path().join("a.arrow"), bytes_of(&cut(&batch, 150), stream, as_options(CODECS[codec]))).unwrap();
        let options = Options { block_limit: limit, ..options };
        let source = open(&options).unwrap();
        prop_assert!(same(&read_blocks(source.as_ref()).unwrap(), &batch));
        let whole = source.plan().hash();
        for (index, block) in source.plan().blocks.iter().enumerate() {
            prop_assert!(block.decoded_bytes <= limit && block.index == index as u32);
            let all = source.read(all(index as u32)).unwrap();
            let keep = Keep::from_fn(block.rows, |row| picks[row as usize]);
            let mask: BooleanArray = (0..keep.rows()).map(|row| Some(keep.is_kept(row))).collect();
            let request = Request { block: index as u32, rows: Some(&keep), expected: &all.hashes };
            let picked = source.read(request).unwrap();
            prop_assert!(same(&picked.data, &filter_record_batch(&all.data, &mask).unwrap()));
        }
        // A manifest knows record batches, and serves any cut.
        write_manifest(&options).unwrap();
        prop_assert_eq!(open(&options).unwrap().plan().hash(), whole);
        let larger = open(&Options { block_limit: limit * 2, ..options });
        prop_assert!(larger.is_ok());
    }
}

#[test]
fn a_batch_that_no_block_can_hold_is_refused_with_the_arithmetic() {
    for codec in CODECS {
        let (folder, options) = folder();
        let zeros = Int64Array::from(vec![0; 10_000]);
        let batch = RecordBatch::try_from_iter([("zeros", Arc::new(zeros) as ArrayRef)]).unwrap();
        fs::write(folder.path().join("a.arrow"), bytes_of(&[batch], false, as_options(codec))).unwrap();
        let error = says(
            open(&Options { block_limit: 5, ..options.clone() }),
            &["a.arrow", "record batch 0", "10000 rows", "may take 5", "less than a row"],
        );
        assert!(error.is_usage());
        assert_eq!(open(&options).unwrap().plan().rows(), 10_000);
    }
}

#[test]
fn what_a_compressed_buffer_claims_is_held_against_what_it_holds() {
    let (folder, options) = folder();
    let path = folder.path().join("a.arrow");
    let zeros = Int64Array::from(vec![0; 10_000]);
    let batch = RecordBatch::try_from_iter([("zeros", Arc::new(zeros) as ArrayRef)]).unwrap();
    for codec in [CompressionType::LZ4_FRAME, CompressionType::ZSTD] {
        let whole = bytes_of(std::slice::from_ref(&batch), true, as_options(Some(codec)));
        let at = whole.windows(8).position(|bytes| bytes == 80_000_i64.to_le_bytes()).unwrap();
        for claim in [8_i64, 79_999, 80_008, i64::MAX, -2] {
            let mut bytes = whole.clone();
            bytes[at..at + 8].copy_from_slice(&claim.to_le_bytes());
            fs::write(&path, bytes).unwrap();
            open(&options).and_then(|source| read_blocks(source.as_ref())).unwrap_err();
        }
    }
}

#[test]
fn an_lz4_frame_is_as_long_as_its_blocks_say() {
    let frame = |flags: u8, rest: &[u8]| [&[0x04, 0x22, 0x4d, 0x18, flags, 0x40, 0][..], rest].concat();
    // Stored: three bytes. Compressed: one literal, a match of 4 + 15 + 255 + 1, and two literals at the end.
    let stored = [&[3, 0, 0, 0x80][..], b"abc"].concat();
    let block = [0x1f, b'a', 1, 0, 255, 1, 0x20, b'b', b'c'];
    let compressed = [&(block.len() as u32).to_le_bytes()[..], &block].concat();
    let end = [0; 4];
    assert_eq!(message::lz4_length(&frame(0x40, &end)), Some(0));
    assert_eq!(message::lz4_length(&frame(0x40, &[&stored[..], &compressed, &end].concat())), Some(3 + 1 + 275 + 2));
    let checked = [&stored[..], &[9; 4], &compressed, &[9; 4], &end].concat();
    assert_eq!(message::lz4_length(&frame(0x50, &checked)), Some(3 + 1 + 275 + 2));
    let whole = frame(0x40, &[&stored[..], &compressed, &end].concat());
    assert!((0..whole.len()).all(|length| message::lz4_length(&whole[..length]).is_none()));
    assert_eq!(message::lz4_length(&frame(0x41, &end)), None);
}

#[test]
fn what_is_not_read_is_refused_by_name() {
    let (folder, options) = folder();
    let path = folder.path().join("a.arrow");
    for (bytes, parts) in [
        (&b""[..], &["no Arrow file"][..]),
        (b"{\"a\":1}\n{\"a\":2}\n", &["no Arrow file"]),
        (b"FEA1 and so on", &["version 1 of Feather"]),
        (b"ARROW1\0\0", &["truncated"]),
        (b"ARROW1\0\0\xff\xff\xff\x7fARROW1", &["claims 2147483647 bytes"]),
        (&[0xff; 40], &["no Arrow file"]),
    ] {
        fs::write(&path, bytes).unwrap();
        says(open(&options), &[&["a.arrow"], parts].concat());
    }
    let runs: RunArray<Int32Type> = ["x", "x", "y"].into_iter().collect();
    let batch = RecordBatch::try_from_iter([("runs", Arc::new(runs) as ArrayRef)]).unwrap();
    write(&path, &batch, 9, true);
    says(open(&options), &["column `runs`", "cannot read"]);
}

#[test]
fn files_without_rows_have_no_blocks() {
    for stream in [true, false] {
        let (folder, options) = folder();
        write(&folder.path().join("a.arrow"), &sample(0, 0), 10, stream);
        let source = open(&options).unwrap();
        assert_eq!((source.plan().shards.len(), source.plan().blocks.len(), source.plan().rows()), (1, 0, 0));
    }
}

#[test]
fn rows_that_take_no_bytes_are_rows_as_long_as_they_are_few() {
    for (rows, fine) in [(1000, true), (1 << 25, false)] {
        let (folder, options) = folder();
        let nothing = NullArray::new(rows);
        let schema = Arc::new(Schema::new(vec![Field::new("nothing", DataType::Null, true)]));
        let batch = RecordBatch::try_new(schema, vec![Arc::new(nothing)]).unwrap();
        write(&folder.path().join("a.arrow"), &batch, rows, true);
        assert_eq!(open(&options).and_then(|source| read_blocks(source.as_ref())).is_ok(), fine);
    }
}
