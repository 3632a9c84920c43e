//! Where samples come from: files behind a URL become a [`Plan`], and a block of the plan becomes rows.
//!
//! A format is a module (`parquet`, `ipc`, `jsonl`, `csv`) that plans its shards and reads their blocks; `locate` finds the
//! files and knows no format's inside. Nothing here knows what a row is worth, whether it is clean, or when it is drawn.

mod access;
mod cache;
mod conform;
mod conformance;
mod csv;
mod files;
mod format;
mod ipc;
mod jsonl;
mod locate;
mod manifest;
mod mixture;
mod parquet;
mod remote;
#[cfg(test)]
mod sample;
mod schema;
mod store;
mod unpack;

pub use access::{Access, Cache};
pub use cache::CacheCounts;
pub use conformance::broken_promises;
pub use format::Format;
pub use manifest::{ManifestSummary, write_manifest};
pub use mixture::mixture;
pub use store::Ready;

use crate::{
    Block, Error, Hash, Keep, Place, Plan, Result, Shard,
    spelling::{advice, cut},
};
use arrow::{array::BooleanArray, compute::filter_record_batch, record_batch::RecordBatch};
use std::{
    cell::Cell,
    fmt,
    num::NonZero,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// One read of one block.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Index into [`Plan::blocks`].
    pub block: u32,
    /// Only these rows, counted within the block; `None` for all.
    pub rows: Option<&'a Keep>,
    /// The content hashes that are known of the block, in the order of [`Block::hashes`]; empty
    /// where none is known. What the plan itself knows is checked in any case.
    pub expected: &'a [Hash],
}

/// A row that is stored but cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// The row within its block, whichever rows were asked for.
    pub row: u32,
    /// The column at fault, where one is.
    pub column: Option<String>,
    /// What is wrong with it.
    pub what: String,
}

/// What a read yields.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The rows asked for, in order, with the columns of the plan's schema. A bad row is here too, all null, so that
    /// rows keep their numbers.
    pub data: RecordBatch,
    /// The content hashes of what was read: for Parquet one a leaf column that the stream carries, in file order, each
    /// over the whole column chunk even where the block is a part of its row group; for other formats one in all.
    pub hashes: Vec<Hash>,
    /// The rows among those asked for that could not be read, in order.
    pub bad_rows: Vec<BadRow>,
}

/// A dataset that can be read block by block, in any order, from any number of threads.
pub trait Source: Send + Sync + fmt::Debug {
    /// The plan: schema, shards and blocks.
    fn plan(&self) -> &Plan;

    /// Reads, verifies and decodes one block.
    ///
    /// # Errors
    /// [`Error::Data`] where the block is not what the plan or the expected hashes say, or cannot be decoded;
    /// [`Error::Io`] where the file cannot be read.
    fn read(&self, request: Request<'_>) -> Result<Decoded>;

    /// As [`read`](Self::read), but columns of text and binary values may come as views of the same values, where that
    /// saves a copy: `Utf8View` where the plan says `Utf8` or `LargeUtf8`, `BinaryView` where it says `Binary` or
    /// `LargeBinary`.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    fn read_views(&self, request: Request<'_>) -> Result<Decoded> {
        self.read(request)
    }

    /// What [`read_views`](Self::read_views) of `block` takes in memory besides, at most, in bytes: the plan's
    /// [`working_bytes`](Block::working_bytes), or less where no text is written out.
    fn working_bytes_of_views(&self, block: u32) -> u64 {
        self.plan().working_bytes(block)
    }

    /// From here on, memory that blocks were decoded into may be kept to be used again, as far as it comes to no more than
    /// `bytes` together with what of it is in use. A source that keeps none has nothing to do here, which is the default.
    fn may_keep(&self, bytes: u64) {
        let _ = bytes;
    }

    /// What it holds in memory beside the plan, about, in bytes.
    fn held_bytes(&self) -> u64 {
        0
    }

    /// The bytes of `rows` of a block, ascending, as they are stored, each cut to `most`: what a quarantine shows of bad
    /// rows. `None` for each that is not to be had, as where the format keeps no row in one piece.
    fn stored_rows(&self, _block: u32, rows: &[u32], _most: usize) -> Vec<Option<StoredBytes>> {
        vec![None; rows.len()]
    }

    /// Begins to bring what [`read`](Self::read) of `block` will need to this machine, without waiting for it, and drops
    /// `ready` once it is here or will not come; `read` then says why. Called on one thread, in the order in which the
    /// stream needs the blocks. A source that reads at once has nothing to do here, which is the default.
    fn fetch(&self, block: u32, ready: Ready) {
        let _ = (block, ready);
    }

    /// How many bytes [`fetch`](Self::fetch) holds of `block` until it is read. Where that is more
    /// than the plan's [`working_bytes`](Block::working_bytes), it is what counts in the stream's memory.
    fn fetched_bytes(&self, block: u32) -> u64 {
        let _ = block;
        0
    }

    /// From here on, blocks are fetched in this order, as far as the stream knows: what a cache goes by.
    fn expect(&self, blocks: &mut dyn Iterator<Item = u32>) {
        let _ = blocks;
    }

    /// Blocks that can be read in order only, each range those of one shard: the stream keeps them together and in order.
    fn in_order(&self) -> Vec<Range<u32>> {
        Vec::new()
    }

    /// What a cache had so far, where there is one.
    fn cache_counts(&self) -> Option<CacheCounts> {
        None
    }
}

/// Bytes as they are stored, for a person to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBytes {
    /// How many there are.
    pub length: u64,
    /// The first of them.
    pub head: Vec<u8>,
}

impl StoredBytes {
    fn cut(bytes: &[u8], most: usize) -> Self {
        Self { length: bytes.len() as u64, head: bytes[..bytes.len().min(most)].to_vec() }
    }
}

/// The bytes of a block as they are stored now, whatever its hash, cut to `most`; `None` where it does not lie in one piece
/// of a local file.
#[must_use]
pub fn stored_block(plan: &Plan, block: u32, most: usize) -> Option<StoredBytes> {
    let block = plan.blocks.get(block as usize)?;
    let (offset, length) = block.span.piece()?;
    let shard = plan.shards.get(block.shard as usize)?;
    if unpack::Compression::of_name(&shard.path).is_some() {
        return None;
    }
    let mut file = files::Opened::open(&shard.path).ok()?;
    let there = length.min(file.length.checked_sub(offset)?);
    let head = file.read(offset, there.min(most as u64)).ok()?;
    Some(StoredBytes { length: there, head })
}

/// Picks `rows`, ascending, out of all rows of a block.
fn picked_rows<'a>(all: impl Iterator<Item = &'a [u8]>, rows: &[u32], most: usize) -> Vec<Option<StoredBytes>> {
    let mut picked = vec![None; rows.len()];
    let mut wanted = rows.iter().zip(&mut picked).peekable();
    for (row, bytes) in (0_u32..).zip(all) {
        let Some((_, place)) = wanted.next_if(|(wanted, _)| **wanted == row) else { continue };
        *place = Some(StoredBytes::cut(bytes, most));
    }
    picked
}

/// Which data to open, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// A path, a folder (all files of a known format in it), a glob, or a URL: `file://`, `s3://`, `gs://`, `az://`,
    /// `http://`, `https://`.
    pub url: String,
    /// The format; `None` to tell it from the files' endings.
    pub format: Option<Format>,
    /// The top-level columns that the stream carries, in this order; `None` for all.
    pub columns: Option<Vec<String>>,
    /// The manifest; `None` for `_arable_manifest.json` in the longest wildcard-free folder of the URL, if it is there.
    pub manifest: Option<PathBuf>,
    /// How many bytes a block may take once decoded. Larger row groups are cut into row ranges; text is cut smaller;
    /// a larger Arrow record batch is refused.
    pub block_limit: u64,
    /// How shards are reached.
    pub access: Access,
}

impl Options {
    /// 64 MiB: a quarter of a budget of 256 MiB.
    pub const DEFAULT_BLOCK_LIMIT: u64 = 64 << 20;

    /// All columns of the data at `url`, in blocks of at most [`Self::DEFAULT_BLOCK_LIMIT`].
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            format: None,
            columns: None,
            manifest: None,
            block_limit: Self::DEFAULT_BLOCK_LIMIT,
            access: Access::default(),
        }
    }
}

/// Finds the files, plans them, and checks the plan against the manifest where there is one.
///
/// # Errors
/// [`Error::Recipe`] where the URL, the format or a column cannot be had; [`Error::Data`] where a shard is damaged, has
/// another schema than the others, or is not what the manifest says; [`Error::Io`] where a file cannot be read.
pub fn open(options: &Options) -> Result<Arc<dyn Source>> {
    planned(options).map_err(|fault| fault.of_dataset(remote::shown(&options.url)))
}

fn planned(options: &Options) -> Result<Arc<dyn Source>> {
    let found = locate::locate(&options.url, options.format, &options.access)?;
    let manifest = manifest::Manifest::find(options.manifest.as_deref(), &found)?;
    if let Some(manifest) = &manifest {
        manifest.check_shards(&found)?;
    }
    Ok(match found.format {
        Format::Parquet => Arc::new(parquet::ParquetSource::open(options, &found, manifest.as_ref())?),
        Format::Arrow => Arc::new(ipc::IpcSource::open(options, &found, manifest.as_ref())?),
        Format::Jsonl => Arc::new(jsonl::JsonlSource::open(options, &found, manifest.as_ref())?),
        Format::Csv | Format::Tsv => Arc::new(csv::CsvSource::open(options, &found, manifest.as_ref())?),
    })
}

/// The indices of `columns` among the `names` of a schema, in the order asked for.
fn project<'a>(columns: Option<&[String]>, names: impl Iterator<Item = &'a str>) -> Result<Vec<usize>> {
    let names: Vec<&str> = names.collect();
    let Some(columns) = columns else { return Ok((0..names.len()).collect()) };
    let mut picked = Vec::with_capacity(columns.len());
    for column in columns {
        let index = names.iter().position(|name| name == column).ok_or_else(|| {
            Error::recipe(format!("the data have no column `{}`{}", cut(column), advice(column, &names, "they have")))
        })?;
        if picked.contains(&index) {
            return Err(Error::recipe(format!("column `{column}` is asked for twice; leave one out")));
        }
        picked.push(index);
    }
    Ok(picked)
}

/// The block that `request` asks for, if what it asks can be of that block.
fn block_of<'a>(plan: &'a Plan, request: Request<'_>) -> Result<&'a Block> {
    let block = plan.blocks.get(request.block as usize).ok_or_else(|| {
        Error::recipe(format!("the plan has {} blocks, and block {} is asked for", plan.blocks.len(), request.block))
    })?;
    match request.rows {
        Some(keep) if keep.rows() != block.rows => {
            let what = format!("rows are picked from {}, and the block has {}", keep.rows(), block.rows);
            Err(Error::data(plan.place(request.block), what))
        }
        _ => Ok(block),
    }
}

/// The bytes of a block that lies in one piece, read and verified.
struct Stored<'a> {
    place: Place,
    block: &'a Block,
    file: files::Opened,
    bytes: Vec<u8>,
    hashes: Vec<Hash>,
}

/// Reads the one piece that the block of `request` lies in, and holds its hash against what is known of it.
fn stored<'a>(store: &store::Store, plan: &'a Plan, request: Request<'_>) -> Result<Stored<'a>> {
    let place = plan.place(request.block);
    let block = block_of(plan, request)?;
    let Some((offset, length)) = block.span.piece() else {
        return Err(Error::data(place, "this is a row group, and not a block that lies in one piece"));
    };
    let shard = &plan.shards[block.shard as usize];
    let mut file = store.open_block(request.block, shard, &place)?;
    let bytes = file.read(offset, length)?;
    let hashes = vec![Hash::of(&bytes)];
    verify(&place, &[], &block.hashes, &hashes)?;
    verify(&place, &[], request.expected, &hashes)?;
    Ok(Stored { place, block, file, bytes, hashes })
}

/// Where the block `block`, which lies in one piece, lies: its shard and its bytes.
fn piece(plan: &Plan, block: u32) -> Option<(&Shard, Range<u64>)> {
    let block = plan.blocks.get(block as usize)?;
    let (offset, length) = block.span.piece()?;
    Some((plan.shards.get(block.shard as usize)?, offset..offset.saturating_add(length)))
}

/// Compares the hashes of what was read with those `expected`, if any are; `names` are the columns they are of, none
/// where there is one hash for the whole block.
fn verify(place: &Place, names: &[String], expected: &[Hash], found: &[Hash]) -> Result<()> {
    if expected.is_empty() {
        return Ok(());
    }
    if expected.len() != found.len() {
        let what = format!("{} content hashes are expected, and it has {}", expected.len(), found.len());
        return Err(Error::data(place.clone(), what));
    }
    match expected.iter().zip(found).position(|(expected, found)| expected != found) {
        None => Ok(()),
        Some(index) => {
            let place = names.get(index).into_iter().fold(place.clone(), |place, name| place.column(name));
            let what = format!(
                "its content hash is {}, and {} was recorded: the data changed or are damaged since; restore them, or \
                 make the plan and its manifest anew",
                found[index], expected[index]
            );
            Err(Error::data(place, what))
        }
    }
}

/// Why a block cannot be decoded.
#[derive(Debug)]
struct Failure {
    column: Option<String>,
    what: String,
}

impl From<String> for Failure {
    fn from(what: String) -> Self {
        Self { column: None, what }
    }
}

impl Failure {
    fn at(self, place: Place) -> Error {
        let place = self.column.into_iter().fold(place, Place::column);
        Error::data(place, format!("the block cannot be decoded: {}", self.what))
    }
}

/// The rows of a whole block that are kept.
fn picked(data: RecordBatch, keep: Option<&Keep>) -> Result<RecordBatch, String> {
    let Some(keep) = keep else { return Ok(data) };
    let mask: BooleanArray = (0..keep.rows()).map(|row| Some(keep.is_kept(row))).collect();
    filter_record_batch(&data, &mask).map_err(|error| error.to_string())
}

thread_local! {
    static SHIELDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread runs a decoder whose panic becomes an error: a panic hook need not speak of it.
#[must_use]
pub fn is_shielded() -> bool {
    SHIELDED.get()
}

/// Runs a decoder that is not ours; its panic is an error like any other.
fn shielded<T>(decode: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let before = SHIELDED.replace(true);
    let decoded = catch_unwind(AssertUnwindSafe(decode));
    SHIELDED.set(before);
    decoded.unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<&str>().copied().map(str::to_owned);
        let message = message.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Err(format!("the decoder gave up: {message}"))
    })
}

/// How many threads planning takes.
fn threads(tasks: usize) -> usize {
    /// Planning waits for the disk at least as much as for the processor; beyond this more threads gain nothing.
    const MOST: usize = 16;
    thread::available_parallelism().map_or(1, NonZero::get).min(MOST).min(tasks.max(1))
}

/// `task` of each of `0..count`, over several threads, in order; of several errors the first by number.
fn in_parallel<T: Send>(count: usize, task: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(count));
    thread::scope(|scope| {
        for _ in 0..threads(count) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        break;
                    }
                    let result = task(index);
                    // After an error nothing more is begun; what was begun before it, by number, is finished.
                    if result.is_err() {
                        next.store(count, Ordering::Relaxed);
                    }
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projection_keeps_the_order_asked_for_and_names_the_nearest_column() {
        let names = || ["text", "label", "id"].into_iter();
        let ask = |columns: &[&str]| {
            let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
            project(Some(&columns), names())
        };
        assert_eq!(project(None, names()).unwrap(), [0, 1, 2]);
        assert_eq!(ask(&["id", "text"]).unwrap(), [2, 0]);
        assert_eq!(ask(&[]).unwrap(), [0_usize; 0]);
        let error = ask(&["labels"]).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("did you mean `label`"), "{error}");
        assert!(ask(&["id", "id"]).is_err());
    }

    #[test]
    fn the_first_error_by_number_wins() {
        let result =
            in_parallel(50, |index| if index % 7 == 3 { Err(Error::recipe(index.to_string())) } else { Ok(index) });
        assert_eq!(result.unwrap_err().to_string(), "3");
        assert_eq!(in_parallel(50, Ok).unwrap(), (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn a_panicking_decoder_is_an_error() {
        let error = shielded::<()>(|| panic!("bad {}", 1)).unwrap_err();
        assert!(error.contains("bad 1"));
    }
}
