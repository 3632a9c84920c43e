//! Parquet: plans row groups from footers, and reads, verifies and decodes the column chunks that are wanted.
//!
//! A block is a row group, or a range of its rows where the whole would decode to more than the limit; reading such a
//! range reads, and hashes, the row group's whole chunks. Knows nothing of URLs and of other formats.

mod decode;
mod footer;
mod pages;
mod reader;
mod schema;
#[cfg(test)]
mod tests;
mod thrift;

use super::{
    CacheCounts, Decoded, Options, Request, Source, in_parallel,
    locate::Found,
    manifest::{BlockHashes, Manifest, ShardHashes},
    remote::shown,
    schema::widening,
    store::{Ready, Store},
};
use crate::{Block, Error, Hash, Place, Plan, Result, Shard, Span, buffers::Buffers};
use ::parquet::{
    arrow::{ProjectionMask, arrow_reader::ArrowReaderMetadata},
    basic::{Compression, Encoding, Type},
    file::metadata::{ColumnChunkMetaData, RowGroupMetaData},
};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use footer::Footer;
use std::{fmt, ops::Range, sync::Arc};

/// A shard is cut into at most so many blocks: more can only come of a footer that claims what nothing holds.
const MAX_BLOCKS: u64 = 1 << 16;
/// A block has at most so many rows: the offsets of Arrow's lists have 31 bits.
const MAX_ROWS: u64 = i32::MAX as u64;

/// Writers end a page, and give up a dictionary, at a mebibyte.
const PAGES: u64 = 2 << 20;

/// A Parquet dataset.
pub(super) struct ParquetSource {
    plan: Plan,
    /// The plan's schema, with text and binary values as the views that they are decoded as.
    views: SchemaRef,
    store: Store,
    shards: Vec<Columns>,
    block_limit: u64,
    buffers: Buffers,
}

/// What is read of a shard.
struct Columns {
    /// The shard's metadata, with the types that it is decoded as.
    metadata: ArrowReaderMetadata,
    /// The leaf columns that are read, by their index in the file.
    leaves: Vec<usize>,
    /// The same, as the decoder wants them.
    mask: ProjectionMask,
    /// Whether what is decoded as views is never there twice.
    once: bool,
}

impl fmt::Debug for ParquetSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParquetSource").field("plan", &self.plan).field("block_limit", &self.block_limit).finish()
    }
}

impl ParquetSource {
    /// Plans `found`. With a manifest, footers must be those that it was written of, and blocks get their hashes.
    pub(super) fn open(options: &Options, found: &Found, manifest: Option<&Manifest>) -> Result<Self> {
        let footers = in_parallel(found.files.len(), |index| footer::read(&found.store, &found.files[index].path))?;
        let paths: Vec<&str> = found.files.iter().map(|file| file.path.as_str()).collect();
        let agreed = schema::agree(&paths, &footers, options.columns.as_deref())?;
        let mut plan = Plan {
            url: shown(&options.url).to_owned(),
            schema: Arc::new(Schema::new(agreed.fields)),
            shards: Vec::new(),
            blocks: Vec::new(),
            domains: Vec::new(),
        };
        let mut shards = Vec::new();
        for ((file, footer), schema) in found.files.iter().zip(footers).zip(&agreed.shards) {
            let place = || Place::shard(&file.path);
            let hashes = manifest.map(|manifest| manifest.shard(&file.name, &file.path)).transpose()?;
            if let Some(hashes) = hashes {
                check_manifest(hashes, &footer).map_err(|what| Error::data(place(), what))?;
            }
            let columns = Columns::new(&footer, schema, &plan.schema)
                .map_err(|what| Error::data(place(), format!("its columns cannot be read: {what}")))?;
            let shard = u32::try_from(shards.len()).map_err(|_| Error::recipe("a dataset has at most 2^32 shards"))?;
            columns.check_codecs(&file.path)?;
            let widening = widening(schema.fields(), plan.schema.fields());
            plan.blocks.extend(columns.blocks(shard, &file.path, options.block_limit, widening, hashes)?);
            plan.shards.push(Shard {
                path: file.path.clone(),
                name: file.name.clone(),
                bytes: footer.length,
                hash: footer.hash,
            });
            shards.push(columns);
        }
        if u32::try_from(plan.blocks.len()).is_err() {
            return Err(Error::recipe(format!("the dataset has {} blocks; at most 2^32 can be", plan.blocks.len())));
        }
        let views = schema::outer_views(&plan.schema);
        // A block may be a quarter of the memory: half of it may be kept for pages, unless more is known of it.
        let buffers = Buffers::new(options.block_limit.saturating_mul(2));
        Ok(Self { plan, store: found.store.clone(), views, shards, block_limit: options.block_limit, buffers })
    }

    /// Where the column chunks of `block` lie.
    fn ranges(&self, block: u32) -> Option<(&Shard, Vec<Range<u64>>)> {
        let block = self.plan.blocks.get(block as usize)?;
        let Span::RowGroup { group, .. } = block.span else { return None };
        let columns = self.shards.get(block.shard as usize)?;
        let about = columns.metadata.metadata().row_group(group as usize);
        let ranges = columns.leaves.iter().filter_map(|leaf| footer::chunk_range(about.column(*leaf)));
        Some((self.plan.shards.get(block.shard as usize)?, ranges.collect()))
    }

    /// Reads all shards and hashes their column chunks, for a manifest.
    pub(super) fn content_hashes(&self) -> Result<Vec<ShardHashes>> {
        in_parallel(self.shards.len(), |index| {
            let (shard, columns) = (&self.plan.shards[index], &self.shards[index]);
            let mut file = self.store.open_unchanged(shard)?;
            let groups = columns.metadata.metadata().row_groups();
            let blocks = groups.iter().map(|group| {
                let hashes = group.columns().iter().map(|chunk| {
                    let range = footer::chunk_range(chunk).unwrap_or_default();
                    file.hash(range.start, range.end - range.start)
                });
                let hashes = hashes.collect::<Result<_>>()?;
                Ok(BlockHashes { rows: footer::rows_of(group).unwrap_or_default(), bytes: None, hashes })
            });
            let blocks = blocks.collect::<Result<Vec<_>>>()?;
            let rows = blocks.iter().map(|block| block.rows).sum();
            let columns = leaf_names(columns.metadata.metadata().file_metadata().schema_descr().columns());
            Ok(ShardHashes { name: shard.name.clone(), bytes: shard.bytes, rows, hash: shard.hash, columns, blocks })
        })
    }
}

impl Source for ParquetSource {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn read(&self, request: Request<'_>) -> Result<Decoded> {
        self.read_as(request, &self.plan.schema)
    }

    fn working_bytes_of_views(&self, block: u32) -> u64 {
        let Some(block) = self.plan.blocks.get(block as usize) else { return 0 };
        let once = self.shards.get(block.shard as usize).is_some_and(|columns| columns.once);
        block.working_bytes - if once { block.decoded_bytes.min(block.working_bytes) } else { 0 }
    }

    fn may_keep(&self, bytes: u64) {
        self.buffers.limit(kept(bytes, self.shards.iter().map(Columns::in_pages).min()));
    }

    fn held_bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.metadata.metadata().memory_size() as u64).sum()
    }

    fn read_views(&self, request: Request<'_>) -> Result<Decoded> {
        self.read_as(request, &self.views)
    }

    fn fetch(&self, block: u32, ready: Ready) {
        if let Some((shard, ranges)) = self.ranges(block) {
            self.store.fetch(block, &shard.path, &ranges, ready);
        }
    }

    fn fetched_bytes(&self, block: u32) -> u64 {
        self.ranges(block).map_or(0, |(shard, ranges)| self.store.held_bytes(&shard.path, &ranges))
    }

    fn expect(&self, blocks: &mut dyn Iterator<Item = u32>) {
        let ranges = blocks.filter_map(|block| self.ranges(block));
        self.store.expect(ranges.map(|(shard, ranges)| (shard.path.as_str(), ranges)));
    }

    fn cache_counts(&self) -> Option<CacheCounts> {
        self.store.cache_counts()
    }
}

impl ParquetSource {
    fn read_as(&self, request: Request<'_>, schema: &SchemaRef) -> Result<Decoded> {
        let place = self.plan.place(request.block);
        let block = super::block_of(&self.plan, request)?;
        let Span::RowGroup { group, first_row } = block.span else {
            return Err(Error::data(place, "this is a block of text, not of Parquet"));
        };
        let shard = &self.plan.shards[block.shard as usize];
        let columns = &self.shards[block.shard as usize];
        let about = columns.metadata.metadata().row_group(group as usize);
        let mut file = self.store.open_block(request.block, shard, &place)?;
        let chunks = decode::Chunks::read(&mut file, about, &columns.leaves, &self.buffers)?;
        let names: Vec<String> = columns.leaves.iter().map(|leaf| about.column(*leaf).column_path().string()).collect();
        let hashes = chunks.hashes();
        super::verify(&place, &names, &block.hashes, &hashes)?;
        super::verify(&place, &names, request.expected, &hashes)?;
        let wanted = decode::Wanted {
            group: group as usize,
            first_row: first_row as usize,
            rows: block.rows,
            keep: request.rows,
            schema,
            text_limit: self.block_limit.saturating_mul(2),
        };
        let data = decode::decode(&columns.metadata, &columns.mask, chunks, &wanted, &self.buffers)
            .map_err(|failure| failure.at(place))?;
        Ok(Decoded { data, hashes, bad_rows: Vec::new() })
    }
}

impl Columns {
    /// The columns of `wanted` in a shard of schema `own`.
    fn new(footer: &Footer, own: &Schema, wanted: &Schema) -> Result<Self, String> {
        let metadata = decode::with_schema(footer, schema::with_views(own, wanted))?;
        let leaf_schema = footer.metadata.file_metadata().schema_descr();
        let leaves: Vec<usize> = (0..leaf_schema.num_columns())
            .filter(|leaf| wanted.field_with_name(leaf_schema.get_column_root(*leaf).name()).is_ok())
            .collect();
        let mask = ProjectionMask::leaves(leaf_schema, leaves.iter().copied());
        let views = schema::outer_views(wanted);
        let as_decoded = |field: &FieldRef| {
            let own = metadata.schema().field_with_name(field.name());
            !field.data_type().is_nested() && own.is_ok_and(|own| own.data_type() == field.data_type())
        };
        // Texts that share prefixes are decoded by stretches, which are put together afterwards.
        let groups = metadata.metadata().row_groups();
        let mut chunks = groups.iter().flat_map(|group| leaves.iter().map(|leaf| group.column(*leaf)));
        let prefixes = chunks.any(|chunk| chunk.encodings().any(|encoding| encoding == Encoding::DELTA_BYTE_ARRAY));
        let once = !prefixes && views.fields().iter().all(as_decoded);
        Ok(Self { metadata, leaves, mask, once })
    }

    /// How much of its decoded blocks lies in pages that views point into, of 256, where it is least.
    fn in_pages(&self) -> u64 {
        let flat = |chunk: &&ColumnChunkMetaData| {
            chunk.column_type() == Type::BYTE_ARRAY && chunk.column_descr().max_rep_level() == 0
        };
        let of_group = |group: &RowGroupMetaData| {
            let chunks = || self.leaves.iter().map(|leaf| group.column(*leaf));
            let pages = chunks().filter(flat).map(|chunk| chunk.uncompressed_size().unsigned_abs());
            let decoded = chunks().map(decoded_bytes).fold(0, u64::saturating_add);
            share(pages.fold(0, u64::saturating_add).min(decoded), 256, decoded.max(1))
        };
        self.groups().map(|(_, group)| of_group(group)).min().unwrap_or(0)
    }

    fn groups(&self) -> impl Iterator<Item = (usize, &RowGroupMetaData)> {
        self.metadata.metadata().row_groups().iter().enumerate()
    }

    /// Refuses what this build cannot decompress, before anything is read.
    fn check_codecs(&self, path: &str) -> Result<()> {
        for (_, group) in self.groups() {
            for chunk in self.leaves.iter().map(|leaf| group.column(*leaf)) {
                if let codec @ (Compression::BROTLI(_) | Compression::LZO) = chunk.compression() {
                    let place = Place::shard(path).column(chunk.column_path().string());
                    let what = format!("it is compressed with {codec}, which this version cannot read; write it anew");
                    return Err(Error::data(place, what));
                }
            }
        }
        Ok(())
    }

    /// The shard's blocks: row groups, cut into ranges of nearly equal length where they decode to more than `limit`. A
    /// row takes `widening` bytes more than the file's own types do.
    fn blocks(
        &self,
        shard: u32,
        path: &str,
        limit: u64,
        widening: u64,
        known: Option<&ShardHashes>,
    ) -> Result<Vec<Block>> {
        let mut blocks: Vec<Block> = Vec::new();
        for (index, group) in self.groups() {
            let rows = footer::rows_of(group).unwrap_or_default();
            if rows == 0 {
                continue;
            }
            let chunks = || self.leaves.iter().map(|leaf| group.column(*leaf));
            let decoded = chunks().map(decoded_bytes).fold(rows.saturating_mul(widening), u64::saturating_add);
            let stored: u64 = chunks().filter_map(|chunk| u64::try_from(chunk.compressed_size()).ok()).sum();
            let fitting = if decoded <= limit { rows } else { share(rows, limit, decoded) }.min(MAX_ROWS);
            if fitting == 0 {
                return Err(Error::recipe(format!(
                    "shard `{path}`, row group {index}: one of its {rows} rows takes about {} bytes decoded ({decoded} \
                     for all), and a block may take {limit}; give the stream more memory, or read fewer columns",
                    decoded / rows
                )));
            }
            // A page of each column is decompressed at a time, and a dictionary stays beside it.
            let pages: u64 = chunks().map(|chunk| PAGES.min(chunk.uncompressed_size().unsigned_abs())).sum();
            let parts = rows.div_ceil(fitting);
            if parts + blocks.len() as u64 > MAX_BLOCKS {
                return Err(Error::recipe(format!(
                    "shard `{path}`, row group {index}: its {rows} rows take {decoded} bytes decoded, and would be cut \
                     into {parts} blocks of {limit} bytes; a shard has at most {MAX_BLOCKS}"
                )));
            }
            let hashes: Vec<Hash> = known
                .and_then(|known| known.blocks.get(index))
                .map(|known| self.leaves.iter().filter_map(|leaf| known.hashes.get(*leaf).copied()).collect())
                .unwrap_or_default();
            for part in 0..parts {
                let (first, end) = (share(rows, part, parts), share(rows, part + 1, parts));
                let of = |total: u64| share(total, end, rows) - share(total, first, rows);
                let too_many = |_| Error::recipe(format!("shard `{path}`: row group {index} has too many rows"));
                blocks.push(Block {
                    shard,
                    index: u32::try_from(blocks.len()).map_err(too_many)?,
                    rows: u32::try_from(end - first).map_err(too_many)?,
                    bytes: of(stored),
                    decoded_bytes: of(decoded),
                    // Chunks are read whole. Texts that are written out of their views are there twice for a while.
                    working_bytes: stored.saturating_add(of(decoded)).saturating_add(pages),
                    span: Span::RowGroup {
                        group: u32::try_from(index).map_err(too_many)?,
                        first_row: u32::try_from(first).map_err(too_many)?,
                    },
                    hashes: hashes.clone(),
                });
            }
        }
        Ok(blocks)
    }
}

/// How much of `memory` pages may take, those that are kept for use again included, where of a decoded block so many
/// 256ths lie in pages at least: the rest lies beside them. A quarter is for those that are read and done with.
fn kept(memory: u64, in_pages: Option<u64>) -> u64 {
    share(memory, in_pages.unwrap_or(0), 256).max(memory / 4)
}

/// `total * part / whole`, without overflow.
fn share(total: u64, part: u64, whole: u64) -> u64 {
    let share = u128::from(total) * u128::from(part) / u128::from(whole.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// What a column chunk decodes to, in bytes: exact for fixed widths; for text what the writer noted, else what its
/// pages decompress to, which is too little where a dictionary is used.
fn decoded_bytes(chunk: &ColumnChunkMetaData) -> u64 {
    let number = |number: i64| u64::try_from(number).unwrap_or_default();
    let values = number(chunk.num_values());
    let descriptor = chunk.column_descr();
    let fixed = |width: u64| values.saturating_mul(width);
    let data = match chunk.column_type() {
        Type::BOOLEAN => values.div_ceil(8),
        // A decimal is 16 bytes whatever stores it; up to 32 where its precision asks for it.
        Type::INT32 | Type::INT64 if descriptor.type_precision() > 0 => fixed(16),
        Type::INT32 | Type::FLOAT => fixed(4),
        Type::INT64 | Type::DOUBLE | Type::INT96 => fixed(8),
        Type::FIXED_LEN_BYTE_ARRAY => fixed(number(descriptor.type_length().into()).max(16)),
        Type::BYTE_ARRAY => {
            let text = chunk.unencoded_byte_array_data_bytes().unwrap_or_else(|| chunk.uncompressed_size());
            // Decoded as views of 16 bytes.
            fixed(16).saturating_add(number(text))
        }
    };
    // Validity, and the offsets of lists.
    let nesting = if descriptor.max_rep_level() > 0 { fixed(4) } else { 0 };
    data.saturating_add(values.div_ceil(8)).saturating_add(nesting)
}

fn leaf_names(leaves: &[::parquet::schema::types::ColumnDescPtr]) -> Vec<String> {
    leaves.iter().map(|leaf| leaf.path().string()).collect()
}

/// Whether a manifest's entry can be of the file that `footer` is of.
fn check_manifest(known: &ShardHashes, footer: &Footer) -> Result<(), String> {
    let groups = footer.metadata.row_groups();
    let columns = leaf_names(footer.metadata.file_metadata().schema_descr().columns());
    let rows_agree = known.blocks.iter().map(|block| Some(block.rows)).eq(groups.iter().map(footer::rows_of));
    let complete = known.blocks.iter().all(|block| block.hashes.len() == columns.len());
    if known.hash == footer.hash && known.columns == columns && rows_agree && complete {
        return Ok(());
    }
    Err(format!(
        "its footer is not the one that the manifest was written of (hash {}, the manifest says {}): the file changed \
         or is damaged; restore it, or write the manifest anew",
        footer.hash, known.hash
    ))
}
