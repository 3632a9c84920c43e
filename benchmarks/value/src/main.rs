//! What `run.py` measures of Rust: trainings with a policy or without, and values that need no training of ours.
//!
//! Every command prints JSON lines: one result each, with its seed. Tables are made of them by the caller.

#![expect(clippy::print_stdout, reason = "its results go to standard output")]

mod cpu;
mod data;
mod observe;
mod offline;
mod pictures;
mod policies;
mod rho;
mod training;
mod wrong_labels;

use std::path::PathBuf;

/// What a measurement can fail with.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Result<T> = std::result::Result<T, Error>;

const USAGE: &str = "value-benchmark observe MNIST PAIRS STEPS
value-benchmark wrong-labels DATA.csv symmetric|pair SEED OUT.csv
value-benchmark ranking IMAGES.parquet LABEL TRUTH SEED OUT.csv
value-benchmark policies IMAGES ROWS POLICY[:OPTION=VALUE]…,… NOISE symmetric|pair SEED test|rest [PASSES]
value-benchmark gate DATA.csv WARMUP SEED [WARMUP_BATCHES]
value-benchmark rho MNIST NOISE SEED TRAINING;…|all
value-benchmark confident-learning PROBABILITIES.csv REPEATS
value-benchmark knn-shapley TRAIN.csv VALID.csv NEIGHBOURS REPEATS
value-benchmark data-oob TRAIN.csv TREES SEED";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *words.as_slice() {
        ["observe", mnist, pairs, steps] => observe::run(&PathBuf::from(mnist), pairs.parse()?, steps.parse()?),
        ["wrong-labels", data, kind, seed, out] => {
            wrong_labels::tabular(data.as_ref(), data::Noise::new(kind, 0.2)?, seed.parse()?, out.as_ref())
        }
        ["ranking", images, label, truth, seed, out] => {
            wrong_labels::images(images.as_ref(), label, truth, seed.parse()?, out.as_ref())
        }
        ["policies", images, rows, policies, share, kind, seed, held, ref passes @ ..] if passes.len() <= 1 => {
            let (noise, held) = (data::Noise::new(kind, share.parse()?)?, policies::Held::new(held)?);
            let passes = passes.first().map_or(Ok(policies::EPOCHS), |passes| passes.parse())?;
            policies::run((images.as_ref(), rows.parse()?), policies, noise, passes, seed.parse()?, held)
        }
        ["gate", data, warmup, seed, ref batches @ ..] if batches.len() <= 1 => {
            let batches = batches.first().map(|batches| batches.parse()).transpose()?;
            policies::gate(data.as_ref(), warmup.parse()?, batches, seed.parse()?)
        }
        ["rho", mnist, share, seed, trainings] => {
            let noise = data::Noise::new("symmetric", share.parse()?)?;
            rho::run(mnist.as_ref(), noise, seed.parse()?, trainings)
        }
        ["confident-learning", data, repeats] => offline::confident_learning(data.as_ref(), repeats.parse()?),
        ["knn-shapley", train, valid, neighbours, repeats] => {
            offline::knn_shapley(train.as_ref(), valid.as_ref(), neighbours.parse()?, repeats.parse()?)
        }
        ["data-oob", train, trees, seed] => offline::data_oob(train.as_ref(), trees.parse()?, seed.parse()?),
        _ => Err(USAGE.into()),
    }
}
