//! From a URL to the files behind it: paths, folders, globs, `file://`, and objects of remote stores. Opens no file and
//! knows no format but by its ending.

mod objects;

use super::{Format, access::Access, manifest, remote::is_remote, store::Store, unpack::Compression};
use crate::{Error, Result, spelling::advice};
use std::{
    fs,
    path::{Component, Path, PathBuf},
};

/// One file behind a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Located {
    /// How to open it.
    pub(super) path: String,
    /// Its path below [`Found::folder`], with `/` between folders.
    pub(super) name: String,
    /// Its length in bytes.
    pub(super) bytes: u64,
}

/// What lies behind a URL.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// The URL's longest wildcard-free folder.
    pub(super) folder: Folder,
    /// Where the files lie.
    pub(super) store: Store,
    /// The files, in order of their names.
    pub(super) files: Vec<Located>,
    /// The format of all of them.
    pub(super) format: Format,
}

/// A dataset's folder, where its manifest lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Folder {
    /// On this machine.
    Local(PathBuf),
    /// In the store of the dataset.
    Remote {
        /// Scheme and authority, with the `/` after them.
        root: String,
        /// The folder's key, without a `/` at its end; empty for the whole store.
        key: String,
    },
}

impl Folder {
    /// The file `name` in this folder, by its path or its URL.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        match self {
            Self::Local(folder) => folder.join(name),
            Self::Remote { root, .. } => PathBuf::from(format!("{root}{}", self.key(name))),
        }
    }

    /// The key of the object `name` in this folder.
    pub(super) fn key(&self, name: &str) -> String {
        match self {
            Self::Remote { key, .. } if !key.is_empty() => format!("{key}/{name}"),
            _ => name.to_owned(),
        }
    }
}

/// Finds the files behind `url`. At least one is found, or it is an error.
pub(super) fn locate(url: &str, format: Option<Format>, access: &Access) -> Result<Found> {
    if is_remote(url) {
        return objects::locate(url, format, access);
    }
    let path = local_path(url)?;
    let (folder, paths) = match fs::metadata(&path) {
        Ok(about) if about.is_dir() => (PathBuf::from(&path), walk(Path::new(&path))?),
        Ok(about) if about.is_file() => (parent(Path::new(&path)), vec![PathBuf::from(&path)]),
        Ok(_) => return Err(Error::recipe(format!("`{path}` is neither a file nor a folder"))),
        Err(_) if path.contains(['*', '?', '[']) => glob(&path)?,
        Err(_) => return Err(missing(&path)),
    };
    let root = path;
    let single = fs::metadata(&root).is_ok_and(|about| about.is_file());
    let in_folder = Path::new(&root).is_dir();
    let mut candidates = Vec::with_capacity(paths.len());
    for path in paths {
        let about = fs::metadata(&path).map_err(Error::io("read", &path))?;
        let name = name_below(&folder, &path)?;
        if about.is_file() {
            candidates.push(located(&path, name, about.len())?);
        }
    }
    let chosen = choose(candidates, format, single, in_folder);
    if chosen.files.is_empty() {
        let shown = folder.display();
        return Err(Error::recipe(if chosen.other_endings > 0 {
            format!("`{url}` matches {} files in `{shown}`, {NO_ENDING}", chosen.other_endings)
        } else {
            format!("nothing matches `{url}`; looked in `{shown}`{}", neighbours(&folder, &root))
        }));
    }
    let format = chosen.format(url, format)?;
    let store = Store::new(None, chosen.any_compressed(), access)?;
    Ok(Found { folder: Folder::Local(folder), store, files: chosen.files, format })
}

const NO_ENDING: &str = "but none ends in .parquet, .arrow, .arrows, .ipc, .feather, .jsonl, .ndjson, .csv or .tsv as \
                         asked for; give the dataset's `format`";

/// The files among the candidates that are data.
struct Chosen {
    files: Vec<Located>,
    /// Those whose ending names a format, with it.
    endings: Vec<(Format, String)>,
    /// How many have another ending.
    other_endings: usize,
}

/// A format that is asked for settles what a glob or a single file is; in a folder, endings still tell data from whatever
/// else lies there.
fn choose(candidates: Vec<Located>, format: Option<Format>, single: bool, in_folder: bool) -> Chosen {
    let mut chosen = Chosen { files: Vec::new(), endings: Vec::new(), other_endings: 0 };
    for file in candidates {
        if file.name.rsplit('/').next() == Some(manifest::FILE_NAME) {
            continue;
        }
        let ending = Format::from_file_name(&file.name);
        match (ending, format) {
            (Some(ending), Some(format)) if ending != format && !single => chosen.other_endings += 1,
            (Some(_), Some(_)) | (Some(_), None) => {
                chosen.endings.extend(ending.map(|ending| (ending, file.name.clone())));
                chosen.files.push(file);
            }
            (None, Some(_)) if !in_folder => chosen.files.push(file),
            (None, _) => chosen.other_endings += 1,
        }
    }
    chosen.files.sort_by(|a, b| a.name.cmp(&b.name));
    chosen.files.dedup();
    chosen
}

impl Chosen {
    /// Whether any of the files is compressed as a whole.
    fn any_compressed(&self) -> bool {
        self.files.iter().any(|file| Compression::of_name(&file.name).is_some())
    }

    /// The format of all files: the one asked for, else the one that their endings agree on.
    fn format(&self, url: &str, format: Option<Format>) -> Result<Format> {
        format.map_or_else(|| one_format(url, &self.endings), Ok)
    }
}

/// The path behind `url`, which has no scheme or `file://`.
fn local_path(url: &str) -> Result<String> {
    let Some((_, rest)) = url.split_once("://") else {
        return if url.is_empty() { Err(Error::recipe("the dataset's url is empty")) } else { Ok(url.to_owned()) };
    };
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if !path.starts_with('/') {
        return Err(Error::recipe(format!("`{url}` names another machine; a local file is `file:///path`")));
    }
    percent_decoded(path).ok_or_else(|| Error::recipe(format!("`{url}` has an escape that is no UTF-8 text")))
}

/// RFC 3986 percent-decoding; `None` if an escape is malformed or the result is not UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = tail.get(2..)?;
        } else {
            bytes.push(*byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// All files below `folder` but those whose name, or whose folder's name, begins with `.` or `_`. Links to folders are
/// not followed, so that a walk ends.
fn walk(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(Error::io("read", &folder))? {
            let entry = entry.map_err(Error::io("read", &folder))?;
            if entry.file_name().to_string_lossy().starts_with(['.', '_']) {
                continue;
            }
            let kind = entry.file_type().map_err(Error::io("read", entry.path()))?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if fs::metadata(entry.path()).is_ok_and(|about| about.is_file()) {
                files.push(entry.path());
            }
        }
    }
    Ok(files)
}

/// The longest wildcard-free folder of a glob, and what the glob matches.
fn glob(pattern: &str) -> Result<(PathBuf, Vec<PathBuf>)> {
    let fixed: PathBuf = Path::new(pattern)
        .components()
        .take_while(|part| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']))
        .collect();
    let folder = if fixed.as_os_str().is_empty() { PathBuf::from(".") } else { fixed };
    if !folder.is_dir() {
        return Err(missing(&folder.to_string_lossy()));
    }
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
    let matches = glob::glob_with(pattern, options)
        .map_err(|error| Error::recipe(format!("`{pattern}` is not a glob: {error}")))?;
    let mut paths = Vec::new();
    for path in matches {
        paths.push(path.map_err(|error| {
            let path = error.path().to_owned();
            Error::io("read", path)(error.into())
        })?);
    }
    Ok((folder, paths))
}

/// `path` below `folder`, with `/` between folders.
fn name_below(folder: &Path, path: &Path) -> Result<String> {
    // A glob's matches come without the `./` that its pattern may begin with.
    let plain = |path: &Path| path.components().filter(|part| *part != Component::CurDir).collect::<PathBuf>();
    let (folder, path) = (plain(folder), plain(path));
    let below = path.strip_prefix(&folder).unwrap_or(&path);
    let parts: Option<Vec<&str>> = below.components().map(|part| part.as_os_str().to_str()).collect();
    parts.map(|parts| parts.join("/")).ok_or_else(|| not_unicode(&path))
}

fn located(path: &Path, name: String, bytes: u64) -> Result<Located> {
    let path = path.to_str().ok_or_else(|| not_unicode(path))?.to_owned();
    Ok(Located { path, name, bytes })
}

fn not_unicode(path: &Path) -> Error {
    Error::recipe(format!("the file name `{}` is not UTF-8; rename the file", path.display()))
}

fn one_format(url: &str, endings: &[(Format, String)]) -> Result<Format> {
    let (first, name) = endings.first().ok_or_else(|| Error::recipe(format!("nothing matches `{url}`")))?;
    match endings.iter().find(|(format, _)| format != first) {
        None => Ok(*first),
        Some((other, other_name)) => Err(Error::recipe(format!(
            "`{url}` holds more than one format: `{name}` is {first}, `{other_name}` is {other}; narrow the pattern or \
             give the dataset's `format`"
        ))),
    }
}

/// Why a path without wildcards leads nowhere: which folder was looked in, and what it has of a similar name.
fn missing(path: &str) -> Error {
    let mut existing = Path::new(path);
    while let Some(parent) = existing.parent().filter(|_| !existing.is_dir()) {
        existing = parent;
    }
    let folder = if existing.as_os_str().is_empty() { Path::new(".") } else { existing };
    Error::recipe(format!("there is no `{path}`; looked in `{}`{}", folder.display(), neighbours(folder, path)))
}

/// What `folder` has that is spelt like the first part of `path` below it.
fn neighbours(folder: &Path, path: &str) -> String {
    let below = Path::new(path).strip_prefix(folder).unwrap_or_else(|_| Path::new(path));
    let wanted = below.components().next().map(|part| part.as_os_str().to_string_lossy().into_owned());
    let mut names: Vec<String> = fs::read_dir(folder)
        .map(|entries| entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
        .unwrap_or_default();
    names.sort();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    advice(&wanted.unwrap_or_default(), &names, "it has")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        folder
    }

    fn find(url: &str) -> Result<Found> {
        locate(url, None, &Access::default())
    }

    fn names(url: &str) -> Vec<String> {
        find(url).unwrap().files.into_iter().map(|file| file.name).collect()
    }

    #[test]
    fn a_folder_means_its_data_files_without_hidden_ones() {
        let folder =
            folder(&["b.jsonl", "a.jsonl", "deep/er/c.ndjson", ".d.jsonl", "_e.jsonl", "_f/g.jsonl", "README.md"]);
        let url = folder.path().to_str().unwrap();
        assert_eq!(names(url), ["a.jsonl", "b.jsonl", "deep/er/c.ndjson"]);
        assert_eq!(names(&format!("{url}/")), names(url));
        assert_eq!(names(&format!("file://{url}")), names(url));
        assert_eq!(find(url).unwrap().folder, Folder::Local(folder.path().to_owned()));
    }

    #[test]
    fn names_count_from_the_longest_wildcard_free_folder() {
        let folder = folder(&["x/1/a.parquet", "x/2/b.parquet", "x/2/n.txt", "y.parquet"]);
        let root = folder.path().to_str().unwrap();
        assert_eq!(names(&format!("{root}/x/*/*.parquet")), ["1/a.parquet", "2/b.parquet"]);
        assert_eq!(names(&format!("{root}/**/*.parquet")), ["x/1/a.parquet", "x/2/b.parquet", "y.parquet"]);
        assert_eq!(names(&format!("{root}/x/2/*")), ["b.parquet"]);
        assert_eq!(names(&format!("{root}/y.parquet")), ["y.parquet"]);
    }

    #[test]
    fn a_pattern_may_begin_in_the_working_folder() {
        let name = |folder: &str, path: &str| name_below(Path::new(folder), Path::new(path)).unwrap();
        assert_eq!(name("./data", "data/a.jsonl"), "a.jsonl");
        assert_eq!(name(".", "a.jsonl"), "a.jsonl");
        assert_eq!(name(".", "./x/a.jsonl"), "x/a.jsonl");
    }

    #[test]
    fn a_file_whose_name_looks_like_a_glob_is_that_file() {
        let folder = folder(&["a[1].jsonl", "a1.jsonl"]);
        assert_eq!(names(&format!("{}/a[1].jsonl", folder.path().display())), ["a[1].jsonl"]);
    }

    #[test]
    fn the_manifest_is_never_data() {
        let folder = folder(&["a.jsonl", manifest::FILE_NAME]);
        let url = format!("{}/*", folder.path().display());
        let found = locate(&url, Some(Format::Jsonl), &Access::default()).unwrap();
        assert_eq!(found.files.len(), 1);
    }

    #[test]
    fn a_given_format_overrules_the_ending_of_what_was_named() {
        let folder = folder(&["a.txt", "b.json"]);
        let root = folder.path().display();
        assert_eq!(locate(&format!("{root}/*"), Some(Format::Jsonl), &Access::default()).unwrap().files.len(), 2);
        assert!(find(&format!("{root}/*")).unwrap_err().to_string().contains("format"));
    }

    #[test]
    fn what_is_not_there_is_said_with_the_folder_and_the_nearest_name() {
        let folder = folder(&["data/train.jsonl", "data/b.parquet"]);
        let root = folder.path().display().to_string();
        let says = |url: &str, parts: &[&str]| {
            let error = find(&url.replace('~', &root)).unwrap_err();
            assert!(error.is_usage());
            for part in parts {
                assert!(error.to_string().contains(&part.replace('~', &root)), "{error} lacks {part}");
            }
        };
        says("~/data/trian.jsonl", &["~/data/trian.jsonl", "`~/data`", "did you mean `train.jsonl`"]);
        says("~/dta/train.jsonl", &["`~`", "did you mean `data`"]);
        says("~/dta/*.jsonl", &["did you mean `data`"]);
        says("~/data/*.arrow", &["~/data/*.arrow", "`~/data`"]);
        says("~/data", &["more than one format"]);
        says("s4://bucket/a.parquet", &["s4://", "did you mean `s3`"]);
        says("file://elsewhere/a.parquet", &["another machine"]);
        says("", &["empty"]);
        says("~/data/[", &["no"]);
    }

    #[test]
    fn file_urls_are_percent_decoded() {
        let folder = folder(&["a b.jsonl"]);
        assert_eq!(names(&format!("file://{}/a%20b.jsonl", folder.path().display())), ["a b.jsonl"]);
        assert_eq!(percent_decoded("%4"), None);
        assert_eq!(percent_decoded("%ff"), None);
    }

    #[cfg(unix)]
    #[test]
    fn links_that_go_round_do_not_keep_a_walk_from_ending() {
        let folder = folder(&["a.jsonl"]);
        std::os::unix::fs::symlink(folder.path(), folder.path().join("again")).unwrap();
        assert_eq!(names(folder.path().to_str().unwrap()), ["a.jsonl"]);
    }
}
