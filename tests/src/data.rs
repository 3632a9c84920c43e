//! Files whose rows, and whose dirt, are known.

use arrow::{
    array::{ArrayRef, Float32Array, Int64Array, ListBuilder, PrimitiveBuilder, RecordBatch, StringArray},
    datatypes::Int32Type,
    ipc::writer::{FileWriter, StreamWriter},
};
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};
use std::{
    collections::{BTreeMap, HashSet},
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;

/// How the rows are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Parquet shards with several row groups each.
    Parquet,
    /// Arrow IPC with several record batches each: files and streams by turns.
    Arrow,
    /// JSON lines.
    Jsonl,
    /// Comma-separated values, which cannot hold the list of tags.
    Csv,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::Parquet, Self::Arrow, Self::Jsonl, Self::Csv];

    /// Whether the scan that plans it reads it as text, and finds damage before the first batch.
    #[must_use]
    pub const fn is_text(self) -> bool {
        matches!(self, Self::Jsonl | Self::Csv)
    }
}

/// One row: a number of its own, a text, a label that may be missing or out of range, and a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its own number, counted over all shards.
    pub id: i64,
    /// Some texts stand in several rows.
    pub text: String,
    /// 0 to 3, or dirt.
    pub label: Option<i64>,
    /// A number; never NaN in JSON.
    pub score: f32,
    /// As many numbers as `id % 4`.
    pub tags: Vec<i32>,
}

/// A dataset on disk, and what is known of it.
#[derive(Debug)]
pub struct Data {
    /// Where it lies.
    pub folder: TempDir,
    /// Its rows, in plan order.
    pub rows: Vec<Row>,
    /// How it is stored.
    pub format: Format,
}

impl Data {
    /// `shards` files of `rows` rows each; in Parquet and Arrow, in blocks of `group` rows.
    ///
    /// Every 7th row has the text of an earlier one, every 11th no label, every 13th a label out of range.
    #[must_use]
    pub fn new(format: Format, shards: usize, rows: usize, group: usize) -> Self {
        let all = (0..(shards * rows) as i64).map(|id| Row {
            id,
            text: if id % 7 == 6 { text(id / 2) } else { text(id) },
            label: match id {
                id if id % 11 == 10 => None,
                id if id % 13 == 12 => Some(99),
                id => Some(id % 4),
            },
            score: id as f32 / 8.0,
            tags: (0..(id % 4) as i32).collect(),
        });
        Self::of(format, all.collect(), rows, group)
    }

    /// Files of `each` of these rows; in Parquet and Arrow, in blocks of `group` rows.
    #[must_use]
    pub fn of(format: Format, rows: Vec<Row>, each: usize, group: usize) -> Self {
        let data = Self { folder: tempfile::tempdir().unwrap(), rows, format };
        std::fs::create_dir(data.files()).unwrap();
        for (shard, rows) in data.rows.chunks(each.max(1)).enumerate() {
            data.write(shard, rows, group);
        }
        data
    }

    /// The folder of the data files.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The file of `shard`.
    #[must_use]
    pub fn shard(&self, shard: usize) -> PathBuf {
        let ending = match self.format {
            Format::Parquet => "parquet",
            Format::Arrow => "arrow",
            Format::Jsonl => "jsonl",
            Format::Csv => "csv",
        };
        self.files().join(format!("part-{shard:02}.{ending}"))
    }

    /// A glob for all shards.
    #[must_use]
    pub fn url(&self) -> String {
        self.shard(0).display().to_string().replace("part-00", "part-*")
    }

    /// Writes a recipe beside the data; `rest` follows `[dataset]`.
    #[must_use]
    pub fn recipe(&self, top: &str, rest: &str) -> PathBuf {
        let path = self.folder.path().join("arable.toml");
        let text = format!("{top}\n[dataset]\nurl = '{}'\nlabel = \"label\"\n{rest}\n", self.url());
        std::fs::write(&path, text).unwrap();
        path
    }

    fn write(&self, shard: usize, rows: &[Row], group: usize) {
        match self.format {
            Format::Parquet => write_parquet(&self.shard(shard), rows, group),
            Format::Arrow => write_arrow(&self.shard(shard), rows, group, shard % 2 == 1),
            Format::Jsonl => {
                let lines: String = rows.iter().map(|row| format!("{}\n", json(row))).collect();
                std::fs::write(self.shard(shard), lines).unwrap();
            }
            Format::Csv => {
                let lines: String = rows.iter().map(csv).collect();
                std::fs::write(self.shard(shard), format!("id,text,label,score\n{lines}")).unwrap();
            }
        }
    }

    /// What a careful person would count, row by row in the order `ids`: rows without a label, rows with one out of
    /// range, rows whose text an earlier row with a good label has; and the ids that are kept.
    #[must_use]
    pub fn expect(&self, ids: impl IntoIterator<Item = i64>) -> (BTreeMap<String, u64>, HashSet<i64>) {
        let mut dropped = BTreeMap::new();
        let mut seen = HashSet::new();
        let mut kept = HashSet::new();
        for id in ids {
            let row = &self.rows[usize::try_from(id).unwrap()];
            let reason = match row.label {
                None => Some("missing:label"),
                Some(label) if !(0..4).contains(&label) => Some("out_of_range:label"),
                Some(_) if !seen.insert(row.text.clone()) => Some("exact_duplicate"),
                Some(_) => None,
            };
            match reason {
                Some(reason) => *dropped.entry(reason.to_owned()).or_default() += 1,
                None => drop(kept.insert(id)),
            }
        }
        (dropped, kept)
    }
}

/// The cleaning that [`Data::expect`] does by hand.
pub const CLEAN: &str = r#"
[[clean]]
op = "missing"
column = "label"
[[clean]]
op = "range"
column = "label"
min = 0
max = 3
[[clean]]
op = "exact_duplicate"
columns = ["text"]
"#;

fn text(id: i64) -> String {
    format!("text {id} — {}", "wörter ".repeat((id % 5) as usize))
}

fn json(row: &Row) -> String {
    let label = row.label.map_or("null".to_owned(), |label| label.to_string());
    let tags: Vec<String> = row.tags.iter().map(ToString::to_string).collect();
    format!(
        r#"{{"id":{},"text":"{}","label":{label},"score":{:?},"tags":[{}]}}"#,
        row.id,
        row.text,
        row.score,
        tags.join(",")
    )
}

fn csv(row: &Row) -> String {
    let label = row.label.map_or_else(String::new, |label| label.to_string());
    format!("{},\"{}\",{label},{:?}\n", row.id, row.text, row.score)
}

fn batch(rows: &[Row]) -> RecordBatch {
    let mut tags = ListBuilder::new(PrimitiveBuilder::<Int32Type>::new());
    for row in rows {
        tags.append_value(row.tags.iter().map(|&tag| Some(tag)));
    }
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.id))), false),
        ("text", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.text))), false),
        ("label", Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.label))), true),
        ("score", Arc::new(Float32Array::from_iter_values(rows.iter().map(|row| row.score))), false),
        ("tags", Arc::new(tags.finish()), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn write_parquet(path: &Path, rows: &[Row], group: usize) {
    let batch = batch(rows);
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group)).build();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn write_arrow(path: &Path, rows: &[Row], group: usize, stream: bool) {
    let (file, schema) = (File::create(path).unwrap(), batch(rows).schema());
    if stream {
        let mut writer = StreamWriter::try_new(file, &schema).unwrap();
        rows.chunks(group).for_each(|rows| writer.write(&batch(rows)).unwrap());
        writer.finish().unwrap();
    } else {
        let mut writer = FileWriter::try_new(file, &schema).unwrap();
        rows.chunks(group).for_each(|rows| writer.write(&batch(rows)).unwrap());
        writer.finish().unwrap();
    }
}
