//! How shards are reached: what a recipe may say of stores, retries and the local cache. Decides nothing that is emitted.

use std::{path::PathBuf, time::Duration};

/// How shards are reached. No part of a stream's identity, but for [`Cache::Off`], which lets compressed text be read in
/// order only (see [`Source::in_order`](super::Source::in_order)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// How often a request that a store failed to answer, or did not answer as it should, is repeated.
    pub retries: u32,
    /// How long one request, of at most 8 MiB, may take; `None` for object_store's default, 30 s, or what the
    /// environment says (`AWS_TIMEOUT` and the like).
    pub timeout: Option<Duration>,
    /// Where bytes are kept on this machine.
    pub cache: Cache,
    /// What the cache's folder may hold in bytes, all processes together.
    pub cache_limit: u64,
    /// What the window of a zstd stream may take in bytes; at most 2²⁷ are ever used.
    pub window: u64,
}

impl Access {
    /// Eight: with object_store's backoff (100 ms, doubled, at most 15 s) about 40 seconds.
    pub const DEFAULT_RETRIES: u32 = 8;
    /// 10 GiB.
    pub const DEFAULT_CACHE_LIMIT: u64 = 10 << 30;
}

impl Default for Access {
    fn default() -> Self {
        Self {
            retries: Self::DEFAULT_RETRIES,
            timeout: None,
            cache: Cache::Unpacked,
            cache_limit: Self::DEFAULT_CACHE_LIMIT,
            window: 1 << 27,
        }
    }
}

/// Where bytes are kept on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cache {
    /// Nowhere. Compressed text is decompressed in order, again in each epoch.
    Off,
    /// Unpacked text, and objects of servers that answer no ranges, in the user's cache folder; nothing else.
    #[default]
    Unpacked,
    /// Those, and what is read of remote objects, in this folder.
    Folder(PathBuf),
}

impl Cache {
    /// `"off"`, or a folder.
    #[must_use]
    pub fn named(text: &str) -> Self {
        if text == "off" { Self::Off } else { Self::Folder(PathBuf::from(text)) }
    }
}
