//! The protocol of RHO-LOSS on MNIST: a training on half of the digits against a reference model that saw the other half.

use crate::{
    Result,
    data::{Noise, Rows, random},
    training::{Batch, Every, Perceptron, Plan, Spent, accuracy, judge, train},
};
use arable_loader::value::Reference;
use burn::tensor::Device;
use std::{ops::ControlFlow, path::Path, sync::Arc};

const HALF: usize = 30_000;
const CANDIDATES: i64 = 320;
const STEPS: u64 = 1_500;
/// Steps of 32 rows that cost what 1,500 steps with their 320 candidates do.
const STEPS_OF_EQUAL_COST: u64 = 6_500;
const TARGET: f64 = 0.93;
/// Test rows that the way to the target is followed on.
const PROBE: usize = 2_000;
const LOOK_EVERY: u64 = 25;
/// Passes of the reference model over its half; the one that is kept has the lowest loss on the rows to be trained.
const REFERENCE_EPOCHS: u32 = 10;

/// Every training of one seed: uniform, uniform with a rate that falls to nothing over as many steps and over those of
/// equal cost, and `rho_loss` by each of its scores. Perceptron 784-512-512-512-10, AdamW at 1e-3, 32 rows a step.
///
/// `trainings` are the names of those that are run, with semicolons between them, or `all`.
pub(crate) fn run(mnist: &Path, noise: Noise, seed: u64, trainings: &str) -> Result<()> {
    let device = Device::flex().autodiff();
    let mut random = random(seed, 1);
    let mut all = Rows::images(&mnist.join("train.parquet"), usize::MAX)?.sample(2 * HALF, &mut random);
    all.plant(noise, &mut random);
    let order: Vec<usize> = (0..all.len()).collect();
    let (rows, holdout) = (all.pick(&order[..HALF]), all.pick(&order[HALF..]));
    let test = Rows::images(&mnist.join("test.parquet"), usize::MAX)?;
    let probe = Batch::of(&test.pick(&(0..PROBE).collect::<Vec<_>>()), &device);
    let test = Batch::of(&test, &device);
    let files = tempfile::tempdir()?;
    rows.write(files.path())?;

    let (references, reference_units) = reference(&holdout, &rows, seed, &device)?;
    let references = Arc::new(references);
    let rho = |score: &str| Plan {
        policy: "rho_loss".into(),
        options: vec![("candidates".to_owned(), CANDIDATES.into()), ("score".to_owned(), score.into())],
        references: Some(Arc::clone(&references)),
        epochs: 17,
        ..plan(seed)
    };
    let decayed = Plan { decay: true, ..plan(seed) };
    let plans = [
        ("uniform", plan(seed)),
        ("uniform, decayed", decayed.clone()),
        ("uniform, decayed, equal cost", Plan { most_steps: STEPS_OF_EQUAL_COST, epochs: 7, ..decayed }),
        ("rho_loss", rho("loss")),
        ("rho_loss, by probability", rho("probability")),
        ("rho_loss, weighted", rho("weighted")),
    ];
    let names: Vec<&str> = plans.iter().map(|(name, _)| *name).collect();
    let wanted: Vec<&str> = if trainings == "all" { names.clone() } else { trainings.split(';').collect() };
    if let Some(unknown) = wanted.iter().find(|name| !names.contains(name)) {
        return Err(format!("there is no training `{unknown}`: there are {names:?}").into());
    }
    for (name, plan) in plans.into_iter().filter(|(name, _)| wanted.contains(name)) {
        let mut reached: Option<Spent> = None;
        let mut look = |model: &Perceptron, spent: &Spent| {
            if reached.is_none() && accuracy(model, &probe)? >= TARGET {
                reached = Some(*spent);
            }
            Ok(ControlFlow::Continue(()))
        };
        let trained = train(files.path(), &rows, &plan, Some((Every::Steps(LOOK_EVERY), &mut look)), &device)?;
        let spent = trained.spent;
        println!(
            "{}",
            serde_json::json!({
                "training": name, "noise": noise.share, "seed": seed, "steps": spent.steps, "units": spent.units(),
                "steps_to_target": reached.map(|spent| spent.steps), "units_to_target": reached.map(|spent| spent.units()),
                "reference_units": if plan.references.is_some() { reference_units } else { 0 },
                "final": accuracy(&trained.model, &test)?, "wrong": spent.wrong as f64 / spent.samples as f64,
                "cpu": spent.cpu,
            })
        );
    }
    Ok(())
}

fn plan(seed: u64) -> Plan {
    Plan { most_steps: STEPS, ..Plan::uniform(&[512; 3], 2, 32, seed) }
}

/// What a model of the same shape that was trained on `holdout` says of `rows`, and the computation that it took, the
/// judgement after each pass counted. It stops when two passes in a row were no better.
fn reference(holdout: &Rows, rows: &Rows, seed: u64, device: &Device) -> Result<(Vec<Reference>, u64)> {
    let files = tempfile::tempdir()?;
    holdout.write(files.path())?;
    // Another seed, so that it does not begin where the model that it judges for does.
    let plan = Plan { epochs: REFERENCE_EPOCHS, batch: 128, most_steps: u64::MAX, ..plan(seed + 1_000) };
    let judged = Batch::of(rows, device);
    let (mut best, mut said, mut passes, mut since) = (f64::INFINITY, Vec::new(), 0, 0);
    let mut look = |model: &Perceptron, _: &Spent| {
        let found = judge(model, &judged)?;
        let mean = found.iter().map(|row| f64::from(row.loss)).sum::<f64>() / found.len() as f64;
        passes += 1;
        since += 1;
        if mean < best {
            (best, said, since) = (mean, found, 0);
        }
        Ok(if since == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    };
    let trained = train(files.path(), holdout, &plan, Some((Every::Epoch, &mut look)), device)?;
    Ok((said, trained.spent.units() + passes * rows.len() as u64))
}
