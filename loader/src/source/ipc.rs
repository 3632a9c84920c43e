//! Arrow IPC, its file format and its stream format: plans record batches, and reads, verifies and decodes them.
//!
//! A block is a record batch. The batches of a file are found in its footer, and their content hashes are learned at
//! the first read; a stream is read through once, which finds and hashes them. Dictionaries are read again with each
//! batch that refers to them, and must be those that the plan saw. Knows nothing of URLs and of other formats.

mod decode;
mod layout;
mod message;
#[cfg(test)]
mod tests;

use super::{
    CacheCounts, Decoded, Options, Request, Source, Stored,
    files::Opened,
    in_parallel,
    locate::Found,
    manifest::{BlockHashes, Manifest, ShardHashes},
    picked, piece,
    remote::shown,
    schema,
    store::{Ready, Store},
    stored,
};
use crate::{Block, Error, Hash, Place, Plan, Result, Shard, Span};
use arrow::datatypes::{Schema, SchemaRef};
use layout::{Dictionary, Layout};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Range,
    sync::Arc,
};

/// An Arrow dataset.
pub(super) struct IpcSource {
    plan: Plan,
    store: Store,
    shards: Vec<Columns>,
    /// Of each block, the record batch that it is of.
    batches: Vec<Whole>,
    block_limit: u64,
}

/// A record batch, of which a block may be a part.
#[derive(Clone, Copy)]
struct Whole {
    rows: u32,
    /// What it decodes to, in bytes.
    decoded: u64,
    /// How many of its shard's dictionaries come before it.
    dictionaries: usize,
}

/// What is read of a shard.
struct Columns {
    /// The shard's schema, as it is decoded.
    own: SchemaRef,
    /// The wanted columns among its own, in the order of the plan's schema.
    columns: Vec<usize>,
    /// The dictionaries that the wanted columns refer to.
    ids: BTreeSet<i64>,
    /// All dictionaries, in the order in which they hold.
    dictionaries: Vec<Dictionary>,
}

impl fmt::Debug for IpcSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IpcSource").field("plan", &self.plan).field("block_limit", &self.block_limit).finish()
    }
}

impl IpcSource {
    /// Plans `found`. With a manifest, shards must be laid out as it says, and blocks get its hashes, so that reading
    /// finds out which of them are damaged.
    pub(super) fn open(options: &Options, found: &Found, manifest: Option<&Manifest>) -> Result<Self> {
        let layouts = in_parallel(found.files.len(), |index| layout::read(&found.store, &found.files[index].path))?;
        let paths: Vec<&str> = found.files.iter().map(|file| file.path.as_str()).collect();
        let schemas: Vec<SchemaRef> = layouts.iter().map(|layout| Arc::new(layout.schema.clone())).collect();
        let schema = Arc::new(Schema::new(schema::agree(&paths, &schemas, options.columns.as_deref())?));
        let mut source = Self {
            plan: Plan {
                url: shown(&options.url).to_owned(),
                schema,
                shards: Vec::new(),
                blocks: Vec::new(),
                domains: Vec::new(),
            },
            store: found.store.clone(),
            shards: Vec::new(),
            batches: Vec::new(),
            block_limit: options.block_limit,
        };
        for (file, layout) in found.files.iter().zip(layouts) {
            let known = manifest.map(|manifest| manifest.shard(&file.name, &file.path)).transpose()?;
            let known = known.map(|known| check_manifest(known, &layout)).transpose();
            let known = known.map_err(|what| Error::data(Place::shard(&file.path), what))?;
            let columns = Columns::new(&layout, &source.plan.schema);
            let (hash, hashes) = known.unwrap_or_else(|| {
                let scanned: Option<Vec<Hash>> = layout.batches.iter().map(|batch| batch.hash).collect();
                (layout.hash(scanned.iter().flatten()), scanned.unwrap_or_default())
            });
            source.add_blocks(&columns, &layout, &file.path, &hashes)?;
            source.plan.shards.push(Shard {
                path: file.path.clone(),
                name: file.name.clone(),
                bytes: layout.length,
                hash,
            });
            source.shards.push(columns);
        }
        Ok(source)
    }

    fn add_blocks(&mut self, columns: &Columns, layout: &Layout, path: &str, hashes: &[Hash]) -> Result<()> {
        let too_many = |_| Error::recipe("a dataset has at most 2^32 shards and blocks");
        let shard = u32::try_from(self.plan.shards.len()).map_err(too_many)?;
        let widening = schema::widening(columns.own.fields(), self.plan.schema.fields());
        let mut live = Live::default();
        let mut seen = 0;
        let mut blocks = 0_u32;
        for (index, batch) in layout.batches.iter().enumerate() {
            for dictionary in &columns.dictionaries[seen..batch.dictionaries] {
                live.add(columns, dictionary);
            }
            seen = batch.dictionaries;
            let claims = batch.stored.claims;
            let own = claims.decoded.saturating_add(widening.saturating_mul(claims.rows.into()));
            let decoded = own.saturating_add(live.bytes);
            // Every part has the dictionaries beside its rows.
            let parts = own.div_ceil(self.block_limit.saturating_sub(live.bytes).max(1)).max(1);
            if decoded > self.block_limit && (live.bytes >= self.block_limit || parts > u64::from(claims.rows)) {
                return Err(Error::recipe(format!(
                    "shard `{path}`, record batch {index}: its {} rows take {decoded} bytes decoded, {} of them \
                     dictionaries, and a block may take {}, which is less than a row; give the stream more memory, or \
                     write the file with smaller batches",
                    claims.rows, live.bytes, self.block_limit
                )));
            }
            let (offset, length) = (batch.stored.offset, batch.stored.length);
            for part in 0..parts {
                let share = |part: u64| u32::try_from(u64::from(claims.rows) * part / parts).unwrap_or(u32::MAX);
                let (first_row, end) = (share(part), share(part + 1));
                u32::try_from(self.plan.blocks.len()).map_err(too_many)?;
                self.plan.blocks.push(Block {
                    shard,
                    index: blocks,
                    rows: end - first_row,
                    bytes: length / parts,
                    decoded_bytes: own.div_ceil(parts).saturating_add(live.bytes),
                    // Rows that are picked, and columns of another type, are copied; a part is copied out of the whole.
                    working_bytes: decoded,
                    span: match parts {
                        1 => Span::Bytes { offset, length },
                        _ => Span::Batch { offset, length, first_row },
                    },
                    hashes: hashes.get(index).copied().into_iter().collect(),
                });
                self.batches.push(Whole { rows: claims.rows, decoded, dictionaries: batch.dictionaries });
                blocks = blocks.checked_add(1).ok_or_else(|| Error::recipe("a shard has at most 2^32 blocks"))?;
            }
        }
        Ok(())
    }

    /// Reads all shards and hashes their record batches, for a manifest.
    pub(super) fn content_hashes(&self) -> Result<Vec<ShardHashes>> {
        in_parallel(self.shards.len(), |index| {
            let shard = &self.plan.shards[index];
            let mut file = self.store.open_unchanged(shard)?;
            let (mut blocks, mut rows) = (Vec::new(), 0);
            for block in self.plan.blocks.iter().filter(|block| block.shard as usize == index) {
                let Some((offset, length)) = block.span.piece() else { continue };
                let again = |last: &&mut BlockHashes| last.bytes == Some((offset, length));
                if let Some(last) = blocks.last_mut().filter(again) {
                    last.rows += u64::from(block.rows);
                    rows += u64::from(block.rows);
                    continue;
                }
                let hash = match block.hashes.first() {
                    Some(scanned) => *scanned,
                    None => file.hash(offset, length)?,
                };
                rows += u64::from(block.rows);
                blocks.push(BlockHashes { rows: block.rows.into(), bytes: Some((offset, length)), hashes: vec![hash] });
            }
            let (name, columns) = (shard.name.clone(), Vec::new());
            Ok(ShardHashes { name, bytes: shard.bytes, rows, hash: shard.hash, columns, blocks })
        })
    }

    /// Where `block` lies, with the dictionaries that it refers to.
    fn ranges(&self, block: u32) -> Option<(&Shard, Vec<Range<u64>>)> {
        let (shard, batch) = piece(&self.plan, block)?;
        let columns = &self.shards[self.plan.blocks[block as usize].shard as usize];
        let dictionaries = columns.live(self.batches[block as usize].dictionaries).map(|dictionary| dictionary.stored);
        let mut ranges: Vec<_> = dictionaries.map(|stored| stored.offset..stored.offset + stored.length).collect();
        ranges.push(batch);
        Some((shard, ranges))
    }

    /// The dictionaries that `block` refers to, which must be those that the plan saw.
    fn read_dictionaries(&self, block: u32, file: &mut Opened) -> Result<decode::Dictionaries> {
        let mut dictionaries = decode::Dictionaries::new();
        let columns = &self.shards[self.plan.blocks[block as usize].shard as usize];
        for dictionary in columns.live(self.batches[block as usize].dictionaries) {
            let stored = dictionary.stored;
            let bytes = file.read(stored.offset, stored.length)?;
            let failed =
                |what: String| Error::data(self.plan.place(block), format!("dictionary {}: {what}", dictionary.id));
            if Hash::of(&bytes) != dictionary.hash {
                return Err(failed("it changed since the plan was made; restore it, or open the dataset again".into()));
            }
            decode::dictionary(bytes, &columns.own, stored.claims.decoded, &mut dictionaries)
                .map_err(|what| failed(format!("it cannot be decoded: {what}")))?;
        }
        Ok(dictionaries)
    }
}

impl Source for IpcSource {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn read(&self, request: Request<'_>) -> Result<Decoded> {
        let Stored { place, block, mut file, bytes, hashes } = stored(&self.store, &self.plan, request)?;
        let columns = &self.shards[block.shard as usize];
        let dictionaries = self.read_dictionaries(request.block, &mut file)?;
        let whole = self.batches[request.block as usize];
        let part = match block.span {
            Span::Batch { first_row, .. } => Some(first_row..first_row + block.rows),
            Span::Bytes { .. } | Span::RowGroup { .. } => None,
        };
        let wanted = decode::Wanted {
            own: &columns.own,
            columns: &columns.columns,
            schema: &self.plan.schema,
            rows: whole.rows,
            part,
            most: whole.decoded,
            text_limit: self.block_limit.saturating_mul(2),
        };
        let data = decode::batch(bytes, &dictionaries, &wanted)
            .and_then(|data| Ok(picked(data, request.rows)?))
            .map_err(|failure| failure.at(place))?;
        Ok(Decoded { data, hashes, bad_rows: Vec::new() })
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

impl Columns {
    /// The columns of `wanted` in the shard of `layout`.
    fn new(layout: &Layout, wanted: &Schema) -> Self {
        let own = &layout.schema;
        let columns: Vec<usize> = wanted.fields().iter().filter_map(|field| own.index_of(field.name()).ok()).collect();
        let ids = layout::dictionary_ids(columns.iter().map(|index| own.field(*index)));
        Self { own: decode::unvalidated(own), columns, ids, dictionaries: layout.dictionaries.clone() }
    }

    /// Those of the first `count` dictionaries that hold after them, and that wanted columns refer to, in order.
    fn live(&self, count: usize) -> impl Iterator<Item = &Dictionary> {
        let mut first = BTreeMap::new();
        for (index, dictionary) in self.dictionaries[..count].iter().enumerate().filter(|(_, of)| !of.delta) {
            first.insert(dictionary.id, index);
        }
        // A delta without anything to add to stays, so that decoding refuses it.
        self.dictionaries[..count].iter().enumerate().filter_map(move |(index, dictionary)| {
            let replaced = first.get(&dictionary.id).is_some_and(|first| index < *first);
            (!replaced && self.ids.contains(&dictionary.id)).then_some(dictionary)
        })
    }
}

/// What the dictionaries that hold at a place in a shard take, decoded.
#[derive(Default)]
struct Live {
    of_id: BTreeMap<i64, u64>,
    bytes: u64,
}

impl Live {
    fn add(&mut self, columns: &Columns, dictionary: &Dictionary) {
        if !columns.ids.contains(&dictionary.id) {
            return;
        }
        let of_id = self.of_id.entry(dictionary.id).or_default();
        if !dictionary.delta {
            self.bytes = self.bytes.saturating_sub(*of_id);
            *of_id = 0;
        }
        let bytes = dictionary.stored.claims.decoded;
        *of_id = of_id.saturating_add(bytes);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// The shard's hash and its blocks' hashes as a manifest has them, if they can be of the shard that `layout` is of.
fn check_manifest(known: &ShardHashes, layout: &Layout) -> Result<(Hash, Vec<Hash>), String> {
    let places = known.blocks.iter().map(|block| (block.bytes, block.rows));
    let laid_out = layout.batches.iter().map(|batch| {
        let stored = batch.stored;
        (Some((stored.offset, stored.length)), u64::from(stored.claims.rows))
    });
    let hashes: Option<Vec<Hash>> =
        known.blocks.iter().map(|block| <[Hash; 1]>::try_from(&block.hashes[..]).ok().map(|[hash]| hash)).collect();
    let is_stream = layout.batches.iter().any(|batch| batch.hash.is_some());
    match hashes {
        Some(hashes) if places.eq(laid_out) => {
            let hash = layout.hash(hashes.iter().filter(|_| is_stream));
            if hash == known.hash {
                return Ok((hash, hashes));
            }
        }
        _ => {}
    }
    Err(format!(
        "its schema, its dictionaries or its cuts are not those that the manifest was written of (hash {}): the file \
         changed or is damaged; restore it, or write the manifest anew",
        known.hash
    ))
}
