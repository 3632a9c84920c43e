//! From a URL to the objects of a remote store behind it: one object, those below a folder, or those that a pattern
//! matches. A web server that cannot be listed is asked for objects by name: braces and the manifest give names.

use super::{
    super::{
        access::Access,
        manifest,
        remote::{Address, Kind, Remote},
    },
    Folder, Format, Found, Located, NO_ENDING, choose, percent_decoded,
};
use crate::{Error, Result, source::store::Store, spelling::advice};
use glob::{MatchOptions, Pattern};
use object_store::{ObjectMeta, path::Path as Key};

/// A dataset has at most so many shards; longer listings are not held in memory.
const MOST: usize = 1 << 22;
/// So many names of a folder are looked through for one that is spelt alike.
const MOST_NEIGHBOURS: usize = 1000;

/// Finds the objects behind `url`. At least one is found, or it is an error.
pub(super) fn locate(url: &str, format: Option<Format>, access: &Access) -> Result<Found> {
    let address = Address::parse(url, percent_decoded)?;
    let mut finding = Finding { remote: Remote::connect(&address, access)?, address };
    let key = finding.address.key.clone();
    let named = if finding.address.kind == Kind::Http { expand(&key)? } else { vec![key.clone()] };
    let (folder, objects, single) = if named != [key.as_str()] {
        (parent(fixed(&key, &['{'])), finding.named(&named)?, true)
    } else if let Some(object) = finding.single(&key)? {
        (parent(&key), vec![object], true)
    } else if key.contains(['*', '?', '[']) {
        let folder = parent(fixed(&key, &['*', '?', '[']));
        (folder, finding.matching(folder, &key)?, false)
    } else {
        let folder = key.trim_end_matches('/');
        (folder, finding.below(folder)?, false)
    };
    let in_folder = !single && !key.contains(['*', '?', '[']);
    let root = finding.address.root.clone();
    let candidates = objects.iter().map(|object| Located {
        path: format!("{root}{}", object.location),
        name: below(folder, object.location.as_ref()).to_owned(),
        bytes: object.size,
    });
    let chosen = choose(candidates.collect(), format, single, in_folder);
    if chosen.files.is_empty() {
        return Err(Error::recipe(match chosen.other_endings {
            0 => format!("nothing matches `{root}{key}`{}", finding.neighbours(&key)),
            others => format!("`{root}{key}` matches {others} objects, {NO_ENDING}"),
        }));
    }
    let format = chosen.format(&format!("{root}{key}"), format)?;
    finding.remote.pin(objects.into_iter().map(|object| (format!("{root}{}", object.location), object)));
    let folder = Folder::Remote { root, key: folder.to_owned() };
    let store = Store::new(Some(finding.remote), chosen.any_compressed(), access)?;
    Ok(Found { folder, store, files: chosen.files, format })
}

struct Finding {
    remote: Remote,
    address: Address,
}

impl Finding {
    fn shown(&self, key: &str) -> String {
        format!("{}{key}", self.address.root)
    }

    fn key(&self, key: &str) -> Result<Key> {
        Key::parse(key).map_err(|error| Error::recipe(format!("`{}`: {error}", self.shown(key))))
    }

    /// The object `key`, if there is one. A pattern is tried too where it may be a key: `[` and the like may be in names.
    fn single(&self, key: &str) -> Result<Option<ObjectMeta>> {
        if key.is_empty() || key.ends_with('/') || key.contains('*') {
            return Ok(None);
        }
        self.remote.find(&self.key(key)?, &self.shown(key))
    }

    /// The objects `keys`, which all must be there.
    fn named(&self, keys: &[String]) -> Result<Vec<ObjectMeta>> {
        let find = |key: &String| {
            let found = self.remote.find(&self.key(key)?, &self.shown(key))?;
            found.ok_or_else(|| Error::recipe(format!("there is no `{}`", self.shown(key))))
        };
        super::super::in_parallel(keys.len(), |index| find(&keys[index]))
    }

    /// The objects that match `pattern`, all of them below `folder`.
    fn matching(&self, folder: &str, pattern: &str) -> Result<Vec<ObjectMeta>> {
        let options =
            MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };
        let matcher = Pattern::new(pattern)
            .map_err(|error| Error::recipe(format!("`{}` is not a glob: {error}", self.shown(pattern))))?;
        let matches = |key: &str| matcher.matches_with(key, options);
        match self.list(folder) {
            Ok(objects) => Ok(objects.into_iter().filter(|object| matches(object.location.as_ref())).collect()),
            Err(error) => match self.recorded(folder)? {
                Some(names) => self.named(&names.into_iter().filter(|name| matches(name)).collect::<Vec<_>>()),
                None => Err(error),
            },
        }
    }

    /// The objects below `folder` but those whose name, or whose folder's name, begins with `.` or `_`.
    fn below(&self, folder: &str) -> Result<Vec<ObjectMeta>> {
        let visible = |key: &str| !below(folder, key).split('/').any(|part| part.starts_with(['.', '_']));
        match self.list(folder) {
            Ok(objects) => Ok(objects.into_iter().filter(|object| visible(object.location.as_ref())).collect()),
            Err(error) => match self.recorded(folder)? {
                Some(names) => self.named(&names),
                None => Err(error),
            },
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<ObjectMeta>> {
        let objects = self.remote.list(&self.key(folder)?, &self.shown(folder), MOST + 1).map_err(|error| {
            if self.address.kind != Kind::Http {
                return error;
            }
            Error::recipe(format!(
                "`{}` is not there as one object, and the server lists no folder (it would have to speak WebDAV): name \
                 the objects, as in `part-{{000..127}}.parquet` or `{{a,b}}.csv`, or lay a manifest beside them ({error})",
                self.shown(&self.address.key)
            ))
        })?;
        if objects.len() > MOST {
            let what = format!("`{}` holds more than {MOST} objects; narrow the pattern", self.shown(folder));
            return Err(Error::recipe(what));
        }
        Ok(objects)
    }

    /// The keys of the shards that the manifest in `folder` has, if there is one.
    fn recorded(&self, folder: &str) -> Result<Option<Vec<String>>> {
        let within = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        let key = within(manifest::FILE_NAME);
        let shown = self.shown(&key);
        let text = self.remote.whole(&self.key(&key)?, &shown, manifest::MAX_BYTES)?;
        let names = text.map(|text| manifest::Manifest::names(&text, shown.as_ref())).transpose()?;
        Ok(names.map(|names| names.iter().map(|name| within(name)).collect()))
    }

    /// What lies near `key` and is spelt alike, for a message.
    fn neighbours(&self, key: &str) -> String {
        let folder = parent(key.trim_end_matches('/'));
        let listed = self.key(folder).and_then(|key| self.remote.list(&key, "", MOST_NEIGHBOURS));
        let objects = listed.unwrap_or_default();
        let mut names: Vec<&str> =
            objects.iter().filter_map(|object| below(folder, object.location.as_ref()).split('/').next()).collect();
        names.dedup();
        advice(below(folder, key.trim_end_matches('/')), &names, "it has")
    }
}

/// `key` up to the first of `marks`.
fn fixed<'a>(key: &'a str, marks: &[char]) -> &'a str {
    key.split(marks).next().unwrap_or(key)
}

/// The folder of `key`, without a `/` at its end.
fn parent(key: &str) -> &str {
    key.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// `key` below `folder`.
fn below<'a>(folder: &str, key: &'a str) -> &'a str {
    key.strip_prefix(folder).map_or(key, |key| key.trim_start_matches('/'))
}

/// The names that `{a,b}` and `{000..127}` stand for; a name without braces stands for itself.
fn expand(pattern: &str) -> Result<Vec<String>> {
    let mut names = vec![String::new()];
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((inside, after)) = after.split_once('}') else { break };
        let choices: Vec<String> = match inside.split_once("..") {
            Some((first, last)) => numbers(first, last).ok_or_else(|| {
                Error::recipe(format!("`{{{inside}}}` is no range of at most {MOST} numbers, like `{{000..127}}`"))
            })?,
            None => inside.split(',').map(str::to_owned).collect(),
        };
        if names.len().saturating_mul(choices.len()) > MOST {
            return Err(Error::recipe(format!("`{pattern}` stands for more than {MOST} names")));
        }
        let longer = |name: &String| choices.iter().map(|choice| format!("{name}{before}{choice}")).collect::<Vec<_>>();
        names = names.iter().flat_map(longer).collect();
        rest = after;
    }
    names.iter_mut().for_each(|name| name.push_str(rest));
    Ok(names)
}

/// The numbers from `first` to `last`, as wide as `first` is written.
fn numbers(first: &str, last: &str) -> Option<Vec<String>> {
    let (from, to) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
    let few = to.checked_sub(from)? < MOST as u64;
    let width = first.len();
    few.then(|| (from..=to).map(|number| format!("{number:0width$}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_name_objects() {
        assert_eq!(expand("a/part-{08..10}.csv").unwrap(), ["a/part-08.csv", "a/part-09.csv", "a/part-10.csv"]);
        assert_eq!(expand("{x,y}/{1..2}").unwrap(), ["x/1", "x/2", "y/1", "y/2"]);
        assert_eq!(expand("plain.csv").unwrap(), ["plain.csv"]);
        assert_eq!(expand("a{b").unwrap(), ["a{b"]);
        assert!(expand("{9..1}").is_err());
        assert!(expand("{0..99999999999}").is_err());
        assert!(expand("{0..9999}{0..9999}").is_err());
    }

    #[test]
    fn folders_and_names_of_keys() {
        assert_eq!(parent(fixed("a/b-*.csv", &['*'])), "a");
        assert_eq!(parent("b.csv"), "");
        assert_eq!(below("a", "a/b/c"), "b/c");
        assert_eq!(below("", "a/b"), "a/b");
    }
}
