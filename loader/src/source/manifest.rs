//! The manifest: the content hashes of a dataset, written once and checked ever after.
//!
//! It holds shards by name, so that a dataset may be moved; for Parquet hashes by row group and leaf column, so that
//! they depend neither on a projection nor on how row groups are cut into blocks. Knows no format's inside.

use super::{
    Format, Options, csv,
    files::{self, Opened},
    ipc, jsonl,
    locate::{self, Folder, Found},
    parquet,
};
use crate::{Error, Hash, Place, Result};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

/// The manifest's name in a dataset's folder.
pub(super) const FILE_NAME: &str = "_arable_manifest.json";
const VERSION: u32 = 1;
/// Longer manifests are refused: they hold a few hundred bytes a block.
pub(super) const MAX_BYTES: u64 = 1 << 30;

/// A dataset's content hashes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    version: u32,
    format: String,
    shards: Vec<ShardHashes>,
    #[serde(skip)]
    path: PathBuf,
}

/// One shard's content hashes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShardHashes {
    /// Its name below the dataset's folder.
    pub(super) name: String,
    /// Its length in bytes.
    pub(super) bytes: u64,
    /// How many rows it holds.
    pub(super) rows: u64,
    /// As [`Shard::hash`](crate::Shard::hash).
    pub(super) hash: Hash,
    /// The leaf columns that every block has a hash of, in file order; of CSV the header's names;
    /// else empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) columns: Vec<String>,
    /// Its row groups, record batches, or blocks of text.
    pub(super) blocks: Vec<BlockHashes>,
}

/// The content hashes of a row group, a record batch, or a block of text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BlockHashes {
    /// How many rows it holds.
    pub(super) rows: u64,
    /// The range of bytes of a record batch or a block of text: first byte and length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<(u64, u64)>,
    /// One hash a leaf column, or one in all.
    pub(super) hashes: Vec<Hash>,
}

/// What [`write_manifest`] wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestSummary {
    /// The manifest's file.
    pub path: PathBuf,
    /// How many shards it covers.
    pub shards: usize,
    /// How many row groups, record batches or blocks of text.
    pub blocks: usize,
    /// How many rows.
    pub rows: u64,
    /// How many bytes, all shards together.
    pub bytes: u64,
}

/// Reads all of a dataset, hashes it, and writes its manifest: to the path in `options`, else into the longest
/// wildcard-free folder of the URL. A manifest that is there is replaced; `columns` are left aside, for a manifest
/// covers all.
///
/// # Errors
/// As [`open`](super::open) does; [`Error::Io`] where the manifest cannot be written.
pub fn write_manifest(options: &Options) -> Result<ManifestSummary> {
    let found = locate::locate(&options.url, options.format, &options.access)?;
    let options = Options { columns: None, ..options.clone() };
    let shards = match found.format {
        Format::Parquet => parquet::ParquetSource::open(&options, &found, None)?.content_hashes()?,
        Format::Arrow => ipc::IpcSource::open(&options, &found, None)?.content_hashes()?,
        Format::Jsonl => jsonl::JsonlSource::open(&options, &found, None)?.content_hashes()?,
        Format::Csv | Format::Tsv => csv::CsvSource::open(&options, &found, None)?.content_hashes()?,
    };
    let beside = options.manifest.is_none();
    let path = options.manifest.unwrap_or_else(|| found.folder.file(FILE_NAME));
    let manifest = Manifest { version: VERSION, format: found.format.to_string(), shards, path };
    match &found.folder {
        Folder::Remote { .. } if beside => {
            found.store.put(&found.folder.key(FILE_NAME), &manifest.path, manifest.text()?)?
        }
        _ => manifest.write()?,
    }
    Ok(ManifestSummary {
        shards: manifest.shards.len(),
        blocks: manifest.shards.iter().map(|shard| shard.blocks.len()).sum(),
        rows: manifest.shards.iter().map(|shard| shard.rows).sum(),
        bytes: manifest.shards.iter().map(|shard| shard.bytes).sum(),
        path: manifest.path,
    })
}

impl Manifest {
    /// The manifest at `path`, which must be there; else the one in the dataset's folder, if it is there.
    pub(super) fn find(path: Option<&Path>, found: &Found) -> Result<Option<Self>> {
        let beside = found.folder.file(FILE_NAME);
        let manifest = match (path, &found.folder) {
            (None, Folder::Remote { .. }) => {
                let Some(text) = found.store.whole(&found.folder.key(FILE_NAME), &beside, MAX_BYTES)? else {
                    return Ok(None);
                };
                Self::parse(&text, &beside)?
            }
            (path, _) => {
                let path = path.unwrap_or(&beside);
                if path == beside && !fs::exists(path).map_err(Error::io("read", path))? {
                    return Ok(None);
                }
                Self::read(path)?
            }
        };
        let format = found.format.to_string();
        if manifest.format == format {
            return Ok(Some(manifest));
        }
        let what = format!("it is of {} data, and these are {format}; write it anew", manifest.format);
        Err(Error::data(manifest.place(), what))
    }

    fn read(path: &Path) -> Result<Self> {
        let shown = path.to_string_lossy();
        let mut file = Opened::open(&shown)?;
        let damaged = |what: String| Error::data(Place::shard(shown.as_ref()), format!("{what}; write it anew"));
        if file.length > MAX_BYTES {
            return Err(damaged(format!("a manifest of {} bytes is no manifest", file.length)));
        }
        let text = file.read(0, file.length)?;
        Self::parse(&text, path)
    }

    /// The names of the shards of the manifest `text`, which lies at `path`.
    pub(super) fn names(text: &[u8], path: &Path) -> Result<Vec<String>> {
        Ok(Self::parse(text, path)?.shards.into_iter().map(|shard| shard.name).collect())
    }

    fn parse(text: &[u8], path: &Path) -> Result<Self> {
        let shown = path.to_string_lossy();
        let damaged = |what: String| Error::data(Place::shard(shown.as_ref()), format!("{what}; write it anew"));
        let mut manifest: Self =
            serde_json::from_slice(text).map_err(|error| damaged(format!("the manifest is damaged: {error}")))?;
        if manifest.version != VERSION {
            let what = format!("the manifest has version {}, this program reads {VERSION}", manifest.version);
            return Err(damaged(what));
        }
        manifest.shards.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(pair) = manifest.shards.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(damaged(format!("the manifest has `{}` twice", pair[0].name)));
        }
        path.clone_into(&mut manifest.path);
        Ok(manifest)
    }

    fn place(&self) -> Place {
        Place::shard(self.path.to_string_lossy())
    }

    /// Checks that the manifest and the disk have the same shards, of the same lengths. Shards of the manifest that
    /// the URL leaves out must be there all the same.
    pub(super) fn check_shards(&self, found: &Found) -> Result<()> {
        for file in &found.files {
            let shard = self.shard(&file.name, &file.path)?;
            if shard.bytes != file.bytes {
                let what = format!(
                    "it has {} bytes, the manifest says {}: it was changed or truncated; restore it, or write the \
                     manifest anew",
                    file.bytes, shard.bytes
                );
                return Err(Error::data(Place::shard(&file.path), what));
            }
        }
        for shard in &self.shards {
            let named = found.files.binary_search_by(|file| file.name.cmp(&shard.name)).is_ok();
            let path = found.folder.file(&shard.name);
            let there = || match &found.folder {
                Folder::Local(_) => Ok(path.exists()),
                Folder::Remote { .. } => found.store.exists(&found.folder.key(&shard.name), &path),
            };
            if !named && !there()? {
                let what = "the manifest has this shard, and it is not there; restore it, or write the manifest anew";
                return Err(Error::data(Place::shard(path.to_string_lossy()), what));
            }
        }
        Ok(())
    }

    /// The hashes of the shard `name`, which lies at `path`.
    pub(super) fn shard(&self, name: &str, path: &str) -> Result<&ShardHashes> {
        self.shards.binary_search_by(|shard| shard.name.as_str().cmp(name)).map(|index| &self.shards[index]).map_err(
            |_| {
                let what = format!(
                    "the manifest `{}` has no shard `{name}`; write it anew, or take the file away",
                    self.path.display()
                );
                Error::data(Place::shard(path), what)
            },
        )
    }

    fn text(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(self).map_err(|error| Error::io("write", &self.path)(error.into()))
    }

    /// Writes the whole file or none of it.
    fn write(&self) -> Result<()> {
        let folder = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let failed = || Error::io("write", &self.path);
        let mut builder = tempfile::Builder::new();
        // Without this nobody but the writer could read it.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
        let mut file = builder.tempfile_in(folder).map_err(failed())?;
        let text = self.text()?;
        file.write_all(&text).and_then(|()| file.as_file().sync_all()).map_err(failed())?;
        file.persist(&self.path).map_err(|error| failed()(error.error))?;
        files::sync_folder(folder)
    }
}
