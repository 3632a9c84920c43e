//! What keeping values costs: updates a second on one core, bytes a row in memory, a snapshot, and the feedback log's
//! bytes and time a row.
//!
//! `values-benchmark [ROWS]`, 10,000,000 where it is left out. Prints one JSON object; each number is the median of five
//! rounds.

#![expect(clippy::print_stdout, reason = "its result goes to standard output")]

use arable_loader::{
    ClassPair, ClassSignal, Pick, Position, Purpose, Randomness, Report, Signal,
    ledger::{FeedbackLog, FeedbackWriter},
    value::{Beside, Table},
};
use std::{error::Error, time::Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Rows of a block: those of a usual row group.
const BLOCK: u32 = 50_000;
const BATCH: usize = 64;
const ROUNDS: usize = 5;
const CLASSES: u32 = 10;

fn main() -> Result<()> {
    let rows: u64 = std::env::args().nth(1).map_or(Ok(10_000_000), |rows| rows.parse())?;
    let blocks = vec![BLOCK; rows.div_ceil(u64::from(BLOCK)) as usize];
    let before = resident()?;
    let start = Instant::now();
    let mut table = Table::new(&blocks).keeping(Beside { rivals: true, ..Beside::default() });
    let opened = start.elapsed().as_secs_f64();

    // Windows of eight blocks, as a stream draws them: every row of the table once.
    let mut randomness = Randomness::new(1, 0, 0, Purpose::Rows);
    let (mut reports, mut number) = (Vec::new(), 0_u64);
    let mut first_touch = 0.0;
    for window in (0..blocks.len() as u32).collect::<Vec<_>>().chunks(8) {
        reports.clear();
        let positions = positions(window, &mut randomness);
        reports.extend(positions.chunks(BATCH).map(|positions| {
            number += 1;
            report(number, positions)
        }));
        let start = Instant::now();
        reports.iter().try_for_each(|report| table.apply(report))?;
        first_touch += start.elapsed().as_secs_f64();
    }
    let memory = (resident()? - before) as f64 / rows as f64;
    // The last window again and again: the pages are there, so this is the update itself.
    let updates: usize = reports.iter().map(|report| report.rows.len()).sum();
    let again = median((0..ROUNDS).map(|_| {
        let start = Instant::now();
        for _ in 0..4 {
            reports.iter().try_for_each(|report| table.apply(report))?;
        }
        Ok(start.elapsed().as_secs_f64() / (4 * updates) as f64)
    }))?;
    let snapshot = median((0..ROUNDS).map(|_| {
        let start = Instant::now();
        let copy = table.snapshot();
        let seconds = start.elapsed().as_secs_f64();
        drop(copy);
        Ok(seconds)
    }))?;

    let log = |picks: bool| -> Result<(f64, f64)> {
        let mut bytes = 0.0;
        let seconds = median((0..ROUNDS).map(|_| {
            let folder = tempfile::tempdir()?;
            let start = Instant::now();
            let mut writer = FeedbackWriter::create(folder.path(), 0)?;
            for report in &reports {
                match picks {
                    true => {
                        let picks = (0..BATCH / 10).map(|pick| Pick::plain(pick * 10)).collect();
                        writer.append(&Report { picks, ..report.clone() })?;
                    }
                    false => writer.append(report)?,
                }
            }
            writer.flush()?;
            let seconds = start.elapsed().as_secs_f64();
            let size: u64 = std::fs::read_dir(folder.path())?
                .map(|entry| Ok::<u64, std::io::Error>(entry?.metadata()?.len()))
                .sum::<std::io::Result<u64>>()?;
            bytes = size as f64 / updates as f64;
            if FeedbackLog::read(folder.path())?.iter().count() != reports.len() {
                return Err("the log lost reports".into());
            }
            Ok(seconds / updates as f64)
        }))?;
        Ok((bytes, seconds * 1e9))
    };
    let (log_bytes, log_nanoseconds) = log(false)?;
    let (picked_bytes, picked_nanoseconds) = log(true)?;
    println!(
        "{}",
        serde_json::json!({
            "rows": rows,
            "open_seconds": opened,
            "updates_per_second": 1.0 / again,
            "updates_per_second_with_first_touch": rows as f64 / first_touch,
            "resident_bytes_per_row": memory,
            "snapshot_seconds": snapshot,
            "log_bytes_per_row": log_bytes,
            "log_nanoseconds_per_row": log_nanoseconds,
            "log_bytes_per_row_with_picks": picked_bytes,
            "log_nanoseconds_per_row_with_picks": picked_nanoseconds,
        })
    );
    Ok(())
}

/// The rows of the blocks of `window`, in a random order.
fn positions(window: &[u32], randomness: &mut Randomness) -> Vec<Position> {
    let mut positions: Vec<Position> =
        window.iter().flat_map(|&block| (0..BLOCK).map(move |row| Position::new(block, row))).collect();
    for last in (1..positions.len()).rev() {
        let other = (randomness.unit() * (last + 1) as f64) as usize;
        positions.swap(last, other);
    }
    positions
}

/// Signals as numerous in their digits as a model's: functions of the row, with no regularity that a codec could find.
fn report(batch: u64, positions: &[Position]) -> Report {
    let signal = |position: &Position| {
        let mixed = (u64::from(position.block) << 32 | u64::from(position.row)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let probability = ((mixed >> 40) as f32 + 0.5) / (1_u64 << 24) as f32;
        let class = ClassSignal {
            logit_margin: (probability / (1.0 - probability)).ln(),
            probability_margin: 2.0 * probability - 1.0,
            probability,
            pair: Some(ClassPair { label: (mixed >> 8) as u32 % CLASSES, rival: (mixed >> 20) as u32 % CLASSES }),
        };
        Signal { loss: -probability.ln(), class: Some(class) }
    };
    Report::new(batch, positions.iter().map(|position| (*position, signal(position))).collect())
}

fn median(rounds: impl Iterator<Item = Result<f64>>) -> Result<f64> {
    let mut rounds: Vec<f64> = rounds.collect::<Result<_>>()?;
    rounds.sort_by(f64::total_cmp);
    rounds.get(rounds.len() / 2).copied().ok_or_else(|| "no round".into())
}

/// Bytes of this process in memory; Linux only.
fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? << 10)
}
