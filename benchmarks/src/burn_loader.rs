//! burn's own `DataLoader` over items that are in memory already: what a burn project has before it streams.
//!
//! A process of its own, so that what burn links does not weigh on the others. Reading the rows is not measured: it prints
//! rows, seconds to the first batch, seconds in all and processor seconds of the walk alone.

#![expect(clippy::print_stdout, reason = "its result goes to standard output")]

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use burn::{
    data::{
        dataloader::{DataLoaderBuilder, batcher::Batcher},
        dataset::InMemDataset,
    },
    tensor::Device,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::{error::Error, fs::File, time::Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "burn-benchmark WORKERS BATCH FILE…";

#[derive(Clone, Debug)]
struct Row {
    id: i64,
    text: String,
}

/// Hands the rows on as they are: no tensor is made, as by none of the others.
struct Rows;

impl Batcher<Row, Vec<Row>> for Rows {
    fn batch(&self, items: Vec<Row>, _device: &Device) -> Vec<Row> {
        items
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let workers: usize = arguments.next().ok_or(USAGE)?.parse()?;
    let size: usize = arguments.next().ok_or(USAGE)?.parse()?;
    let mut rows = Vec::new();
    for file in arguments {
        for batch in ParquetRecordBatchReaderBuilder::try_new(File::open(file)?)?.build()? {
            let batch = batch?;
            let ids = batch.column_by_name("id").ok_or("no column `id`")?.as_primitive::<Int64Type>();
            let texts = batch.column_by_name("text").ok_or("no column `text`")?.as_string::<i32>();
            rows.extend(
                ids.values()
                    .iter()
                    .zip(texts)
                    .map(|(id, text)| Row { id: *id, text: text.unwrap_or_default().to_owned() }),
            );
        }
    }
    let dataset = InMemDataset::new(rows);
    let (start, before) = (Instant::now(), processor_seconds()?);
    let loader = DataLoaderBuilder::new(Rows).batch_size(size).shuffle(7).num_workers(workers).build(dataset);
    let (mut rows, mut first, mut bytes, mut ids) = (0, None, 0, 0_i64);
    for batch in loader.iter() {
        first.get_or_insert_with(|| start.elapsed().as_secs_f64());
        let batch = batch?;
        rows += batch.len();
        bytes += batch.iter().map(|row| row.text.len()).sum::<usize>();
        ids = batch.iter().fold(ids, |ids, row| ids.wrapping_add(row.id));
    }
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), processor_seconds()? - before);
    println!(
        "{}",
        serde_json::json!({"rows": rows, "first": first, "seconds": seconds, "cpu": cpu, "bytes": bytes, "ids": ids})
    );
    Ok(())
}

/// What this process has used so far, as Linux counts it: in hundredths.
fn processor_seconds() -> Result<f64> {
    /// `utime` and `stime`, counted from 0 behind the name in parentheses (proc(5)).
    const TIMES: std::ops::Range<usize> = 11..13;
    const TICKS: f64 = 100.0;
    let about = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = about.rsplit_once(')').ok_or("no name in /proc/self/stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let times = fields.get(TIMES).ok_or("too few fields in /proc/self/stat")?;
    Ok(times.iter().map(|ticks| ticks.parse::<f64>()).sum::<std::result::Result<f64, _>>()? / TICKS)
}
