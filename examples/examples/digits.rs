//! One perceptron on the UCI digits with planted dirt, trained with burn's own loader and with Arable's stream.
//!
//! `cargo run --release -p arable-examples --example digits`

use arable_examples::{
    Result,
    comparison::{Comparison, Hyper},
    digits::{self, CLASSES, FEATURES},
    dirt::Dirt,
    sample::Held,
};
use arable_loader::report::{Bars, ProgressMode};
use clap::{Parser, ValueEnum};
use std::{path::PathBuf, process::ExitCode};

/// Trains one model on dirty digits: with burn's own loader, and with Arable cleaning, observing and acting.
#[derive(Parser)]
struct Arguments {
    /// Seed of the dirt, the weights and every order.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Share of wrong labels to plant, 0 to 0.9.
    #[arg(long, default_value_t = 0.2, value_parser = share)]
    noise: f64,
    /// Rows to measure accuracy on; hyper-parameters are chosen on `valid`.
    #[arg(long, value_enum, default_value_t = On::Test)]
    on: On,
    /// Passes of plain burn over the valid rows.
    #[arg(long, default_value_t = HYPER.epochs)]
    epochs: usize,
    /// Rows of a batch.
    #[arg(long, default_value_t = HYPER.batch)]
    batch: usize,
    /// Folder for the run's files.
    #[arg(long, default_value = "runs")]
    runs: PathBuf,
    /// Print the outcome as one JSON object, last on standard output.
    #[arg(long)]
    json: bool,
    /// Show no progress.
    #[arg(long)]
    quiet: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum On {
    Test,
    Valid,
}

fn share(text: &str) -> std::result::Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    if (0.0..=0.9).contains(&share) { Ok(share) } else { Err("must be a share from 0 to 0.9".into()) }
}

/// Chosen on the validation split.
const HYPER: Hyper =
    Hyper { epochs: 100, batch: 64, warmup: 10, learning_rate: 1e-3, hidden: Some(128), shards: 4, group: 128 };

fn main() -> ExitCode {
    arable_examples::outcome::finish(run(Arguments::parse()))
}

fn run(arguments: Arguments) -> Result<()> {
    let dirt = Dirt { noise: arguments.noise, duplicates: 0.15, broken: 0.02 };
    let data = digits::load();
    let (held, held_name) = match arguments.on {
        On::Test => (data.test, "clean test rows"),
        On::Valid => (data.valid, "clean validation rows"),
    };
    let comparison = Comparison {
        task: "digits",
        train: data.train.plant(dirt, CLASSES, arguments.seed),
        held: Held::new(held),
        held_name,
        dirt,
        shape: [1, 8, FEATURES / 8],
        classes: CLASSES,
        seed: arguments.seed,
        hyper: Hyper { epochs: arguments.epochs, batch: arguments.batch, ..HYPER },
    };
    let outcome = comparison
        .run(&arguments.runs, &Bars::new(if arguments.quiet { ProgressMode::Quiet } else { ProgressMode::Auto }))?;
    outcome.print(arguments.json);
    Ok(())
}
