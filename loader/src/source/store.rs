//! Where the shards of a dataset lie, and the fetch stage: what a block needs is brought here before a worker is asked to
//! decode it, so that no worker waits for a network. Knows no format, and of a block only which ranges it needs.

use super::{
    access::{Access, Cache as Where},
    cache::{self, Cache, CacheCounts, Entry},
    files::Opened,
    remote::{Held, Remote},
    unpack::{Compression, Unpacking},
};
use crate::{Error, Hash, Place, Plan, Result, Shard};
use object_store::path::Path as Key;
use std::{
    collections::BTreeMap,
    fmt, fs,
    ops::Range,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::UNIX_EPOCH,
};

/// A signal that a block's bytes are here, or will not come. It is given when this is dropped, so exactly once.
pub struct Ready(Option<Box<dyn FnOnce() + Send>>);

impl Ready {
    /// Calls `then` once.
    pub fn new(then: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(then)))
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        if let Some(then) = self.0.take() {
            then();
        }
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ready")
    }
}

/// Where the shards of a dataset lie.
#[derive(Clone, Debug)]
pub(super) struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shards: Shards,
    cache: Option<Arc<Cache>>,
    /// Whether blocks of remote objects are kept in the cache, and not only what has to be unpacked.
    keeps_blocks: bool,
    /// The unpacked shards, held so that they stay.
    unpacked: Mutex<BTreeMap<String, Arc<Entry>>>,
    /// Where there is no cache: who unpacks shards in order.
    in_order: Option<mpsc::Sender<Order>>,
    /// What was fetched for blocks that no worker has come for yet.
    fetched: Arc<Mutex<Fetched>>,
}

/// By block; a block may be under way twice, for the end of one epoch and the start of the next.
type Fetched = BTreeMap<u32, Vec<Result<Held>>>;

/// The shards as they lie there, compressed ones too.
#[derive(Clone, Debug)]
struct Shards {
    remote: Option<Arc<Remote>>,
    /// What the window of a zstd stream may take in bytes.
    window: u64,
}

/// A range of a shard's text that is wanted, after those that were wanted before.
struct Order {
    path: String,
    range: Range<u64>,
    then: Box<dyn FnOnce(Result<Vec<u8>>) + Send>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shards {
    fn open(&self, path: &str) -> Result<Opened> {
        match &self.remote {
            None => Opened::open(path),
            Some(remote) => remote.open(path, Held::default()),
        }
    }

    /// Begins to unpack the shard at `path`; `None` if it is not compressed.
    fn unpacking(&self, path: &str) -> Result<Option<(u64, Unpacking)>> {
        let Some((_, compression)) = Compression::of_name(path) else { return Ok(None) };
        let file = self.open(path)?;
        let stored = file.stored;
        Unpacking::begin(file, path, compression, self.window).map(|unpacking| Some((stored, unpacking)))
    }

    /// What tells this version of the shard at `path` from another.
    fn version(&self, path: &str) -> Result<String> {
        if let Some(remote) = &self.remote {
            return remote.version(path);
        }
        let about = fs::metadata(path).map_err(Error::io("read", path))?;
        let modified = about.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let path = std::path::absolute(path).map_err(Error::io("read", path))?;
        Ok(format!("{} {} {}", path.display(), about.len(), modified.as_nanos()))
    }

    /// Unpacks shards in the order in which their ranges are wanted, until nobody wants any more.
    fn unpack_in_order(&self, orders: mpsc::Receiver<Order>) {
        let mut current: Option<(String, Unpacking)> = None;
        for Order { path, range, then } in orders {
            let usable = current.take().filter(|(open, unpacking)| *open == path && unpacking.at() <= range.start);
            let unpacking = usable.map_or_else(
                || self.unpacking(&path)?.map(|(_, unpacking)| (path.clone(), unpacking)).ok_or_else(|| no_text(&path)),
                Ok,
            );
            then(unpacking.and_then(|mut open| {
                let bytes = open.1.read(range.start, range.end - range.start)?;
                current = Some(open);
                Ok(bytes)
            }));
        }
    }
}

fn no_text(path: &str) -> Error {
    Error::data(Place::shard(path), "this is no compressed text")
}

impl Store {
    /// The local disk, with nothing compressed on it.
    #[cfg(test)]
    pub(super) fn local() -> Self {
        let shards = Shards { remote: None, window: 0 };
        Self(Arc::new(Inner {
            shards,
            cache: None,
            keeps_blocks: false,
            unpacked: Mutex::default(),
            in_order: None,
            fetched: Arc::default(),
        }))
    }

    /// The local disk, or `remote`; `compressed` says whether any of the shards is.
    pub(super) fn new(remote: Option<Remote>, compressed: bool, access: &Access) -> Result<Self> {
        let shards = Shards { remote: remote.map(Arc::new), window: access.window };
        let folder = match &access.cache {
            Where::Folder(folder) if compressed || shards.remote.is_some() => Some(folder.clone()),
            Where::Unpacked if compressed => Some(cache::default_folder()),
            _ => None,
        };
        let cache = folder.map(|folder| Cache::open(&folder, access.cache_limit).map(Arc::new)).transpose()?;
        let in_order = if compressed && cache.is_none() {
            let (sender, orders) = mpsc::channel();
            let shards = shards.clone();
            let unpacking = thread::Builder::new().name("arable-unpack".into());
            unpacking
                .spawn(move || shards.unpack_in_order(orders))
                .map_err(Error::io("start", "the thread that unpacks"))?;
            Some(sender)
        } else {
            None
        };
        Ok(Self(Arc::new(Inner {
            keeps_blocks: shards.remote.is_some() && matches!(access.cache, Where::Folder(_)),
            shards,
            cache,
            unpacked: Mutex::default(),
            in_order,
            fetched: Arc::default(),
        })))
    }

    /// The store, and the key as it knows it, of the object `key`, which is named `name` in messages.
    fn object(&self, key: &str, name: &Path) -> Result<(&Remote, Key, String)> {
        let name = name.to_string_lossy().into_owned();
        let remote = self.0.shards.remote.as_deref();
        let remote = remote.ok_or_else(|| Error::data(Place::shard(&name), "this is no object of a store"))?;
        let key = Key::parse(key).map_err(|error| Error::recipe(format!("`{name}`: {error}")))?;
        Ok((remote, key, name))
    }

    /// The whole object `key`, named `name`, if it is there and has at most `most` bytes.
    pub(super) fn whole(&self, key: &str, name: &Path, most: u64) -> Result<Option<Vec<u8>>> {
        let (remote, key, name) = self.object(key, name)?;
        remote.whole(&key, &name, most)
    }

    /// Whether there is an object `key`, named `name`.
    pub(super) fn exists(&self, key: &str, name: &Path) -> Result<bool> {
        let (remote, key, name) = self.object(key, name)?;
        Ok(remote.find(&key, &name)?.is_some())
    }

    /// Writes the object `key`, named `name`, as a whole.
    pub(super) fn put(&self, key: &str, name: &Path, bytes: Vec<u8>) -> Result<()> {
        let (remote, key, name) = self.object(key, name)?;
        remote.put(&key, &name, bytes)
    }

    /// Opens the shard at `path`, unpacked.
    pub(super) fn open(&self, path: &str) -> Result<Opened> {
        if self.0.cache.is_some() && Compression::of_name(path).is_some() {
            let stored = self.0.shards.open(path)?.stored;
            return Ok(Opened::unpacked(path, stored, self.clone(), self.entry(path)?));
        }
        match self.0.shards.unpacking(path)? {
            Some((stored, unpacking)) => Ok(Opened::unpacking(path, stored, unpacking)),
            None => self.0.shards.open(path),
        }
    }

    /// Opens `shard`, which must be as long as the plan saw it.
    pub(super) fn open_unchanged(&self, shard: &Shard) -> Result<Opened> {
        self.open(&shard.path)?.unchanged(shard.bytes, &Place::shard(&shard.path))
    }

    /// Opens the shard of `block`, at `place`, with what was fetched for it.
    pub(super) fn open_block(&self, block: u32, shard: &Shard, place: &Place) -> Result<Opened> {
        let mut fetched = lock(&self.0.fetched);
        let held = fetched.get_mut(&block).and_then(Vec::pop);
        if fetched.get(&block).is_some_and(Vec::is_empty) {
            fetched.remove(&block);
        }
        drop(fetched);
        let opened = match (held.transpose(), &self.0.shards.remote) {
            (Err(error), _) => Err(error),
            (Ok(None), _) => self.open(&shard.path),
            (Ok(Some(held)), _) if self.is_in_order(&shard.path) => Ok(Opened::held(&shard.path, shard.bytes, held)),
            (Ok(Some(held)), Some(remote)) => remote.open(&shard.path, held),
            (Ok(Some(_)), None) => self.open(&shard.path),
        };
        opened.map_err(|error| error.within(place))?.unchanged(shard.bytes, place)
    }

    /// Begins to bring the `ranges` of the shard at `path` that `block` needs.
    pub(super) fn fetch(&self, block: u32, path: &str, ranges: &[Range<u64>], ready: Ready) {
        let fetched = Arc::clone(&self.0.fetched);
        let then = move |held| {
            lock(&fetched).entry(block).or_default().push(held);
            drop(ready);
        };
        if self.is_in_order(path) {
            let (Some(orders), [range]) = (&self.0.in_order, ranges) else { return };
            let start = range.start;
            let then = move |read: Result<Vec<u8>>| then(read.map(|bytes| Held::of(start, bytes)));
            // The thread ends only when this sender is dropped.
            drop(orders.send(Order { path: path.to_owned(), range: range.clone(), then: Box::new(then) }));
        } else if let (Some(remote), None) = (&self.0.shards.remote, Compression::of_name(path)) {
            let cache = self.0.cache.as_ref().filter(|_| self.0.keeps_blocks);
            remote.fetch(path, ranges, cache.map(Arc::clone), then);
        }
    }

    /// The bytes that are held for a block that needs `ranges` of the shard at `path`, between fetch and read.
    pub(super) fn held_bytes(&self, path: &str, ranges: &[Range<u64>]) -> u64 {
        let is_remote = self.0.shards.remote.is_some() && Compression::of_name(path).is_none();
        if !is_remote && !self.is_in_order(path) {
            return 0;
        }
        Remote::coalesced(ranges).iter().map(|range| range.end - range.start).sum()
    }

    /// From here on, blocks are fetched whose `ranges` of shards, by path, are these, in this order.
    pub(super) fn expect<'a>(&self, ranges: impl Iterator<Item = (&'a str, Vec<Range<u64>>)>) {
        let (Some(cache), Some(remote), true) = (&self.0.cache, &self.0.shards.remote, self.0.keeps_blocks) else {
            return;
        };
        let keys = ranges.filter(|(path, _)| Compression::of_name(path).is_none());
        cache.expect(keys.flat_map(|(path, ranges)| remote.keys(path, &ranges)));
    }

    /// What the cache had so far, where there is one.
    pub(super) fn cache_counts(&self) -> Option<CacheCounts> {
        self.0.cache.as_ref().map(|cache| cache.counts())
    }

    fn is_in_order(&self, path: &str) -> bool {
        self.0.in_order.is_some() && Compression::of_name(path).is_some()
    }

    /// The blocks of each shard that can be read in order only.
    pub(super) fn in_order(&self, plan: &Plan) -> Vec<Range<u32>> {
        let mut ranges: Vec<(u32, Range<u32>)> = Vec::new();
        for (number, block) in (0..).zip(&plan.blocks) {
            let path = plan.shards.get(block.shard as usize).map_or("", |shard| shard.path.as_str());
            match ranges.last_mut() {
                Some((shard, range)) if *shard == block.shard => range.end = number + 1,
                _ if self.is_in_order(path) => ranges.push((block.shard, number..number + 1)),
                _ => {}
            }
        }
        ranges.into_iter().map(|(_, range)| range).collect()
    }

    /// The unpacked shard at `path`, from the cache; into it first, if it is not there.
    pub(super) fn entry(&self, path: &str) -> Result<Arc<Entry>> {
        if let Some(entry) = lock(&self.0.unpacked).get(path) {
            return Ok(Arc::clone(entry));
        }
        let cache = self.0.cache.as_ref().ok_or_else(|| no_text(path))?;
        let key = Hash::of(format!("unpacked {}", self.0.shards.version(path)?).as_bytes());
        let entry = match cache.get(&key) {
            Some(entry) => {
                cache.hit(entry.length());
                entry
            }
            None => self.unpack(cache, &key, path)?,
        };
        // Whoever else unpacked it meanwhile wrote the same.
        Ok(Arc::clone(lock(&self.0.unpacked).entry(path.to_owned()).or_insert_with(|| Arc::new(entry))))
    }

    fn unpack(&self, cache: &Cache, key: &cache::Key, path: &str) -> Result<Entry> {
        let (_, mut unpacking) = self.0.shards.unpacking(path)?.ok_or_else(|| no_text(path))?;
        let mut writer = cache.writer(key)?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = unpacking.read_some(&mut buffer)?;
            if read == 0 {
                return writer.finish(cache);
            }
            writer.write(cache, &buffer[..read]).map_err(|error| {
                Error::recipe(format!(
                    "shard `{path}` unpacks to more than {} bytes: {error}, or set [stream] cache = \"off\" to read it \
                     in order",
                    unpacking.at()
                ))
            })?;
        }
    }

    /// Unpacks the shard at `path` again, whose entry was damaged.
    pub(super) fn unpack_again(&self, path: &str) -> Result<Arc<Entry>> {
        tracing::warn!("the unpacked text of `{path}` is damaged in the cache, and is unpacked again");
        lock(&self.0.unpacked).remove(path);
        if let Some(cache) = &self.0.cache {
            let key = Hash::of(format!("unpacked {}", self.0.shards.version(path)?).as_bytes());
            cache.discard(&key);
        }
        self.entry(path)
    }
}
