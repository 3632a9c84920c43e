//! Reading byte ranges of shards, local, remote or compressed, that must still be what the plan saw. Knows no format.

use super::{
    cache::Entry,
    remote::{Held, Reader},
    store::Store,
    unpack::Unpacking,
};
use crate::{Error, Place, Result};
use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    ops::Range,
    path::Path,
    sync::Arc,
};

/// A shard, open, with the length that it had.
#[derive(Debug)]
pub(super) struct Opened {
    bytes: Bytes,
    path: String,
    /// Its length in bytes; of compressed text, once unpacked, and [`u64::MAX`] where that is not known.
    pub(super) length: u64,
    /// Its length in bytes as it is stored.
    pub(super) stored: u64,
}

/// Where an open shard's bytes come from.
#[derive(Debug)]
enum Bytes {
    Local(File),
    Remote(Reader),
    /// Compressed text, unpacked in the cache, and how far it was read on.
    Unpacked {
        store: Store,
        entry: Arc<Entry>,
        at: u64,
    },
    /// Compressed text, read in order.
    Unpacking(Box<Unpacking>),
    /// Nothing but what was fetched.
    Held(Held),
}

impl Opened {
    /// Opens the local file `path`. A pipe or a device is refused before opening it could block.
    pub(super) fn open(path: &str) -> Result<Self> {
        let about = fs::metadata(path).map_err(Error::io("read", path))?;
        if !about.is_file() {
            return Err(Error::data(Place::shard(path), "this is no regular file; give a file or a folder"));
        }
        let file = File::open(path).map_err(Error::io("read", path))?;
        let length = file.metadata().map_err(Error::io("read", path))?.len();
        Ok(Self { bytes: Bytes::Local(file), path: path.to_owned(), length, stored: length })
    }

    /// The remote object that `reader` reads, named `path` and `length` bytes long.
    pub(super) fn remote(path: &str, length: u64, reader: Reader) -> Self {
        Self { bytes: Bytes::Remote(reader), path: path.to_owned(), length, stored: length }
    }

    /// The compressed text at `path`, `stored` bytes long, that lies unpacked as `entry` in the cache of `store`.
    pub(super) fn unpacked(path: &str, stored: u64, store: Store, entry: Arc<Entry>) -> Self {
        let length = entry.length();
        Self { bytes: Bytes::Unpacked { store, entry, at: 0 }, path: path.to_owned(), length, stored }
    }

    /// The compressed text at `path`, `stored` bytes long, as it is unpacked in order.
    pub(super) fn unpacking(path: &str, stored: u64, unpacking: Unpacking) -> Self {
        Self { bytes: Bytes::Unpacking(Box::new(unpacking)), path: path.to_owned(), length: u64::MAX, stored }
    }

    /// What was fetched of the compressed text at `path`, `stored` bytes long.
    pub(super) fn held(path: &str, stored: u64, held: Held) -> Self {
        Self { bytes: Bytes::Held(held), path: path.to_owned(), length: u64::MAX, stored }
    }

    /// The same, if it is stored as `length` bytes, as the plan saw it. `place` is where the caller wants to read.
    pub(super) fn unchanged(self, length: u64, place: &Place) -> Result<Self> {
        if self.stored == length {
            return Ok(self);
        }
        let what = format!(
            "the file changed since the plan was made: it had {length} bytes and has {}; restore it, or open the \
             dataset again",
            self.stored
        );
        Err(Error::data(place.clone(), what))
    }

    /// The `length` bytes from `offset`. The range is checked against the file before anything is allocated.
    pub(super) fn read(&mut self, offset: u64, length: u64) -> Result<Vec<u8>> {
        let within = offset.checked_add(length).is_some_and(|end| end <= self.length);
        let size = usize::try_from(length).ok().filter(|_| within).ok_or_else(|| {
            let what =
                format!("bytes {offset} to {} lie beyond its {} bytes", offset.saturating_add(length), self.length);
            Error::data(Place::shard(&self.path), what)
        })?;
        match &mut self.bytes {
            Bytes::Local(file) => {
                let mut bytes = vec![0; size];
                file.seek(SeekFrom::Start(offset)).map_err(Error::io("read", &self.path))?;
                file.read_exact(&mut bytes).map_err(Error::io("read", &self.path))?;
                Ok(bytes)
            }
            Bytes::Remote(reader) => reader.read(offset..offset + length),
            Bytes::Unpacked { store, entry, .. } => match entry.read(offset..offset + length) {
                Some(bytes) => Ok(bytes),
                None => {
                    *entry = store.unpack_again(&self.path)?;
                    entry.read(offset..offset + length).ok_or_else(|| {
                        let what = format!("its unpacked text has no bytes {offset} to {}", offset + length);
                        Error::data(Place::shard(&self.path), what)
                    })
                }
            },
            Bytes::Unpacking(unpacking) => unpacking.read(offset, length),
            Bytes::Held(held) => held.take(&(offset..offset + length)).ok_or_else(|| {
                Error::data(Place::shard(&self.path), format!("bytes {offset} to {} were not fetched", offset + length))
            }),
        }
    }

    /// The same into `buffer`, which is overwritten.
    pub(super) fn read_into(&mut self, offset: u64, length: u64, buffer: &mut Vec<u8>) -> Result<()> {
        let within = offset.checked_add(length).is_some_and(|end| end <= self.length);
        let (Bytes::Local(file), true) = (&mut self.bytes, within) else {
            *buffer = self.read(offset, length)?;
            return Ok(());
        };
        buffer.clear();
        let failed = Error::io("read", &self.path);
        let read = file.seek(SeekFrom::Start(offset)).and_then(|_| file.take(length).read_to_end(buffer));
        match read {
            Ok(read) if read as u64 == length => Ok(()),
            Ok(_) => Err(failed(std::io::ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(failed(error)),
        }
    }

    /// Its length, as far as memory can be asked for.
    pub(super) fn size(&self) -> usize {
        usize::try_from(self.length).unwrap_or(usize::MAX)
    }

    /// Brings `ranges`, which are about to be read, into memory in as few requests as may be.
    pub(super) fn expect(&mut self, ranges: &[Range<u64>]) -> Result<()> {
        match &mut self.bytes {
            Bytes::Remote(reader) => reader.expect(ranges),
            _ => Ok(()),
        }
    }

    /// Reads on from where the last read of this kind ended, as [`Read::read`]. Not to be mixed with [`read`](Self::read).
    pub(super) fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let file = match &mut self.bytes {
            Bytes::Local(file) => file,
            Bytes::Remote(reader) => return reader.read_some(buffer),
            Bytes::Unpacking(unpacking) => return unpacking.read_some(buffer),
            Bytes::Held(_) => return Ok(0),
            Bytes::Unpacked { at, .. } => {
                let (start, read) = (*at, (buffer.len() as u64).min(self.length - *at));
                *at += read;
                let bytes = self.read(start, read)?;
                buffer[..bytes.len()].copy_from_slice(&bytes);
                return Ok(bytes.len());
            }
        };
        loop {
            match file.read(buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                result => return result.map_err(Error::io("read", &self.path)),
            }
        }
    }

    /// BLAKE3 of the `length` bytes from `offset`, without holding them.
    pub(super) fn hash(&mut self, offset: u64, length: u64) -> Result<crate::Hash> {
        const STEP: u64 = 1 << 20;
        let mut hasher = blake3::Hasher::new();
        let mut at = offset;
        let end = offset.saturating_add(length);
        while at < end {
            let step = STEP.min(end - at);
            hasher.update(&self.read(at, step)?);
            at += step;
        }
        Ok(crate::Hash(*hasher.finalize().as_bytes()))
    }
}

/// Makes a rename within `folder` last.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    // Only Unix lets a folder be opened and synced; elsewhere the rename itself is what the system offers.
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::io("write", folder))?;
    }
    Ok(())
}
