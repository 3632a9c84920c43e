//! Reads and checks a Parquet file's footer: what it claims must fit its file before anything is believed. Knows
//! nothing of other shards, of blocks, or of which columns are wanted.

use super::{
    super::{shielded, store::Store},
    thrift::{self, Event},
};
use crate::{Error, Hash, Place, Result};
use ::parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
    errors::ParquetError,
    file::metadata::{
        ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader, ParquetStatisticsPolicy,
        RowGroupMetaData,
    },
};
use arrow::datatypes::SchemaRef;
use std::{ops::Range, sync::Arc};

const MAGIC: &[u8; 4] = b"PAR1";
/// The length of the footer's length and the magic that end a file.
const TAIL: u64 = 8;
/// Longer footers are refused: decoded they take many times their length.
const MAX_FOOTER: u64 = 64 << 20;
/// How deep a schema may nest. Decoders follow it on the stack.
const MAX_DEPTH: usize = 64;

/// A shard's footer, checked.
#[derive(Clone, Debug)]
pub(super) struct Footer {
    /// What the file holds.
    pub(super) metadata: Arc<ParquetMetaData>,
    /// The file's length in bytes.
    pub(super) length: u64,
    /// BLAKE3 of the footer's bytes.
    pub(super) hash: Hash,
}

/// Reads the footer of the file at `path`.
pub(super) fn read(store: &Store, path: &str) -> Result<Footer> {
    let mut file = store.open(path)?;
    let damaged = |what: String| Error::data(Place::shard(path), what);
    let length = file.length;
    let smallest = MAGIC.len() as u64 + TAIL;
    if length < smallest {
        let what = format!("this is no Parquet file: it has {length} bytes, the smallest has {smallest}");
        return Err(damaged(what));
    }
    let tail = file.read(length - TAIL, TAIL)?;
    let (size, magic) = tail.split_at(4);
    if magic != MAGIC {
        return Err(damaged(if magic == b"PARE" {
            "its footer is encrypted, which this version cannot read".to_owned()
        } else {
            "this is no Parquet file, or it is truncated: it does not end in `PAR1`".to_owned()
        }));
    }
    let size = size.iter().rev().fold(0_u64, |size, byte| size << 8 | u64::from(*byte));
    if size > length - smallest {
        let what = format!("its footer claims {size} bytes where the file has {}; it is damaged", length - smallest);
        return Err(damaged(what));
    }
    if size > MAX_FOOTER {
        let what = format!("its footer has {size} bytes, more than {MAX_FOOTER}; write the file with fewer row groups");
        return Err(damaged(what));
    }
    let start = length - TAIL - size;
    let bytes = file.read(start, size)?;
    let metadata = parse(&bytes).and_then(|metadata| check(&metadata, start).map(|()| metadata));
    let metadata = metadata.map_err(|what| damaged(format!("its footer is damaged: {what}")))?;
    Ok(Footer { metadata: Arc::new(metadata), length, hash: Hash::of(&bytes) })
}

fn parse(bytes: &[u8]) -> Result<ParquetMetaData, String> {
    check_schema(bytes)?;
    // Minima and maxima are not used, and are most of what a footer takes in memory.
    let options = ParquetMetaDataOptions::new()
        .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .with_encoding_stats_policy(ParquetStatisticsPolicy::SkipAll);
    shielded(|| {
        ParquetMetaDataReader::decode_metadata_with_options(bytes, Some(&options))
            .and_then(without_empty_dictionaries)
            .map_err(|error| error.to_string())
    })
}

/// Some writers say that a chunk's dictionary is at byte 0 where they mean that it has none.
fn without_empty_dictionaries(metadata: ParquetMetaData) -> Result<ParquetMetaData, ParquetError> {
    let mut builder = metadata.into_builder();
    let mut groups = builder.take_row_groups();
    for chunk in groups.iter_mut().flat_map(RowGroupMetaData::columns_mut) {
        if chunk.dictionary_page_offset() == Some(0) {
            *chunk = chunk.clone().into_builder().set_dictionary_page_offset(None).build()?;
        }
    }
    Ok(builder.set_row_groups(groups).build())
}

/// Checks that the footer's bytes are read in one way only, and that the schema's tree is what its length allows.
fn check_schema(bytes: &[u8]) -> Result<(), String> {
    const SCHEMA: u8 = 2;
    const CHILDREN: u8 = 5;
    let mut elements: Vec<usize> = Vec::new();
    let mut children = 0;
    thrift::walk(bytes, thrift::FILE_META, &mut |event| {
        match event {
            Event::Int([SCHEMA, CHILDREN], value) => {
                children = usize::try_from(value).map_err(|_| format!("a group claims {value} columns"))?;
            }
            Event::End([SCHEMA]) => elements.push(std::mem::take(&mut children)),
            _ => {}
        }
        Ok(())
    })?;
    let mut open: Vec<usize> = Vec::new();
    let count = elements.len();
    for (index, children) in elements.into_iter().enumerate() {
        if index > 0 {
            let left = open.last_mut().ok_or("its schema has more elements than its groups claim")?;
            *left -= 1;
        }
        if children > count - index - 1 {
            return Err(format!("a group claims {children} columns where {} are left", count - index - 1));
        }
        open.push(children);
        if open.len() > MAX_DEPTH + 1 {
            return Err(format!("its schema nests more than {MAX_DEPTH} deep"));
        }
        while open.last() == Some(&0) {
            open.pop();
        }
    }
    if open.is_empty() { Ok(()) } else { Err("its schema has fewer elements than its groups claim".to_owned()) }
}

/// Checks rows, sizes and places of all row groups against one another and against `end`, where the data end.
fn check(metadata: &ParquetMetaData, end: u64) -> Result<(), String> {
    let mut rows = 0_u64;
    let mut ranges = Vec::new();
    for (group, about) in metadata.row_groups().iter().enumerate() {
        let group_rows = rows_of(about).ok_or_else(|| format!("row group {group} claims {} rows", about.num_rows()))?;
        rows = rows.checked_add(group_rows).ok_or("its row groups claim more rows than can be counted")?;
        for chunk in about.columns() {
            let column = chunk.column_path().string();
            let wrong = |what: String| format!("row group {group}, column `{column}`: {what}");
            if chunk.file_path().is_some() {
                return Err(wrong("its data lie in another file, which this version cannot read".to_owned()));
            }
            let range = chunk_range(chunk).filter(|range| range.end <= end && range.start >= MAGIC.len() as u64);
            let range = range.ok_or_else(|| {
                let (start, length) = (chunk.data_page_offset(), chunk.compressed_size());
                wrong(format!("it claims {length} bytes near {start}, beyond the {end} bytes of data"))
            })?;
            ranges.push(range);
            let values = u64::try_from(chunk.num_values()).ok();
            let repeated = chunk.column_descr().max_rep_level() > 0;
            if !values.is_some_and(|values| values == group_rows || repeated && values > group_rows) {
                return Err(wrong(format!("it claims {} values for {group_rows} rows", chunk.num_values())));
            }
            if chunk.uncompressed_size() < 0 {
                return Err(wrong(format!("it claims to decompress to {} bytes", chunk.uncompressed_size())));
            }
        }
    }
    let claimed = metadata.file_metadata().num_rows();
    if u64::try_from(claimed).ok() != Some(rows) {
        return Err(format!("it claims {claimed} rows where its row groups have {rows}"));
    }
    ranges.retain(|range| !range.is_empty());
    ranges.sort_by_key(|range| range.start);
    match ranges.windows(2).find(|pair| pair[0].end > pair[1].start) {
        None => Ok(()),
        Some(pair) => Err(format!("two column chunks overlap at byte {}", pair[1].start)),
    }
}

/// The rows of a row group; `None` if negative.
pub(super) fn rows_of(group: &RowGroupMetaData) -> Option<u64> {
    u64::try_from(group.num_rows()).ok()
}

/// Where a column chunk lies in its file; `None` if no file can hold it.
pub(super) fn chunk_range(chunk: &ColumnChunkMetaData) -> Option<Range<u64>> {
    let start = chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset());
    let start = u64::try_from(start).ok()?;
    let length = u64::try_from(chunk.compressed_size()).ok()?;
    Some(start..start.checked_add(length)?)
}

/// The shard's Arrow schema: with the types that its Arrow writer noted, or Parquet's own.
pub(super) fn arrow_schema(footer: &Footer, noted: bool) -> Result<SchemaRef, String> {
    shielded(|| {
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(!noted);
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(&footer.metadata), options);
        metadata.map(|metadata| Arc::clone(metadata.schema())).map_err(|error| error.to_string())
    })
}
