//! What `clean/run.py` measures of Arable, each call a fresh process. Prints one JSON object.
//!
//! `filters TEXTS.jsonl`: Gopher's, C4's and FineWeb's filters in FineWeb's order over texts that are in memory as
//! blocks of some 4 MiB before the clock starts: processor seconds of one thread (the second pass over all blocks, which
//! is the steady state) and its allocations, wall-clock seconds of one and of two threads.
//!
//! `minhash TEXTS.jsonl`: signatures of 14 bands of 8 from the raw texts, over words and over what stands between white
//! space.
//!
//! `index exact|bloom DOCUMENTS`: what the index of `near_duplicate` takes for so many documents that share nothing, by
//! the allocator's count and by the process's resident memory, and how many of them it takes for duplicates.

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

const USAGE: &str = "clean-benchmark filters|minhash TEXTS.jsonl
clean-benchmark index exact|bloom DOCUMENTS";

/// Runs over the same blocks of which the median is reported.
const RUNS: usize = 5;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["filters", texts] => filters(texts)?,
        ["minhash", texts] => minhash(texts)?,
        ["index", kind, documents] => index(kind, documents.parse()?)?,
        _ => return Err(USAGE.into()),
    };
    println!("{result}");
    Ok(())
}

fn filters(path: &str) -> Result<serde_json::Value> {
    let (blocks, documents, bytes) = blocks(path)?;
    let cleaner = Cleaner::new(&specs(RECIPE)?, &blocks.first().ok_or("no texts")?.schema())?;
    let kept = judge(&cleaner, &blocks)?;
    let before = ALLOCATOR.stats();
    judge(&cleaner, &blocks)?;
    let after = ALLOCATOR.stats();
    let (mut processor, mut one, mut two) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let (wall, before) = (Instant::now(), processor_seconds()?);
        judge(&cleaner, &blocks)?;
        processor.push(processor_seconds()? - before);
        one.push(wall.elapsed().as_secs_f64());
        two.push(two_threads(&cleaner, &blocks)?);
    }
    Ok(serde_json::json!({
        "documents": documents,
        "bytes": bytes,
        "kept": kept,
        "one": median(processor),
        "one_wall": median(one),
        "two_wall": median(two),
        "allocations": after.allocations - before.allocations + after.reallocations - before.reallocations,
    }))
}

fn minhash(path: &str) -> Result<serde_json::Value> {
    let (blocks, documents, bytes) = blocks(path)?;
    let mut result = serde_json::json!({"documents": documents, "bytes": bytes});
    for tokens in ["words", "whitespace"] {
        let recipe = format!("[[clean]]\nop = 'near_duplicate'\ntokens = '{tokens}'");
        let cleaner = Cleaner::new(&specs(&recipe)?, &blocks.first().ok_or("no texts")?.schema())?;
        let run = || -> Result<f64> {
            let before = processor_seconds()?;
            for block in &blocks {
                cleaner.judge(block, &[])?;
            }
            Ok(processor_seconds()? - before)
        };
        run()?;
        let runs: Result<Vec<f64>> = (0..RUNS).map(|_| run()).collect();
        result[tokens] = median(runs?).into();
    }
    Ok(result)
}

/// Documents of 12 words that are all their own, so that each has 14 keys that nothing else has.
fn index(kind: &str, documents: usize) -> Result<serde_json::Value> {
    const BLOCK: usize = 10_000;
    /// What the Bloom form may take a document, in thousandths of a byte: what knows all and errs for 0.1 %.
    const BLOOM: usize = 37_400;
    let memory = if kind == "bloom" { format!("memory = '{}'\n", BLOOM * documents / 1000) } else { String::new() };
    let recipe = format!("[[clean]]\nop = 'near_duplicate'\nindex = '{kind}'\n{memory}");
    let block = |first: usize| -> Result<RecordBatch> {
        let texts = (first..(first + BLOCK).min(documents)).map(|number| {
            let words: Vec<String> = (0..12).map(|at| letters(number * 12 + at)).collect();
            words.join(" ")
        });
        let column: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
        Ok(RecordBatch::try_from_iter([("text", column)])?)
    };
    let cleaner = Cleaner::new(&specs(&recipe)?, &block(0)?.schema())?;
    // What judging leaves behind in the allocator is there before the index is.
    drop(cleaner.judge(&block(0)?, &[])?);
    let (before, resident_before) = (in_use(), resident()?);
    let mut memory = cleaner.memory();
    // As a curation does, which has no state to go back to.
    memory.forget_before(u32::MAX);
    let mut found = 0;
    for (number, first) in (0..documents).step_by(BLOCK).enumerate() {
        let judged = cleaner.judge(&block(first)?, &[])?;
        let settled = cleaner.settle(u32::try_from(number)?, &judged, &mut memory);
        found += settled.keep.rows() - settled.keep.count();
    }
    Ok(serde_json::json!({
        "documents": documents,
        "allocated": in_use() - before,
        "resident": resident()? - resident_before,
        "claimed": memory.bytes_in_memory(),
        "false": found,
        "estimated": memory.false_positives().first().map(|estimate| estimate.chance),
    }))
}

/// A number in letters: digits are made alike before texts are compared.
fn letters(mut number: usize) -> String {
    let mut name = String::new();
    loop {
        name.push(char::from(b'a' + (number % 26) as u8));
        number /= 26;
        if number == 0 {
            return name;
        }
    }
}

/// Bytes that the allocator has handed out and not got back.
fn in_use() -> i64 {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as i64 - stats.bytes_deallocated as i64
}

/// Bytes of this process in memory (Linux).
fn resident() -> Result<i64> {
    let text = read_to_string("/proc/self/status")?;
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse::<i64>()? << 10)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
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

fn specs(recipe: &str) -> Result<Vec<OperatorSpec>> {
    let recipe: toml::Table = recipe.parse()?;
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
