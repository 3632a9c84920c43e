//! One object, read by ranges that are fetched when they are needed, or ahead of that.

use super::{
    io::{self, Io},
    ranges::{Held, coalesced},
    request::Requests,
};
use crate::Result;
use bytes::{Buf, Bytes};
use object_store::ObjectMeta;
use std::{ops::Range, sync::Arc};
use tokio::runtime::Handle;

/// Who reads a little reads more beside it: a request for less takes as long.
const LEAST: u64 = 1 << 16;
/// What a reader that goes through an object asks for at once.
const STEP: u64 = 4 << 20;

/// An open object.
#[derive(Debug)]
pub(in super::super) struct Reader {
    io: Handle,
    requests: Requests,
    name: String,
    object: Arc<ObjectMeta>,
    /// What was fetched for the block that is read.
    held: Held,
    /// The last short range that was read, with what lies beside it.
    beside: Held,
    /// What was read on and not yet handed over, and where the next step begins.
    ahead: Bytes,
    next: u64,
}

impl Reader {
    pub(super) fn new(io: &Io, requests: &Requests, name: &str, object: Arc<ObjectMeta>, held: Held) -> Self {
        let (io, requests, name) = (io.handle().clone(), requests.clone(), name.to_owned());
        Self { io, requests, name, object, held, beside: Held::default(), ahead: Bytes::new(), next: 0 }
    }

    /// The bytes of `range`, which lies within the object.
    pub(in super::super) fn read(&mut self, range: Range<u64>) -> Result<Vec<u8>> {
        if let Some(bytes) = self.held.take(&range) {
            return Ok(bytes);
        }
        if let Some(bytes) = self.beside.get(&range) {
            return Ok(bytes.to_vec());
        }
        if range.end - range.start >= LEAST {
            let mut held = self.fetch(vec![range.clone()])?;
            return Ok(held.take(&range).unwrap_or_default());
        }
        // What follows, or, where the object ends before that, what comes before: a footer is read from its end.
        let start = range.start.min(self.object.size.saturating_sub(LEAST));
        let around = start..(start + LEAST).min(self.object.size);
        self.beside = self.fetch(Vec::from([around]))?;
        Ok(self.beside.get(&range).unwrap_or_default().to_vec())
    }

    /// Brings `ranges` into memory, those that are not there yet.
    pub(in super::super) fn expect(&mut self, ranges: &[Range<u64>]) -> Result<()> {
        if ranges.iter().all(|range| range.is_empty() || self.held.get(range).is_some()) {
            return Ok(());
        }
        self.held = self.fetch(coalesced(ranges))?;
        Ok(())
    }

    /// Reads on, as [`std::io::Read::read`].
    pub(in super::super) fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.ahead.is_empty() && self.next < self.object.size {
            let range = self.next..(self.next + STEP).min(self.object.size);
            self.next = range.end;
            self.ahead = self.fetch(vec![range.clone()])?.get(&range).unwrap_or_default();
        }
        let read = buffer.len().min(self.ahead.len());
        self.ahead.copy_to_slice(&mut buffer[..read]);
        Ok(read)
    }

    fn fetch(&self, ranges: Vec<Range<u64>>) -> Result<Held> {
        let (requests, object) = (self.requests.clone(), Arc::clone(&self.object));
        let fetched = io::wait(&self.io, async move { requests.ranges(&object, &ranges).await })?;
        fetched.map_err(|failure| failure.error("read", &self.name, Some(&self.object)))
    }
}
