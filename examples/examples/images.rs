//! The same comparison on Parquet files of encoded images: a perceptron for grey images, a small convolutional network
//! for coloured ones.
//!
//! `cargo run --release -p arable-examples --example images -- --train train.parquet --test test.parquet --image image --label label`

use arable_examples::{
    Result,
    arguments::{Common, On, share},
    dirt::Dirt,
    images::{self, Picture},
    outcome::{Outcome, finish},
    planted::{Hyper, Planted},
    sample::{Held, Sample},
    seeds,
};
use clap::Parser;
use std::{path::PathBuf, process::ExitCode};

/// Trains one model on labelled images: with burn's own loader, and with Arable cleaning, observing and acting.
#[derive(Parser)]
struct Arguments {
    /// Parquet file of rows to train on.
    #[arg(long)]
    train: PathBuf,
    /// Parquet file of rows to measure accuracy on; their labels should be clean.
    #[arg(long)]
    test: PathBuf,
    /// Column of the encoded images (PNG or JPEG).
    #[arg(long)]
    image: String,
    /// Column of the labels to train on, 0 to classes - 1.
    #[arg(long)]
    label: String,
    /// Column of the true labels, where they are known. The test file's labels are those of this column, else of
    /// LABEL, else of `label`: the first that it has.
    #[arg(long)]
    truth: Option<String>,
    /// Plant this share of wrong labels, with 15 % exact duplicates and 2 % broken rows.
    #[arg(long, value_parser = share)]
    noise: Option<f64>,
    /// Train on the first rows only.
    #[arg(long, default_value_t = usize::MAX)]
    limit: usize,
    #[command(flatten)]
    common: Common,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    finish(seeds::run(&arguments.common, |common| run(&arguments, common)))
}

fn run(arguments: &Arguments, common: &Common) -> Result<Outcome> {
    if arguments.noise.is_some() && arguments.truth.is_some() {
        return Err(
            "--noise plants wrong labels in true ones, and --truth says that the labels are not: give one of them"
                .into(),
        );
    }
    let truth = arguments.truth.as_deref();
    let mut rows = images::read(&arguments.train, &arguments.image, &arguments.label, truth, arguments.limit)?;
    // A test file has clean labels, under the name of the true ones, of those trained on, or simply `label`.
    let names = truth.into_iter().chain([arguments.label.as_str(), "label"]);
    let label_of_test = images::first_column(&arguments.test, names)?;
    let test = images::read(&arguments.test, &arguments.image, &label_of_test, None, usize::MAX)?;
    let shape = rows.rows.iter().find_map(Picture::decode).ok_or("no image of the training file can be decoded")?.1;
    let last = test.truth.iter().chain(&rows.truth).flatten().max().copied().unwrap_or(0);
    let classes = usize::try_from(last + 1).map_err(|_| format!("class {last} is no class"))?;
    if classes > 100_000 {
        return Err(format!("the largest label is {last}: are these class numbers?").into());
    }

    // A tenth is kept back for choosing hyper-parameters, whether or not it is asked for now, so that both kinds of run
    // train on the same rows.
    let valid = rows.split_off_tenth();
    let (held, held_name) = match common.on {
        On::Test => (test, "test rows, their labels taken for clean"),
        On::Valid if truth.is_some() || arguments.noise.is_some() => (valid, "clean validation rows"),
        On::Valid => (valid, "validation rows with the labels that they came with"),
    };
    let held = held.rows.into_iter().zip(held.truth).map(|(mut row, truth)| {
        row.set_label(truth);
        row
    });
    let held: Vec<Picture> = held.filter(|row| row.is_valid(classes)).collect();
    let dirt = match arguments.noise {
        Some(noise) => Dirt { noise, duplicates: 0.15, broken: 0.02 },
        None => Dirt::NONE,
    };
    let grey = shape[0] == 1;
    let (epochs, batch) = common.sizes(if grey { 10 } else { 6 }, 128);
    let planted = Planted {
        task: "images",
        train: if dirt.is_planted() { rows.plant(dirt, classes, common.seed) } else { rows },
        held: Held::new(held),
        held_name,
        dirt,
        shape,
        classes,
        seed: common.seed,
        device: common.device(),
        hyper: Hyper {
            epochs,
            batch,
            warmup: 3,
            learning_rate: common.learning_rate.unwrap_or(1e-3),
            hidden: grey.then_some(256),
            shards: 4,
            group: 2_048,
        },
    };
    let folder = common.folder("images")?;
    planted.comparison(&folder)?.run(&folder, &common.bars())
}
