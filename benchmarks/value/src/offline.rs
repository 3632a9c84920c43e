//! Values that need no training of ours, timed: the same numbers that a peer is given, and what was found, to compare.

use crate::{
    Result, cpu,
    data::{Rows, numbers},
};
use arable_loader::value::{
    DataOob, Points,
    confident_learning::{Filter, Predictions},
};
use std::{path::Path, time::Instant};

/// Flags of both filters for lines of a probability a class and the label.
pub(crate) fn confident_learning(data: &Path, repeats: u32) -> Result<()> {
    let (all, width) = numbers(data)?;
    let classes = width - 1;
    let labels: Vec<u32> = all.chunks(width).map(|row| row[classes] as u32).collect();
    let probabilities: Vec<f64> = all.chunks(width).flat_map(|row| &row[..classes]).copied().collect();
    for (name, filter) in
        [("prune_by_noise_rate", Filter::PruneByNoiseRate), ("confident_learning", Filter::ConfidentLearning)]
    {
        let (cpu, start) = (cpu::seconds()?, Instant::now());
        let mut flags = Vec::new();
        for _ in 0..repeats {
            flags = Predictions::new(&probabilities, classes, &labels)?.label_issues(filter, 1);
        }
        let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu::seconds()? - cpu);
        let flagged: Vec<usize> = flags.iter().enumerate().filter(|(_, flag)| **flag).map(|(row, _)| row).collect();
        let each = f64::from(repeats);
        println!(
            "{}",
            serde_json::json!({"filter": name, "seconds": seconds / each, "cpu": cpu / each, "flagged": flagged})
        );
    }
    Ok(())
}

pub(crate) fn knn_shapley(train: &Path, valid: &Path, neighbours: usize, repeats: u32) -> Result<()> {
    let (train, valid) = (Rows::read(train)?, Rows::read(valid)?);
    let (labels, judges) = (classes(&train), classes(&valid));
    let (cpu, start) = (cpu::seconds()?, Instant::now());
    let mut values = Vec::new();
    for _ in 0..repeats {
        values = arable_loader::value::knn_shapley(points(&train, &labels), points(&valid, &judges), neighbours)?;
    }
    let each = f64::from(repeats);
    let (seconds, cpu) = (start.elapsed().as_secs_f64() / each, (cpu::seconds()? - cpu) / each);
    println!("{}", serde_json::json!({"seconds": seconds, "cpu": cpu, "values": values}));
    Ok(())
}

pub(crate) fn data_oob(train: &Path, trees: u32, seed: u64) -> Result<()> {
    let train = Rows::read(train)?;
    let labels = classes(&train);
    let (cpu, start) = (cpu::seconds()?, Instant::now());
    let values = arable_loader::value::data_oob(points(&train, &labels), DataOob { trees, seed })?;
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu::seconds()? - cpu);
    println!("{}", serde_json::json!({"seconds": seconds, "cpu": cpu, "values": values}));
    Ok(())
}

fn classes(rows: &Rows) -> Vec<u32> {
    rows.labels.iter().map(|label| *label as u32).collect()
}

const fn points<'a>(rows: &'a Rows, labels: &'a [u32]) -> Points<'a> {
    Points { features: rows.features.as_slice(), labels }
}
