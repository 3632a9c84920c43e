//! Bytes kept on this machine, in a folder that processes share: what was read of remote objects, and unpacked text.
//!
//! The folder never holds more than its limit. What it holds is written beside its place and renamed, and checked by hash
//! whenever it is read, so that a process may be killed at any moment. What is needed last goes first (Belady 1966): the
//! stream says what it will read. Knows no format and no store.

mod entry;
#[cfg(test)]
mod tests;

pub(super) use entry::{Entry, Writer};

use crate::{Error, Hash, Result};
use entry::ENDING;
use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

/// The folder's own folder, so that another layout may live beside it.
const LAYOUT: &str = "arable-1";
/// Holds the lock, and how many bytes are taken.
const LOCK: &str = "lock";
/// What is being written.
const PART: &str = "part";

/// What a piece of data is known by: a hash over where it comes from, in which version.
pub(super) type Key = Hash;

/// Hits and misses of a cache so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Pieces that were here, and whole.
    pub hits: u64,
    /// Pieces that had to be fetched.
    pub misses: u64,
    /// Bytes that the hits saved.
    pub hit_bytes: u64,
}

/// A cache's folder, and what the stream will read next.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    limit: u64,
    /// Locked against other processes; the mutex is against threads of this one.
    lock: Mutex<File>,
    uses: Mutex<Uses>,
    written: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
    hit_bytes: AtomicU64,
}

/// When each piece is read again, counted in reads.
#[derive(Debug, Default)]
struct Uses(BTreeMap<Key, VecDeque<u64>>);

impl Uses {
    fn next(&self, key: &Key) -> Option<u64> {
        self.0.get(key).and_then(|uses| uses.front().copied())
    }
}

/// The folder, locked against all others.
struct Locked<'a> {
    file: MutexGuard<'a, File>,
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // The lock goes with the process too; nothing can be done about a failure.
        drop(self.file.unlock());
    }
}

impl Locked<'_> {
    fn taken(&mut self) -> std::io::Result<u64> {
        let mut bytes = [0; 8];
        self.file.seek(SeekFrom::Start(0))?;
        self.file.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn set_taken(&mut self, taken: u64) -> std::io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&taken.to_le_bytes())
    }
}

/// A file of the folder.
#[derive(Debug)]
struct Found {
    path: PathBuf,
    key: Key,
    bytes: u64,
    used: SystemTime,
}

impl Cache {
    /// Opens `folder`, which is made if need be, and holds it to `limit` bytes.
    pub(super) fn open(folder: &Path, limit: u64) -> Result<Self> {
        let folder = folder.join(LAYOUT);
        fs::create_dir_all(&folder).map_err(Error::io("write", &folder))?;
        let path = folder.join(LOCK);
        let lock = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let cache = Self {
            lock: Mutex::new(lock.map_err(Error::io("write", &path))?),
            folder,
            limit,
            uses: Mutex::default(),
            written: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            hit_bytes: AtomicU64::new(0),
        };
        // What a killed process left is cleared away, and what is here is counted.
        let cleared = cache.locked().and_then(|mut locked| cache.make_room(&mut locked, 0, None));
        cleared.map_err(Error::io("write", path))?;
        Ok(cache)
    }

    /// From here on, the pieces `keys` are read, in this order.
    pub(super) fn expect(&self, keys: impl Iterator<Item = Key>) {
        let mut uses = Uses::default();
        keys.zip(0..).for_each(|(key, time)| uses.0.entry(key).or_default().push_back(time));
        *self.uses.lock().unwrap_or_else(PoisonError::into_inner) = uses;
    }

    /// The piece `key`, if it is here.
    pub(super) fn get(&self, key: &Key) -> Option<Entry> {
        let found = Entry::open(&self.path(key), key);
        if found.is_none() {
            self.misses.fetch_add(1, Ordering::Relaxed);
        }
        found
    }

    /// The whole piece `key`, if it is here and what it was. It counts as one of the reads that were
    /// [expected](Self::expect).
    pub(super) fn read(&self, key: &Key) -> Option<Vec<u8>> {
        if let Some(uses) = self.uses.lock().unwrap_or_else(PoisonError::into_inner).0.get_mut(key) {
            uses.pop_front();
        }
        let entry = self.get(key)?;
        let bytes = entry.read(0..entry.length());
        match &bytes {
            Some(bytes) => self.hit(bytes.len() as u64),
            None => {
                self.misses.fetch_add(1, Ordering::Relaxed);
                self.discard(key);
            }
        }
        bytes
    }

    /// Counts a hit of `bytes`.
    pub(super) fn hit(&self, bytes: u64) {
        self.hits.fetch_add(1, Ordering::Relaxed);
        self.hit_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Keeps `bytes` as `key`, if there is room, or something here is needed later than it.
    pub(super) fn put(&self, key: &Key, bytes: &[u8]) {
        let kept = self.writer(key).and_then(|mut writer| {
            writer.write(self, bytes)?;
            writer.finish(self).map(drop)
        });
        if let Err(fault) = kept {
            // What is not kept is fetched again; that is all.
            tracing::debug!("not kept in the cache: {fault}");
        }
    }

    /// Begins a new piece `key`.
    pub(super) fn writer(&self, key: &Key) -> Result<Writer> {
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("{key}-{}-{number}.{PART}", std::process::id()));
        let _locked = self.locked().map_err(Error::io("write", &path))?;
        Writer::create(*key, path.clone()).map_err(Error::io("write", path))
    }

    /// Takes a damaged piece away.
    pub(super) fn discard(&self, key: &Key) {
        let path = self.path(key);
        let discarded = self.locked().and_then(|mut locked| {
            let bytes = fs::metadata(&path)?.len();
            fs::remove_file(&path)?;
            let taken = locked.taken()?;
            locked.set_taken(taken.saturating_sub(bytes))
        });
        if let Err(fault) = discarded {
            tracing::debug!("`{}` cannot be taken out of the cache: {fault}", path.display());
        }
    }

    /// What was found here so far, and what was not.
    pub(super) fn counts(&self) -> CacheCounts {
        CacheCounts {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            hit_bytes: self.hit_bytes.load(Ordering::Relaxed),
        }
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(format!("{key}.{ENDING}"))
    }

    fn locked(&self) -> std::io::Result<Locked<'_>> {
        let file = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        file.lock()?;
        let mut locked = Locked { file };
        if locked.file.metadata()?.len() < 8 {
            locked.set_taken(8)?;
        }
        Ok(locked)
    }

    /// Takes `bytes` more of the limit for the piece `key`, whose file grows to `total`. Counted before they are written,
    /// so that a process that is killed has counted too much and never too little.
    fn reserve(&self, key: &Key, file: &File, bytes: u64, total: u64) -> Result<()> {
        let failed = || Error::io("write", &self.folder);
        let mut locked = self.locked().map_err(failed())?;
        let taken = locked.taken().map_err(failed())?;
        if taken.saturating_add(bytes) > self.limit
            && !self.make_room(&mut locked, bytes, Some(key)).map_err(failed())?
        {
            return Err(Error::recipe(format!(
                "the cache `{}` may hold {} bytes, and {bytes} more do not fit; raise [stream] cache_limit",
                self.folder.display(),
                self.limit
            )));
        }
        let taken = locked.taken().map_err(failed())?;
        locked.set_taken(taken + bytes).map_err(failed())?;
        file.set_len(total).map_err(failed())
    }

    /// Puts a finished file of `bytes` in its place; so many of the bytes that it reserved were not needed.
    fn settle(&self, key: &Key, part: &Path, bytes: u64, spare: u64) -> Result<PathBuf> {
        let path = self.path(key);
        let failed = || Error::io("write", &path);
        let mut locked = self.locked().map_err(failed())?;
        let replaced = fs::metadata(&path).map_or(0, |about| about.len());
        fs::rename(part, &path).map_err(failed())?;
        let taken = locked.taken().map_err(failed())?;
        tracing::trace!("{bytes} bytes kept as {key}");
        locked.set_taken(taken.saturating_sub(spare + replaced)).map_err(failed())?;
        Ok(path)
    }

    /// Gives back the bytes of a file that was not finished.
    fn give_up(&self, part: &Path, bytes: u64) {
        let given = self.locked().and_then(|mut locked| {
            fs::remove_file(part)?;
            let taken = locked.taken()?;
            locked.set_taken(taken.saturating_sub(bytes))
        });
        if let Err(fault) = given {
            tracing::debug!("`{}` cannot be taken out of the cache: {fault}", part.display());
        }
    }

    /// Counts what is here, and takes away what is needed last until `bytes` more fit; whether they do. Nothing goes that
    /// is in use, or that is needed before the piece `wanted` is. What nobody has asked for goes first, oldest first.
    fn make_room(&self, locked: &mut Locked<'_>, bytes: u64, wanted: Option<&Key>) -> std::io::Result<bool> {
        let (mut taken, mut found) = self.look()?;
        let uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        let own = wanted.and_then(|key| uses.next(key)).unwrap_or(u64::MAX);
        found.retain(|file| uses.next(&file.key).is_none_or(|next| next > own));
        found.sort_by(|a, b| {
            let next = |file: &Found| uses.next(&file.key).unwrap_or(u64::MAX);
            next(b).cmp(&next(a)).then(a.used.cmp(&b.used))
        });
        for file in found {
            if taken.saturating_add(bytes) <= self.limit {
                break;
            }
            let opened = File::open(&file.path)?;
            // Who reads it holds it shared.
            if opened.try_lock().is_ok() {
                fs::remove_file(&file.path)?;
                taken -= file.bytes;
            }
        }
        locked.set_taken(taken)?;
        Ok(taken.saturating_add(bytes) <= self.limit)
    }

    /// How many bytes the folder holds, and its pieces. What a process that is gone left unfinished is removed.
    fn look(&self) -> std::io::Result<(u64, Vec<Found>)> {
        let (mut taken, mut found) = (0, Vec::new());
        for file in fs::read_dir(&self.folder)? {
            let path = file?.path();
            let about = fs::metadata(&path)?;
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
            // Who writes it holds it alone.
            if ending == PART && File::open(&path)?.try_lock().is_ok() {
                fs::remove_file(&path)?;
                continue;
            }
            taken += about.len();
            if let (ENDING, Ok(key)) = (ending, stem.parse::<Hash>()) {
                found.push(Found { bytes: about.len(), used: about.modified()?, key, path });
            }
        }
        Ok((taken, found))
    }
}

/// The user's own folder for what can be made again.
pub(super) fn default_folder() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .or_else(|| set("LOCALAPPDATA"))
        .unwrap_or_else(std::env::temp_dir)
        .join("arable")
}
