//! Verdicts as JSON lines: one a row read, in plan order.

use super::parts::lock;
use crate::{Error, Evidence, Result};
use serde::Serialize;
use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

/// The file of verdicts, which comes into place as a whole. Beside it, until then, is a file that a run which died
/// leaves behind and the next one takes over.
pub(super) struct VerdictLines {
    path: PathBuf,
    partial: PathBuf,
    file: BufWriter<File>,
    done: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    shard: &'a str,
    block: u32,
    row: u32,
    id: Option<String>,
    verdict: &'a str,
    evidence: &'a [Evidence],
}

impl VerdictLines {
    pub(super) fn create(path: &Path) -> Result<Self> {
        let refuse = |why: &str| Err(Error::recipe(format!("verdicts cannot go to `{}`: {why}", path.display())));
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let Some(name) = path.file_name().filter(|_| !path.is_dir()) else { return refuse("that is a folder") };
        if !folder.is_dir() {
            return refuse("its folder does not exist");
        }
        let partial = folder.join(format!(".{}.partial", name.to_string_lossy()));
        let file = lock(&partial, path)?;
        file.set_len(0).map_err(Error::io("write", &partial))?;
        Ok(Self { path: path.to_path_buf(), partial, file: BufWriter::new(file), done: false })
    }

    /// The line of a row that could be read.
    pub(super) fn row(
        &mut self,
        shard: &str,
        block: u32,
        row: u32,
        id: Option<u128>,
        kept: bool,
        evidence: &[Evidence],
    ) -> Result<()> {
        let verdict = if kept { "keep" } else { "drop" };
        let id = id.map(|id| format!("{id:032x}"));
        self.line(&Line { shard, block, row, id, verdict, evidence })
    }

    /// The line of a row that could not.
    pub(super) fn quarantined(&mut self, shard: &str, block: u32, row: u32, what: &str) -> Result<()> {
        let evidence = [Evidence {
            op: "source".to_owned(),
            reason: what.to_owned(),
            measured: None,
            threshold: None,
            twin: None,
        }];
        self.line(&Line { shard, block, row, id: None, verdict: "quarantine", evidence: &evidence })
    }

    fn line(&mut self, line: &Line<'_>) -> Result<()> {
        let unwritable = |error: std::io::Error| Error::io("write", self.path.as_path())(error);
        serde_json::to_writer(&mut self.file, line).map_err(|error| unwritable(error.into()))?;
        self.file.write_all(b"\n").map_err(unwritable)
    }

    pub(super) fn finish(&mut self) -> Result<()> {
        self.file.flush().map_err(Error::io("write", self.path.as_path()))?;
        fs::rename(&self.partial, &self.path).map_err(Error::io("write", self.path.as_path()))?;
        self.done = true;
        Ok(())
    }
}

impl Drop for VerdictLines {
    fn drop(&mut self) {
        if !self.done && fs::remove_file(&self.partial).is_err() {
            tracing::warn!("`{}` is left behind", self.partial.display());
        }
    }
}
