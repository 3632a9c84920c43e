//! From a URL to the store that it names, with credentials from the environment, as object_store's own programs take them.

use super::super::access::Access;
use crate::{Error, Result, spelling::advice};
use object_store::{
    ClientConfigKey, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
    http::HttpBuilder,
};
use std::{fmt, sync::Arc};

/// The kinds of stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Kind {
    S3,
    Gcs,
    Azure,
    Http,
}

/// The schemes of URLs.
const SCHEMES: [(&str, Kind); 10] = [
    ("s3", Kind::S3),
    ("s3a", Kind::S3),
    ("gs", Kind::Gcs),
    ("gcs", Kind::Gcs),
    ("az", Kind::Azure),
    ("azure", Kind::Azure),
    ("abfs", Kind::Azure),
    ("abfss", Kind::Azure),
    ("http", Kind::Http),
    ("https", Kind::Http),
];

/// Whether `url` names something that is not on this machine.
pub(in super::super) fn is_remote(url: &str) -> bool {
    url.split_once("://").is_some_and(|(scheme, _)| !scheme.eq_ignore_ascii_case("file"))
}

/// A URL, taken apart.
#[derive(Clone, PartialEq, Eq)]
pub(in super::super) struct Address {
    pub(in super::super) kind: Kind,
    /// Scheme and authority, with the `/` after them: what every object's name begins with.
    pub(in super::super) root: String,
    /// The object's key, as it is stored, or a pattern of keys.
    pub(in super::super) key: String,
    /// What follows a `?`: a signature, often, and so shown nowhere.
    query: Option<String>,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address").field("root", &self.root).field("key", &self.key).finish_non_exhaustive()
    }
}

impl Address {
    /// Takes `url` apart. `decode` undoes the percent-encoding of an HTTP URL's path.
    pub(in super::super) fn parse(url: &str, decode: impl FnOnce(&str) -> Option<String>) -> Result<Self> {
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let scheme = scheme.to_ascii_lowercase();
        let kind = SCHEMES.iter().find(|(name, _)| *name == scheme).map(|(_, kind)| *kind).ok_or_else(|| {
            let known: Vec<&str> = SCHEMES.iter().map(|(name, _)| *name).chain(["file"]).collect();
            Error::recipe(format!(
                "`{}`: unknown scheme `{scheme}://`{}",
                without_queries(url),
                advice(&scheme, &known, "the schemes are")
            ))
        })?;
        // In a bucket `?` is a wildcard; in a web address it begins the query.
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) if kind == Kind::Http => (rest, Some(query.to_owned())),
            _ => (rest, None),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.is_empty() {
            let what = if kind == Kind::Http { "machine" } else { "bucket" };
            return Err(Error::recipe(format!("`{}` names no {what}; it is `{scheme}://{what}/path`", shown(url))));
        }
        let key = if kind == Kind::Http { decode(path) } else { Some(path.to_owned()) };
        let key = key.ok_or_else(|| Error::recipe(format!("`{}` has an escape that is no UTF-8 text", shown(url))))?;
        Ok(Self { kind, root: format!("{scheme}://{authority}/"), key, query })
    }
}

/// A URL without its query, for messages.
pub(in super::super) fn shown(url: &str) -> &str {
    // Elsewhere a `?` is a wildcard.
    let is_web = url
        .split_once("://")
        .is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https"));
    if is_web { url.split('?').next().unwrap_or(url) } else { url }
}

/// `text`, which a store wrote, without the queries of the URLs in it.
pub(super) fn without_queries(text: &str) -> String {
    let (mut clean, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at + 3);
        let end =
            url.find(|end: char| end.is_whitespace() || matches!(end, '"' | '`' | '>' | ')')).unwrap_or(url.len());
        let (url, after) = url.split_at(end);
        clean += before;
        clean += url.split('?').next().unwrap_or(url);
        rest = after;
    }
    clean + rest
}

/// The store that `address` is of. Credentials, endpoint and region come from the environment; so do proxies, timeouts and
/// whatever else object_store takes from there, but for what `access` says.
pub(super) fn store(address: &Address, access: &Access) -> Result<Arc<dyn ObjectStore>> {
    // See `request`, which repeats what fails.
    let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
    let timeout = access.timeout.map(|timeout| format!("{} ms", timeout.as_millis()));
    let root = address.root.as_str();
    let built: object_store::Result<Arc<dyn ObjectStore>> = match address.kind {
        Kind::S3 => {
            let key = AmazonS3ConfigKey::Client(ClientConfigKey::Timeout);
            let builder = AmazonS3Builder::from_env().with_url(root).with_retry(retry);
            timeout.into_iter().fold(builder, |builder, timeout| builder.with_config(key, timeout)).build().map(share)
        }
        Kind::Gcs => {
            let key = GoogleConfigKey::Client(ClientConfigKey::Timeout);
            let builder = GoogleCloudStorageBuilder::from_env().with_url(root).with_retry(retry);
            timeout.into_iter().fold(builder, |builder, timeout| builder.with_config(key, timeout)).build().map(share)
        }
        Kind::Azure => {
            let key = AzureConfigKey::Client(ClientConfigKey::Timeout);
            let builder = MicrosoftAzureBuilder::from_env().with_url(root).with_retry(retry);
            timeout.into_iter().fold(builder, |builder, timeout| builder.with_config(key, timeout)).build().map(share)
        }
        Kind::Http => {
            let url = address.query.iter().fold(root.to_owned(), |url, query| format!("{url}?{query}"));
            let builder = HttpBuilder::new().with_url(url).with_retry(retry);
            // Who writes `http://` has said that it may go unencrypted.
            let builder = builder.with_config(ClientConfigKey::AllowHttp, "true");
            let key = ClientConfigKey::Timeout;
            timeout.into_iter().fold(builder, |builder, timeout| builder.with_config(key, timeout)).build().map(share)
        }
    };
    built.map_err(|error| Error::recipe(format!("`{root}` cannot be reached: {}", without_queries(&error.to_string()))))
}

fn share(store: impl ObjectStore) -> Arc<dyn ObjectStore> {
    Arc::new(store)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address> {
        Address::parse(url, |path| Some(path.replace("%20", " ")))
    }

    #[test]
    fn urls_are_taken_apart_as_their_stores_read_them() {
        let address = parse("s3://bucket/a/b%20?.parquet").unwrap();
        assert_eq!((address.kind, address.root.as_str()), (Kind::S3, "s3://bucket/"));
        assert_eq!(address.key, "a/b%20?.parquet", "keys are taken literally, and `?` is a wildcard");
        let address = parse("https://host:81/a%20b.csv?sig=secret").unwrap();
        assert_eq!((address.root.as_str(), address.key.as_str()), ("https://host:81/", "a b.csv"));
        assert!(!format!("{address:?}").contains("secret"));
        assert_eq!(parse("gs://bucket").unwrap().key, "");
    }

    #[test]
    fn what_a_store_says_of_a_url_is_shown_without_its_query() {
        for (text, clean) in [
            ("HEAD http://a:9/x.csv?sig=secret in 2 ms - HTTP error", "HEAD http://a:9/x.csv in 2 ms - HTTP error"),
            ("(https://a/b?c=secret), \"https://a?d=secret\"", "(https://a/b), \"https://a\""),
            ("what? no URL", "what? no URL"),
            ("https://a/b?secret", "https://a/b"),
        ] {
            assert_eq!(without_queries(text), clean);
        }
        for url in ["ftps://host/a?secret", "http:///a?secret"] {
            assert!(!parse(url).unwrap_err().to_string().contains("secret"), "{url}");
        }
    }

    #[test]
    fn what_names_no_store_is_refused_with_advice() {
        assert!(parse("s4://bucket/a").unwrap_err().to_string().contains("did you mean `s3`"));
        assert!(parse("az:///a").unwrap_err().to_string().contains("names no bucket"));
        assert!(is_remote("gs://b") && !is_remote("file:///a") && !is_remote("a/b"));
    }
}
