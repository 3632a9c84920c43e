//! What was set aside, written down so that a person can look at it: where it lies, why, and its bytes where they are to
//! be had.
//!
//! One JSON object a line, in the order of the stream, up to the last batch that was handed over: the rows add up to the
//! account's `quarantined`. Bounded: of one entry [`MOST_BYTES`] are kept, of a run [`MOST_BYTES_A_RUN`]; what goes
//! beyond is still named, without its bytes.

use crate::{
    Error, Plan, Result,
    source::{self, Source, StoredBytes},
};
use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// The file's name, in a run's folder or in the folder that was named for it.
pub const QUARANTINE: &str = "quarantine.jsonl";

/// The most bytes that are kept of a row or a block.
const MOST_BYTES: usize = 64 << 10;

/// The most bytes that are kept by one process of a run, before they are written as text.
const MOST_BYTES_A_RUN: u64 = 64 << 20;

/// A row, or a block as a whole, that was set aside.
#[derive(Debug)]
pub(super) struct SetAside {
    block: u32,
    /// The row within its block; `None` for all of them.
    row: Option<u32>,
    rows: u32,
    column: Option<String>,
    reason: String,
}

impl SetAside {
    /// A row that could not be read, or not be transformed.
    pub(super) const fn row(block: u32, row: u32, column: Option<String>, reason: String) -> Self {
        Self { block, row: Some(row), rows: 1, column, reason }
    }

    /// A block of `rows` rows that could not be read.
    pub(super) const fn block(block: u32, rows: u32, reason: String) -> Self {
        Self { block, row: None, rows, column: None, reason }
    }
}

/// One line of the file.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Line {
    /// The batch that it was handed over with.
    batch: u64,
    /// The dataset, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dataset: Option<String>,
    /// The shard's name below the dataset's folder.
    shard: String,
    /// The block, counted over the plan, and the row within it; no row where the whole block was set aside.
    block: u32,
    row: Option<u32>,
    /// How many rows that are.
    rows: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<String>,
    reason: String,
    /// How many bytes it has as stored, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// These bytes as far as they are kept: as text where they are UTF-8, else in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

/// The file that is written.
#[derive(Debug)]
pub(super) struct Quarantine {
    path: PathBuf,
    file: BufWriter<File>,
    kept: u64,
}

impl Quarantine {
    /// A new file in `folder`, which is made where it is missing.
    pub(super) fn begin(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let path = folder.join(QUARANTINE);
        let file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(|error| {
            if error.kind() == std::io::ErrorKind::AlreadyExists {
                Error::recipe(format!(
                    "`{}` is the quarantine of another run, which is never overwritten: resume that run, or name another \
                     folder",
                    path.display()
                ))
            } else {
                Error::io("create", &path)(error)
            }
        })?;
        Ok(Self { path, file: BufWriter::new(file), kept: 0 })
    }

    /// Goes on with the file in `folder` for a run that goes on before batch `next`: what was set aside with a later
    /// batch will be set aside again, and is cut off.
    pub(super) fn resume(folder: &Path, next: u64) -> Result<Self> {
        let path = folder.join(QUARANTINE);
        if !path.exists() {
            return Self::begin(folder);
        }
        let open = OpenOptions::new().read(true).write(true).open(&path);
        let mut file = open.map_err(Error::io("open", &path))?;
        let mut end = 0;
        let mut text = Vec::new();
        let mut reader = BufReader::new(&file);
        loop {
            text.clear();
            let read = reader.read_until(b'\n', &mut text).map_err(Error::io("read", &path))?;
            let line = serde_json::from_slice::<Line>(&text);
            if text.last() != Some(&b'\n') || line.is_err() || line.is_ok_and(|line| line.batch >= next) {
                break;
            }
            end += read as u64;
        }
        file.set_len(end).map_err(Error::io("cut", &path))?;
        file.seek(SeekFrom::End(0)).map_err(Error::io("seek in", &path))?;
        Ok(Self { path, file: BufWriter::new(file), kept: 0 })
    }

    /// Writes down what was set aside up to batch `batch`, and hands it to the operating system.
    pub(super) fn write(&mut self, batch: u64, source: &dyn Source, entries: Vec<SetAside>) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        // All rows of a block together, so that it is read once.
        for of_block in entries.chunk_by(|one, next| one.block == next.block && next.row.is_some()) {
            let rows: Vec<u32> = of_block.iter().filter_map(|entry| entry.row).collect();
            let block = of_block.first().map_or(0, |entry| entry.block);
            let mut stored = if rows.is_empty() || self.kept >= MOST_BYTES_A_RUN {
                Vec::new()
            } else {
                source.stored_rows(block, &rows, MOST_BYTES)
            }
            .into_iter();
            for entry in of_block {
                let bytes = match entry.row {
                    Some(_) => stored.next().flatten(),
                    None => source::stored_block(source.plan(), block, MOST_BYTES),
                };
                self.line(batch, source.plan(), entry, bytes)?;
            }
        }
        self.file.flush().map_err(Error::io("write", &self.path))
    }

    fn line(&mut self, batch: u64, plan: &Plan, entry: &SetAside, stored: Option<StoredBytes>) -> Result<()> {
        let SetAside { block, row, rows, ref column, ref reason } = *entry;
        let bytes = stored.as_ref().map(|stored| stored.length);
        let kept = stored.map(|stored| stored.head).filter(|_| self.kept < MOST_BYTES_A_RUN);
        self.kept += kept.as_ref().map_or(0, |kept| kept.len() as u64);
        let (text, hex) = match kept.map(String::from_utf8) {
            None => (None, None),
            Some(Ok(text)) => (Some(text), None),
            Some(Err(error)) => (None, Some(digits(error.as_bytes()))),
        };
        let shard = plan.blocks.get(block as usize).and_then(|block| plan.shards.get(block.shard as usize));
        let shard = shard.map(|shard| shard.name.clone()).unwrap_or_default();
        let dataset = plan.place(block).dataset;
        let (column, reason) = (column.clone(), reason.clone());
        let line = Line { batch, dataset, shard, block, row, rows, column, reason, bytes, text, hex };
        let line = serde_json::to_string(&line).map_err(|error| Error::io("write", &self.path)(error.into()))?;
        writeln!(self.file, "{line}").map_err(Error::io("write", &self.path))
    }
}

fn digits(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}
