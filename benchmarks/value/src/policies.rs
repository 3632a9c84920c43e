//! A policy against none on MNIST: the protocols of InfoBatch and of cleaned risk under label noise.

use crate::{
    Result,
    data::{Noise, Rows, random},
    training::{Plan, train},
};
use burn::tensor::Device;
use std::path::Path;

const ROWS: usize = 30_000;
const EPOCHS: u32 = 15;
/// Data epochs that `denoise` only observes.
const WARMUP: i64 = 3;

/// One training: 30,000 rows of which `noise` are wrong, 784-256-256-10, AdamW at 1e-3, batches of 128, 15 passes, measured
/// on the 10,000 test rows after each.
pub(crate) fn run(mnist: &Path, policy: &str, noise: Noise, seed: u64) -> Result<()> {
    let device = Device::flex().autodiff();
    let all = Rows::images(&mnist.join("train.parquet"), "label", "label", usize::MAX)?;
    let test = Rows::images(&mnist.join("test.parquet"), "label", "label", usize::MAX)?;
    let mut random = random(seed, 1);
    let mut rows = all.sample(ROWS, &mut random);
    rows.plant(noise, &mut random);
    let folder = tempfile::tempdir()?;
    rows.write(folder.path())?;
    let plan = Plan {
        hidden: vec![256, 256],
        epochs: EPOCHS,
        batch: 128,
        rate: 1e-3,
        weight_decay: 0.01,
        policy: policy.into(),
        options: match policy {
            "denoise" => vec![("warmup", WARMUP)],
            "infobatch" => vec![("epochs", i64::from(EPOCHS))],
            _ => Vec::new(),
        },
        observe: true,
        most_steps: u64::MAX,
        seed,
    };
    let trained = train(folder.path(), &rows, &plan, Some(&test), &device)?;
    let best = trained.accuracy.iter().copied().fold(0.0, f64::max);
    println!(
        "{}",
        serde_json::json!({
            "policy": policy, "noise": noise.share, "kind": noise.kind(), "seed": seed,
            "last": trained.accuracy.last(), "best": best, "samples": trained.samples,
            "share": trained.samples as f64 / (ROWS as f64 * f64::from(EPOCHS)),
            "wrong": trained.wrong as f64 / trained.samples as f64,
            "seconds": trained.seconds, "cpu": trained.cpu, "parameters": trained.model.name()?,
        })
    );
    Ok(())
}
