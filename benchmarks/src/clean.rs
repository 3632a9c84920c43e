//! What `clean/filters.py` measures of Arable: Gopher's, C4's and FineWeb's filters in FineWeb's order over the texts of
//! a JSONL file, which are in memory as blocks of some 4 MiB before the clock starts.
//!
//! Prints one JSON object: documents, words, kept, processor seconds of one thread (the second pass over all blocks,
//! which is the steady state), wall-clock seconds of one and of two threads, and allocations of the second pass.

#![expect(clippy::print_stdout, reason = "its result goes to standard output")]

use arable_loader::clean::{Cleaner, OperatorSpec};
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::{
    alloc::System,
    error::Error,
    fs::{File, read_to_string},
    io::{BufRead, BufReader},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const BLOCK: usize = 4 << 20;
const RECIPE: &str = "
[[clean]]
op = 'gopher_repetition'
[[clean]]
op = 'gopher_quality'
[[clean]]
op = 'c4'
filter_no_terminal_punct = false
[[clean]]
op = 'fineweb'
";

fn main() -> Result<()> {
    let path = std::env::args().nth(1).ok_or("clean-benchmark TEXTS.jsonl")?;
    let (blocks, documents, bytes) = blocks(&path)?;
    let cleaner = Cleaner::new(&specs()?, &blocks.first().ok_or("no texts")?.schema())?;
    let kept = judge(&cleaner, &blocks)?;
    let before = ALLOCATOR.stats();
    let (wall, processor) = (Instant::now(), processor_seconds());
    judge(&cleaner, &blocks)?;
    let (one, one_wall) = (processor_seconds()? - processor?, wall.elapsed().as_secs_f64());
    let after = ALLOCATOR.stats();
    let two = two_threads(&cleaner, &blocks)?;
    let result = serde_json::json!({
        "documents": documents,
        "bytes": bytes,
        "kept": kept,
        "one": one,
        "one_wall": one_wall,
        "two_wall": two,
        "allocations": after.allocations - before.allocations + after.reallocations - before.reallocations,
    });
    println!("{result}");
    Ok(())
}

/// The texts as blocks, how many there are, and their bytes.
fn blocks(path: &str) -> Result<(Vec<RecordBatch>, usize, usize)> {
    let (mut blocks, mut texts, mut size) = (Vec::new(), Vec::<String>::new(), 0);
    let (mut documents, mut bytes) = (0, 0);
    let block = |texts: &mut Vec<String>| -> Result<RecordBatch> {
        let column: ArrayRef = Arc::new(StringArray::from_iter_values(texts.drain(..)));
        Ok(RecordBatch::try_from_iter([("text", column)])?)
    };
    for line in BufReader::new(File::open(path)?).lines() {
        let row: serde_json::Value = serde_json::from_str(&line?)?;
        let text = row["text"].as_str().ok_or("a line without `text`")?.to_owned();
        size += text.len();
        bytes += text.len();
        documents += 1;
        texts.push(text);
        if size >= BLOCK {
            blocks.push(block(&mut texts)?);
            size = 0;
        }
    }
    if !texts.is_empty() {
        blocks.push(block(&mut texts)?);
    }
    Ok((blocks, documents, bytes))
}

fn specs() -> Result<Vec<OperatorSpec>> {
    let recipe: toml::Table = RECIPE.parse()?;
    let tables = recipe["clean"].as_array().ok_or("[[clean]]")?.iter().filter_map(toml::Value::as_table);
    let specs = tables.map(|table| {
        let mut options = table.clone();
        let op = options.remove("op").and_then(|op| op.as_str().map(str::to_owned)).unwrap_or_default();
        options.insert("column".to_owned(), "text".into());
        OperatorSpec { op, options }
    });
    Ok(specs.collect())
}

/// Judges all blocks, and says how many documents are kept.
fn judge(cleaner: &Cleaner, blocks: &[RecordBatch]) -> Result<u64> {
    let mut kept = 0;
    for (number, block) in (0..).zip(blocks) {
        let judged = cleaner.judge(block, &[])?;
        kept += u64::from(cleaner.settle(number, &judged, &mut cleaner.memory()).keep.count());
    }
    Ok(kept)
}

/// Wall-clock seconds of two threads that take blocks in turn.
fn two_threads(cleaner: &Cleaner, blocks: &[RecordBatch]) -> Result<f64> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        while let Some(block) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
            cleaner.judge(block, &[])?;
        }
        Ok(())
    };
    let start = Instant::now();
    std::thread::scope(|scope| {
        let other = scope.spawn(work);
        work()?;
        other.join().map_err(|_| "a thread panicked")?
    })?;
    Ok(start.elapsed().as_secs_f64())
}

/// Seconds that this thread has been on a processor (Linux).
fn processor_seconds() -> Result<f64> {
    let text = read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split_whitespace().next().ok_or("no time")?.parse::<f64>()? / 1e9)
}
