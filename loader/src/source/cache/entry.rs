//! One piece of a cache as a file: the bytes, a hash of each MiB of them, and what they are. Written once, under a lock of
//! its own, so that a file that nobody holds was left by a process that is gone.

use super::{Cache, Key};
use crate::{Error, Hash, Result};
use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    ops::Range,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

/// What a finished file ends in.
pub(super) const ENDING: &str = "piece";
const MAGIC: &[u8; 8] = b"arable1\n";
/// What is hashed, and read, at once.
const CHUNK: u64 = 1 << 20;
const HASH: u64 = 32;
/// Length, key and magic.
const TAIL: u64 = 8 + HASH + 8;
/// What a writer reserves at once.
const STEP: u64 = 64 << 20;

/// The length of the file of a piece of `length` bytes.
const fn file_length(length: u64) -> u64 {
    length.saturating_add(length.div_ceil(CHUNK).saturating_mul(HASH)).saturating_add(TAIL)
}

/// A piece that is here. As long as this lives it stays.
#[derive(Debug)]
pub(in super::super) struct Entry {
    file: Mutex<File>,
    length: u64,
    hashes: Vec<Hash>,
}

impl Entry {
    /// Opens the file at `path` if it is the piece `key`, as far as its last bytes tell.
    pub(super) fn open(path: &Path, key: &Key) -> Option<Self> {
        let file = File::open(path).ok()?;
        file.lock_shared().ok()?;
        let entry = Self::parse(file, key).ok().flatten()?;
        // For caches that know no next use of it, this is when it was used last.
        let touched = OpenOptions::new().write(true).open(path).and_then(|file| file.set_modified(SystemTime::now()));
        drop(touched);
        Some(entry)
    }

    fn parse(mut file: File, key: &Key) -> std::io::Result<Option<Self>> {
        let whole = file.metadata()?.len();
        let Some(start) = whole.checked_sub(TAIL) else { return Ok(None) };
        let mut tail = [0; TAIL as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut tail)?;
        let (length, rest) = tail.split_at(8);
        let length = length.first_chunk().copied().map_or(0, u64::from_le_bytes);
        if rest[..32] != key.0 || rest[32..] != MAGIC[..] || file_length(length) != whole {
            return Ok(None);
        }
        let mut hashes = vec![0; usize::try_from(start - length).unwrap_or_default()];
        file.seek(SeekFrom::Start(length))?;
        file.read_exact(&mut hashes)?;
        let hashes = hashes.chunks_exact(HASH as usize).filter_map(|hash| hash.try_into().ok().map(Hash)).collect();
        Ok(Some(Self { file: Mutex::new(file), length, hashes }))
    }

    /// How many bytes the piece has.
    pub(in super::super) const fn length(&self) -> u64 {
        self.length
    }

    /// The bytes of `range`, if they are what was written.
    pub(in super::super) fn read(&self, range: Range<u64>) -> Option<Vec<u8>> {
        if range.start > range.end || range.end > self.length {
            return None;
        }
        let first = range.start / CHUNK;
        let (from, to) = (first * CHUNK, range.end.next_multiple_of(CHUNK).min(self.length));
        let mut bytes = vec![0; usize::try_from(to - from).ok()?];
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(from)).and_then(|_| file.read_exact(&mut bytes)).ok()?;
        drop(file);
        let hashes = self.hashes.get(usize::try_from(first).ok()?..)?;
        if !bytes.chunks(CHUNK as usize).zip(hashes).all(|(chunk, hash)| Hash::of(chunk) == *hash) {
            return None;
        }
        bytes.truncate((range.end - from) as usize);
        bytes.drain(..(range.start - from) as usize);
        Some(bytes)
    }
}

/// A piece that is being written. Dropped unfinished, its file stays until the cache looks for such.
#[derive(Debug)]
pub(in super::super) struct Writer {
    key: Key,
    path: PathBuf,
    file: File,
    reserved: u64,
    length: u64,
    hashes: Vec<Hash>,
    chunk: blake3::Hasher,
}

impl Writer {
    /// A new file at `path`, in a cache that is locked.
    pub(super) fn create(key: Key, path: PathBuf) -> std::io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        file.lock()?;
        let (hashes, chunk) = (Vec::new(), blake3::Hasher::new());
        Ok(Self { key, path, file, reserved: 0, length: 0, hashes, chunk })
    }

    /// Adds `bytes`.
    ///
    /// # Errors
    /// [`Error::Recipe`] where the cache's limit leaves no room for them: the piece is given up.
    pub(in super::super) fn write(&mut self, cache: &Cache, mut bytes: &[u8]) -> Result<()> {
        let need = file_length(self.length + bytes.len() as u64);
        if need > self.reserved {
            // A short piece takes what it needs, a long one grows by steps, while there is room for them.
            let least = need - self.reserved;
            let most = if self.reserved == 0 { least } else { least.max(STEP) };
            let reserve = |more| cache.reserve(&self.key, &self.file, more, self.reserved + more).map(|()| more);
            match reserve(most).or_else(|error| if most > least { reserve(least) } else { Err(error) }) {
                Ok(more) => self.reserved += more,
                Err(error) => {
                    cache.give_up(&self.path, self.reserved);
                    return Err(error);
                }
            }
        }
        self.file.write_all(bytes).map_err(Error::io("write", &self.path))?;
        while !bytes.is_empty() {
            let free = CHUNK - self.length % CHUNK;
            let (now, later) = bytes.split_at(bytes.len().min(free as usize));
            self.chunk.update(now);
            self.length += now.len() as u64;
            if self.length.is_multiple_of(CHUNK) {
                self.end_chunk();
            }
            bytes = later;
        }
        Ok(())
    }

    fn end_chunk(&mut self) {
        self.hashes.push(Hash(*self.chunk.finalize().as_bytes()));
        self.chunk.reset();
    }

    /// Puts the piece in its place.
    pub(in super::super) fn finish(mut self, cache: &Cache) -> Result<Entry> {
        if self.reserved == 0 {
            self.write(cache, &[])?;
        }
        if !self.length.is_multiple_of(CHUNK) {
            self.end_chunk();
        }
        let mut tail: Vec<u8> = self.hashes.iter().flat_map(|hash| hash.0).collect();
        tail.extend(self.length.to_le_bytes());
        tail.extend(self.key.0);
        tail.extend(MAGIC);
        let whole = file_length(self.length);
        let written = self.file.write_all(&tail).and_then(|()| self.file.set_len(whole));
        written.map_err(Error::io("write", &self.path))?;
        let path = cache.settle(&self.key, &self.path, whole, self.reserved - whole)?;
        let failed = || Error::io("read", &path);
        let file = File::open(&path).map_err(failed())?;
        drop(self.file);
        file.lock_shared().map_err(failed())?;
        let length = fs::metadata(&path).map_err(failed())?.len();
        if length != whole {
            return Err(failed()(std::io::ErrorKind::InvalidData.into()));
        }
        Ok(Entry { file: Mutex::new(file), length: self.length, hashes: self.hashes })
    }
}
