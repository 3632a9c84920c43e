//! The Parquet files of a curation: one for each shard that has a kept row, each with the rows' ids beside them.
//!
//! Files are written in a folder of their own and moved into place together at the end, so that a run that dies leaves
//! what was there before; the next one clears away what it left.

use super::REPORT;
use crate::{Error, Plan, Result, clean::Settled};
use arrow::{
    array::{ArrayRef, Float32Array, StringArray, UInt32Array},
    datatypes::{DataType, Field, Schema, SchemaRef},
    record_batch::RecordBatch,
};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

/// What the columns begin with that are added to a dataset's own.
const PREFIX: &str = "_arable_";

/// The folder of what is being written, in the output's.
const PARTIAL: &str = ".partial";

/// A folder that one process writes to. Removed with all that is left in it when this is dropped.
struct Partial {
    path: PathBuf,
    /// Held while the process lives.
    _lock: File,
}

impl Partial {
    /// Takes the folder, and clears away what a run that died left there.
    fn take(out: &Path) -> Result<Self> {
        let path = out.join(PARTIAL);
        fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
        let lock = lock(&path.join("lock"), out)?;
        for entry in fs::read_dir(&path).map_err(Error::io("read", &path))?.flatten() {
            if entry.path().extension().is_some_and(|end| end == "parquet") {
                fs::remove_file(entry.path()).map_err(Error::io("remove", entry.path()))?;
            }
        }
        Ok(Self { path, _lock: lock })
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Err(fault) = fs::remove_dir_all(&self.path) {
            tracing::warn!("`{}` is left behind: {fault}", self.path.display());
        }
    }
}

/// Opens a file for one process alone, which writes what `whole` will be.
pub(super) fn lock(path: &Path, whole: &Path) -> Result<File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(Error::io("write", path))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            Err(Error::recipe(format!("another run is writing to `{}`: wait for it, or name another", whole.display())))
        }
        // A file system without locks: two runs at once are then the user's affair.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
    }
}

/// The files that are being written.
pub(super) struct Parts {
    out: PathBuf,
    partial: Partial,
    schema: SchemaRef,
    /// The dataset's own columns that are written: all but those of an earlier curation.
    own: Vec<usize>,
    open: Option<(u32, ArrowWriter<File>)>,
    names: Vec<String>,
}

impl Parts {
    /// Prepares `out`, which must be empty, missing, or an earlier curation.
    pub(super) fn begin(out: &Path, plan: &Plan, scores: &[String]) -> Result<Self> {
        if out.to_string_lossy().contains("://") {
            return Err(Error::recipe(format!(
                "`{}` is a URL; a curation is written to a local folder",
                out.display()
            )));
        }
        if out.exists() && !out.is_dir() {
            return Err(Error::recipe(format!("`{}` is a file; a curation is written to a folder", out.display())));
        }
        fs::create_dir_all(out).map_err(Error::io("create", out))?;
        let mut entries = fs::read_dir(out).map_err(Error::io("read", out))?;
        let foreign = |name: &str| name.ends_with(".parquet") || !name.starts_with(['_', '.']);
        let strange = entries.find_map(|entry| entry.ok()?.file_name().into_string().ok().filter(|name| foreign(name)));
        if let (Some(strange), false) = (strange, out.join(REPORT).exists()) {
            return Err(Error::recipe(format!(
                "`{}` holds `{strange}` and is no earlier curation: name a folder that is empty or not there yet",
                out.display()
            )));
        }
        let partial = Partial::take(out)?;
        let fields = plan.schema.fields();
        let own: Vec<usize> = (0..fields.len()).filter(|&at| !fields[at].name().starts_with(PREFIX)).collect();
        let named = |name: &str, data_type| Field::new(format!("{PREFIX}{name}"), data_type, false);
        let added = [
            named("shard", DataType::Utf8),
            named("block", DataType::UInt32),
            named("row", DataType::UInt32),
            Field::new(format!("{PREFIX}id"), DataType::Utf8, true),
            named("weight", DataType::Float32),
        ];
        let scores = scores.iter().map(|score| Field::new(format!("{PREFIX}score_{score}"), DataType::Float32, true));
        let fields = own.iter().map(|&at| Arc::clone(&fields[at])).chain(added.into_iter().chain(scores).map(Arc::new));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(Self { out: out.to_path_buf(), partial, schema, own, open: None, names: Vec::new() })
    }

    /// Writes the kept rows of a block, `kept`, of the shard with this number and name.
    pub(super) fn write(
        &mut self,
        shard: u32,
        name: &str,
        block: u32,
        kept: &RecordBatch,
        settled: &Settled,
        ids: &[u128],
    ) -> Result<()> {
        if kept.num_rows() == 0 {
            return Ok(());
        }
        let rows: Vec<u32> = settled.keep.kept().collect();
        let weight = |&row: &u32| settled.weights.get(row as usize).copied().unwrap_or(1.0);
        let id = |&row: &u32| ids.get(row as usize).map(|id| format!("{id:032x}"));
        let mut columns: Vec<ArrayRef> = self.own.iter().map(|&at| Arc::clone(kept.column(at))).collect();
        columns.push(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(name, rows.len()))));
        columns.push(Arc::new(UInt32Array::from_iter_values(std::iter::repeat_n(block, rows.len()))));
        columns.push(Arc::new(UInt32Array::from_iter_values(rows.iter().copied())));
        columns.push(Arc::new(rows.iter().map(id).collect::<StringArray>()));
        columns.push(Arc::new(Float32Array::from_iter_values(rows.iter().map(weight))));
        for score in &settled.scores {
            let value = |&row: &u32| score.get(row as usize).copied().filter(|value| !value.is_nan());
            columns.push(Arc::new(rows.iter().map(value).collect::<Float32Array>()));
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|error| Error::State(format!("kept rows do not fit their schema: {error}")))?;
        if self.open.as_ref().is_none_or(|(open, _)| *open != shard) {
            self.close()?;
            self.create(shard)?;
        }
        if let Some((_, writer)) = &mut self.open {
            // A row group a block: what is held in memory is one block.
            writer.write(&batch).and_then(|()| writer.flush()).map_err(unwritable(&self.out))?;
        }
        Ok(())
    }

    fn create(&mut self, shard: u32) -> Result<()> {
        let name = format!("part-{shard:05}.parquet");
        let path = self.partial.path.join(&name);
        let file = File::create(&path).map_err(Error::io("write", &path))?;
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
        let writer = ArrowWriter::try_new(file, Arc::clone(&self.schema), Some(properties));
        self.open = Some((shard, writer.map_err(unwritable(&path))?));
        self.names.push(name);
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        if let Some((_, writer)) = self.open.take() {
            writer.close().map_err(unwritable(&self.out))?;
        }
        Ok(())
    }

    /// Moves the files into place and takes away those of an earlier curation that this one does not write.
    pub(super) fn finish(mut self) -> Result<Vec<PathBuf>> {
        self.close()?;
        if self.names.is_empty() {
            // The schema is worth having even where no row is.
            self.create(0)?;
            self.close()?;
        }
        for name in &self.names {
            let (from, to) = (self.partial.path.join(name), self.out.join(name));
            fs::rename(&from, &to).map_err(Error::io("write", &to))?;
        }
        for entry in fs::read_dir(&self.out).map_err(Error::io("read", &self.out))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("part-") && name.ends_with(".parquet") && !self.names.contains(&name) {
                fs::remove_file(entry.path()).map_err(Error::io("remove", entry.path()))?;
            }
        }
        Ok(self.names.iter().map(|name| self.out.join(name)).collect())
    }
}

fn unwritable(path: &Path) -> impl FnOnce(parquet::errors::ParquetError) -> Error {
    let path = path.to_path_buf();
    move |error| Error::io("write", path)(io::Error::other(error))
}

/// Writes a file as a whole or not at all.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(Error::io("write", path))?;
    file.write_all(bytes).map_err(Error::io("write", path))?;
    file.persist(path).map_err(|error| Error::io("write", path)(error.error))?;
    Ok(())
}
