//! JSONL: one JSON object a line. One scan plans blocks, hashes and schema; a read verifies a block and decodes it.
//!
//! A line that cannot be read is a bad row and spoils nothing but itself. Knows nothing of URLs and of other formats.

mod lines;
mod scan;
mod shape;
#[cfg(test)]
mod tests;

use super::{
    CacheCounts, Decoded, Options, Request, Source, Stored, StoredBytes,
    locate::Found,
    manifest::{BlockHashes, Manifest, ShardHashes},
    picked, picked_rows, piece, project,
    remote::shown,
    store::{Ready, Store},
    stored,
};
use crate::{Block, Error, Hash, Place, Plan, Result, Shard, Span};
use arrow::datatypes::{DataType, Schema};
use scan::{Cut, Scan, Scanned};
use std::{fmt, ops::Range, sync::Arc};

/// What blocks are cut at, in bytes of text.
const BLOCK_BYTES: u64 = 4 << 20;

/// A JSONL dataset.
pub(super) struct JsonlSource {
    plan: Plan,
    store: Store,
    /// Of each block, whether all rows were seen to be well-formed objects, so that they can be decoded at once.
    clean: Vec<bool>,
}

impl fmt::Debug for JsonlSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonlSource").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl JsonlSource {
    /// Scans and plans `found`. Where a file is not what the manifest says, the manifest's blocks are planned, so that
    /// reading finds out which of them are damaged.
    pub(super) fn open(options: &Options, found: &Found, manifest: Option<&Manifest>) -> Result<Self> {
        let recorded = match manifest {
            None => None,
            Some(manifest) => Some(
                found.files.iter().map(|file| manifest.shard(&file.name, &file.path)).collect::<Result<Vec<_>>>()?,
            ),
        };
        let mut cut =
            Cut { bytes: BLOCK_BYTES.min(options.block_limit), lines: u64::MAX, longest_line: options.block_limit };
        let mut scan = checked_scan(found, cut, recorded.as_deref())?;
        let whole = scan.shape.schema();
        let widest = widest_row(&whole);
        let decoded = |block: &Scanned| decoded_bytes(block, &whole);
        let largest = scan.files.iter().flat_map(|file| &file.blocks).map(decoded).max().unwrap_or_default();
        if largest > options.block_limit {
            // Short lines of wide objects: cut by rows too, so that neither text nor columns take more than half.
            cut.lines = options.block_limit / 2 / widest.max(1);
            cut.bytes = cut.bytes.min(options.block_limit / 2 / widening(&whole));
            if cut.lines == 0 {
                return Err(Error::recipe(format!(
                    "`{}`: a row takes {widest} bytes decoded, and a block may take {}; give the stream more memory",
                    options.url, options.block_limit
                )));
            }
            scan = checked_scan(found, cut, recorded.as_deref())?;
        }
        Self::plan(options, found, scan, &whole)
    }

    fn plan(options: &Options, found: &Found, scan: Scan, whole: &Schema) -> Result<Self> {
        let names = whole.fields().iter().map(|field| field.name().as_str());
        let picked = project(options.columns.as_deref(), names)?;
        let schema = Arc::new(whole.project(&picked).map_err(|error| Error::recipe(error.to_string()))?);
        let mut plan = Plan {
            url: shown(&options.url).to_owned(),
            schema,
            shards: Vec::new(),
            blocks: Vec::new(),
            domains: Vec::new(),
        };
        let mut clean = Vec::new();
        for (shard, (file, scanned)) in found.files.iter().zip(scan.files).enumerate() {
            let too_many = |_| Error::recipe("a dataset has at most 2^32 shards and blocks");
            for (index, block) in scanned.blocks.into_iter().enumerate() {
                let (offset, length) = block.bytes;
                plan.blocks.push(Block {
                    shard: u32::try_from(shard).map_err(too_many)?,
                    index: u32::try_from(index).map_err(too_many)?,
                    rows: block.rows,
                    bytes: length,
                    decoded_bytes: decoded_bytes(&block, whole),
                    // The text, the rows once more when the steps of the decoder are put together, and the steps.
                    working_bytes: length
                        .saturating_add(decoded_bytes(&block, whole))
                        .saturating_add(lines::steps_bytes(block.rows, &plan.schema)),
                    span: Span::Bytes { offset, length },
                    hashes: vec![block.hash],
                });
                clean.push(block.clean);
            }
            plan.shards.push(Shard {
                path: file.path.clone(),
                name: file.name.clone(),
                bytes: file.bytes,
                hash: scanned.hash.unwrap_or(Hash::ZERO),
            });
        }
        u32::try_from(plan.blocks.len()).map_err(|_| Error::recipe("a dataset has at most 2^32 blocks"))?;
        Ok(Self { plan, store: found.store.clone(), clean })
    }

    /// What the scan found, for a manifest.
    pub(super) fn content_hashes(&self) -> Result<Vec<ShardHashes>> {
        let mut shards: Vec<ShardHashes> = self
            .plan
            .shards
            .iter()
            .map(|shard| ShardHashes {
                name: shard.name.clone(),
                bytes: shard.bytes,
                rows: 0,
                hash: shard.hash,
                columns: Vec::new(),
                blocks: Vec::new(),
            })
            .collect();
        for block in &self.plan.blocks {
            let Span::Bytes { offset, length } = block.span else { continue };
            let shard = &mut shards[block.shard as usize];
            shard.rows += u64::from(block.rows);
            shard.blocks.push(BlockHashes {
                rows: block.rows.into(),
                bytes: Some((offset, length)),
                hashes: block.hashes.clone(),
            });
        }
        Ok(shards)
    }
}

impl Source for JsonlSource {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn read(&self, request: Request<'_>) -> Result<Decoded> {
        let Stored { place, block, file: _, bytes: text, hashes } = stored(&self.store, &self.plan, request)?;
        let broken = |what: String| Error::data(place.clone(), format!("the block cannot be decoded: {what}"));
        // The hash has just shown that these are the lines that the scan saw.
        let clean = self.clean[request.block as usize];
        let whole = clean.then(|| lines::decode_clean(&text, block.rows as usize, &self.plan.schema)).flatten();
        let (data, mut bad_rows) = match whole {
            Some(data) => (data, Vec::new()),
            None => lines::decode_any(&text, &self.plan.schema).map_err(broken)?,
        };
        if data.num_rows() != block.rows as usize {
            return Err(broken(format!("it holds {} rows where the plan has {}", data.num_rows(), block.rows)));
        }
        bad_rows.retain(|bad| request.rows.is_none_or(|keep| keep.is_kept(bad.row)));
        let data = picked(data, request.rows).map_err(broken)?;
        Ok(Decoded { data, hashes, bad_rows })
    }

    fn stored_rows(&self, block: u32, rows: &[u32], most: usize) -> Vec<Option<StoredBytes>> {
        match stored(&self.store, &self.plan, Request { block, rows: None, expected: &[] }) {
            Ok(stored) => picked_rows(lines::rows(&stored.bytes), rows, most),
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

/// Scans `files`. A file that is not as recorded is scanned again as the blocks that were recorded of it.
fn checked_scan(found: &Found, cut: Cut, recorded: Option<&[&ShardHashes]>) -> Result<Scan> {
    let files = &found.files;
    let scan = scan::scan(&found.store, files, cut, &[])?;
    let Some(shards) = recorded else { return Ok(scan) };
    let mut damaged = Vec::with_capacity(files.len());
    for ((file, scanned), shard) in files.iter().zip(&scan.files).zip(shards) {
        let blocks = (scanned.hash != Some(shard.hash)).then(|| recorded_blocks(shard, cut)).transpose();
        damaged.push(blocks.map_err(|what| Error::data(Place::shard(&file.path), what))?);
    }
    if damaged.iter().all(Option::is_none) {
        return Ok(scan);
    }
    let mut scan = scan::scan(&found.store, files, cut, &damaged)?;
    for (file, shard) in scan.files.iter_mut().zip(shards) {
        file.hash = Some(shard.hash);
    }
    Ok(scan)
}

/// The blocks of a shard as the manifest has them, if they can be blocks of this plan.
fn recorded_blocks(shard: &ShardHashes, cut: Cut) -> Result<Vec<Scanned>, String> {
    let mut end = 0;
    let blocks = shard.blocks.iter().map(|block| {
        let (offset, length) = block.bytes.filter(|(offset, length)| {
            *offset >= end && *length <= cut.longest_line && offset.checked_add(*length).is_some()
        })?;
        end = offset.checked_add(length)?;
        let rows = u32::try_from(block.rows).ok().filter(|rows| u64::from(*rows) <= length)?;
        let hash = block.hashes.first().copied().filter(|_| block.hashes.len() == 1)?;
        Some(Scanned { bytes: (offset, length), rows, hash, clean: false })
    });
    blocks.collect::<Option<Vec<_>>>().ok_or_else(|| {
        format!(
            "its content is not what the manifest says (hash {}), and the manifest's blocks are not of this file: it \
             changed or is damaged; restore it, or write the manifest anew",
            shard.hash
        )
    })
}

/// What a row takes in columns of fixed width, in bytes; text and the items of lists come on top.
fn widest_row(schema: &Schema) -> u64 {
    fn width(data_type: &DataType) -> u64 {
        match data_type {
            DataType::Struct(fields) => 1 + fields.iter().map(|field| width(field.data_type())).sum::<u64>(),
            DataType::Int64 | DataType::Float64 => 9,
            DataType::Utf8 | DataType::List(_) => 5,
            _ => 1,
        }
    }
    schema.fields().iter().map(|field| width(field.data_type())).sum()
}

/// How many times its length text takes, decoded: the items of lists take up to 9 bytes for each that is written in two.
fn widening(schema: &Schema) -> u64 {
    fn lists(data_type: &DataType) -> bool {
        match data_type {
            DataType::List(_) => true,
            DataType::Struct(fields) => fields.iter().any(|field| lists(field.data_type())),
            _ => false,
        }
    }
    if schema.fields().iter().any(|field| lists(field.data_type())) { 5 } else { 1 }
}

/// What a block decodes to, about: its text, and its columns of fixed width.
fn decoded_bytes(block: &Scanned, schema: &Schema) -> u64 {
    let text = block.bytes.1.saturating_mul(widening(schema));
    u64::from(block.rows).saturating_mul(widest_row(schema)).saturating_add(text)
}
