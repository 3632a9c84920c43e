//! Reading byte ranges of local files that must still be what the plan saw. Knows no format.

use crate::{Error, Place, Result};
use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::Path,
};

/// A regular file, open, with the length that it had.
#[derive(Debug)]
pub(super) struct Opened {
    file: File,
    path: String,
    /// Its length in bytes.
    pub(super) length: u64,
}

impl Opened {
    /// Opens `path`. A pipe or a device is refused before opening it could block.
    pub(super) fn open(path: &str) -> Result<Self> {
        let about = fs::metadata(path).map_err(Error::io("read", path))?;
        if !about.is_file() {
            return Err(Error::data(Place::shard(path), "this is no regular file; give a file or a folder"));
        }
        let file = File::open(path).map_err(Error::io("read", path))?;
        let length = file.metadata().map_err(Error::io("read", path))?.len();
        Ok(Self { file, path: path.to_owned(), length })
    }

    /// Opens `path`, which the plan saw with `length` bytes. `place` is where the caller wants to read.
    pub(super) fn open_unchanged(path: &str, length: u64, place: &Place) -> Result<Self> {
        let opened = Self::open(path)?;
        if opened.length == length {
            return Ok(opened);
        }
        let what = format!(
            "the file changed since the plan was made: it had {length} bytes and has {}; restore it, or open the \
             dataset again",
            opened.length
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
        let mut bytes = vec![0; size];
        self.file.seek(SeekFrom::Start(offset)).map_err(Error::io("read", &self.path))?;
        self.file.read_exact(&mut bytes).map_err(Error::io("read", &self.path))?;
        Ok(bytes)
    }

    /// Reads on from where the last read ended, as [`Read::read`].
    pub(super) fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match self.file.read(buffer) {
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
