//! Finding wrong labels from the trajectories of one training; beside it, the probabilities of a 5-fold cross-validation
//! by the same model, which other tools judge by.

use crate::{
    Result,
    data::{Noise, Rows, random},
    training::{Plan, probabilities, starts, train},
};
use arable_loader::{Position, stream::SuspiciousLabel};
use burn::tensor::Device;
use rand::seq::SliceRandom;
use std::{collections::HashMap, io::Write, path::Path};

const MOST_ROWS: usize = 5_000;
const EPOCHS: u32 = 30;
const FOLDS: usize = 5;
/// The best of 3, 5, 10, 20 and 30 epochs for the cross-validated scores.
const FOLD_EPOCHS: u32 = 10;

fn plan(epochs: u32, seed: u64) -> Plan {
    Plan { weight_decay: 0.0, ..Plan::uniform(&[128, 128], epochs, 64, seed) }
}

/// At most 5,000 rows of `data` with planted noise.
pub(crate) fn tabular(data: &Path, noise: Noise, seed: u64, out: &Path) -> Result<()> {
    let mut random = random(seed, 1);
    let mut rows = Rows::read(data)?.sample(MOST_ROWS, &mut random);
    rows.plant(noise, &mut random);
    judge(&rows, seed, out)
}

/// Images with the labels of people, in column `label`.
pub(crate) fn images(images: &Path, label: &str, truth: &str, seed: u64, out: &Path) -> Result<()> {
    judge(&Rows::labelled_images(images, label, truth, usize::MAX)?, seed, out)
}

/// Writes a line a row: whether its label is wrong, the label, mean loss, logit margin, probability margin, probability,
/// variability, suspicion, whether the suggested label is the true one, then the cross-validated probability of each class.
fn judge(rows: &Rows, seed: u64, out: &Path) -> Result<()> {
    let device = Device::flex().autodiff();
    let folder = tempfile::tempdir()?;
    rows.write(folder.path())?;
    let trained = train(folder.path(), rows, &plan(EPOCHS, seed), None, &device)?;
    let suspicions: HashMap<Position, SuspiciousLabel<'_>> =
        trained.suspicions.iter().map(|row| (row.position, row)).collect();

    let mut fold_of: Vec<usize> = (0..rows.len()).map(|row| row % FOLDS).collect();
    fold_of.shuffle(&mut random(seed, 2));
    let mut crossed = vec![Vec::new(); rows.len()];
    for fold in 0..FOLDS {
        let (judged, kept): (Vec<usize>, Vec<usize>) = (0..rows.len()).partition(|row| fold_of[*row] == fold);
        let plan = plan(FOLD_EPOCHS, seed);
        let found = probabilities(&rows.pick(&kept), &rows.pick(&judged), &plan, &device)?;
        for (row, found) in judged.iter().zip(found.chunks(rows.classes)) {
            crossed[*row] = found.to_vec();
        }
    }

    // The one file has row groups of equally many rows, in order.
    let mut blocks: Vec<usize> = Vec::new();
    for (position, _) in trained.values.iter() {
        let block = position.block as usize;
        blocks.resize(blocks.len().max(block + 1), 0);
        blocks[block] += 1;
    }
    let place = starts(&blocks);
    let mut file = std::io::BufWriter::new(std::fs::File::create(out)?);
    for (position, record) in trained.values.iter() {
        let row = place[position.block as usize] + position.row as usize;
        let judged = suspicions.get(&position).ok_or("a row was never presented")?;
        write!(
            file,
            "{},{},{},{},{},{},{},{},{}",
            u8::from(rows.labels[row] != rows.truth[row]),
            rows.labels[row],
            record.mean_loss(),
            record.mean_logit_margin(),
            record.mean_probability_margin(),
            record.mean_probability(),
            record.variability(),
            judged.suspicion,
            u8::from(judged.suggested == Some(rows.truth[row].to_string().as_str())),
        )?;
        for probability in &crossed[row] {
            write!(file, ",{probability}")?;
        }
        writeln!(file)?;
    }
    file.flush()?;
    println!("{}", serde_json::json!({"out": out.display().to_string(), "rows": rows.len(), "seed": seed}));
    Ok(())
}
