//! Verdicts as JSON lines: one a row read, in plan order.

use crate::{Error, Evidence, Result};
use serde::Serialize;
use std::{
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

/// The file of verdicts, which comes into place as a whole.
pub(super) struct VerdictLines {
    path: PathBuf,
    file: BufWriter<tempfile::NamedTempFile>,
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
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let file = tempfile::NamedTempFile::new_in(folder).map_err(Error::io("write", path))?;
        Ok(Self { path: path.to_path_buf(), file: BufWriter::new(file) })
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
        // Linked rather than persisted, so that the writer need not be taken apart.
        let temporary = self.file.get_ref().path();
        std::fs::rename(temporary, &self.path).map_err(Error::io("write", self.path.as_path()))
    }
}
