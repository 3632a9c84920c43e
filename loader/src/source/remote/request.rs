//! One request, repeated where the store may be at fault, and what may come of it.
//!
//! object_store would repeat failed requests itself. But where an answer breaks off it asks for the rest and takes whatever
//! range comes, and it knows nothing of answers that are too short. So its own repetition is off, and each request is
//! repeated here as a whole, with its backoff, until what comes is what was asked for.

use super::{
    connect::without_queries,
    ranges::{self, Held},
};
use crate::{Error, Place};
use bytes::Bytes;
use futures::{
    FutureExt, StreamExt, TryFutureExt, TryStreamExt,
    future::{BoxFuture, try_join_all},
};
use object_store::{Error as StoreError, GetOptions, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt, path::Path};
use std::{fmt, ops::Range, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// How many requests are under way at once.
const AT_ONCE: usize = 16;
/// The wait before the first repetition; doubled for each more, up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// From such a wait on, about three seconds after the first failure, a person should know why nothing happens.
const WORTH_A_WORD: Duration = Duration::from_millis(1600);

/// Why a request came to nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no such object.
    Missing(StoreError),
    /// There is another object by now; how it was told apart.
    Changed(String),
    /// The store failed, also when it was asked again.
    Store(StoreError),
    /// The store answered, also when it was asked again, and not as it should.
    Wrong(String),
}

impl Failure {
    /// Whether to ask again is of no use.
    const fn is_final(&self) -> bool {
        match self {
            Self::Missing(_) | Self::Changed(_) => true,
            Self::Wrong(_) => false,
            Self::Store(error) => matches!(
                error,
                StoreError::PermissionDenied { .. }
                    | StoreError::Unauthenticated { .. }
                    | StoreError::NotSupported { .. }
                    | StoreError::NotImplemented { .. }
                    | StoreError::InvalidPath { .. }
            ),
        }
    }

    /// As an error of trying to `action` the object `name`, which was found as `object`.
    pub(super) fn error(self, action: &'static str, name: &str, object: Option<&ObjectMeta>) -> Error {
        let failed = |kind, error: Box<dyn std::error::Error + Send + Sync>| {
            Error::io(action, name)(std::io::Error::new(kind, error))
        };
        match self {
            Self::Missing(error) => failed(std::io::ErrorKind::NotFound, without_queries(&error.to_string()).into()),
            Self::Store(error) => {
                let what = without_queries(&error.to_string());
                let advice = advice(&error, &what, name).unwrap_or_default();
                failed(std::io::ErrorKind::Other, format!("{what}{advice}").into())
            }
            Self::Wrong(what) => failed(std::io::ErrorKind::InvalidData, what.into()),
            Self::Changed(now) => {
                let was = object.map(version).unwrap_or_default();
                let what = format!(
                    "the object changed since the plan was made: it had {was}, and {now}; restore it, or open the \
                     dataset again"
                );
                Error::data(Place::shard(name), what)
            }
        }
    }
}

/// What to do about `error`, which says `what` of the object `name`, where it looks as if the store does not know who asks.
fn advice(error: &StoreError, what: &str, name: &str) -> Option<String> {
    /// Where machines of a cloud ask who they are; others are asked there in vain.
    const METADATA: [&str; 3] = ["169.254.169.254", "169.254.170.2", "metadata.google.internal"];
    let denied = matches!(error, StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. });
    if !denied && !METADATA.iter().any(|machine| what.contains(machine)) {
        return None;
    }
    let variables = match name.split_once("://")?.0 {
        "s3" | "s3a" => {
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true for a bucket that is public"
        }
        "gs" | "gcs" => "GOOGLE_SERVICE_ACCOUNT, or GOOGLE_SKIP_SIGNATURE=true for a bucket that is public",
        "az" | "azure" | "abfs" | "abfss" => "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
        _ => return None,
    };
    Some(format!("; who asks is told by the environment: set {variables}"))
}

/// Without what is secret in a URL: a store's own error is never shown, nor kept as a source.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(error) | Self::Store(error) => f.write_str(&without_queries(&error.to_string())),
            Self::Changed(what) | Self::Wrong(what) => f.write_str(what),
        }
    }
}

/// What tells one version of an object from another, for messages.
fn version(object: &ObjectMeta) -> String {
    match &object.e_tag {
        Some(tag) => format!("{} bytes and ETag {tag}", object.size),
        None => format!("{} bytes, last modified {}", object.size, object.last_modified),
    }
}

/// A store, and how it is asked.
#[derive(Clone, Debug)]
pub(super) struct Requests {
    store: Arc<dyn ObjectStore>,
    retries: u32,
    permits: Arc<Semaphore>,
}

impl Requests {
    pub(super) fn new(store: Arc<dyn ObjectStore>, retries: u32) -> Self {
        Self { store, retries, permits: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// What there is to know of the object at `path`. Where a store does not say it unless the object is read (a URL that
    /// was signed for reading, a server without HEAD), the first byte is.
    pub(super) async fn describe(&self, path: &Path) -> Result<ObjectMeta, Failure> {
        self.repeated(path, || self.describe_once(path).boxed()).await
    }

    async fn describe_once(&self, path: &Path) -> Result<ObjectMeta, Failure> {
        let asked = match self.store.head(path).await {
            Ok(meta) => return Ok(meta),
            Err(error @ StoreError::NotFound { .. }) => return Err(Failure::Missing(error)),
            Err(error) => error,
        };
        let options = GetOptions { range: Some((0..1).into()), ..GetOptions::default() };
        let answer = self.store.get_opts(path, options).await;
        answer.map(|answer| answer.meta).map_err(|_| Failure::Store(asked))
    }

    /// At most `most` objects below `path`.
    pub(super) async fn list(&self, path: &Path, most: usize) -> Result<Vec<ObjectMeta>, Failure> {
        let ask = || self.store.list(Some(path)).take(most).try_collect().map_err(Failure::Store).boxed();
        self.repeated(path, ask).await
    }

    /// Writes the object at `path`.
    pub(super) async fn put(&self, path: &Path, bytes: Bytes) -> Result<(), Failure> {
        let ask = || self.store.put(path, bytes.clone().into()).map_ok(drop).map_err(Failure::Store).boxed();
        self.repeated(path, ask).await
    }

    /// All of `wanted`, at once, in parts that one request each can bring.
    pub(super) async fn ranges(&self, object: &ObjectMeta, wanted: &[Range<u64>]) -> Result<Held, Failure> {
        let brought = try_join_all(wanted.iter().map(|range| self.range(object, range))).await?;
        let mut held = Held::default();
        wanted.iter().zip(brought).for_each(|(range, bytes)| held.add(range.start, bytes));
        Ok(held)
    }

    /// One range, in parts at once.
    pub(super) async fn range(&self, object: &ObjectMeta, range: &Range<u64>) -> Result<Bytes, Failure> {
        let mut parts = try_join_all(ranges::parts(range).map(|part| self.part(object, part))).await?;
        if parts.len() == 1 {
            return Ok(parts.remove(0));
        }
        Ok(parts.concat().into())
    }

    /// One part, asked for until it comes as asked for, or the store has had its chances.
    async fn part(&self, object: &ObjectMeta, range: Range<u64>) -> Result<Bytes, Failure> {
        let Ok(_permit) = self.permits.acquire().await else {
            return Err(Failure::Wrong("the I/O thread has ended".to_owned()));
        };
        self.repeated(&object.location, || self.once(object, range.clone()).boxed()).await
    }

    /// Asks until there is an answer, or the store has had its chances.
    async fn repeated<'a, T>(
        &self,
        path: &Path,
        ask: impl Fn() -> BoxFuture<'a, Result<T, Failure>> + Sync,
    ) -> Result<T, Failure> {
        let mut wait = FIRST_WAIT;
        for _ in 0..self.retries {
            match ask().await {
                Err(failure) if !failure.is_final() => {
                    if wait < WORTH_A_WORD {
                        tracing::info!("asking `{path}` again in {wait:?}: {failure}");
                    } else {
                        tracing::warn!("the store does not answer; asking `{path}` again in {wait:?}: {failure}");
                    }
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
                settled => return settled,
            }
        }
        ask().await
    }

    async fn once(&self, object: &ObjectMeta, range: Range<u64>) -> Result<Bytes, Failure> {
        let options = GetOptions {
            range: Some(range.clone().into()),
            // A weak tag never matches (RFC 9110, 13.1.1); what the answer says is compared in any case.
            if_match: object.e_tag.clone().filter(|tag| !tag.starts_with("W/")),
            version: object.version.clone(),
            ..GetOptions::default()
        };
        let answer = match self.store.get_opts(&object.location, options).await {
            Ok(answer) => answer,
            Err(error @ StoreError::NotFound { .. }) => return Err(Failure::Missing(error)),
            Err(StoreError::Precondition { .. }) => return Err(Failure::Changed("it has another ETag".to_owned())),
            Err(error) => return Err(Failure::Store(error)),
        };
        same_version(object, &answer)?;
        let answered = answer.range.clone();
        let bytes = answer.bytes().await.map_err(|error| {
            Failure::Wrong(format!("the answer broke off: {}", without_queries(&error.to_string())))
        })?;
        if answered != range || bytes.len() as u64 != range.end - range.start {
            let (start, length) = (answered.start, bytes.len());
            return Err(Failure::Wrong(format!(
                "bytes {} to {} were asked for, and {length} bytes from {start} came",
                range.start, range.end
            )));
        }
        Ok(bytes)
    }
}

/// A store that ignores If-Match is not believed: what it says of the object must still be what was found.
fn same_version(object: &ObjectMeta, answer: &GetResult) -> Result<(), Failure> {
    let now = &answer.meta;
    let same = match (&object.e_tag, &now.e_tag) {
        (Some(was), Some(is)) => was == is,
        _ => object.last_modified == now.last_modified,
    };
    if same && now.size == object.size { Ok(()) } else { Err(Failure::Changed(format!("it has {}", version(now)))) }
}
