//! Memory that reading, decoding and gathering use again.
//!
//! A block's pages live until its window closes, and the rows gathered for batches until these are used up; both would then
//! go back to the system, which clears every page of memory before it gives it out anew: dearer than hashing what is read
//! into it. So large buffers are kept for the next block or the next batches instead.

use bytes::Bytes;
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// Smaller buffers are left to the allocator, which keeps them itself.
const LEAST: usize = 64 << 10;
/// How many kept buffers are looked at for one that fits.
const LOOKED_AT: usize = 64;

/// Buffers that were given back. Clones share them.
#[derive(Clone)]
pub(crate) struct Buffers(Arc<Mutex<Kept>>);

struct Kept {
    buffers: Vec<Vec<u8>>,
    /// Bytes of `buffers`, and of those that are lent.
    kept: usize,
    lent: usize,
    /// Nothing is kept that would bring both together above this.
    limit: usize,
}

impl Kept {
    /// Gives up as many kept buffers as are too many.
    fn shrink(&mut self) {
        while self.kept.saturating_add(self.lent) > self.limit
            && let Some(dropped) = self.buffers.pop()
        {
            self.kept -= dropped.capacity();
        }
    }
}

impl Buffers {
    /// Keeps buffers as long as they and those in use are at most `limit` bytes together.
    pub(crate) fn new(limit: u64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self(Arc::new(Mutex::new(Kept { buffers: Vec::new(), kept: 0, lent: 0, limit })))
    }

    /// Keeps buffers from here on as long as they and those in use are at most `limit` bytes together.
    pub(crate) fn limit(&self, limit: u64) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.limit = usize::try_from(limit).unwrap_or(usize::MAX);
        kept.shrink();
    }

    /// An empty buffer with room for `length` bytes.
    pub(crate) fn take(&self, length: usize) -> Lent {
        let mut lent = self.lend(length);
        lent.bytes.clear();
        lent
    }

    /// A buffer of `length` bytes, whatever they are: for what is written over them all.
    pub(crate) fn take_filled(&self, length: usize) -> Lent {
        let mut lent = self.lend(length);
        lent.bytes.resize(length, 0);
        lent
    }

    /// A buffer with room for `length` bytes, which may still hold what it held before.
    fn lend(&self, length: usize) -> Lent {
        if length < LEAST {
            return Lent { bytes: Vec::with_capacity(length), size: 0, home: None };
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |buffer: &Vec<u8>| (length..=length.saturating_add(length / 4)).contains(&buffer.capacity());
        let first = kept.buffers.len().saturating_sub(LOOKED_AT);
        let found = kept.buffers[first..].iter().rposition(fits).map(|index| first + index);
        let mut bytes = found.map(|index| kept.buffers.swap_remove(index)).unwrap_or_default();
        kept.kept -= bytes.capacity();
        if bytes.capacity() < length {
            bytes.reserve_exact(length);
        }
        let size = bytes.capacity();
        kept.lent += size;
        kept.shrink();
        drop(kept);
        Lent { bytes, size, home: Some(self.clone()) }
    }
}

impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Buffers")
    }
}

/// A buffer that goes back where it came from.
pub(crate) struct Lent {
    pub(crate) bytes: Vec<u8>,
    /// What it was counted as.
    size: usize,
    home: Option<Buffers>,
}

impl Lent {
    /// What was written to it; it goes back once nobody holds a part of that any more.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(home) = self.home.take() else { return };
        let bytes = std::mem::take(&mut self.bytes);
        let mut kept = home.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.lent -= self.size;
        if kept.kept.saturating_add(kept.lent).saturating_add(bytes.capacity()) <= kept.limit {
            kept.kept += bytes.capacity();
            kept.buffers.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 2 * LEAST;

    fn held(buffers: &Buffers) -> (usize, usize) {
        let kept = buffers.0.lock().unwrap();
        assert_eq!(kept.kept, kept.buffers.iter().map(Vec::capacity).sum::<usize>());
        (kept.kept, kept.lent)
    }

    #[test]
    fn a_buffer_is_used_again_once_all_parts_of_it_are_gone() {
        let buffers = Buffers::new(10 * SIZE as u64);
        let mut lent = buffers.take(SIZE);
        lent.bytes.extend_from_slice(b"wheat and chaff");
        let (address, bytes) = (lent.bytes.as_ptr(), lent.freeze());
        let wheat = bytes.slice(..5);
        drop(bytes);
        assert_eq!((&wheat[..], held(&buffers).0), (&b"wheat"[..], 0));
        drop(wheat);
        assert_eq!(held(&buffers), (SIZE, 0));
        let again = buffers.take(SIZE - 1000);
        assert_eq!((again.bytes.as_ptr(), again.bytes.len()), (address, 0));
        assert_eq!(held(&buffers), (0, SIZE));
        drop(again);
        let filled = buffers.take_filled(SIZE - 1000);
        assert_eq!((filled.bytes.as_ptr(), filled.bytes.len()), (address, SIZE - 1000));
    }

    #[test]
    fn what_is_kept_and_what_is_lent_stay_below_the_limit_together() {
        let buffers = Buffers::new(3 * SIZE as u64);
        drop([buffers.take(SIZE), buffers.take(SIZE), buffers.take(SIZE), buffers.take(SIZE)]);
        assert_eq!(held(&buffers), (3 * SIZE, 0));
        // Too large for any of those that are kept: some of them have to go.
        let large = buffers.take(2 * SIZE + 1);
        assert_eq!(held(&buffers), (0, 2 * SIZE + 1));
        drop(large);
        assert_eq!(held(&buffers), (2 * SIZE + 1, 0));
        assert_eq!(buffers.take(10).bytes.capacity(), 10);
        assert_eq!(held(&buffers), (2 * SIZE + 1, 0), "small ones are not counted");
        buffers.limit(SIZE as u64);
        assert_eq!(held(&buffers), (0, 0));
    }
}
