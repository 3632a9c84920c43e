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
    Decoded, Options, Request, Source, Stored,
    files::Opened,
    in_parallel,
    locate::Found,
    manifest::{BlockHashes, Manifest, ShardHashes},
    picked, project, schema, stored,
};
use crate::{Block, Error, Hash, Place, Plan, Result, Shard, Span};
use arrow::datatypes::{Schema, SchemaRef};
use layout::{Dictionary, Layout};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

/// An Arrow dataset.
pub(super) struct IpcSource {
    plan: Plan,
    shards: Vec<Columns>,
    /// Of each block, how many of its shard's dictionaries come before it.
    dictionaries: Vec<usize>,
    block_limit: u64,
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
        let layouts = in_parallel(found.files.len(), |index| layout::read(&found.files[index].path))?;
        let paths: Vec<&str> = found.files.iter().map(|file| file.path.as_str()).collect();
        let schemas: Vec<SchemaRef> = layouts.iter().map(|layout| Arc::new(layout.schema.clone())).collect();
        let agreed = schema::agree(&paths, &schemas)?;
        let wanted = project(options.columns.as_deref(), agreed.iter().map(|field| field.name().as_str()))?;
        let fields: Vec<_> = wanted.into_iter().map(|index| Arc::clone(&agreed[index])).collect();
        let schema = Arc::new(Schema::new(fields));
        let mut source = Self {
            plan: Plan { url: options.url.clone(), schema, shards: Vec::new(), blocks: Vec::new() },
            shards: Vec::new(),
            dictionaries: Vec::new(),
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
        let mut live = Live::default();
        let mut seen = 0;
        for (index, batch) in layout.batches.iter().enumerate() {
            for dictionary in &columns.dictionaries[seen..batch.dictionaries] {
                live.add(columns, dictionary);
            }
            seen = batch.dictionaries;
            let claims = batch.stored.claims;
            let decoded = claims.decoded.saturating_add(live.bytes);
            if decoded > self.block_limit {
                return Err(Error::recipe(format!(
                    "shard `{path}`, record batch {index}: its {} rows take {decoded} bytes decoded, {} of them \
                     dictionaries, and a block may take {}; give the stream more memory, or write the file with smaller \
                     batches",
                    claims.rows, live.bytes, self.block_limit
                )));
            }
            u32::try_from(self.plan.blocks.len()).map_err(too_many)?;
            self.plan.blocks.push(Block {
                shard,
                index: u32::try_from(index).map_err(too_many)?,
                rows: claims.rows,
                bytes: batch.stored.length,
                decoded_bytes: decoded,
                span: Span::Bytes { offset: batch.stored.offset, length: batch.stored.length },
                hashes: hashes.get(index).copied().into_iter().collect(),
            });
            self.dictionaries.push(batch.dictionaries);
        }
        Ok(())
    }

    /// Reads all shards and hashes their record batches, for a manifest.
    pub(super) fn content_hashes(&self) -> Result<Vec<ShardHashes>> {
        in_parallel(self.shards.len(), |index| {
            let shard = &self.plan.shards[index];
            let mut file = Opened::open_unchanged(&shard.path, shard.bytes, &Place::shard(&shard.path))?;
            let (mut blocks, mut rows) = (Vec::new(), 0);
            for block in self.plan.blocks.iter().filter(|block| block.shard as usize == index) {
                let Span::Bytes { offset, length } = block.span else { continue };
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

    /// The dictionaries that `block` refers to, which must be those that the plan saw.
    fn read_dictionaries(&self, block: u32, file: &mut Opened) -> Result<decode::Dictionaries> {
        let mut dictionaries = decode::Dictionaries::new();
        let columns = &self.shards[self.plan.blocks[block as usize].shard as usize];
        for dictionary in columns.live(self.dictionaries[block as usize]) {
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
        let Stored { place, block, mut file, bytes, hashes } = stored(&self.plan, request)?;
        let columns = &self.shards[block.shard as usize];
        let dictionaries = self.read_dictionaries(request.block, &mut file)?;
        let wanted = decode::Wanted {
            own: &columns.own,
            columns: &columns.columns,
            schema: &self.plan.schema,
            rows: block.rows,
            most: block.decoded_bytes,
            text_limit: self.block_limit.saturating_mul(2),
        };
        let data = decode::batch(bytes, &dictionaries, &wanted).and_then(|data| picked(data, request.rows));
        let data = data.map_err(|what| Error::data(place, format!("the block cannot be decoded: {what}")))?;
        Ok(Decoded { data, hashes, bad_rows: Vec::new() })
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
