//! A policy against none on images: the protocols of InfoBatch and of cleaned risk under label noise.

use crate::{
    Result,
    data::{Noise, Rows, random},
    training::{Batch, Every, Plan, Trained, accuracy, train},
};
use burn::tensor::Device;
use std::{ops::ControlFlow, path::Path};

/// Passes over the data.
pub(crate) const EPOCHS: u32 = 15;
/// Data epochs that `denoise` only observes.
const WARMUP: i64 = 3;

/// Which rows a training is judged by.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Held {
    /// Those of the test file: what is reported.
    Test,
    /// Ten thousand of the training file that were not trained on: what choices are made by.
    Rest,
}

impl Held {
    pub(crate) fn new(word: &str) -> Result<Self> {
        match word {
            "test" => Ok(Self::Test),
            "rest" => Ok(Self::Rest),
            _ => Err(format!("a training is judged by `test` or `rest`, not `{word}`").into()),
        }
    }
}

/// One training for each of `policies` from the same weights on the same `most` rows of `folder`'s train.parquet, of which
/// `noise` are wrong: perceptron features-256-256-classes, AdamW at 1e-3, batches of 128, `epochs` passes, judged after each.
///
/// A policy's name may be followed by options, `denoise:recent=0.7`. The policies take turns in who goes first, by the
/// seed, so that times can be compared pair by pair.
pub(crate) fn run(
    (folder, most): (&Path, usize),
    policies: &str,
    noise: Noise,
    epochs: u32,
    seed: u64,
    held: Held,
) -> Result<()> {
    let mut random = random(seed, 1);
    let all = Rows::images(&folder.join("train.parquet"), usize::MAX)?.sample(usize::MAX, &mut random);
    let order: Vec<usize> = (0..all.len()).collect();
    let (trained, rest) = order.split_at(most.min(all.len()));
    let mut rows = all.pick(trained);
    rows.plant(noise, &mut random);
    let held = match held {
        Held::Test => Rows::images(&folder.join("test.parquet"), usize::MAX)?,
        Held::Rest if rest.is_empty() => return Err("no rows are left to judge by".into()),
        Held::Rest => all.pick(&rest[..rest.len().min(10_000)]),
    };
    let files = tempfile::tempdir()?;
    rows.write(files.path())?;
    let mut policies: Vec<&str> = policies.split(',').collect();
    let first = seed as usize % policies.len();
    policies.rotate_left(first);
    for policy in policies {
        let plan = with_options(policy, epochs, seed)?;
        let (trained, accuracies) = judged(files.path(), &rows, &plan, &held)?;
        let spent = trained.spent;
        println!(
            "{}",
            serde_json::json!({
                "policy": policy, "noise": noise.share, "kind": noise.kind(), "passes": epochs, "seed": seed, "rows": rows.len(),
                "last": accuracies.last(), "best": accuracies.iter().copied().fold(0.0, f64::max),
                "samples": spent.samples, "share": spent.samples as f64 / (rows.len() as f64 * f64::from(epochs)),
                "wrong": spent.wrong as f64 / spent.samples as f64,
                "seconds": spent.seconds, "cpu": spent.cpu, "parameters": trained.model.name()?,
            })
        );
    }
    Ok(())
}

/// Whether `denoise` leaves a clean data set alone: lines of numbers as `wrong-labels` trains them, 15 passes, with and
/// without, at `warmup` passes that are only observed, and so many batches where the default is not to hold.
pub(crate) fn gate(data: &Path, warmup: u32, warmup_batches: Option<u32>, seed: u64) -> Result<()> {
    const MOST_ROWS: usize = 5_000;
    let device = Device::flex().autodiff();
    let rows = Rows::read(data)?.sample(MOST_ROWS, &mut random(seed, 1));
    let files = tempfile::tempdir()?;
    rows.write(files.path())?;
    let trained = |policy: &str, options| {
        let narrow = Plan { hidden: vec![128, 128], batch: 64, weight_decay: 0.0, ..plan(policy, EPOCHS, seed) };
        train(files.path(), &rows, &Plan { options, ..narrow }, None, &device)
    };
    let plain = trained("uniform", Vec::new())?;
    let options = [("warmup", Some(warmup)), ("warmup_batches", warmup_batches)];
    let options = options.into_iter().filter_map(|(name, count)| Some((name.to_owned(), i64::from(count?).into())));
    let gated = trained("denoise", options.collect())?;
    println!(
        "{}",
        serde_json::json!({
            "rows": rows.len(), "classes": rows.classes, "warmup": warmup, "warmup_batches": warmup_batches,
            "seed": seed, "shut": gated.spent.samples == plain.spent.samples,
            "identical": gated.model.name()? == plain.model.name()?,
        })
    );
    Ok(())
}

/// The plan of a policy that is written with options after its name.
fn with_options(policy: &str, epochs: u32, seed: u64) -> Result<Plan> {
    let mut words = policy.split(':');
    let mut plan = plan(words.next().unwrap_or_default(), epochs, seed);
    for word in words {
        plan.options.extend(word.parse::<toml::Table>()?);
    }
    Ok(plan)
}

fn plan(policy: &str, epochs: u32, seed: u64) -> Plan {
    Plan {
        policy: policy.into(),
        options: match policy {
            "denoise" => vec![("warmup".to_owned(), WARMUP.into())],
            "infobatch" => vec![("epochs".to_owned(), i64::from(epochs).into())],
            _ => Vec::new(),
        },
        ..Plan::uniform(&[256, 256], epochs, 128, seed)
    }
}

/// The training and its accuracy on `held` after each data epoch.
fn judged(files: &Path, rows: &Rows, plan: &Plan, held: &Rows) -> Result<(Trained, Vec<f64>)> {
    let device = Device::flex().autodiff();
    let held = Batch::of(held, &device);
    let mut accuracies = Vec::new();
    let mut look = |model: &_, _: &_| {
        accuracies.push(accuracy(model, &held)?);
        Ok(ControlFlow::Continue(()))
    };
    let trained = train(files, rows, plan, Some((Every::Epoch, &mut look)), &device)?;
    Ok((trained, accuracies))
}
