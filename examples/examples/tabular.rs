//! From a dirty table to a model: one perceptron, trained with burn's own loader and with Arable's stream.
//!
//! `cargo run --release -p arable-examples --example tabular`
//!
//! `cargo run --release -p arable-examples --example tabular -- --table dirty.csv --truth clean.csv --target type --ignore index`

use arable_examples::{outcome::finish, seeds, tabular::Arguments};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    finish(seeds::run(&arguments.common, |common| arguments.with(common).run()))
}
