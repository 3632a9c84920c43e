//! Verdicts of blocks that were judged before: one file a block in a folder, named by what the verdict is a function of.
//!
//! Judging a block depends on its content, the operators with their versions and options, and their fits, and on
//! nothing else. An entry that is damaged is no entry. What depends on earlier rows is never stored: it is settled
//! anew from the stored keys.

use crate::{
    Error, Hash, Result,
    clean::{Cleaner, Judged},
};
use arrow::datatypes::SchemaRef;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

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
        let bytes = fs::read(self.path(hashes)?).ok()?;
        let (body, hash) = bytes.split_last_chunk::<32>()?;
        if Hash::of(body).0 != *hash {
            return None;
        }
        cleaner.judged_from_bytes(body, rows)
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
        Some(self.folder.join(name.get(..2)?).join(format!("{name}.verdicts")))
    }
}

fn write(path: &Path, judged: &Judged) -> Result<()> {
    let mut bytes = judged.to_bytes()?;
    let hash = Hash::of(&bytes);
    bytes.extend_from_slice(&hash.0);
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(Error::io("write", path))?;
    file.write_all(&bytes).map_err(Error::io("write", path))?;
    file.persist(path).map_err(|error| Error::io("write", path)(error.error))?;
    Ok(())
}
