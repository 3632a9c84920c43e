//! Objects of remote stores: opened at the version that the plan saw, and read by ranges. A store that fails, or that
//! answers with something else than was asked for, is asked again; one that has another object by now is not believed.
//!
//! Requests run on one thread of this module's own, so that whoever reads need not know of futures. Knows no format.

mod connect;
mod io;
mod kept;
mod ranges;
mod reader;
mod request;

pub(super) use connect::{Address, Kind, is_remote, shown};
pub(super) use ranges::Held;
pub(super) use reader::Reader;

use super::{
    access::Access,
    cache::{Cache, Key},
    files::Opened,
};
use crate::{Error, Place, Result};
use io::Io;
use object_store::{ObjectMeta, path::Path};
use request::{Failure, Requests};
use std::{collections::BTreeMap, ops::Range, sync::Arc};

/// The objects of a dataset, each pinned to the version that was found.
#[derive(Debug)]
pub(super) struct Remote {
    io: Io,
    requests: Requests,
    /// What was found, by the name that its shard has.
    objects: BTreeMap<String, Arc<ObjectMeta>>,
}

impl Remote {
    /// Connects to the store that `address` is of. Nothing is asked of it yet.
    pub(super) fn connect(address: &Address, access: &Access) -> Result<Self> {
        let store = connect::store(address, access)?;
        Ok(Self { io: Io::start()?, requests: Requests::new(store, access.retries), objects: BTreeMap::new() })
    }

    /// The object at `path`, which is named `name` in messages; `None` if there is none.
    pub(super) fn find(&self, path: &Path, name: &str) -> Result<Option<ObjectMeta>> {
        let (requests, path) = (self.requests.clone(), path.clone());
        match self.io.wait(async move { requests.describe(&path).await })? {
            Ok(meta) => Ok(Some(meta)),
            Err(Failure::Missing(_)) => Ok(None),
            Err(failure) => Err(failure.error("read", name, None)),
        }
    }

    /// At most `most` objects below the folder `path`, which is named `name` in messages.
    pub(super) fn list(&self, path: &Path, name: &str, most: usize) -> Result<Vec<ObjectMeta>> {
        let (requests, path) = (self.requests.clone(), path.clone());
        let listed = self.io.wait(async move { requests.list(&path, most).await })?;
        listed.map_err(|failure| failure.error("list", name, None))
    }

    /// The whole object at `path`, if it is there and has at most `most` bytes.
    pub(super) fn whole(&self, path: &Path, name: &str, most: u64) -> Result<Option<Vec<u8>>> {
        let Some(meta) = self.find(path, name)? else { return Ok(None) };
        if meta.size > most {
            let what = format!("it has {} bytes, and at most {most} are read; write it anew", meta.size);
            return Err(Error::data(Place::shard(name), what));
        }
        let mut reader = Reader::new(&self.io, &self.requests, name, Arc::new(meta.clone()), Held::default());
        reader.read(0..meta.size).map(Some)
    }

    /// Writes the object at `path` as a whole.
    pub(super) fn put(&self, path: &Path, name: &str, bytes: Vec<u8>) -> Result<()> {
        let (requests, path) = (self.requests.clone(), path.clone());
        let put = self.io.wait(async move { requests.put(&path, bytes.into()).await })?;
        put.map_err(|failure| failure.error("write", name, None))
    }

    /// From here on, shards may be opened by the names of `objects`.
    pub(super) fn pin(&mut self, objects: impl IntoIterator<Item = (String, ObjectMeta)>) {
        self.objects.extend(objects.into_iter().map(|(name, meta)| (name, Arc::new(meta))));
    }

    fn object(&self, name: &str) -> Result<&Arc<ObjectMeta>> {
        self.objects.get(name).ok_or_else(|| Error::data(Place::shard(name), "this is no shard of the dataset"))
    }

    /// Opens the shard `name`, of which `held` is at hand.
    pub(super) fn open(&self, name: &str, held: Held) -> Result<Opened> {
        let object = self.object(name)?;
        let reader = Reader::new(&self.io, &self.requests, name, Arc::clone(object), held);
        Ok(Opened::remote(name, object.size, reader))
    }

    /// Brings `ranges` of the shard `name`, from `cache` where there is one and it has them, and calls `then` with them.
    pub(super) fn fetch(
        &self,
        name: &str,
        ranges: &[Range<u64>],
        cache: Option<Arc<Cache>>,
        then: impl FnOnce(Result<Held>) + Send + 'static,
    ) {
        let object = match self.object(name) {
            Ok(object) => Arc::clone(object),
            Err(error) => return then(Err(error)),
        };
        let (requests, name, ranges) = (self.requests.clone(), name.to_owned(), Self::coalesced(ranges));
        self.io.spawn(async move {
            let held = match cache {
                None => requests.ranges(&object, &ranges).await,
                Some(cache) => kept::ranges(&requests, &cache, &name, &object, &ranges).await,
            };
            then(held.map_err(|failure| failure.error("read", &name, Some(&object))));
        });
    }

    /// What tells this version of the shard `name` from another.
    pub(super) fn version(&self, name: &str) -> Result<String> {
        self.object(name).map(|object| kept::version(name, object))
    }

    /// What `ranges` of the shard `name` are kept as.
    pub(super) fn keys(&self, name: &str, ranges: &[Range<u64>]) -> Vec<Key> {
        let Ok(object) = self.object(name) else { return Vec::new() };
        Self::coalesced(ranges).iter().map(|range| kept::key(name, object, range)).collect()
    }

    /// What is asked for where `ranges` are wanted.
    pub(super) fn coalesced(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
        ranges::coalesced(ranges)
    }
}
