//! From the bytes of column chunks to a record batch. Everything that a third party's decoder may do to us is held
//! off here: its panics are errors, and what it may allocate is bounded before it runs.

use super::{
    super::{Failure, conform, files::Opened, shielded},
    footer::{self, Footer},
    pages::{self, Claims, Pages},
    reader::Group,
};
use crate::{Hash, Keep, Result, buffers::Buffers};
use ::parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{
            ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
            RowSelection, RowSelector,
        },
        parquet_to_arrow_field_levels,
    },
    basic::Compression,
    errors::ParquetError,
    file::{
        metadata::RowGroupMetaData,
        reader::{ChunkReader, Length},
    },
};
use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    compute::concat_batches,
    datatypes::SchemaRef,
};
use bytes::{Buf, Bytes};
use std::{ops::Range, sync::Arc};

/// The column chunks of a row group that are read, in memory, in the order of the file's leaves.
#[derive(Clone, Debug)]
pub(super) struct Chunks {
    chunks: Vec<Chunk>,
    /// The file's length, which the decoder asks for.
    length: u64,
}

#[derive(Clone, Debug)]
struct Chunk {
    leaf: usize,
    compression: Compression,
    start: u64,
    bytes: Bytes,
    claims: Claims,
    column: String,
}

/// Which rows are decoded, and as what.
pub(super) struct Wanted<'a> {
    pub(super) group: usize,
    pub(super) first_row: usize,
    pub(super) rows: u32,
    pub(super) keep: Option<&'a Keep>,
    /// The columns, in order.
    pub(super) schema: &'a SchemaRef,
    /// How many bytes of text and binary the rows may take.
    pub(super) text_limit: u64,
}

impl Chunks {
    /// Reads the chunks of `leaves`; those that adjoin, in one go.
    pub(super) fn read(
        file: &mut Opened,
        group: &RowGroupMetaData,
        leaves: &[usize],
        buffers: &Buffers,
    ) -> Result<Self> {
        let mut wanted: Vec<(usize, Range<u64>)> =
            leaves.iter().map(|leaf| (*leaf, footer::chunk_range(group.column(*leaf)).unwrap_or_default())).collect();
        wanted.sort_by_key(|(_, range)| range.start);
        let ranges: Vec<Range<u64>> = wanted.iter().map(|(_, range)| range.clone()).collect();
        file.expect(&ranges)?;
        let mut chunks = Vec::with_capacity(wanted.len());
        for run in wanted.chunk_by(|(_, a), (_, b)| a.end == b.start) {
            let (Some((_, first)), Some((_, last))) = (run.first(), run.last()) else { continue };
            let length = last.end - first.start;
            let mut buffer = buffers.take(usize::try_from(length).unwrap_or_default().min(file.size()));
            file.read_into(first.start, length, &mut buffer.bytes)?;
            let bytes = buffer.freeze();
            for (leaf, range) in run {
                // Both ends lie within what was just read into memory.
                let within = (range.start - first.start) as usize..(range.end - first.start) as usize;
                let chunk = group.column(*leaf);
                let number = |number: i64| u64::try_from(number).unwrap_or_default();
                chunks.push((
                    *leaf,
                    Chunk {
                        leaf: *leaf,
                        compression: chunk.compression(),
                        start: range.start,
                        bytes: bytes.slice(within),
                        claims: Claims {
                            values: number(chunk.num_values()),
                            uncompressed: number(chunk.uncompressed_size()),
                        },
                        column: chunk.column_path().string(),
                    },
                ));
            }
        }
        chunks.sort_by_key(|(leaf, _)| *leaf);
        Ok(Self { chunks: chunks.into_iter().map(|(_, chunk)| chunk).collect(), length: file.length })
    }

    /// BLAKE3 of each chunk.
    pub(super) fn hashes(&self) -> Vec<Hash> {
        self.chunks.iter().map(|chunk| Hash::of(&chunk.bytes)).collect()
    }

    /// Checks all pages; the worst of what decoding them takes.
    fn check_pages(&self) -> Result<Pages, Failure> {
        self.chunks.iter().try_fold(Pages::default(), |worst, chunk| {
            let pages = pages::check(&chunk.bytes, chunk.claims)
                .map_err(|what| Failure { column: Some(chunk.column.clone()), what })?;
            Ok(Pages {
                longest: worst.longest.max(pages.longest),
                prefixes: worst.prefixes | pages.prefixes,
                second: worst.second | pages.second,
            })
        })
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Chunks {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let holding = self.chunks.iter().filter(|chunk| chunk.start <= start).max_by_key(|chunk| chunk.start);
        let rest = holding.and_then(|chunk| {
            let from = usize::try_from(start - chunk.start).ok()?;
            (from <= chunk.bytes.len()).then(|| chunk.bytes.slice(from..))
        });
        let outside = || ParquetError::EOF(format!("byte {start} is in no column that is read"));
        rest.map(Buf::reader).ok_or_else(outside)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let rest = self.get_read(start)?.into_inner();
        if length > rest.len() {
            return Err(ParquetError::EOF(format!("{length} bytes from {start} reach beyond their column")));
        }
        Ok(rest.slice(..length))
    }
}

/// `footer` as the decoder wants it, to decode into `schema`.
pub(super) fn with_schema(footer: &Footer, schema: SchemaRef) -> Result<ArrowReaderMetadata, String> {
    shielded(|| {
        let options = ArrowReaderOptions::new().with_schema(schema);
        ArrowReaderMetadata::try_new(Arc::clone(&footer.metadata), options).map_err(|error| error.to_string())
    })
}

/// Decodes the rows of `wanted`.
pub(super) fn decode(
    metadata: &ArrowReaderMetadata,
    mask: &ProjectionMask,
    chunks: Chunks,
    wanted: &Wanted<'_>,
    buffers: &Buffers,
) -> Result<RecordBatch, Failure> {
    let rows = wanted.keep.map_or(wanted.rows, Keep::count) as usize;
    if chunks.chunks.is_empty() || rows == 0 {
        return nothing(wanted.schema, rows);
    }
    let pages = chunks.check_pages()?;
    let step = if pages.prefixes {
        // Each row may take as much as a page: no more rows at once than the limit has room for.
        const MOST: u64 = 8192;
        (wanted.text_limit / pages.longest.max(1)).clamp(1, MOST) as usize
    } else {
        rows
    };
    let batch = shielded(|| {
        let selection = selection(wanted);
        let own = !pages.second && chunks.chunks.iter().all(|chunk| Group::reads(chunk.compression));
        let reader = if own {
            let schema = metadata.metadata().file_metadata().schema_descr();
            let levels = parquet_to_arrow_field_levels(schema, mask.clone(), Some(metadata.schema().fields()));
            let group = Group {
                metadata: Arc::clone(metadata.metadata()),
                group: wanted.group,
                chunks: chunks.chunks.into_iter().map(|chunk| (chunk.leaf, chunk.bytes)).collect(),
                buffers: buffers.clone(),
            };
            levels.and_then(|levels| {
                ParquetRecordBatchReader::try_new_with_row_groups(&levels, &group, step, Some(selection))
            })
        } else {
            ParquetRecordBatchReaderBuilder::new_with_metadata(chunks, metadata.clone())
                .with_row_groups(vec![wanted.group])
                .with_projection(mask.clone())
                .with_row_selection(selection)
                .with_batch_size(step)
                .build()
        };
        let reader = reader.map_err(|error| error.to_string())?;
        let mut batches = Vec::new();
        let mut text = 0_u64;
        for batch in reader {
            let batch = batch.map_err(|error| error.to_string())?;
            text += batch.columns().iter().map(|column| conform::view_bytes(&column.to_data())).sum::<u64>();
            if text > wanted.text_limit {
                return Err(format!(
                    "its text takes at least {text} bytes, and twice the block limit is {}, though its footer says \
                     nothing of it; give the stream more memory, or write the file with smaller row groups",
                    wanted.text_limit
                ));
            }
            batches.push(batch);
        }
        let batch = match &batches[..] {
            [batch] => batch.clone(),
            [] => return Err("it decodes to no rows".to_owned()),
            [first, ..] => concat_batches(first.schema_ref(), &batches).map_err(|error| error.to_string())?,
        };
        if batch.num_rows() != rows {
            return Err(format!("it decodes to {} rows where the plan has {rows}", batch.num_rows()));
        }
        Ok(batch)
    })?;
    conform::conform(&batch, wanted.schema, wanted.text_limit)
}

/// `rows` rows where there is no column, or no rows where there are some.
fn nothing(schema: &SchemaRef, rows: usize) -> Result<RecordBatch, Failure> {
    if rows == 0 {
        return Ok(RecordBatch::new_empty(Arc::clone(schema)));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), Vec::new(), &options)
        .map_err(|error| Failure::from(error.to_string()))
}

/// The rows of the block within its row group.
fn selection(wanted: &Wanted<'_>) -> RowSelection {
    let mut selectors = vec![RowSelector::skip(wanted.first_row)];
    match wanted.keep {
        None => selectors.push(RowSelector::select(wanted.rows as usize)),
        Some(keep) => {
            let mut next = 0;
            for row in keep.kept() {
                selectors.push(RowSelector::skip((row - next) as usize));
                selectors.push(RowSelector::select(1));
                next = row + 1;
            }
        }
    }
    // Runs are joined and empty ones left out here.
    RowSelection::from(selectors)
}
