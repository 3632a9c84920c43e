//! Where the messages of an Arrow file or stream lie. A file is taken from its footer, a stream is read through. What
//! they claim must fit the file before anything is believed. Knows nothing of other shards or of wanted columns.

use super::{
    super::{files::Opened, shielded, store::Store},
    message::{self, CONTINUATION, Claims},
};
use crate::{Error, Hash, Place, Result};
use arrow::{
    datatypes::{DataType, Field, Schema},
    ipc::{self, Message, MessageHeader, convert::fb_to_schema},
};
use std::collections::BTreeSet;

const MAGIC: &[u8; 6] = b"ARROW1";
/// The magic that begins a file, and the padding after it.
const HEAD: u64 = 8;
/// The length of the footer's length and the magic that end a file.
const TAIL: u64 = 10;
/// Longer metadata are refused: parsed they take many times their length.
const MAX_METADATA: u64 = 64 << 20;
/// A shard has at most so many messages.
const MAX_MESSAGES: usize = 1 << 24;

/// A shard, as planned.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) schema: Schema,
    /// The record batches that have rows, in order.
    pub(super) batches: Vec<Batch>,
    /// In the order in which they hold.
    pub(super) dictionaries: Vec<Dictionary>,
    /// BLAKE3 of what decoding depends on besides the batches: a file's footer, a stream's schema, the dictionaries.
    pub(super) fixed: Hash,
    /// The file's length in bytes.
    pub(super) length: u64,
}

/// Where a message lies, metadata and body together, and what it claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) claims: Claims,
}

/// A record batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) stored: Stored,
    /// BLAKE3 of the message; known of streams, which are read through.
    pub(super) hash: Option<Hash>,
    /// How many of the shard's dictionaries come before it.
    pub(super) dictionaries: usize,
}

/// A dictionary batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dictionary {
    pub(super) stored: Stored,
    pub(super) id: i64,
    /// Whether it adds to the dictionary that there is, rather than taking its place.
    pub(super) delta: bool,
    pub(super) hash: Hash,
}

impl Layout {
    /// The content hash of the shard, whose batches have the content hashes `batches` as far as these are known to
    /// the plan by itself.
    pub(super) fn hash<'a>(&self, batches: impl IntoIterator<Item = &'a Hash>) -> Hash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.fixed.0);
        for hash in batches {
            hasher.update(&hash.0);
        }
        Hash(*hasher.finalize().as_bytes())
    }
}

/// Reads what a plan needs of the file at `path`.
pub(super) fn read(store: &Store, path: &str) -> Result<Layout> {
    let mut file = store.open(path)?;
    let head = file.read(0, HEAD.min(file.length))?;
    if head.starts_with(b"FEA1") {
        let what = "it is of version 1 of Feather, which this version cannot read; write it anew as Arrow IPC";
        return Err(Error::data(Place::shard(path), what));
    }
    let mut reading = Reading { file: &mut file, path, hasher: blake3::Hasher::new() };
    if head.starts_with(MAGIC) { reading.file_format() } else { reading.stream_format() }
}

struct Reading<'a> {
    file: &'a mut Opened,
    path: &'a str,
    /// Of what decoding depends on besides the batches.
    hasher: blake3::Hasher,
}

/// What a message is, and its claims.
enum Kind {
    Batch,
    Dictionary { id: i64, delta: bool },
}

impl Reading<'_> {
    fn damaged(&self, what: impl Into<String>) -> Error {
        Error::data(Place::shard(self.path), what)
    }

    fn file_format(&mut self) -> Result<Layout> {
        let length = self.file.length;
        let tail = if length < HEAD + TAIL { Vec::new() } else { self.file.read(length - TAIL, TAIL)? };
        let Some((size, MAGIC)) =
            tail.split_first_chunk::<4>().and_then(|(size, magic)| Some((size, magic.first_chunk()?)))
        else {
            return Err(self.damaged("this Arrow file is truncated: it does not end in `ARROW1`"));
        };
        let claimed = i32::from_le_bytes(*size);
        let size = u64::try_from(claimed).ok().filter(|size| *size <= length - HEAD - TAIL);
        let size = size.ok_or_else(|| self.damaged(format!("its footer claims {claimed} bytes of {length}")))?;
        if size > MAX_METADATA {
            let what =
                format!("its footer has {size} bytes, more than {MAX_METADATA}; write the file with fewer batches");
            return Err(self.damaged(what));
        }
        let start = length - TAIL - size;
        let footer = self.file.read(start, size)?;
        self.hasher.update(&footer);
        let footer = shielded(|| parse_footer(&footer, start));
        let footer = footer.map_err(|what| self.damaged(format!("its footer is damaged: {what}")))?;
        let mut dictionaries = Vec::with_capacity(footer.dictionaries.len());
        let mut ids = BTreeSet::new();
        for place in &footer.dictionaries {
            let (stored, kind) = self.placed(place)?;
            let Kind::Dictionary { id, delta } = kind else {
                return Err(self.damaged(format!("the message at byte {} is no dictionary", place.offset)));
            };
            if !ids.insert(id) && !delta {
                let what = format!("it has dictionary {id} twice; only a stream may replace a dictionary");
                return Err(self.damaged(what));
            }
            let hash = self.file.hash(stored.offset, stored.length)?;
            self.hasher.update(&hash.0);
            dictionaries.push(Dictionary { stored, id, delta, hash });
        }
        let mut batches = Vec::with_capacity(footer.batches.len());
        for place in &footer.batches {
            let (stored, Kind::Batch) = self.placed(place)? else {
                return Err(self.damaged(format!("the message at byte {} is no record batch", place.offset)));
            };
            if stored.claims.rows > 0 {
                batches.push(Batch { stored, hash: None, dictionaries: dictionaries.len() });
            }
        }
        self.layout(footer.schema, batches, dictionaries)
    }

    /// A message at a place that the footer names.
    fn placed(&mut self, place: &Placed) -> Result<(Stored, Kind)> {
        let bytes = self.file.read(place.offset, place.metadata)?;
        let at = |what: String| format!("the message at byte {}: {what}", place.offset);
        let split = message::split(&bytes).and_then(|(metadata, end)| {
            if end as u64 == place.metadata { Ok(metadata) } else { Err("its metadata end elsewhere".to_owned()) }
        });
        let metadata = split.map_err(|what| self.damaged(at(what)))?;
        let body = place.offset + place.metadata;
        let seen = message::parsed(metadata, |message| {
            if u64::try_from(message.bodyLength()).ok() != Some(place.body) {
                return Err(format!("it claims a body of {} bytes, the footer {}", message.bodyLength(), place.body));
            }
            look(self.file, message, body, place.body)
        });
        let (kind, claims) = seen.map_err(|what| self.damaged(at(what)))?;
        Ok((Stored { offset: place.offset, length: place.metadata + place.body, claims }, kind))
    }

    fn stream_format(&mut self) -> Result<Layout> {
        let length = self.file.length;
        let (mut schema, mut batches, mut dictionaries) = (None, Vec::new(), Vec::<Dictionary>::new());
        let mut offset = 0;
        while let Some((start, size)) = self.prefix(offset, schema.is_some())? {
            let metadata = self.file.read(start, size)?;
            let at = |what: String| format!("the message at byte {offset}: {what}");
            let body = start + size;
            if schema.is_none() {
                let parsed = message::parsed(&metadata, |message| {
                    let schema = message.header_as_schema().ok_or("a stream begins with its schema")?;
                    if message.bodyLength() == 0 { read_schema(schema) } else { Err("a schema has no body".to_owned()) }
                });
                schema = Some(parsed.map_err(|what| self.damaged(format!("this is no Arrow file: {what}")))?);
                self.hasher.update(&metadata);
                offset = body;
                continue;
            }
            let seen = message::parsed(&metadata, |message| {
                let claimed = message.bodyLength();
                let size = u64::try_from(claimed).ok().filter(|size| *size <= length - body).ok_or_else(|| {
                    format!(
                        "it claims a body of {claimed} bytes where {} are left; the file is truncated",
                        length - body
                    )
                })?;
                look(self.file, message, body, size).map(|(kind, claims)| (kind, claims, body + size))
            });
            let (kind, claims, end) = seen.map_err(|what| self.damaged(at(what)))?;
            let stored = Stored { offset, length: end - offset, claims };
            let hash = self.file.hash(offset, end - offset)?;
            match kind {
                Kind::Batch if claims.rows > 0 => {
                    batches.push(Batch { stored, hash: Some(hash), dictionaries: dictionaries.len() });
                }
                Kind::Batch => drop(self.hasher.update(&hash.0)),
                Kind::Dictionary { id, delta } => {
                    self.hasher.update(&hash.0);
                    dictionaries.push(Dictionary { stored, id, delta, hash });
                }
            }
            if batches.len() + dictionaries.len() > MAX_MESSAGES {
                return Err(self.damaged(format!("it has more than {MAX_MESSAGES} messages; write larger batches")));
            }
            offset = end;
        }
        let schema = schema.ok_or_else(|| self.damaged("this is no Arrow file: it has no schema"))?;
        self.layout(schema, batches, dictionaries)
    }

    /// Where the metadata of the message at `offset` begin, and their length; `None` at the mark that ends a stream.
    fn prefix(&mut self, offset: u64, begun: bool) -> Result<Option<(u64, u64)>> {
        let length = self.file.length;
        let refused = |reading: &Self, what: String| {
            let begin = if begun { "" } else { "this is no Arrow file: " };
            Err(reading.damaged(format!("{begin}{what}")))
        };
        let cut = "it ends without the mark that ends a stream: it is truncated, or its writer was not closed";
        if length - offset < 4 {
            return refused(self, cut.to_owned());
        }
        let mut start = offset + 4;
        let mut size = self.file.read(offset, 4)?;
        if size == CONTINUATION {
            if length - offset < 8 {
                return refused(self, cut.to_owned());
            }
            size = self.file.read(start, 4)?;
            start += 4;
        }
        let claimed = size.first_chunk().copied().map_or(0, i32::from_le_bytes);
        if claimed == 0 {
            return match length - start {
                0 => Ok(None),
                more => refused(self, format!("{more} bytes follow the mark that ends its stream at byte {offset}")),
            };
        }
        match u64::try_from(claimed) {
            Ok(size) if size <= (length - start).min(MAX_METADATA) => Ok(Some((start, size))),
            _ => {
                let left = length - start;
                refused(
                    self,
                    format!("the message at byte {offset} claims {claimed} bytes of metadata where {left} are left"),
                )
            }
        }
    }

    fn layout(&self, schema: Schema, batches: Vec<Batch>, dictionaries: Vec<Dictionary>) -> Result<Layout> {
        if let Some((column, data_type)) = unreadable(&schema) {
            let what = format!("its type is {data_type}, which this version cannot read; write it as another");
            return Err(Error::data(Place::shard(self.path).column(column), what));
        }
        let known = dictionary_ids(schema.fields().iter().map(AsRef::as_ref));
        if let Some(unknown) = dictionaries.iter().find(|dictionary| !known.contains(&dictionary.id)) {
            return Err(self.damaged(format!("it has a dictionary {}, which no column has", unknown.id)));
        }
        let fixed = Hash(*self.hasher.finalize().as_bytes());
        Ok(Layout { schema, batches, dictionaries, fixed, length: self.file.length })
    }
}

/// What a message with `size` bytes of body from `body` is, and what it claims.
fn look(file: &mut Opened, message: Message<'_>, body: u64, size: u64) -> Result<(Kind, Claims), String> {
    let number = |offset| {
        let bytes = file.read(body + offset, 8).map_err(|error| error.to_string())?;
        bytes.first_chunk().copied().map(i64::from_le_bytes).ok_or_else(|| "a buffer has no length".to_owned())
    };
    if let Some(batch) = message.header_as_record_batch() {
        return Ok((Kind::Batch, message::check(batch, size, number)?));
    }
    if let Some(dictionary) = message.header_as_dictionary_batch() {
        let data = dictionary.data().ok_or("a dictionary has no values")?;
        let kind = Kind::Dictionary { id: dictionary.id(), delta: dictionary.isDelta() };
        return Ok((kind, message::check(data, size, number)?));
    }
    match message.header_type() {
        MessageHeader::Schema => Err("a stream has one schema, and this is another".to_owned()),
        other => Err(format!("it is a {other:?}, neither a record batch nor a dictionary")),
    }
}

/// A message's place, as a footer has it.
#[derive(Clone, Copy, Debug)]
struct Placed {
    offset: u64,
    metadata: u64,
    body: u64,
}

struct Footer {
    schema: Schema,
    dictionaries: Vec<Placed>,
    batches: Vec<Placed>,
}

/// Parses a footer that begins at byte `start`; all messages lie before it, none over another.
fn parse_footer(bytes: &[u8], start: u64) -> Result<Footer, String> {
    let footer = ipc::root_as_footer(bytes).map_err(|error| error.to_string())?;
    message::check_version(footer.version())?;
    let schema = read_schema(footer.schema().ok_or("it has no schema")?)?;
    let placed = |block: &ipc::Block| {
        let place = Placed {
            offset: u64::try_from(block.offset()).ok()?,
            metadata: u64::try_from(block.metaDataLength()).ok().filter(|length| *length <= MAX_METADATA)?,
            body: u64::try_from(block.bodyLength()).ok()?,
        };
        let end = place.offset.checked_add(place.metadata)?.checked_add(place.body)?;
        (place.offset >= HEAD && end <= start).then_some(place)
    };
    let beyond = || "a message lies beyond the file".to_owned();
    let dictionaries = footer.dictionaries().into_iter().flatten().map(placed);
    let dictionaries = dictionaries.collect::<Option<Vec<_>>>().ok_or_else(beyond)?;
    let batches = footer.recordBatches().into_iter().flatten().map(placed);
    let batches = batches.collect::<Option<Vec<_>>>().ok_or_else(beyond)?;
    let mut places: Vec<Placed> = dictionaries.iter().chain(&batches).copied().collect();
    places.sort_by_key(|place| place.offset);
    if places.windows(2).any(|pair| pair[0].offset + pair[0].metadata + pair[0].body > pair[1].offset) {
        return Err("its messages lie over one another".to_owned());
    }
    Ok(Footer { schema, dictionaries, batches })
}

fn read_schema(schema: ipc::Schema<'_>) -> Result<Schema, String> {
    if !schema.endianness().equals_to_target_endianness() {
        return Err("its numbers have the byte order of another machine, which this version cannot read".to_owned());
    }
    schema.fields().ok_or("its schema has no columns")?;
    Ok(fb_to_schema(schema))
}

/// The first column of a type that is not read, and that type.
fn unreadable(schema: &Schema) -> Option<(&str, &DataType)> {
    fn within(data_type: &DataType) -> Option<&DataType> {
        match data_type {
            DataType::Union(..) | DataType::RunEndEncoded(..) | DataType::ListView(_) | DataType::LargeListView(_) => {
                Some(data_type)
            }
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::FixedSizeList(item, _)
            | DataType::Map(item, _) => within(item.data_type()),
            DataType::Struct(fields) => fields.iter().find_map(|field| within(field.data_type())),
            DataType::Dictionary(_, values) => within(values),
            _ => None,
        }
    }
    schema.fields().iter().find_map(|field| Some((field.name().as_str(), within(field.data_type())?)))
}

/// The dictionaries that the values of `fields` refer to.
pub(super) fn dictionary_ids<'a>(fields: impl Iterator<Item = &'a Field>) -> BTreeSet<i64> {
    let mut ids = BTreeSet::new();
    let mut open: Vec<&Field> = fields.collect();
    while let Some(field) = open.pop() {
        #[expect(deprecated, reason = "there is no other way to know it, and the decoder goes by it")]
        ids.extend(field.dict_id());
        let mut data_type = field.data_type();
        while let DataType::Dictionary(_, values) = data_type {
            data_type = values;
        }
        match data_type {
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::FixedSizeList(item, _)
            | DataType::Map(item, _) => open.push(item),
            DataType::Struct(fields) => open.extend(fields.iter().map(AsRef::as_ref)),
            _ => {}
        }
    }
    ids
}
