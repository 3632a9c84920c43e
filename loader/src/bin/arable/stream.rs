//! `arable stream`: walks a recipe's stream without a model.

use super::{Output, allocator};
use arable_loader::{
    Batch, Error, Plan, Position, Recipe, Result, Stream,
    clean::content_keys,
    ledger::FeedbackLog,
    report::{
        Align, Progress, Table, accounting, false_positives,
        numbers::{byte_rate, bytes, count, duration, percent, rate},
    },
    stream::State,
};
use clap::Args;
use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

#[derive(Args)]
pub(crate) struct Walk {
    /// The recipe, a TOML file.
    recipe: PathBuf,
    /// Write one line a batch: batch number, rows, BLAKE3 over positions, weights and column bytes (tab separated).
    #[arg(long, value_name = "FILE")]
    hashes: Option<PathBuf>,
    /// Write one line a row: batch, slot, shard, block, row, weight, and, with `exact_duplicate`, the id of its content
    /// (tab separated).
    #[arg(long, value_name = "FILE")]
    ids: Option<PathBuf>,
    /// Threads that read and clean, in place of the recipe's. Never changes what is emitted.
    #[arg(long, value_name = "N")]
    threads: Option<u32>,
    /// This rank, from 0; batch b belongs to rank b mod world.
    #[arg(long, value_name = "R", default_value_t = 0)]
    rank: u32,
    /// How many ranks there are.
    #[arg(long, value_name = "N", default_value_t = 1)]
    world: u32,
    /// Stop after so many batches of this rank.
    #[arg(long, value_name = "BATCHES")]
    stop_after: Option<u64>,
    /// Write the state after the last batch.
    #[arg(long, value_name = "FILE")]
    save_state: Option<PathBuf>,
    /// Go on from a saved state.
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Write what was learnt of each row to a Parquet file at the end: position, statistics, value, and the id of its
    /// content, which takes one more pass over the data. `values` of the policy begins another run with it.
    #[arg(long, value_name = "FILE")]
    values: Option<PathBuf>,
    /// Write how suspicious each row's label is at the end, the worst first, one line of JSON a row: shard, block, row,
    /// suspicion, given label, suggested label and the number that the model has for it. Takes one more pass over the data.
    #[arg(long, value_name = "FILE")]
    suspicions: Option<PathBuf>,
    /// A recorded feedback log (a run's `feedback` folder, or one segment): reports of its batches are given back as
    /// they were.
    #[arg(long, value_name = "FILE")]
    feedback: Option<PathBuf>,
    /// Write the run's ledger and feedback log to this folder, and what is set aside.
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// Write what is set aside (place, reason, bytes) to `quarantine.jsonl` in this folder, in place of that of --record.
    #[arg(long, value_name = "DIR")]
    quarantine: Option<PathBuf>,
    /// Batches that are made ahead, in place of the recipe's. Never changes what is emitted.
    #[arg(long, value_name = "BATCHES")]
    prefetch: Option<u32>,
    /// Walk this part of the data as a validation would: train, valid or holdout, in plan order, once.
    #[arg(long, value_name = "PART")]
    part: Option<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}

impl Walk {
    pub(crate) fn run(self) -> Result<()> {
        let mut recipe = Recipe::from_toml_file(&self.recipe)?.rank(self.rank, self.world);
        allocator::keep_within(recipe.stream.memory);
        if let Some(threads) = self.threads {
            recipe = recipe.threads(threads);
        }
        if let Some(prefetch) = self.prefetch {
            recipe = recipe.prefetch(prefetch);
        }
        // These are written after the last batch, and a walk may take days.
        for path in [&self.save_state, &self.values].into_iter().flatten() {
            check_writable(path)?;
        }
        let feedback = self.feedback.as_deref().map(FeedbackLog::read).transpose().map_err(not_there)?;
        let mut builder = Stream::builder(recipe);
        if let Some(path) = &self.resume {
            builder = builder.resume(State::load(path).map_err(not_there)?);
        }
        if let Some(folder) = &self.record {
            builder = builder.record(folder);
        }
        if let Some(folder) = &self.quarantine {
            builder = builder.quarantine(folder);
        }
        if let Some(part) = &self.part {
            builder = builder.evaluation(part.parse()?);
        }
        let mut stream = builder.open()?;
        let suspicions = match &self.suspicions {
            Some(_) if !has_label(stream.recipe()) => {
                return Err(Error::recipe(
                    "--suspicions goes by class: name the column of the labels as `label` under [dataset]",
                ));
            }
            path => path.as_deref().map(Lines::create).transpose()?,
        };
        let mut hashes = self.hashes.as_deref().map(Lines::create).transpose()?;
        let mut ids = self.ids.as_deref().map(Lines::create).transpose()?;

        let start = Instant::now();
        let epochs = u64::from(stream.recipe().epochs);
        let progress = Progress::new(self.output.progress(), "stream", Some(stream.length().rows * epochs), "rows");
        let (first_batch, already) = (stream.batches(), stream.trained());
        let mut walked = 0;
        // Content ids are computed where something needs them.
        let with_content = stream.recipe().clean.iter().any(|operator| operator.op == "exact_duplicate");
        while self.stop_after.is_none_or(|stop| walked < stop) {
            let Some(batch) = stream.next() else { break };
            let batch = batch?;
            walked += 1;
            progress.advance(batch.presentations());
            if let Some(hashes) = &mut hashes {
                hashes.line(format_args!("{}\t{}\t{}", batch.number, batch.positions.len(), batch.hash()?))?;
            }
            if let Some(ids) = &mut ids {
                write_ids(ids, &batch, stream.plan(), with_content)?;
            }
            answer(batch, feedback.as_ref())?;
        }
        progress.finish();
        hashes.map(Lines::finish).transpose()?;
        ids.map(Lines::finish).transpose()?;
        if let Some(path) = &self.save_state {
            stream.state()?.save(path)?;
        }
        if let Some(path) = &self.values {
            stream.write_values(path, true)?;
        }
        if let Some(lines) = suspicions
            && write_suspicions(lines, &stream)? == 0
        {
            self.output.say(
                "no row was reported on, so --suspicions has none: give the feedback of a training as --feedback, its values \
                 as `values` under [policy], or its state as --resume",
            );
        }
        let seconds = start.elapsed().as_secs_f64();
        let (text, json) = summary(&stream, seconds, walked, stream.trained() - already, first_batch);
        self.output.print(&text, &json)
    }
}

/// A file that the call names and that is not there is a fault of the call.
fn not_there(fault: Error) -> Error {
    match &fault {
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Error::recipe(fault.to_string()),
        _ => fault,
    }
}

/// Reports of `batch` what the log says, if it says anything.
fn answer(batch: Batch, log: Option<&FeedbackLog>) -> Result<()> {
    let Some(report) = log.and_then(|log| log.get(batch.number)) else { return Ok(()) };
    batch.receipt.report_recorded(report)
}

fn write_ids(ids: &mut Lines, batch: &Batch, plan: &Plan, with_content: bool) -> Result<()> {
    let columns: Vec<usize> = (0..batch.data.num_columns()).collect();
    // A packed slot holds several rows, and the content of none.
    let with_content = with_content && batch.spans.is_none();
    let content = if with_content { content_keys(&batch.data, &columns)? } else { Vec::new() };
    for (index, (position, weight)) in batch.positions.iter().zip(&batch.weights).enumerate() {
        let slot = batch.slot(index);
        let shard = plan.blocks.get(position.block as usize).and_then(|block| plan.shards.get(block.shard as usize));
        let shard = shard.map_or("", |shard| shard.name.as_str());
        let content = content.get(index).map(|id| format!("\t{id:032x}")).unwrap_or_default();
        let place = format_args!("{shard}\t{}\t{}", position.block, position.row);
        ids.line(format_args!("{}\t{slot}\t{place}\t{weight}{content}", batch.number))?;
    }
    Ok(())
}

fn has_label(recipe: &Recipe) -> bool {
    let of_domains = recipe.domain.iter().map(|domain| &domain.dataset);
    recipe.dataset.iter().chain(of_domains).any(|dataset| dataset.label.is_some())
}

/// How many lines there are.
fn write_suspicions(mut lines: Lines, stream: &Stream) -> Result<usize> {
    let plan = stream.plan();
    let suspicions = stream.suspicions()?;
    for row in suspicions.worst_first() {
        let Position { block, row: number } = row.position;
        let shard = plan.blocks.get(block as usize).and_then(|block| plan.shards.get(block.shard as usize));
        let line = serde_json::json!({
            "shard": shard.map(|shard| shard.name.as_str()),
            "block": block,
            "row": number,
            "suspicion": row.suspicion,
            "given": row.given,
            "suggested": row.suggested,
            "suggested_class": row.suggested_class,
        });
        lines.line(format_args!("{line}"))?;
    }
    lines.finish()?;
    Ok(suspicions.len())
}

/// Refuses a path at which no file can be written later.
fn check_writable(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        let what = format!("cannot write `{}`: there is no folder `{}`", path.display(), folder.display());
        return Err(Error::recipe(what));
    }
    if path.is_dir() {
        return Err(Error::recipe(format!("cannot write `{}`: it is a folder", path.display())));
    }
    Ok(())
}

/// A file of lines.
struct Lines {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Lines {
    fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(Error::io("write", path)).map_err(not_there)?;
        Ok(Self { path: path.to_path_buf(), file: BufWriter::new(file) })
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) -> Result<()> {
        writeln!(self.file, "{line}").map_err(Error::io("write", self.path.as_path()))
    }

    fn finish(mut self) -> Result<()> {
        self.file.flush().map_err(Error::io("write", self.path.as_path()))
    }
}

/// What became of each domain of a mixture; nothing where there is but one dataset.
fn domains(stream: &Stream) -> String {
    let domains = stream.domains();
    let all: u64 = domains.iter().map(|domain| domain.trained).sum();
    let mut table = Table::new([
        ("domain", Align::Left),
        ("share", Align::Right),
        ("read", Align::Right),
        ("kept", Align::Right),
        ("trained", Align::Right),
        ("of all", Align::Right),
    ]);
    for domain in &domains {
        table.row([
            domain.name.clone(),
            format!("{:.1} %", 100.0 * domain.share),
            count(domain.account.read),
            count(domain.account.kept),
            count(domain.trained),
            percent(domain.trained, all),
        ]);
    }
    if domains.is_empty() { String::new() } else { format!("\n{table}") }
}

fn summary(stream: &Stream, seconds: f64, batches: u64, rows: u64, first_batch: u64) -> (String, serde_json::Value) {
    let (account, timings) = (stream.account(), stream.timings());
    let estimates = stream.false_positives();
    let json = serde_json::json!({
        "rows": account,
        "trained": rows,
        "batches": batches,
        "first_batch": first_batch,
        "next_batch": stream.batches(),
        "window": stream.window(),
        "seconds": seconds,
        "rows_per_second": rows as f64 / seconds,
        "peak_memory": peak_memory(),
        "bytes_read": timings.bytes,
        "bytes_per_second": timings.bytes as f64 / seconds,
        "time": {
            "read": timings.read.as_secs_f64(),
            "clean": timings.clean.as_secs_f64(),
            "draw": timings.draw.as_secs_f64(),
            "gather": timings.gather.as_secs_f64(),
            "transform": timings.transform.as_secs_f64(),
            "wait_blocks": timings.wait_blocks.as_secs_f64(),
            "wait_feedback": timings.wait_feedback.as_secs_f64(),
            "wait_consumer": timings.wait_consumer.as_secs_f64(),
        },
        "plan": stream.plan().hash(),
        "cache": stream.cache_counts().map(|cache| serde_json::json!({
            "hits": cache.hits, "misses": cache.misses, "hit_bytes": cache.hit_bytes,
        })),
        "false_positives": estimates,
        "faults": stream.faults(),
        "ledger": stream.ledger(),
        "domains": stream.domains(),
        "length": stream.length(),
    });
    let mut text = accounting(&account, rows).to_string();
    text += &false_positives(estimates.iter().map(|estimate| (estimate.op.as_str(), estimate.chance)));
    text += &domains(stream);
    text += &format!(
        "\n{} batches in {}: {}, {} read ({})\n",
        count(batches),
        duration(Duration::from_secs_f64(seconds)),
        rate(rows as f64 / seconds, "rows"),
        bytes(timings.bytes),
        byte_rate(timings.bytes as f64 / seconds),
    );
    text += &format!(
        "time of all threads: read {}, clean {}, draw {}, gather {}; the sequencer waited {} for blocks, {} for feedback, {} for the consumer\n",
        duration(timings.read),
        duration(timings.clean),
        duration(timings.draw),
        duration(timings.gather),
        duration(timings.wait_blocks),
        duration(timings.wait_feedback),
        duration(timings.wait_consumer),
    );
    if let Some(cache) = stream.cache_counts() {
        let (hits, misses) = (count(cache.hits), count(cache.misses));
        text += &format!("cache: {hits} hits ({}), {misses} misses\n", bytes(cache.hit_bytes));
    }
    for fault in stream.faults() {
        text += &format!("quarantined: {fault}\n");
    }
    if let Some(ledger) = stream.ledger() {
        text += &format!("written down in {}\n", ledger.display());
    }
    (text, json)
}

/// The most memory that this process ever held, in bytes, where the system says so (Linux).
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    peak.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1 << 10)
}
