//! One perceptron on the UCI digits with planted dirt, trained with burn's own loader and with Arable's stream.
//!
//! `cargo run --release -p arable-examples --example digits`

use arable_examples::{
    Result,
    arguments::{Common, share},
    digits,
    outcome::{Outcome, finish},
    seeds,
};
use clap::Parser;
use std::process::ExitCode;

/// Trains one model on dirty digits: with burn's own loader, and with Arable cleaning, observing and acting.
#[derive(Parser)]
struct Arguments {
    /// Share of wrong labels to plant, 0 to 0.9.
    #[arg(long, default_value_t = 0.2, value_parser = share)]
    noise: f64,
    #[command(flatten)]
    common: Common,
}

fn main() -> ExitCode {
    let Arguments { noise, common } = Arguments::parse();
    finish(seeds::run(&common, |common| run(noise, common)))
}

fn run(noise: f64, common: &Common) -> Result<Outcome> {
    let folder = common.folder("digits")?;
    digits::planted(noise, common).comparison(&folder)?.run(&folder, &common.bars())
}
