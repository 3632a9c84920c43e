//! One bag-of-words model on labelled texts, trained with burn's own loader and with Arable's stream.
//!
//! `cargo run --release -p arable-examples --example text_classification`
//!
//! `cargo run --release -p arable-examples --example text_classification -- --train train.csv --test test.csv --text text --label category`

use arable_examples::{outcome::finish, seeds, text_classification::Arguments};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    finish(seeds::run(&arguments.common, |common| arguments.with(common).run()))
}
