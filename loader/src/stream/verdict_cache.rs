//! Verdicts of blocks that were judged before: one file a block in a folder, named by what the verdict is a function of.
//!
//! Judging a block depends on its content, the operators with their versions and options, and their fits, and on
//! nothing else. An entry that is damaged is no entry. What depends on earlier rows is never stored: it is settled
//! anew from the stored keys.
//!
//! The folder may be shared by any number of recipes and datasets, so nobody can say which entries will be asked for
//! again. It is kept within a byte limit, and the entries that were used longest ago go first.

use crate::{
    Error, Hash, Result,
    clean::{Cleaner, Judged},
};
use arrow::datatypes::SchemaRef;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// How the name of an entry ends.
const END: &str = ".verdicts";

/// A folder of verdicts, for the operators of one recipe.
#[derive(Debug)]
pub(super) struct VerdictCache {
    folder: PathBuf,
    /// The operators' fingerprint and the columns that they read.
    key: Hash,
}

impl VerdictCache {
    /// The verdicts of `cleaner` over rows of `schema` in `folder`, which is made where it is missing. The cleaner must
    /// be fitted.
    pub(super) fn open(folder: &Path, cleaner: &Cleaner, schema: &SchemaRef) -> Result<Self> {
        if folder.exists() && !folder.is_dir() {
            return Err(Error::recipe(format!("`{}` is a file; verdicts are kept in a folder", folder.display())));
        }
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let fields = schema.fields().iter().map(|field| format!("{}\0{}\0", field.name(), field.data_type()));
        let fields = Hash::of(fields.collect::<String>().as_bytes());
        Ok(Self { folder: folder.to_path_buf(), key: Hash::of_hashes(&[cleaner.fingerprint(), fields]) })
    }

    /// What is known of the block with the content `hashes`.
    pub(super) fn get(&self, cleaner: &Cleaner, hashes: &[Hash], rows: u32) -> Option<Judged> {
        let path = self.path(hashes)?;
        let bytes = fs::read(&path).ok()?;
        let (body, hash) = bytes.split_last_chunk::<32>()?;
        if Hash::of(body).0 != *hash {
            return None;
        }
        let judged = cleaner.judged_from_bytes(body, rows)?;
        // Where the time cannot be set the entry is thrown away a little earlier, and that is all.
        let _ = fs::File::options().append(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Some(judged)
    }

    /// Throws away the entries that were used longest ago, until the others take no more than `limit` bytes. What cannot
    /// be thrown away costs a warning.
    pub(super) fn keep_within(&self, limit: u64) {
        if let Err(fault) = keep_within(&self.folder, limit) {
            tracing::warn!("the verdict cache is not kept within its limit: {fault}");
        }
    }

    /// Remembers what was found, as a whole or not at all. A cache that cannot be written to costs a warning.
    pub(super) fn put(&self, hashes: &[Hash], judged: &Judged) {
        let Some(path) = self.path(hashes) else { return };
        if let Err(fault) = write(&path, judged) {
            tracing::warn!("verdicts are not cached: {fault}");
        }
    }

    /// None where the content has no name.
    fn path(&self, hashes: &[Hash]) -> Option<PathBuf> {
        if hashes.is_empty() {
            return None;
        }
        let name = Hash::of_hashes(&[self.key, Hash::of_hashes(hashes)]).to_string();
        Some(self.folder.join(name.get(..2)?).join(format!("{name}{END}")))
    }
}

fn write(path: &Path, judged: &Judged) -> Result<()> {
    let mut bytes = judged.to_bytes()?;
    let hash = Hash::of(&bytes);
    bytes.extend_from_slice(&hash.0);
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    // What a run that was killed leaves behind counts, and goes, as an entry.
    let file = tempfile::Builder::new().suffix(END).tempfile_in(folder);
    let mut file = file.map_err(Error::io("write", path))?;
    file.write_all(&bytes).map_err(Error::io("write", path))?;
    file.persist(path).map_err(|error| Error::io("write", path)(error.error))?;
    Ok(())
}

fn keep_within(folder: &Path, limit: u64) -> Result<()> {
    let mut entries: Vec<(SystemTime, PathBuf, u64)> = Vec::new();
    for of_prefix in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let of_prefix = of_prefix.map_err(Error::io("read", folder))?.path();
        // Only what looks like the cache's own: the folder is the user's.
        if of_prefix.file_name().is_none_or(|name| name.len() != 2) || !of_prefix.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&of_prefix).map_err(Error::io("read", &of_prefix))? {
            let path = entry.map_err(Error::io("read", &of_prefix))?.path();
            let own = path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(END));
            // Another run may have thrown it away meanwhile.
            if let (true, Ok(about)) = (own, fs::metadata(&path)) {
                entries.push((about.modified().unwrap_or(SystemTime::UNIX_EPOCH), path, about.len()));
            }
        }
    }
    let mut bytes: u64 = entries.iter().map(|(_, _, bytes)| bytes).sum();
    // By name where two are as old, so that it does not hang on the folder's order.
    entries.sort();
    for (_, path, size) in entries {
        if bytes <= limit {
            break;
        }
        match fs::remove_file(&path) {
            Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &path)(fault));
            }
            _ => bytes -= size,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::keep_within;
    use std::{
        fs,
        time::{Duration, SystemTime},
    };

    #[test]
    fn what_was_used_longest_ago_goes_and_nothing_of_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("ab")).expect("a folder");
        fs::create_dir(at("notes")).expect("a folder");
        for other in ["thesis.verdicts", "notes/old.verdicts", "ab/thesis.txt"] {
            fs::write(at(other), vec![0; 1000]).expect("a file");
        }
        for age in 0..10 {
            let file = fs::File::create(at(&format!("ab/{age}.verdicts"))).expect("a file");
            file.set_len(100).expect("room");
            file.set_modified(SystemTime::now() - Duration::from_secs(3600 * (1 + age))).expect("a time");
        }
        let kept = |limit| {
            keep_within(folder.path(), limit).expect("a folder of one's own");
            (0..10).filter(|age| at(&format!("ab/{age}.verdicts")).exists()).collect::<Vec<_>>()
        };
        assert_eq!(kept(1000), (0..10).collect::<Vec<_>>());
        assert_eq!(kept(420), [0, 1, 2, 3]);
        assert_eq!(kept(0), [0; 0]);
        assert!(["thesis.verdicts", "notes/old.verdicts", "ab/thesis.txt"].iter().all(|other| at(other).exists()));
    }
}
