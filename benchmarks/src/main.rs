//! What `loader/run.py` measures of Rust, each call a fresh process: bare decoding as the limit, and Arable's stream.
//!
//! Prints one JSON object: rows, seconds to the first batch, seconds in all. Processor time and memory are taken from
//! outside, by the parent, alike for every contender.

#![expect(clippy::print_stdout, reason = "its result goes to standard output")]

use arable_loader::{Recipe, Stream, stream::State};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::{error::Error, fs::File, io::Write, path::PathBuf, time::Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "loader-benchmark bare BATCH FILE…
loader-benchmark stream RECIPE [--threads N] [--stop-after BATCHES --save-state FILE] [--resume FILE] [--ids FILE]";

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let result = match arguments.next().as_deref() {
        Some("bare") => {
            let batch = arguments.next().ok_or(USAGE)?.parse()?;
            bare(batch, &arguments.map(PathBuf::from).collect::<Vec<_>>())?
        }
        Some("stream") => stream(arguments)?,
        _ => return Err(USAGE.into()),
    };
    println!("{result}");
    Ok(())
}

/// Decodes `files` one after another, with nothing around the decoder.
fn bare(batch: usize, files: &[PathBuf]) -> Result<serde_json::Value> {
    let start = Instant::now();
    let (mut rows, mut first) = (0, None);
    for file in files {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file)?)?.with_batch_size(batch).build()?;
        for batch in reader {
            rows += batch?.num_rows();
            first.get_or_insert_with(|| start.elapsed().as_secs_f64());
        }
    }
    Ok(serde_json::json!({"rows": rows, "first": first, "seconds": start.elapsed().as_secs_f64()}))
}

fn stream(mut arguments: impl Iterator<Item = String>) -> Result<serde_json::Value> {
    let start = Instant::now();
    let mut recipe = Recipe::from_toml_file(arguments.next().ok_or(USAGE)?)?;
    let (mut stop, mut save, mut resume, mut ids) = (u64::MAX, None, None, None);
    while let Some(option) = arguments.next() {
        let value = arguments.next().ok_or(USAGE)?;
        match option.as_str() {
            "--threads" => recipe = recipe.threads(value.parse()?),
            "--stop-after" => stop = value.parse()?,
            "--save-state" => save = Some(value),
            "--resume" => resume = Some(State::load(value.as_ref())?),
            "--ids" => ids = Some(std::io::BufWriter::new(File::create(value)?)),
            _ => return Err(USAGE.into()),
        }
    }
    let mut builder = Stream::builder(recipe);
    if let Some(state) = resume {
        builder = builder.resume(state);
    }
    let mut stream = builder.open()?;
    let (mut rows, mut first, mut walked) = (0, None, 0);
    while walked < stop {
        let Some(batch) = stream.next().transpose()? else { break };
        first.get_or_insert_with(|| start.elapsed().as_secs_f64());
        rows += batch.len();
        walked += 1;
        if let Some(ids) = &mut ids {
            for position in batch.positions.iter() {
                writeln!(ids, "{}\t{}", position.block, position.row)?;
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    if let Some(path) = save {
        stream.state()?.save(path.as_ref())?;
    }
    Ok(serde_json::json!({"rows": rows, "first": first, "seconds": seconds}))
}
