//! Ranges of objects that are kept on this machine.

use super::{
    super::cache::{Cache, Key},
    ranges::Held,
    request::{Failure, Requests},
};
use crate::Hash;
use bytes::Bytes;
use futures::future::try_join_all;
use object_store::ObjectMeta;
use std::{ops::Range, sync::Arc};
use tokio::task::spawn_blocking;

/// What tells this version of `object`, which is named `name`, from another.
pub(super) fn version(name: &str, object: &ObjectMeta) -> String {
    let tag = object.e_tag.as_deref().unwrap_or_default();
    let version = object.version.as_deref().unwrap_or_default();
    format!("{name} {} {tag:?} {version:?} {}", object.size, object.last_modified.timestamp_millis())
}

/// What `range` of `object` is kept as.
pub(super) fn key(name: &str, object: &ObjectMeta, range: &Range<u64>) -> Key {
    Hash::of(format!("range {} {}-{}", version(name, object), range.start, range.end).as_bytes())
}

/// As [`Requests::ranges`], from `cache` where it has them, and into it where not.
pub(super) async fn ranges(
    requests: &Requests,
    cache: &Arc<Cache>,
    name: &str,
    object: &ObjectMeta,
    wanted: &[Range<u64>],
) -> Result<Held, Failure> {
    let brought = try_join_all(wanted.iter().map(|range| one(requests, cache, name, object, range))).await?;
    let mut held = Held::default();
    wanted.iter().zip(brought).for_each(|(range, bytes)| held.add(range.start, bytes));
    Ok(held)
}

async fn one(
    requests: &Requests,
    cache: &Arc<Cache>,
    name: &str,
    object: &ObjectMeta,
    range: &Range<u64>,
) -> Result<Bytes, Failure> {
    let key = key(name, object, range);
    let here = Arc::clone(cache);
    // A failure to look is as good as a miss.
    if let Ok(Some(bytes)) = spawn_blocking(move || here.read(&key)).await {
        return Ok(bytes.into());
    }
    let bytes = requests.range(object, range).await?;
    let (here, keep) = (Arc::clone(cache), bytes.clone());
    drop(spawn_blocking(move || here.put(&key, &keep)).await);
    Ok(bytes)
}
