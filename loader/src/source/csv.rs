//! CSV and TSV: a header, and one record a row. One scan plans blocks, hashes and types; a read verifies a block and
//! decodes it.
//!
//! Types are inferred over all records: integers, else floating-point numbers, else text; booleans; an empty field is
//! null. A record that cannot be read is a bad row. Knows nothing of URLs and of other formats.

mod records;
mod scan;
#[cfg(test)]
mod tests;

use super::{
    BadRow, CacheCounts, Decoded, Format, Options, Request, Source, Stored, StoredBytes, in_parallel,
    locate::Found,
    manifest::{BlockHashes, Manifest, ShardHashes},
    picked, picked_rows, piece, project,
    remote::shown,
    schema::say_lacking,
    shielded,
    store::{Ready, Store},
    stored,
};
use crate::{Block, Error, Place, Plan, Result, Shard, Span};
use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    compute::concat_batches,
    csv::ReaderBuilder,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use records::Kind;
use scan::{Cut, ScannedFile};
use std::{ops::Range, sync::Arc};

/// What blocks are cut at, in bytes of text.
const BLOCK_BYTES: u64 = 4 << 20;
/// A record may take so many bytes: its offsets in a block's text have 31 bits.
const MAX_RECORD: u64 = 1 << 28;
/// A record may take such a part of what a block may: it is held as text, quoted, and decoded.
const LONGEST_PART: u64 = 4;
/// Decoded, text takes at most so many times its length: each field is at least one byte, and 9 more in a column.
const WIDENING: u64 = 10;

/// The decoder takes so many rows at once at most,
const STEP: usize = 8192;
/// or so many fields, for each of which it reserves some 16 bytes.
const CELLS: usize = 1 << 17;

/// A CSV or TSV dataset.
#[derive(Debug)]
pub(super) struct CsvSource {
    plan: Plan,
    store: Store,
    shards: Vec<Columns>,
    delimiter: u8,
}

/// What is read of a shard.
#[derive(Debug)]
struct Columns {
    header: Vec<String>,
    /// The plan's columns among those of the header, in the plan's order; `None` where the shard lacks one.
    wanted: Vec<Option<usize>>,
}

impl CsvSource {
    /// Scans and plans `found`. Where a file is not what the manifest says, the manifest's blocks are planned, so that
    /// reading finds out which of them are damaged.
    pub(super) fn open(options: &Options, found: &Found, manifest: Option<&Manifest>) -> Result<Self> {
        let delimiter = if found.format == Format::Tsv { b'\t' } else { b',' };
        let most = (options.block_limit / WIDENING).max(1);
        let longest = MAX_RECORD.min(options.block_limit / LONGEST_PART);
        let cut = Cut { delimiter, bytes: BLOCK_BYTES.min(most / 2), longest, decoded: options.block_limit };
        let files = in_parallel(found.files.len(), |index| {
            let file = &found.files[index];
            let scanned = scan::scan(&found.store, file, cut)?;
            match manifest.map(|manifest| manifest.shard(&file.name, &file.path)).transpose()? {
                Some(known) if known.hash != scanned.hash => scan::scan_recorded(&found.store, file, cut, known),
                _ => Ok(scanned),
            }
        })?;
        let whole = agree(found, &files)?;
        let picked = project(options.columns.as_deref(), whole.fields().iter().map(|field| field.name().as_str()))?;
        let schema = Arc::new(whole.project(&picked).map_err(|error| Error::recipe(error.to_string()))?);
        let mut plan = Plan {
            url: shown(&options.url).to_owned(),
            schema,
            shards: Vec::new(),
            blocks: Vec::new(),
            domains: Vec::new(),
        };
        let mut shards = Vec::new();
        for (shard, (file, scanned)) in found.files.iter().zip(files).enumerate() {
            let too_many = |_| Error::recipe("a dataset has at most 2^32 shards and blocks");
            for (index, block) in scanned.blocks.into_iter().enumerate() {
                u32::try_from(plan.blocks.len()).map_err(too_many)?;
                let decoded_bytes = block.length.saturating_add(widest_row(&plan.schema) * u64::from(block.rows));
                plan.blocks.push(Block {
                    shard: u32::try_from(shard).map_err(too_many)?,
                    index: u32::try_from(index).map_err(too_many)?,
                    rows: block.rows,
                    bytes: block.length,
                    decoded_bytes,
                    working_bytes: working_bytes(&plan.schema, &block),
                    span: Span::Bytes { offset: block.offset, length: block.length },
                    hashes: vec![block.hash],
                });
            }
            let (path, name) = (file.path.clone(), file.name.clone());
            plan.shards.push(Shard { path, name, bytes: file.bytes, hash: scanned.hash });
            let position = |field: &Arc<Field>| scanned.header.iter().position(|name| name == field.name());
            let wanted = plan.schema.fields().iter().map(position).collect();
            shards.push(Columns { header: scanned.header, wanted });
        }
        for (column, field) in plan.schema.fields().iter().enumerate() {
            let lacking = shards.iter().zip(&plan.shards).filter(|(shard, _)| shard.wanted[column].is_none());
            say_lacking(field.name(), lacking.map(|(_, shard)| shard.path.as_str()));
        }
        Ok(Self { plan, store: found.store.clone(), shards, delimiter })
    }

    /// What the scan found, for a manifest.
    pub(super) fn content_hashes(&self) -> Result<Vec<ShardHashes>> {
        let shards = self.plan.shards.iter().zip(&self.shards).enumerate().map(|(index, (shard, columns))| {
            let of_shard = self.plan.blocks.iter().filter(|block| block.shard as usize == index);
            let blocks = of_shard.map(|block| BlockHashes {
                rows: block.rows.into(),
                bytes: block.span.piece(),
                hashes: block.hashes.clone(),
            });
            let blocks: Vec<BlockHashes> = blocks.collect();
            ShardHashes {
                name: shard.name.clone(),
                bytes: shard.bytes,
                rows: blocks.iter().map(|block| block.rows).sum(),
                hash: shard.hash,
                columns: columns.header.clone(),
                blocks,
            }
        });
        Ok(shards.collect())
    }

    /// Decodes a block. A bad row is all null.
    fn decode(&self, text: &[u8], columns: &Columns) -> Result<(RecordBatch, Vec<BadRow>), String> {
        // Fields are handed on quoted, so that the decoder cuts where the scan did.
        let (mut quoted, mut rows, mut bad_rows) = (Vec::with_capacity(text.len()), 0_u32, Vec::new());
        for record in records::records(text, self.delimiter) {
            let fields = records::counted(record, self.delimiter, columns.header.len());
            let fields = fields.unwrap_or_else(|what| {
                bad_rows.push(BadRow { row: rows, column: None, what });
                vec![String::new(); columns.header.len()]
            });
            for (index, column) in columns.wanted.iter().enumerate() {
                let field = column.and_then(|column| fields.get(column)).map_or("", String::as_str);
                quoted.extend_from_slice(if index > 0 { b",\"" } else { b"\"" });
                quoted.extend_from_slice(field.replace('"', "\"\"").as_bytes());
                quoted.push(b'"');
            }
            quoted.push(b'\n');
            rows += 1;
        }
        let schema = &self.plan.schema;
        if schema.fields().is_empty() {
            let options = RecordBatchOptions::new().with_row_count(Some(rows as usize));
            let batch = RecordBatch::try_new_with_options(Arc::clone(schema), Vec::new(), &options);
            return Ok((batch.map_err(|error| error.to_string())?, bad_rows));
        }
        shielded(|| Ok((parse(&quoted, schema)?, bad_rows)))
    }
}

/// Parses records whose fields are all quoted, in steps whose working memory does not grow with the block.
fn parse(text: &[u8], schema: &SchemaRef) -> Result<RecordBatch, String> {
    let step = (CELLS / schema.fields().len().max(1)).clamp(1, STEP);
    let mut decoder = ReaderBuilder::new(Arc::clone(schema)).with_batch_size(step).build_decoder();
    let (mut batches, mut rest) = (Vec::new(), text);
    loop {
        let read = decoder.decode(rest).map_err(|error| error.to_string())?;
        rest = &rest[read..];
        if decoder.capacity() > 0 && !rest.is_empty() && read > 0 {
            continue;
        }
        match decoder.flush().map_err(|error| error.to_string())? {
            Some(batch) => batches.push(batch),
            None if rest.is_empty() => break,
            None => return Err("the decoder does not go on".to_owned()),
        }
    }
    concat_batches(schema, &batches).map_err(|error| error.to_string())
}

impl Source for CsvSource {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn read(&self, request: Request<'_>) -> Result<Decoded> {
        let Stored { place, block, file: _, bytes: text, hashes } = stored(&self.store, &self.plan, request)?;
        let broken = |what: String| Error::data(place.clone(), format!("the block cannot be decoded: {what}"));
        let (data, mut bad_rows) = self.decode(&text, &self.shards[block.shard as usize]).map_err(broken)?;
        if data.num_rows() != block.rows as usize {
            return Err(broken(format!("it holds {} rows where the plan has {}", data.num_rows(), block.rows)));
        }
        bad_rows.retain(|bad| request.rows.is_none_or(|keep| keep.is_kept(bad.row)));
        let data = picked(data, request.rows).map_err(broken)?;
        Ok(Decoded { data, hashes, bad_rows })
    }

    fn stored_rows(&self, block: u32, rows: &[u32], most: usize) -> Vec<Option<StoredBytes>> {
        match stored(&self.store, &self.plan, Request { block, rows: None, expected: &[] }) {
            Ok(stored) => picked_rows(records::records(&stored.bytes, self.delimiter), rows, most),
            Err(_) => vec![None; rows.len()],
        }
    }

    fn fetch(&self, block: u32, ready: Ready) {
        if let Some((shard, range)) = piece(&self.plan, block) {
            self.store.fetch(block, &shard.path, &[range], ready);
        }
    }

    fn fetched_bytes(&self, block: u32) -> u64 {
        piece(&self.plan, block).map_or(0, |(shard, range)| self.store.held_bytes(&shard.path, &[range]))
    }

    fn expect(&self, blocks: &mut dyn Iterator<Item = u32>) {
        let ranges = blocks.filter_map(|block| piece(&self.plan, block));
        self.store.expect(ranges.map(|(shard, range)| (shard.path.as_str(), vec![range])));
    }

    fn in_order(&self) -> Vec<Range<u32>> {
        self.store.in_order(&self.plan)
    }

    fn cache_counts(&self) -> Option<CacheCounts> {
        self.store.cache_counts()
    }
}

/// One schema of all files, in the order of the columns' first appearance. What a file lacks is null there.
fn agree(found: &Found, files: &[ScannedFile]) -> Result<Schema> {
    let mut columns: Vec<(&str, Kind)> = Vec::new();
    for (file, scanned) in found.files.iter().zip(files) {
        let (known, mut shared) = (columns.len(), false);
        for (name, kind) in scanned.header.iter().zip(&scanned.kinds) {
            match columns[..known].iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => {
                    *known = known.or(*kind);
                    shared = true;
                }
                None => columns.push((name, *kind)),
            }
        }
        if known > 0 && !shared {
            let what = format!(
                "the header has no column in common with that of `{}`; take the shard out of the dataset, or look \
                 whether its first record is a header at all",
                found.files[0].path
            );
            return Err(Error::data(Place::shard(&file.path), what));
        }
    }
    let fields = columns.into_iter().map(|(name, kind)| Field::new(name, kind.data_type(), true));
    Ok(Schema::new(fields.collect::<Vec<_>>()))
}

/// What reading a block takes beside its rows: the text twice, once with all fields quoted, the steps of the decoder, and
/// the rows once more when the steps are put together.
fn working_bytes(schema: &Schema, block: &scan::Scanned) -> u64 {
    let (columns, rows) = (schema.fields().len() as u64, u64::from(block.rows));
    let quotes = (3 * columns + 1).saturating_mul(rows);
    let steps = (columns * rows.min(STEP as u64)).min(CELLS as u64) * 16;
    let decoded = block.length.saturating_add(widest_row(schema).saturating_mul(rows));
    (2 * block.length).saturating_add(quotes).saturating_add(steps).saturating_add(decoded)
}

/// What a row takes in columns of fixed width, in bytes; text comes on top.
fn widest_row(schema: &Schema) -> u64 {
    let width = |field: &Arc<Field>| match field.data_type() {
        DataType::Int64 | DataType::Float64 => 9,
        DataType::Utf8 => 5,
        _ => 1,
    };
    schema.fields().iter().map(width).sum()
}
