//! One perceptron on the UCI digits with planted dirt, trained with burn's own loader and with Arable's stream.
//!
//! `cargo run --release -p arable-examples --example digits`

use arable_examples::{
    Result,
    arguments::{Common, share},
    digits,
    outcome::finish,
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
    finish(run(Arguments::parse()))
}

fn run(Arguments { noise, common }: Arguments) -> Result<()> {
    let folder = common.folder("digits")?;
    let comparison = digits::planted(noise, &common).comparison(&folder)?;
    comparison.run(&folder, &common.bars())?.print(common.json);
    Ok(())
}
