//! `url`: an address that stands on a list, or has listed words in it, by datatrove's rules and in its order.
//!
//! No list comes with Arable: datatrove's own (from the UT1 blacklists, CC BY-SA) can be given as files.

use super::{
    filter::{Filter, Row, on_column},
    lists::{entries, fingerprint},
    words::Word,
};
use crate::clean::{
    Rule,
    spec::{Built, Settings},
};
use aho_corasick::AhoCorasick;
use psl::{List, Psl, Type};
use serde::Deserialize;
use std::{
    collections::{BTreeSet, HashSet},
    path::PathBuf,
};

pub(in crate::clean) const NAME: &str = "url";

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Options {
    domains: Vec<String>,
    domains_list: Option<PathBuf>,
    urls: Vec<String>,
    urls_list: Option<PathBuf>,
    banned_words: Vec<String>,
    banned_words_list: Option<PathBuf>,
    soft_banned_words: Vec<String>,
    soft_banned_words_list: Option<PathBuf>,
    banned_subwords: Vec<String>,
    banned_subwords_list: Option<PathBuf>,
    /// How many different soft words are too many.
    soft_word_threshold: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            domains: Vec::new(),
            domains_list: None,
            urls: Vec::new(),
            urls_list: None,
            banned_words: Vec::new(),
            banned_words_list: None,
            soft_banned_words: Vec::new(),
            soft_banned_words_list: None,
            banned_subwords: Vec::new(),
            banned_subwords_list: None,
            soft_word_threshold: 2,
        }
    }
}

struct Lists {
    domains: BTreeSet<String>,
    urls: BTreeSet<String>,
    banned: BTreeSet<String>,
    soft: BTreeSet<String>,
    subwords: AhoCorasick,
    soft_word_threshold: u32,
    fingerprint: String,
}

pub(in crate::clean) fn build(settings: Settings<'_>) -> Result<Built, String> {
    let options: Options = settings.read()?;
    let words = |name: &str, inline: &[String], path: &Option<PathBuf>| -> Result<BTreeSet<String>, String> {
        let normal = entries(name, inline, path.as_deref())?.iter().map(|word| alphanumeric(word)).collect();
        Ok(normal)
    };
    let domains = entries("domains_list", &options.domains, options.domains_list.as_deref())?;
    let urls = entries("urls_list", &options.urls, options.urls_list.as_deref())?;
    let banned = words("banned_words_list", &options.banned_words, &options.banned_words_list)?;
    let soft = words("soft_banned_words_list", &options.soft_banned_words, &options.soft_banned_words_list)?;
    let mut subwords = words("banned_subwords_list", &options.banned_subwords, &options.banned_subwords_list)?;
    subwords.remove("");
    let lists = [&domains, &urls, &banned, &soft, &subwords];
    if lists.iter().all(|list| list.is_empty()) {
        return Err(
            "it has no list: give `domains`, `urls`, `banned_words`, `soft_banned_words` or `banned_subwords`, \
                    or files of one a line as `domains_list` and so on"
                .to_owned(),
        );
    }
    let fingerprint = lists.map(fingerprint).join(" ");
    let subwords = AhoCorasick::new(&subwords).map_err(|error| error.to_string())?;
    let soft_word_threshold = options.soft_word_threshold;
    on_column(settings, Lists { domains, urls, banned, soft, subwords, soft_word_threshold, fingerprint })
}

/// ASCII letters and digits alone, in lower case.
fn alphanumeric(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// The host of an address, in lower case, without user, port and a final full stop.
fn host(url: &str) -> String {
    let rest = url.split_once("//").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = if host.starts_with('[') { host } else { host.split(':').next().unwrap_or_default() };
    host.trim_end_matches('.').to_lowercase()
}

/// The part of a host that somebody registered: one label before its public suffix. Suffixes that companies run
/// (`github.io`) are themselves registered, as `tldextract` has it by default.
fn registered(host: &str) -> Option<&str> {
    let mut suffix = List.suffix(host.as_bytes())?;
    let mut name = std::str::from_utf8(suffix.as_bytes()).ok()?;
    while suffix.typ() == Some(Type::Private) {
        name = name.split_once('.')?.1;
        suffix = List.suffix(name.as_bytes())?;
        name =
            std::str::from_utf8(suffix.as_bytes()).ok().map(str::len).and_then(|len| host.get(host.len() - len..))?;
    }
    let before = host.strip_suffix(name)?.strip_suffix('.')?;
    let label = before.rsplit('.').next()?;
    (!label.is_empty()).then(|| &host[host.len() - name.len() - 1 - label.len()..])
}

impl Lists {
    /// The index of the rule that speaks against `url`, and how many soft words it has.
    fn rule(&self, url: &str) -> (Option<usize>, usize) {
        let host = host(url);
        let pieces: HashSet<&str> = url.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        let soft = pieces.iter().filter(|piece| self.soft.contains(**piece)).count();
        let rules = [
            registered(&host).is_some_and(|domain| self.domains.contains(domain)),
            self.domains.contains(&host),
            self.urls.contains(url),
            pieces.iter().any(|piece| self.banned.contains(*piece)),
            soft >= self.soft_word_threshold as usize,
            self.subwords.is_match(&alphanumeric(url)),
        ];
        (rules.into_iter().position(|speaks| speaks), soft)
    }
}

impl Filter for Lists {
    const NAME: &'static str = NAME;
    type Scratch = ();

    fn options(&self) -> String {
        format!("lists = {}, soft_word_threshold = {}", self.fingerprint, self.soft_word_threshold)
    }

    fn rules(&self) -> Vec<Rule> {
        ["domain", "subdomain", "url", "hard_blacklisted", "soft_blacklisted", "blacklisted_subword"]
            .map(Rule::plain)
            .to_vec()
    }

    fn judge(&self, url: &str, _: &[Word], (): &mut (), row: &mut Row<'_>) {
        match self.rule(url) {
            (Some(4), soft) => row.measured(4, soft as f64, None),
            (Some(rule), _) => row.add(rule),
            (None, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{host, registered};

    #[test]
    fn hosts_and_what_was_registered_of_them() {
        for (url, expected, domain) in [
            ("https://user:pw@www.Example.co.uk:8080/a?b#c", "www.example.co.uk", Some("example.co.uk")),
            ("http://a.github.io/", "a.github.io", Some("github.io")),
            ("example.com", "example.com", Some("example.com")),
            ("//x.y.example.com./", "x.y.example.com", Some("example.com")),
            ("http://[::1]:80/", "[::1]:80", None),
            ("", "", None),
            ("http://com/", "com", None),
        ] {
            assert_eq!(host(url), expected, "{url}");
            if !url.contains('[') {
                assert_eq!(registered(&host(url)), domain, "{url}");
            }
        }
    }
}
